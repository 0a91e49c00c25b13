// What the API says, field by field; docs/openapi.json is the authority.

export type Status = 'pending' | 'processing' | 'paused' | 'completed' | 'failed' | 'cancelled'
export type Phase = 'downloading_model' | 'loading_model' | 'decoding' | 'transcribing' | 'finalizing'

export interface Problem { code: string; message: string; hint: string; params: Record<string, unknown> }
export interface Gap { start: number; end: number; reason: string }
export interface Word { start: number; end: number; word: string; probability: number }
/** Something that happened to a job on its way: what was done about it, in words and as a code. */
export interface Note { at: number; code: string; message: string; params: Record<string, unknown> }

export interface Segment {
  chunk: number; index: number; start: number; end: number; text: string; words: Word[]; language: string | null
}

export interface Options {
  model: string; language: string | null; task: string; preset: string; prompt: string | null
}

export interface Job {
  id: string; name: string; status: Status; options: Options; created_at: number; bytes: number; sha256: string; phase: Phase | null; progress: number
  message: string; duration_s: number | null; position_s: number; speed: number | null; eta_s: number | null
  language: string | null; model: string | null; chunks_done: number; chunks_total: number; attempts: number; rank: number
  gaps: Gap[]; history?: Note[]; error: Problem | null; media_removed?: boolean; origin?: { url: string; total: number | null } | null; started_at: number | null; finished_at: number | null
}

export interface Actor {
  name: string; state: string; generation: number; pid: number | null; problem: Problem | null; facts: Record<string, unknown>
  deaths: { at: number; generation: number; problem: Problem }[]
}

export interface System {
  version: string; started_at: number; actors: Actor[]; model: string | null; device: string | null
  compute_type: string | null; models: string[]; jobs: Partial<Record<Status, number>>; disk_free_bytes: number; memory_bytes: number; memory_free_bytes: number | null; cpus: number; subscribers: number; batch_size: number; warnings: Problem[]
}

export interface EndpointState { endpoint: string; problem: Problem | null }
export interface Transfer {
  bytes: number; total: number | null; speed_bps: number; eta_s: number | null; endpoint: string; failed: EndpointState[]
}
export interface Model {
  name: string; state: 'absent' | 'downloading' | 'installed' | 'loaded' | 'broken'; repo: string | null; languages: string | null
  good_for: string; parameters: number | null; download_bytes: number | null; disk_bytes: number; memory_bytes: number | null
  suits: { fit: 'gpu' | 'cpu' | 'slow' | 'too_big'; device: string | null; compute_type: string | null; speed: number | null } | null
  recommended: boolean; default: boolean; builtin: boolean; removable: boolean; problem: Problem | null; transfer: Transfer | null
}
export interface Hub { endpoints: string[]; proxy: string | null; token: boolean; offline: boolean }
export interface Models { models: Model[]; hub: Hub }

/** Where a search found something: texts in parts, every second of them what was found. */
export interface Found { name: string[]; excerpts: { start: number; parts: string[] }[] }
export interface JobList { jobs: Job[]; next: string | null; counts?: Partial<Record<Status, number>>; found?: Record<string, Found>; complete?: boolean }
export interface Snapshot { seq: number; boot: string; ui_version: string | null; jobs: JobList; system: System }
export interface Transcript {
  name: string; duration_s: number | null; language: string | null; model: string | null; segments: Segment[]; gaps: Gap[]
}

export interface Setting {
  key: string; value: unknown; default: unknown; source: 'default' | 'file' | 'stored' | 'environment' | 'command_line'
  changeable: boolean; effect: 'now' | 'restart' | null; secret: boolean; given: boolean
}
