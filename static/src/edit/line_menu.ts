// The menu of a line, in its order. An entry that is not for this line now is shown, and switched off.
import { partOf } from '../hear_again.ts'
import type { MessageKey } from '../i18n/index.ts'
import type { Segment } from '../types.ts'
import { preferences } from '../preferences.ts'
import { mayRepeat, transcribePart, whyNotAgain } from '../transcribe_again.ts'
import { lineId } from '../transcript_text.ts'
import type { LineEditor } from './line_editor.ts'
import { freshNote, useMarking } from './marking.ts'
import type { Reading } from './reading.ts'

/** The line, and where the caret is or was in it. */
export interface LineContext {
  reading: Reading
  editor: LineEditor
  line: Segment
  id: string
  index: number
  offset: number | null
}
export interface LineEntry {
  name: string
  label: MessageKey | ((context: LineContext) => MessageKey)
  may?: (context: LineContext) => boolean
  run: (context: LineContext) => unknown
}

const hasText = (text: string) => text.trim() !== ''

export const LINE_MENU: LineEntry[] = [
  {
    name: 'split',
    label: 'split_here',
    may: ({ line: { text }, offset }) =>
      offset !== null && hasText(text.trim().slice(0, offset)) && hasText(text.trim().slice(offset)),
    run: async ({ editor, id, offset }) => (await editor.reach(id, offset!)) && editor.split(),
  },
  {
    name: 'join-before',
    label: 'join_before',
    may: ({ index }) => index > 0,
    run: async ({ editor, id }) => (await editor.reach(id, 0)) && editor.join(-1),
  },
  {
    name: 'join-after',
    label: 'join_after',
    may: ({ index, reading }) => index < reading.lines.value.length - 1,
    run: async ({ editor, id, line, offset }) => (await editor.reach(id, offset ?? line.text.length)) && editor.join(1),
  },
  { name: 'speaker', label: 'choose_speaker', run: ({ reading, id }) => reading.speaking.pick(id) },
  { name: 'insert', label: 'insert_line', run: ({ editor, id }) => editor.insertBelow(id) },
  {
    name: 'check',
    label: ({ line }) => (line.checked ? 'uncheck_line' : 'check_line'),
    run: ({ reading, id, line }) => reading.session.perform([{ op: 'check', ids: [id], on: !line.checked }]),
  },
  { name: 'bookmark', label: 'bookmark', run: ({ reading, id }) => useMarking(reading).bookmark(id) },
  {
    name: 'note',
    label: 'note',
    may: ({ line }) => hasText(line.text),
    run: ({ reading, id, line }) => {
      const last = { line: id, at: [...line.text].length }
      freshNote.value = useMarking(reading).make('note', { line: id, at: 0 }, last, { colour: preferences.colour })
      reading.openPanel('notes')
    },
  },
  {
    name: 'again-part',
    label: 'again_part',
    may: ({ reading: { job } }) => job.value !== undefined && mayRepeat(job.value) && !whyNotAgain(job.value),
    run: ({ reading, id, index }) => {
      const lines = reading.lines.value
      const places = reading.linesInHand().map((each) => lines.findIndex((line) => lineId(line) === each))
      const [first, last] = reading.linesInHand().includes(id)
        ? [Math.min(...places), Math.max(...places)]
        : [index, index]
      transcribePart(reading.job.value!, partOf(lines, first, last))
    },
  },
  { name: 'copy-link', label: 'copy_place', run: ({ reading, line }) => reading.copyLink(line.start) },
  { name: 'original', label: 'original_text', run: ({ reading, id }) => reading.showOriginal(id) },
  { name: 'delete', label: 'delete_line', run: ({ reading, id }) => reading.deleteLine(id) },
]
