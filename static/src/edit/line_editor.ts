// The one line that is edited: its element, its caret, and what keys, input methods and the clipboard do to it.
// The element has one text node. Nothing but the browser changes it while an input method composes.
import { nextTick, ref, shallowRef, watch, type ObjectDirective, type Ref } from 'vue'
import { t } from '../i18n/index.ts'
import { isComposing } from '../keys.ts'
import { keyAction } from '../key_bindings.ts'
import { keepInSight } from '../text_places.ts'
import type { NewLine } from '../transcript_text.ts'
import { clean, MAX_CHARACTERS } from './apply.ts'
import { caretIn, caretRect, isInRow, movedCaret, offsetNear, selectedIn, setCaret } from './caret.ts'
import { newId } from './changes.ts'
import * as acts from './line_acts.ts'
import { linesOf, pastedLines } from './pasted.ts'
import type { Reading } from './reading.ts'
import type { Place } from './session.ts'

const WANTED_MS = 3_000 // so long the answer of the service to an undo may take
const AFTER_COMPOSITION_MS = 30 // Safari sends the Enter that ends a composition only after it

/** What the editor needs of the view that the lines are in. */
export interface Surroundings {
  /** The element with the text of a line. */
  paragraph(id: string): HTMLElement | null
  /** What a screen reader calls a line that is edited. */
  nameOf(id: string): string
  /** Give the focus to a line that is not edited. */
  focusLine(id: string): void
}

export type LineEditor = ReturnType<typeof useLineEditor>

