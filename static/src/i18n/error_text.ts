/** An error: what happened, and what to do about it. */
export type ErrorText = readonly [what: string, hint: string]
