"""Define the values that modules, processes and the API share: jobs, chunks, segments, events. All are frozen.

No I/O, no clock and no rules: those are in `job_states` and `scheduler.planner`. Times in `Segment`, `Word` and `Gap`
are seconds from the beginning of the recording. Times named `*_at` are Unix seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

SAMPLE_RATE: Final = 16_000
"""Samples per second of a spool. Whisper and Silero are both trained on 16 kHz mono."""
DETECT_S: Final = 180.0
"""Seconds of a recording in which its language is looked for: enough for the music at the beginning of a film."""
CALL_RANK: Final = -1.0
"""The rank of calls. Jobs that users put at the front come first: their rank is the negative time of that act."""
MAX_NOTES: Final = 20
"""Notes that a job keeps. The whole job is sent with every step of its progress."""


class Value(msgspec.Struct, frozen=True):
    """An immutable value."""


class Status(StrEnum):
    """The state of a job. `job_states.TRANSITIONS` has the only moves between states."""

    PENDING = "pending"  # accepted and on disk; waits for its turn
    PROCESSING = "processing"  # in work; `phase` says what is done
    PAUSED = "paused"  # gets no more chunks until it is resumed
    COMPLETED = "completed"  # every chunk is done or a gap, and not all of them are gaps
    FAILED = "failed"  # cannot continue by itself; `error` says why and what to do
    CANCELLED = "cancelled"  # stopped on request; the text so far is kept


class Phase(StrEnum):
    """What a job in `Status.PROCESSING` is doing."""

    DOWNLOADING_MODEL = "downloading_model"
    LOADING_MODEL = "loading_model"
    DECODING = "decoding"
    TRANSCRIBING = "transcribing"
    SPEAKERS = "speakers"  # the text is there; who says what is still being found
    FINALIZING = "finalizing"


class Task(StrEnum):
    """What Whisper makes of speech."""

    TRANSCRIBE = "transcribe"  # text in the language spoken
    TRANSLATE = "translate"  # English text
    DETECT = "detect"  # no text, only the language spoken in the first `DETECT_S` seconds


class Preset(StrEnum):
    """How much work to spend on the best text. docs/performance.md has the measured cost of each."""

    FAST = "fast"
    BALANCED = "balanced"
    ACCURATE = "accurate"


class Script(StrEnum):
    """A way to write Chinese."""

    SIMPLIFIED = "simplified"
    TRADITIONAL = "traditional"
    RECOGNIZED = "recognized"  # as the model writes it: often both in one recording


class Channels(StrEnum):
    """What is made of a recording with several channels."""

    MIX = "mix"  # all channels are heard together
    APART = "apart"  # each channel is another person, and is recognised by itself
    AUTO = "auto"  # apart, if each channel turns out to be another person


LanguageCode = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")]
TrackNumber = Annotated[
    int, Meta(ge=0, le=999, description="An audio track, from 0. Without it, one in the language, or the default.")
]
Seconds = Annotated[float, Meta(ge=0, le=1e7)]
LongText = Annotated[str, Meta(max_length=2_000)]
MAX_SPEAKERS: Final = 20
"""The most people that a client may say speak in a recording. A recording may have more: then nobody says how many."""
SpeakerLimit = Annotated[int, Meta(ge=1, le=MAX_SPEAKERS)]


class Options(Value, frozen=True, forbid_unknown_fields=True):
    """What a client may choose for a job."""

    model: Annotated[
        str, Meta(min_length=1, max_length=300, description="A model on this machine. auto: the best one.")
    ] = "auto"
    language: (
        Annotated[
            LanguageCode, Meta(description="Whisper's code of the language, like en or zh. None: it is detected.")
        ]
        | None
    ) = None
    task: Annotated[Task, Meta(description="translate: English text. detect: only the language.")] = Task.TRANSCRIBE
    preset: Annotated[Preset, Meta(description="How much work to spend on the best text.")] = Preset.BALANCED
    prompt: Annotated[LongText, Meta(description="Names and spellings to expect.")] | None = None
    word_timestamps: Annotated[bool, Meta(description="Keep the time of every word.")] = True
    script: Annotated[
        Script | None, Meta(description="How Chinese is written. None: as the setting speech.script says.")
    ] = None
    track: TrackNumber | None = None
    speakers: (
        Annotated[
            str,
            Meta(
                pattern=r"^(off|auto|[1-9]|1[0-9]|20)$",
                description="Tell speakers apart: off, auto, or how many there are, from 1 to 20. None: as the setting"
                " speech.speakers says.",
            ),
        ]
        | None
    ) = None
    min_speakers: Annotated[SpeakerLimit, Meta(description="With auto: there are at least so many.")] | None = None
    max_speakers: Annotated[SpeakerLimit, Meta(description="With auto: there are at most so many.")] | None = None
    begin_s: (
        Annotated[Seconds, Meta(description="Transcribe from this second on. None: from the beginning.")] | None
    ) = None
    end_s: Annotated[Seconds, Meta(description="Transcribe up to this second. None: up to the end.")] | None = None
    channels: Annotated[
        Channels, Meta(description="apart: each channel is another speaker. auto: if they are different people.")
    ] = Channels.MIX
    webhook: Annotated[LongText, Meta(description="A URL that gets a message when the job ends.")] | None = None


class Word(Value, frozen=True):
    """A spoken word. `word` keeps the leading space that Whisper writes."""

    start: float
    end: float
    word: str
    probability: float


class Segment(Value, frozen=True):
    """A sentence with its words. `(chunk, index)` identifies and orders the segments of a job."""

    chunk: int
    index: int
    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    avg_logprob: float | None = None  # mean natural logarithm of the probabilities of its tokens
    no_speech_prob: float | None = None
    compression_ratio: float | None = None  # len(utf-8) / len(zlib); repeated text compresses well
    speaker: str | None = None


class HeldSegment(Segment, frozen=True):
    """A segment whose times people set. It is one caption, with exactly these times. On the wire it is a segment."""


class Span(Value, frozen=True):
    """The place of a chunk: a stretch of speech in the job's spool.

    `start_sample` and `samples` count 16 kHz samples from the beginning of the spool. `start` and `end` are seconds
    from the beginning of the recording, whose audio track may begin later.
    """

    index: int
    start_sample: int
    samples: int
    start: float
    end: float


class ChunkState(StrEnum):
    """The stored state of a chunk. That a chunk is being recognised is known in memory only."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"  # given up: it failed too often, or its actors died too often