export function useLineEditor(page: Reading, around: Surroundings) {
  const { session, lines } = page
  const editing: Ref<string | null> = ref(null)
  const typed = ref(false) // a key was pressed: the line has its box
  const fresh = shallowRef<NewLine | null>(null)
  const last: Ref<Place | null> = ref(null) // where the caret is, or was when the line was left
  let element: HTMLElement | null = null
  let wanted: { place: Place; isTyping: boolean; until: number } | null = null // where an undo was
  let composedAt = -Infinity // when the last composition ended, by the clock of events
  let column: number | null = null // where the caret goes in other rows, in pixels

  // The box is no class of the line: Vue would not know of it.
  watch([editing, typed], () => element?.toggleAttribute('data-typed', typed.value), { flush: 'sync' })
  const lineOf = (id: string) => lines.value.find((line) => acts.idOf(line) === id)
  const textOf = (target: HTMLElement) => target.textContent ?? ''
  const offset = () => (element && caretIn(element)) ?? last.value?.offset ?? 0
  const remember = () => {
    const at = element && caretIn(element)
    if (editing.value && at !== null) last.value = { id: editing.value, offset: at }
  }
  const place = (): Place | null => (editing.value ? { id: editing.value, offset: offset() } : null)

  /** Put the caret into a line. Without `quietly` the line gets its box at once. */
  function begin(id: string, at: number, quietly = false): boolean {
    const target = around.paragraph(id)
    if (!target) return false
    const before = element
    const earlier = editing.value
    editing.value = id
    element = target
    if (earlier !== id) typed.value = !quietly || (typed.value && before !== null)
    if (target !== before) open(target, id)
    target.focus({ preventScroll: true })
    setCaret(target, at)
    last.value = { id, offset: at }
    column = null
    keepInSight(target)
    if (before && target !== before && earlier) close(before, earlier)
    return true
  }
  function open(target: HTMLElement, id: string): void {
    target.setAttribute('contenteditable', 'plaintext-only')
    if (!target.isContentEditable) target.setAttribute('contenteditable', 'true') // Firefox before 136
    target.setAttribute('role', 'textbox')
    target.setAttribute('aria-multiline', 'false')
    target.setAttribute('aria-label', around.nameOf(id))
    target.setAttribute('enterkeyhint', 'enter')
    const spoken = lineOf(id)?.language ?? ''
    target.spellcheck = !/^(zh|yue|ja|ko)\b/.test(spoken)
    if (spoken) target.lang = spoken
  }
  /** The line is left: what was typed is sent, an empty line is deleted. */
  function close(target: HTMLElement, id: string): void {
    for (const name of [
      'data-typed',
      'contenteditable',
      'role',
      'aria-multiline',
      'aria-label',
      'enterkeyhint',
      'spellcheck',
      'lang',
    ])
      target.removeAttribute(name)
    const text = clean(textOf(target))
    const line = lineOf(id)
    if (fresh.value?.id === id) fresh.value = null
    session.flush()
    if (!text && line?.text.trim()) page.told('deleted')
    else show(target, lineOf(id)?.text.trim() ?? text)
  }
  function finish(focus = false): void {
    if (!element || !editing.value) return
    remember()
    const [target, id] = [element, editing.value]
    element = null
    editing.value = null
    typed.value = false
    close(target, id)
    if (focus) around.focusLine(id)
    else if (document.activeElement === target) target.blur()
  }

  /** Write a text into an element, as one text node. The caret stays where it is in the text. */
  function show(target: HTMLElement, text: string): void {
    const now = textOf(target)
    const isOneNode = target.childNodes.length === 1 && target.firstChild instanceof Text
    if (now === text && (isOneNode || !text)) return
    const at = target === element ? caretIn(target) : null
    if (isOneNode) (target.firstChild as Text).data = text
    else target.replaceChildren(text)
    if (at !== null) setCaret(target, movedCaret(now, text, at))
  }
  /** The text of a line came from outside: from another person, or from an undo. Of what was typed here it is known. */
  function update(target: HTMLElement, text: string): void {
    if (target === element && (session.composing.value || clean(textOf(target)) === text)) return
    show(target, text)
  }

  /** Of the element of a line: its text, as one text node. */
  const lineText: ObjectDirective<HTMLElement, string> = {
    mounted(target, { value }) {
      if (value) target.append(value)
    },
    updated(target, { value, oldValue }) {
      if (value !== oldValue) update(target, value)
    },
  }
  /** The element of the line may have been made anew, or its text is another line now. */
  function check(): void {
    findAgain()
    placeWanted()
  }
  function findAgain(): void {
    if (!element || !editing.value || element.isConnected) return
    const [id, text, box] = [session.idOf(editing.value), textOf(element), typed.value]
    const at = last.value?.offset ?? 0
    element = editing.value = null
    typed.value = false
    const target = around.paragraph(id)
    if (!target) return session.flush()
    if (!clean(text)) return
    show(target, text)
    begin(id, at, !box)
  }

  function changed(target: HTMLElement): void {
    const id = editing.value
    if (!id || target !== element) return
    if (target.childNodes.length > 1 || (target.firstChild && !(target.firstChild instanceof Text)))
      show(target, textOf(target))
    column = null
    typed.value = true
    remember()
    const text = textOf(target)
    if (fresh.value?.id === id && !lineOf(id)) {
      const { after, start, end } = fresh.value
      if (clean(text))
        session.perform(
          [{ op: 'insert', after, new: id, start, end, text: clean(text) }],
          after === null ? null : { id: after, offset: Infinity },
          place(),
        )
    } else session.type(id, text)
    page.told('typed')
    keepInSight(target)
  }
  /** Change the text of the element and put the caret behind the change. */
  function replace(from: number, to: number, text: string): void {
    if (!element) return
    const now = textOf(element)
    show(element, now.slice(0, from) + text + now.slice(to))
    setCaret(element, from + text.length)
    changed(element)
  }

  // Acts
  const neighbour = (id: string, step: 1 | -1) => {
    const at = lines.value.findIndex((line) => acts.idOf(line) === id)
    return at < 0 ? undefined : lines.value[at + step]
  }
  async function go(to: Place | null): Promise<void> {
    await nextTick()
    if (to) begin(session.idOf(to.id), to.offset)
  }
  async function split(): Promise<void> {
    const id = editing.value
    if (!id || !element) return
    const [from, to] = selectedIn(element) ?? [offset(), offset()]
    if (to > from) replace(from, to, '')
    const text = textOf(element)
    if (!clean(text.slice(0, from))) return
    if (!clean(text.slice(from))) {
      const following = neighbour(id, 1)
      if (following) begin(acts.idOf(following), 0)
      return
    }
    session.flush()
    const made = acts.split(session, id, text, from)
    if (!made) return
    page.say(t('line_split'))
    await go({ id: made, offset: 0 })
  }
  async function join(step: 1 | -1): Promise<void> {
    const id = editing.value
    const other = id && neighbour(id, step)
    if (!id || !other || !element) return
    const isEmpty = !clean(textOf(element))
    session.flush() // an empty line is deleted by this
    const to = isEmpty
      ? { id: acts.idOf(other), offset: step < 0 ? other.text.trim().length : 0 }
      : acts.join(session, id, step, offset())
    if (!to) return
    page.say(t('lines_joined'))
    await go(to)
  }
  /** Make a new line behind another one, or before all others. */
  async function insertBelow(after: string | null, times = acts.pauseBehind(lines.value, after)): Promise<void> {
    finish()
    fresh.value = { id: newId(), after, ...times }
    await go({ id: fresh.value.id, offset: 0 })
  }
  function step(to: 1 | -1, event: KeyboardEvent): boolean {
    const id = editing.value
    if (!id || !element || !isInRow(element, offset(), to)) return false
    const other = neighbour(id, to)
    if (!other) return false
    event.preventDefault()
    const x = (column ??= caretRect(element, offset()).x)
    const target = around.paragraph(acts.idOf(other))
    if (!target) return true
    keepInSight(target)
    begin(acts.idOf(other), offsetNear(target, x, to))
    column = x
    return true
  }
  function undo(again = false): void {
    if (session.composing.value) return
    const isTyping = editing.value !== null
    const place = again ? session.redo() : session.undo()
    wanted = place && { place, isTyping, until: Date.now() + WANTED_MS }
    void nextTick(check)
  }
  /** The caret goes where an undo was. The text may come a moment later, when the service has answered. */
  function placeWanted(): void {
    if (!wanted || Date.now() > wanted.until) return
    const { place, isTyping } = wanted
    const id = session.idOf(place.id)
    if (!around.paragraph(id)) return
    if (isTyping) begin(id, place.offset)
    else around.focusLine(id)
  }
  const forget = (): void => {
    wanted = null
  }

  // Events
  const isGuarded = (event: KeyboardEvent | InputEvent) =>
    ('keyCode' in event ? isComposing(event) : event.isComposing) || event.timeStamp - composedAt < AFTER_COMPOSITION_MS

  function onKeyDown(event: KeyboardEvent): void {
    if (!element || event.target !== element || isGuarded(event)) return
    forget()
    event.stopPropagation() // the page takes no key of a line that is edited
    const action = keyAction(event, 'typing')
    if (action && page.act(action)) {
      event.preventDefault()
      typed.value = true
      return
    }
    const { key, ctrlKey, metaKey, altKey, shiftKey } = event
    if (key === 'Escape') {
      event.preventDefault()
      return finish(true)
    }
    if (ctrlKey || metaKey || altKey) return
    const [from, to] = selectedIn(element) ?? [0, 0]
    if (key === 'Enter') {
      event.preventDefault()
      typed.value = true
      void split()
    } else if (shiftKey) return
    else if (key === 'Backspace' && from === to && from === 0) {
      event.preventDefault()
      void join(-1)
    } else if (key === 'Delete' && from === to && to === textOf(element).length) {
      event.preventDefault()
      void join(1)
    } else if (key === 'ArrowUp' || key === 'ArrowDown') {
      typed.value = true
      const kept = column ?? caretRect(element, offset()).x
      if (!step(key === 'ArrowUp' ? -1 : 1, event)) column = kept
    } else if (key === 'ArrowLeft' || key === 'ArrowRight') {
      typed.value = true
      column = null
      const forward = (key === 'ArrowRight') !== (getComputedStyle(element).direction === 'rtl')
      const other = editing.value && neighbour(editing.value, forward ? 1 : -1)
      if (from !== to || !other || from !== (forward ? textOf(element).length : 0)) return
      event.preventDefault()
      begin(acts.idOf(other), forward ? 0 : other.text.trim().length)
    } else if (key !== 'Tab') column = null
  }
  function onBeforeInput(event: InputEvent): void {
    const { inputType, data } = event
    if (event.target !== element) return
    if (inputType === 'historyUndo' || inputType === 'historyRedo') {
      event.preventDefault()
      undo(inputType === 'historyRedo')
    } else if (inputType === 'insertParagraph' || inputType === 'insertLineBreak') {
      event.preventDefault()
      if (!isGuarded(event)) void split() // the Enter of an on-screen keyboard, which sends no key
    } else if (/^(insertFromDrop|deleteByDrag|format)/.test(inputType)) event.preventDefault()
    else if (data && !event.isComposing && textOf(element!).length + data.length > MAX_CHARACTERS) {
      event.preventDefault()
      page.told('too_long')
    }
  }
  function onInput(event: Event): void {
    const target = event.target as HTMLElement
    const { inputType } = event as InputEvent
    if (inputType === 'historyUndo' || inputType === 'historyRedo') {
      // The browser's own undo, which no event announced: the text is set back, and ours is done.
      undo(inputType === 'historyRedo')
      const id = target.closest<HTMLElement>('[data-line]')?.dataset.line ?? ''
      return void nextTick(() => show(target, lineOf(id)?.text.trim() ?? ''))
    }
    if (!session.composing.value) changed(target)
  }
  function onCompositionStart(event: Event): void {
    if (!element || event.target !== element) return
    session.type(editing.value!, textOf(element)) // from now on the session knows what the line was before
    session.composing.value = true
  }
  function onCompositionEnd(event: Event): void {
    composedAt = event.timeStamp
    const target = event.target
    // The browser still places the caret: nothing is written before it is done.
    setTimeout(() => {
      if (element && target === element) changed(element) // first, so that what is merged has the word
      session.composing.value = false
    })
  }
  async function onPaste(event: ClipboardEvent): Promise<void> {
    if (!element || event.target !== element || !event.clipboardData) return
    if (event.clipboardData.files.length && !event.clipboardData.types.includes('text/plain')) return // a recording
    event.preventDefault()
    event.stopPropagation() // else the page would take a link for a recording
    const id = editing.value!
    const selected = selectedIn(element) ?? [offset(), offset()]
    const given = linesOf(event.clipboardData.getData('text/plain'))
    const wanted = given.length > 1 ? await page.askLines(given.length) : 'one'
    if (editing.value !== id && !begin(id, selected[1])) return
    if (!given.length || !wanted || !element) return
    const text = textOf(element)
    const results = wanted === 'lines' ? pastedLines(text, selected, given) : [given.join(' ')]
    const longest = wanted === 'lines' ? results.join(' ').length : text.length + results[0]!.length
    if (longest > MAX_CHARACTERS) return page.told('too_long')
    if (wanted === 'one') {
      setCaret(element, selected[0])
      return replace(...selected, results[0]!)
    }
    session.flush()
    await go(acts.writeLines(session, id, results, { id, offset: selected[1] }, given.at(-1)!.length))
  }
  /** Text that is dragged into a line is refused: it would be taken out of another place. */
  function onDrop(event: DragEvent): void {
    if (!event.dataTransfer || event.dataTransfer.types.includes('Files')) return
    event.preventDefault()
    event.dataTransfer.dropEffect = 'none'
  }
  /** The focus went elsewhere, and not only to another window. */
  function onFocusOut(event: FocusEvent): void {
    if (event.target !== element) return
    remember()
    const left = element
    setTimeout(() => {
      if (!left || element !== left) return
      if (!left.isConnected) finish()
      else if (!document.hasFocus()) session.flush()
      else if (document.activeElement !== left) finish()
    })
  }

  return {
    editing,
    typed,
    fresh,
    last,
    place,
    begin,
    /** The same, where the element of the line may have to be made first. */
    reach: async (id: string, at: number): Promise<boolean> => begin(id, at),
    finish,
    split,
    join,
    insertBelow,
    undo,
    forget,
    check,
    lineText,
    remember,
    onKeyDown,
    /** What the element around the lines hears for the one that is edited, beside its keys. */
    events: {
      beforeinput: onBeforeInput,
      input: onInput,
      compositionstart: onCompositionStart,
      compositionend: onCompositionEnd,
      paste: onPaste,
      dragover: onDrop,
      drop: onDrop,
      focusout: onFocusOut,
    },
  }
}
