// The subtitles over a film, as a text track of the player: in full screen and on phones the browser shows it too, in the look
// that a person chose there. An edit changes it at once, also before it is stored; the recording is not loaded again.
import { defineComponent, onUnmounted, watch, type PropType } from 'vue'
import type { Cue } from './cue.ts'
import { openCues } from './cues.ts'
import { useReading } from './reading.ts'

const tracks = new WeakMap<HTMLMediaElement, TextTrack>() // a track that was added cannot be taken away
const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }
const textOf = ({ rows }: Cue): string => rows.join('\n').replace(/[&<>]/g, (sign) => ESCAPES[sign]!)

export default defineComponent({
  props: {
    film: { type: Object as PropType<HTMLMediaElement>, required: true },
    label: { type: String, required: true },
    language: { type: String, default: '' },
  },
  setup({ film, label, language }) {
    const reading = useReading()
    const cues = openCues(reading.id, reading.session)
    const stop = cues.watch()
    const track = tracks.get(film) ?? film.addTextTrack('captions', label, language)
    tracks.set(film, track)
    track.mode = 'showing'
    const shown = new Map<string, { cue: Cue; on: VTTCue }>()

    function show(cue: Cue): void {
      const known = shown.get(cue.key)
      if (known?.cue === cue) return
      const on = new VTTCue(cue.start, Math.max(cue.end, cue.start + 0.001), textOf(cue))
      track.addCue(on)
      if (known) track.removeCue(known.on)
      shown.set(cue.key, { cue, on })
    }
    function hide(key: string): void {
      track.removeCue(shown.get(key)!.on)
      shown.delete(key)
    }
    /** Change the track. While a film is paused, a browser draws a track anew only when that begins to be shown. */
    function change(act: () => void): void {
      track.mode = 'hidden'
      act()
      track.mode = 'showing'
    }
    function showAll(all: readonly Cue[]): void {
      const there = new Set(all.map(({ key }) => key))
      for (const key of shown.keys()) if (!there.has(key)) hide(key)
      for (const cue of all) show(cues.typed.value.get(cue.key) ?? cue)
    }
    watch(cues.cues, (all) => change(() => showAll(all)), { immediate: true })
    watch(cues.typed, (typed, before) => {
      if (typed.size || before.size) change(typed.size ? () => typed.forEach(show) : () => showAll(cues.cues.value))
    })
    onUnmounted(() => {
      stop()
      for (const key of [...shown.keys()]) hide(key)
      track.mode = 'disabled'
    })
    return () => null
  },
})