class Chunk(Value, frozen=True):
    """A chunk with its state."""

    span: Span
    state: ChunkState = ChunkState.WAITING
    attempts: int = 0  # how often it failed, which includes actors that died by themselves while they worked on it
    kills: int = 0  # how many actors were killed from outside while they worked on it
    language: str | None = None
    language_probability: float | None = None  # None: the language was given, or is not detected yet
    error: Problem | None = None


class Gap(Value, frozen=True):
    """A stretch of the recording that could not be transcribed."""

    start: float
    end: float
    reason: str


class Problem(Value, frozen=True):
    """What went wrong, as users and clients see it: what happened, a stable code, and what to do."""

    code: str
    message: str
    hint: str = ""
    params: dict[str, Any] = {}


class JobNote(Value, frozen=True):
    """What happened to a job that its user should know: when, why, and what was changed."""

    at: float
    code: str
    message: str
    params: dict[str, Any] = {}


class AudioTrack(Value, frozen=True):
    """One of the audio tracks of a recording, as the file describes it."""

    index: int  # the number for `Options.track`; the first audio track is 0
    codec: str = ""  # FFmpeg's name; empty: unknown
    language: str = ""  # as the file is tagged, often a code of three letters; empty: no tag
    title: str = ""
    channels: int = 0
    default: bool = False  # players play this one
    decodable: bool = True
    used: bool = False  # the track that is transcribed


class Playable(StrEnum):
    """What a player gets of a recording that is kept."""

    RECORDING = "recording"  # as it was sent
    COPY = "copy"  # the listening copy: browsers do not play the recording, or not at the times of its transcript


class LinkOrigin(Value, frozen=True):
    """The link that a recording is fetched from. Until it is complete, `Job.bytes` grows and `sha256` is empty."""

    url: str
    total: int | None = None  # bytes, as the other server says; None: it does not say
    mark: str = ""  # ETag or date of the file: a fetch may continue only if the mark is unchanged


class Encoding(StrEnum):
    """How one sample of raw sound is written: little-endian numbers, or G.711 of the ITU-T (`mulaw`, `alaw`)."""

    S16LE = "s16le"
    S24LE = "s24le"
    S32LE = "s32le"
    F32LE = "f32le"
    MULAW = "mulaw"
    ALAW = "alaw"


