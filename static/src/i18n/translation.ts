// The shape of a language of the page. English sets the keys; a language that lacks one of them is a type error.
import type { en } from './en.ts'
import type { ErrorText } from './error_text.ts'

export type MessageKey = keyof typeof en.messages

/** Everything that the page says in one language. Names in braces are filled in: see `fill`. */
export interface Translation {
  separator: string // between two remarks
  comma: string // between the items of a list
  messages: Record<MessageKey, string>
  models: Record<string, string> | null // what each model is good for, by its name; null: as the service says
  languageNames: Record<string, string> // by code: languages that some browsers cannot name
  pageErrors: Record<keyof typeof en.pageErrors, ErrorText> // codes that the page itself gives
  remarks: Record<keyof typeof en.remarks, ErrorText> // notes about a recording, with their parameters: see `problems.ts`
  service: ServiceTexts | null // null: the service itself speaks this language
}

/** What the service says in English, by its codes. */
export interface ServiceTexts {
  errors: Record<string, ErrorText> // every code in docs/operations.md
  changes: Record<Change, string> // what was changed after an error, the `change` of a note
}

type Change =
  | 'batch'
  | 'slots'
  | 'device'
  | 'device_out'
  | 'compute_type'
  | 'chunk_retried'
  | 'chunk_left_out'
  | 'decoded_again'
