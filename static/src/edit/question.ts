/** A question to a person, and its answers. */
export interface Question {
  title: string
  text?: string
  answers: readonly (readonly [value: string, label: string])[]
}
