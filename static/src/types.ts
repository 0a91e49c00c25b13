// The types of the API, made from docs/openapi.json: `npm run types`. This is the only file that names its schemas.
import type { components } from './api_types.ts'

type Schemas = components['schemas']

/** The service sends every field, also those with a default. */
type Sent<T> = T extends readonly (infer Item)[]
  ? Sent<Item>[]
  : T extends object
    ? { [Key in keyof T]-?: Sent<T[Key]> }
    : T

export type AccessInfo = Sent<Schemas['AccessInfo']>
export type ActorState = Schemas['ActorState']
/** The subtitles of a transcript, as the service makes them. */
export type CueList = Sent<Schemas['CueList']>
export type CueStyle = CueList['style']
export type EndpointState = Sent<Schemas['EndpointState']>
export type Found = Sent<Schemas['Found']>
export type Gap = Sent<Schemas['Gap']>
export type Hub = Sent<Schemas['HubInfo']>
export type HubTest = Sent<Schemas['HubTest']>
export type Job = Sent<Schemas['Job']>
export type JobList = Sent<Schemas['JobList']>
export type LogEntry = Sent<Schemas['LogEntry']>
export type LogLines = Sent<Schemas['LogLines']>
export type Mark = Sent<Schemas['Mark']>
export type Model = Sent<Schemas['ModelInfo']>
export type Models = Sent<Schemas['ModelsInfo']>
export type Note = Sent<Schemas['JobNote']>
export type Phase = Schemas['Phase']
export type Problem = Sent<Schemas['Problem']>
/** A line of a transcript: as the API gives it, or, without its later part, as the event `segment` does. */
export type Segment = Pick<Sent<Schemas['TranscriptLine']>, HeardField> &
  Partial<Pick<Sent<Schemas['Line']>, EditField>>
type HeardField = 'chunk' | 'index' | 'start' | 'end' | 'text' | 'words' | 'language' | 'speaker'
type EditField = 'id' | 'version' | 'content' | 'position' | 'held' | 'checked' | 'source'
/** What a client may do with lines. */
export type ClientOperation = Schemas['EditRequest']['operations'][number]
/** What undoes an edit. */
export type PutLines = Schemas['PutLines']
export type EditList = Sent<Schemas['EditList']>
export type EditRecord = Sent<Schemas['EditRecord']>
export type Finds = Sent<Schemas['Finds']>
export type GroupResult = Sent<Schemas['GroupResult']>
export type EditResult = Sent<Schemas['EditResult']>
export type Setting = Sent<Schemas['Setting']>
export type SettingList = Sent<Schemas['SettingList']>
export type Snapshot = Sent<Schemas['Snapshot']>
/** A speaker, without the seconds: they change with the text, and the page counts them. */
export type Speaker = Omit<Sent<Schemas['Speaker']>, 'seconds'>
/** Who speaks in a job, and when. */
export type SpeakerList = Pick<Sent<Schemas['SpeakerOverview']>, 'can_recount' | 'why_not'> & {
  speakers: readonly Speaker[]
  timeline: Timeline
}
export type SeatInfo = Sent<Schemas['SeatInfo']>
export type Status = Schemas['Status']
export type System = Sent<Schemas['System']>
export type TermList = Sent<Schemas['TermList']>
export type Track = Sent<Schemas['AudioTrack']>
export type Transcript = Sent<Schemas['EditableTranscript']>
export type Transfer = Sent<Schemas['Transfer']>
export type Word = Sent<Schemas['Word']>

/** Who speaks from when on, in seconds, ascending. Null: nobody is known from there on. */
export type Timeline = readonly (readonly [start: number, speaker: string | null])[]
