"""The nouns of the service: frozen values that cross module, process and API borders.

Owns the shape of the data and nothing else: no I/O, no clock, no rules (those are `lifecycle` and `planner`).
Times in `Segment`, `Word` and `Gap` are seconds on the clock of the recording itself; `*_at` are Unix seconds.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

SAMPLE_RATE = 16_000
"""Samples per second of everything behind the media actor; Whisper and Silero are both trained on 16 kHz mono."""

CALL = -1.0
"""The rank of calls: behind whatever users put at the front, which is the negative time of that."""

HISTORY = 20
"""Notes that a job keeps: it is sent whole with every step of its progress."""


class Value(msgspec.Struct, frozen=True):
    """An immutable value."""


class Status(StrEnum):
    """Where a job stands. The only moves between these are in `lifecycle.TRANSITIONS`."""

    PENDING = "pending"  # accepted and on disk; waits for its turn
    PROCESSING = "processing"  # in work; `phase` says at what
    PAUSED = "paused"  # gets no more chunks until somebody resumes it
    COMPLETED = "completed"  # every chunk is done or marked as a gap, and not all of them are gaps
    FAILED = "failed"  # cannot go on by itself; `error` says why and what to do
    CANCELLED = "cancelled"  # stopped by its user; the text so far is kept


class Phase(StrEnum):
    """What a job in `Status.PROCESSING` is busy with."""

    DOWNLOADING_MODEL = "downloading_model"
    LOADING_MODEL = "loading_model"
    DECODING = "decoding"
    TRANSCRIBING = "transcribing"
    FINALIZING = "finalizing"


class Task(StrEnum):
    """What Whisper makes of the speech."""

    TRANSCRIBE = "transcribe"  # text in the language that is spoken
    TRANSLATE = "translate"  # English text
    DETECT = "detect"  # no text: only which language is spoken, at the beginning of the recording


class Preset(StrEnum):
    """How hard to look for the best text; what each costs is measured in docs/performance.md."""

    FAST = "fast"
    BALANCED = "balanced"
    ACCURATE = "accurate"


class Script(StrEnum):
    """A way to write Chinese."""

    SIMPLIFIED = "simplified"
    TRADITIONAL = "traditional"


class Options(Value, frozen=True, forbid_unknown_fields=True):
    """What a client may ask of a job."""

    model: Annotated[
        str, Meta(min_length=1, max_length=300, description="A model on this machine. auto: the best one.")
    ] = "auto"
    language: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")] | None,
        Meta(description="Whisper's code of the language, like en, zh or yue. Without it, the language is detected."),
    ] = None
    task: Annotated[Task, Meta(description="translate: English text. detect: only the language.")] = Task.TRANSCRIBE
    preset: Annotated[Preset, Meta(description="How much work to spend on the best text.")] = Preset.BALANCED
    prompt: Annotated[
        Annotated[str, Meta(max_length=2_000)] | None, Meta(description="Names and spellings to expect.")
    ] = None
    word_timestamps: Annotated[bool, Meta(description="Keep the time of every word.")] = True
    script: Annotated[
        Script | None, Meta(description="How Chinese is written. Without it, as the model writes it.")
    ] = None
    webhook: Annotated[
        Annotated[str, Meta(max_length=2_000)] | None,
        Meta(description="A URL that gets a message when the job ends."),
    ] = None


class Word(Value, frozen=True):
    """One word as it is spoken; `word` keeps its leading space, as Whisper writes it."""

    start: float
    end: float
    word: str
    probability: float


class Segment(Value, frozen=True):
    """A sentence or phrase. `(chunk, index)` identifies and orders the segments of a job."""

    chunk: int
    index: int
    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    avg_logprob: float | None = None  # mean natural logarithm of the token probabilities
    no_speech_prob: float | None = None
    compression_ratio: float | None = None  # len(utf-8) / len(zlib); loops compress well
    speaker: str | None = None


class Span(Value, frozen=True):
    """A chunk as the media actor cuts it: a stretch of speech in the job's PCM spool.

    `start_sample` and `samples` count 16 kHz samples from the beginning of the spool; `start` and `end` are the same
    stretch in seconds on the recording's own clock (they differ by the offset at which its audio track begins).
    """

    index: int
    start_sample: int
    samples: int
    start: float
    end: float


class ChunkState(StrEnum):
    """Where a chunk stands; what is in flight is run-time state and never written down."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"  # quarantined: its actors died or failed too often