class LiveEnd(StrEnum):
    """Why no more sound comes into a live session."""

    CLIENT = "client"  # it said so
    SILENCE = "silence"  # nothing was sent for `live.silence_end_s`
    LENGTH = "length"  # it was open for `live.max_hours`
    CANCELLED = "cancelled"  # its job was cancelled


class LiveSession(Value, frozen=True):
    """A recording that grows while it is transcribed: what is sent, and how much has come."""

    source: str  # where the sound is from, as the client says, like "microphone"
    rate: int  # samples per second
    encoding: Encoding = Encoding.S16LE
    channels: int = 1
    received_bytes: int = 0  # of sound, as of some seconds ago; `HEAD /api/live/ID` says exactly
    heard_at: float | None = None  # when sound came last
    ended: LiveEnd | None = None  # None: more may come


class Job(Value, frozen=True):
    """A recording with its options, its state and its results, as the API shows it."""

    id: str  # sortable by creation, URL-safe
    name: str  # of the file, as the client sent it; shown, never used as a path
    status: Status
    options: Options
    created_at: float
    bytes: int
    sha256: str
    phase: Phase | None = None
    progress: float = 0.0  # 0..1; never falls, except when a retry sets it back to what is really done
    message: str = ""  # one English sentence about what the job is doing
    duration_s: float | None = None  # length of the recording; an estimate until it is decoded
    position_s: float = 0.0  # everything before this is transcribed
    speed: float | None = None  # seconds of recording per second of work
    eta_s: float | None = None
    language: str | None = None
    model: str | None = None  # the model that does the work
    chunks_done: int = 0
    chunks_total: int = 0  # grows until `decoded`
    decoded: bool = False  # every chunk is known
    attempts: int = 0  # how often the job was claimed
    rank: float = 0.0  # place in the queue, smaller comes first: the time of creation, or its negative after `front`
    gaps: tuple[Gap, ...] = ()
    error: Problem | None = None
    problem: Problem | None = None  # what the job waits for; it continues by itself once the problem is solved
    history: tuple[JobNote, ...] = ()  # the last `MAX_NOTES` notes, in order
    started_at: float | None = None
    finished_at: float | None = None
    origin: LinkOrigin | None = None  # None: the recording was uploaded
    tracks: tuple[AudioTrack, ...] = ()  # of a recording with several audio tracks
    media_removed: bool = False  # the recording was deleted, as storage.keep_media_days and others ask; its text stays
    playable: Playable | None = None  # what a player gets; None: not known, or nothing that every browser plays
    copy_bytes: int = 0  # of the listening copy; 0: there is none
    no_speech: bool = False  # it is complete, and nobody speaks in it
    edits: int = 0  # the number of the newest edit of its text
    channels: int = 0  # that are recognised one by one, each as a speaker; 0: their mix is
    speakers: int | None = None  # how many are told apart; None: nobody asked, or it is not known yet
    of: str | None = None  # the job whose recording this one transcribes again
    live: LiveSession | None = None  # None: the recording was complete when it came

    @property
    def growing(self) -> bool:
        """Whether more sound may come."""
        return self.live is not None and self.live.ended is None


class Transcript(Value, frozen=True):
    """All segments and gaps of a job, with what an export needs."""

    name: str
    duration_s: float | None
    language: str | None
    model: str | None
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...] = ()


class Change(Value, frozen=True):
    """One row of the change log. `payload` is JSON, ready to be sent."""

    seq: int
    job_id: str  # for a model: "model:" and its name
    kind: str  # update | segment | edit | speakers | deleted | model
    payload: bytes

    @property
    def wire(self) -> bytes:
        """The change as a server-sent event."""
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.seq, self.kind.encode(), self.payload)


class DeliveryState(StrEnum):
    """The state of a webhook message."""

    WAITING = "waiting"  # for the first try, or the next
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


class Delivery(Value, frozen=True):
    """A webhook message to be delivered."""

    id: str  # does not change between tries, so that a receiver can tell a repetition
    job_id: str
    url: str
    body: bytes
    created_at: float
    due_at: float
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    detail: str = ""  # why the last try failed


class Death(Value, frozen=True):
    """An end of an actor that the service did not ask for: when (Unix seconds), of which generation, and why."""

    at: float
    generation: int
    problem: Problem


class ActorState(StrEnum):
    """The state of an actor."""

    IDLE = "idle"  # not needed yet, or stopped until it is needed
    PENDING = "pending"  # waits for a machine with room for it
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # it died and starts again after a while
    BROKEN = "broken"  # it died too often and starts again after `supervision.probe_s`
    STOPPED = "stopped"