class Chunk(Value, frozen=True):
    """A `Span` with its fate."""

    span: Span
    state: ChunkState = ChunkState.WAITING
    attempts: int = 0  # how often it failed: how many actors died by themselves with it in their hands
    kills: int = 0  # how many actors with it in their hands were killed from outside
    language: str | None = None
    language_probability: float | None = None  # None: it was given, or nobody has listened yet
    error: Problem | None = None


class Gap(Value, frozen=True):
    """A stretch of the recording that could not be transcribed."""

    start: float
    end: float
    reason: str


class Problem(Value, frozen=True):
    """An error as users and clients see it: what happened, a stable code, and what to do about it."""

    code: str
    message: str
    hint: str = ""
    params: dict[str, Any] = {}


class JobNote(Value, frozen=True):
    """Something that happened to a job on its way, of which its user should know: what, when, why, and what was changed."""

    at: float
    code: str
    message: str
    params: dict[str, Any] = {}


class LinkOrigin(Value, frozen=True):
    """Where the service itself gets a recording from. Until all of it is here, `Job.bytes` is what has come and `sha256` empty."""

    url: str
    total: int | None = None  # bytes, as the other side says; None: it does not
    mark: str = ""  # its ETag or date: only what still has it may be gone on with


class Job(Value, frozen=True):
    """A recording on its way to a transcript, as the API shows it."""

    id: str  # sortable by creation, URL-safe
    name: str  # as the client called the file; shown, never used as a path
    status: Status
    options: Options
    created_at: float
    bytes: int
    sha256: str
    phase: Phase | None = None
    progress: float = 0.0  # 0..1; never falls, except that a retry sets it back to what is really done
    message: str = ""  # one English sentence about what is going on
    duration_s: float | None = None  # length of the recording; an estimate until it is decoded
    position_s: float = 0.0  # everything before this is transcribed
    speed: float | None = None  # seconds of recording per second of work
    eta_s: float | None = None
    language: str | None = None
    model: str | None = None  # the model that really does the work
    chunks_done: int = 0
    chunks_total: int = 0  # grows until `decoded`
    decoded: bool = False  # every chunk is known
    attempts: int = 0  # how often the job was taken up
    rank: float = (
        0.0  # place in the queue: lower goes first; a new job's is the time it came, `front` makes it negative
    )
    gaps: tuple[Gap, ...] = ()
    error: Problem | None = None
    problem: Problem | None = None  # what keeps it from going on for now; it goes on by itself once that is put right
    history: tuple[JobNote, ...] = ()  # what went otherwise than it should, in order; the last `HISTORY` of it
    started_at: float | None = None
    finished_at: float | None = None
    origin: LinkOrigin | None = None  # None: somebody sent it
    media_removed: bool = (
        False  # its recording is gone, as storage.keep_media_days and the like ask for; its text stays
    )


class Transcript(Value, frozen=True):
    """Everything a writer in `formats` needs to know."""

    name: str
    duration_s: float | None
    language: str | None
    model: str | None
    segments: tuple[Segment, ...]
    gaps: tuple[Gap, ...] = ()


class Change(Value, frozen=True):
    """One row of the change log: something that happened, in order. `payload` is JSON, ready for the wire."""

    seq: int
    job_id: str  # of a model: "model:" and its name
    kind: str  # update | segment | deleted | model
    payload: bytes

    @property
    def wire(self) -> bytes:
        """This change as a server-sent event."""
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.seq, self.kind.encode(), self.payload)


class DeliveryState(StrEnum):
    """What became of a webhook."""

    WAITING = "waiting"  # for its first try, or for the next
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


class Delivery(Value, frozen=True):
    """A webhook on its way."""

    id: str  # the same in every try: whoever gets it twice can tell
    job_id: str
    url: str
    body: bytes
    created_at: float
    due_at: float
    state: DeliveryState = DeliveryState.WAITING
    attempts: int = 0
    detail: str = ""  # why the last try failed


class Death(Value, frozen=True):
    """The end of a child that was not wanted: when (Unix seconds), which of them in a row, and why."""

    at: float
    generation: int
    problem: Problem


class ActorState(StrEnum):
    """Where the child stands."""

    IDLE = "idle"  # nobody has wanted it yet, or it was sent to rest
    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"  # it died and starts again after the back-off
    BROKEN = "broken"  # it died too often: the breaker is open, and it is tried again after a long while
    STOPPED = "stopped"


DETECT_S: Final = 180.0
"""Seconds of a recording in which its language is looked for: enough for the music at the beginning of a film."""
