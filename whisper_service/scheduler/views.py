"""Define what the planner sees (`View`) and what it returns (`Step`). Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from msgspec.structs import force_setattr

from whisper_service.core.domain import Value

ChunkKey = tuple[str, int]
"""(job id, index of the chunk)"""
FIRST_SEAT: Final = "speech"
"""The name of the first seat, and of its actor. The others are "speech-2", "speech-3"..."""


class Decoding(StrEnum):
    """How far the spool of a job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class ReadyChunk(Value, frozen=True):
    """A chunk that waits. Its samples are in the spool."""

    index: int
    attempts: int = 0  # deaths of actors that died by themselves while they had the chunk
    kills: int = 0  # deaths of actors that were killed from outside while they had the chunk

    @property
    def deaths(self) -> int:
        return self.attempts + self.kills


class JobView(Value, frozen=True):
    """A job in work."""

    job_id: str
    model: str | None  # None: not chosen yet
    batch_key: str  # chunks of jobs with equal keys may share a batch
    rank: float = 0.0  # below zero: at the front of the queue
    order: int = 0  # the number of the claim: jobs that were claimed earlier have smaller ones
    bytes: int = 0
    duration_s: float | None = None  # None: unknown so far
    decoding: Decoding = Decoding.DONE
    ready: tuple[ReadyChunk, ...] = ()  # in order; the first ones are enough
    more: int = 0  # chunks that wait behind `ready`
    in_flight: int = 0  # chunks that speech actors have
    given: int = 0  # chunks given so far
    last_batch: int = 0  # the number of the last batch with a chunk of this job; 0: none
    language_known: bool = True
    waiting_since: float = 0.0  # the time of its last batch, or of its claim
    model_missing: bool = False  # its model is being downloaded, or cannot be loaded for now
    unheard: int | None = None  # the first chunk whose voices can be heard; None: there is none
    unassigned: bool = False  # its speakers are to be named before it ends
    heard_last: int = 0  # the number of the last command for its speakers; 0: none
    live: bool = False  # a live session: the live actor reads its recording
    media_actor: str | None = None  # who decodes its recording
    at_home: bool = False  # its recording is decoded on this machine only
    away: bool = False  # its recording is being fetched from object storage
    troubled: bool = False  # actors died over one of the `ready` chunks; follows from them

    def __post_init__(self) -> None:
        if any(chunk.attempts or chunk.kills for chunk in self.ready) != self.troubled:
            force_setattr(self, "troubled", not self.troubled)


class WaitingJob(Value, frozen=True):
    """A pending job."""

    job_id: str
    bytes: int
    duration_s: float | None = None  # None: unknown so far
    rank: float = 0.0  # below zero: at the front of the queue


class MediaActorView(Value, frozen=True):
    """A media actor."""

    name: str
    idle: bool
    far: bool = False  # on another machine


class LateBatch(Value, frozen=True):
    """A batch that takes far longer than its sound explains."""

    number: int
    chunks: tuple[ChunkKey, ...]  # those without an answer


class SeatView(Value, frozen=True):
    """A seat: one device with its speech actor."""

    name: str = FIRST_SEAT  # of the actor
    ready: bool = False
    loading: bool = False
    model: str | None = None  # the loaded one
    next_model: str | None = None  # the one that is being loaded
    blocked: frozenset[str] = frozenset()  # models that cannot be loaded here for now
    slots: int = 1
    batches: int = 0  # in the slots
    urgent: int = 0  # how many of `batches` are urgent
    call_lead: int = 0  # chunks by which calls are ahead of other jobs
    urgent_chunks: int = 0  # chunks of calls and short recordings since the last batch that was not urgent
    suspect: bool = False  # it has a chunk that must be alone
    batch_size: int = 8
    express_slots: int = 0  # places for batches of one chunk beside the slots
    express_batches: int = 0  # batches beside the slots
    load_s: float = 0.0  # how long the loaded model took to load
    loaded_at: float = 0.0
    used_at: float = 0.0  # when the loaded model last had work
    unload_after_s: float = 0.0  # idle time after which the model is unloaded; 0: never
    speed: float = 0.0  # seconds of sound a second, comparable among the seats with one model; 0: unknown
    late: tuple[LateBatch, ...] = ()

    @property
    def serves(self) -> str | None:
        """The model that is loaded, or is being loaded."""
        return self.next_model if self.loading else self.model

    @property
    def busy(self) -> bool:
        return self.batches + self.express_batches > 0


class SpeakersView(Value, frozen=True):
    """The speakers actor."""

    ready: bool = False
    busy: bool = False
    broken: bool = False  # it died too often
    fetching: bool = False  # its networks are being downloaded
    recounts: tuple[str, ...] = ()  # ended jobs for which another number of speakers was asked for, in order
    rest_at: float = 0.0  # when it ends if it gets no work until then


class DraftView(Value, frozen=True):
    """A live session whose newest sound is to be drafted."""

    job_id: str
    model: str
    passed_s: float = 0.0  # the end of what was drafted
    settles: bool = False  # a pause follows, or a client waits for its words
    suspect: bool = False  # a draft of it may have killed an actor


class DraftsView(Value, frozen=True):
    """The drafts of live sessions."""

    sessions: tuple[DraftView, ...] = ()
    under_way: bool = False  # a speech actor has a batch of drafts
    began_at: float = 0.0  # when it got the last one
    took_s: float = 0.0  # how long that took
    cadence_s: float = 1.0  # between two batches
    share: float = 0.5  # of the time, while other work waits


class View(Value, frozen=True):
    """All that the planner may know."""

    jobs: tuple[JobView, ...] = ()
    queue: tuple[WaitingJob, ...] = ()  # pending jobs, in order; the first ones of each length are enough
    media: tuple[MediaActorView, ...] = ()
    seats: tuple[SeatView, ...] = (SeatView(),)
    speakers: SpeakersView = SpeakersView()
    drafts: DraftsView = DraftsView()


class ClaimJob(Value, frozen=True):
    """Take a pending job into work."""

    job_id: str


class StartDecode(Value, frozen=True):
    """Give the recording of a job to a media actor."""

    job_id: str
    media_actor: str


class FollowSession(Value, frozen=True):
    """Have the recording of a live session read while it grows."""

    job_id: str


class LoadModel(Value, frozen=True):
    """Replace the loaded model of a seat."""

    model: str
    seat: str = FIRST_SEAT


class UnloadModel(Value, frozen=True):
    """Free the memory of the loaded model of a seat."""

    seat: str = FIRST_SEAT


class GiveBatch(Value, frozen=True):
    """Send these chunks to the speech actor of a seat together."""

    chunks: tuple[ChunkKey, ...]
    seat: str = FIRST_SEAT
    suspect: bool = False  # its only chunk may kill actors
    urgent: bool = False  # of calls, or of short recordings
    call: bool = False  # of calls
    express: bool = False  # beside the slots
    instead_of: int = 0  # the late batch of another seat that has the same chunks; 0: none


class GiveDraft(Value, frozen=True):
    """Have the newest sound of these sessions drafted by the speech actor of a seat."""

    job_ids: tuple[str, ...]
    seat: str = FIRST_SEAT
    express: bool = False  # beside the slots, which are full


class HearChunk(Value, frozen=True):
    """Have the voices of a chunk heard. Its text is stored."""

    job_id: str
    index: int


class AssignSpeakers(Value, frozen=True):
    """Have the speakers of a job named, from the voices of all its chunks."""

    job_id: str


class RestSpeakers(Value, frozen=True):
    """End the idle speakers actor, which frees its memory."""


class FinishJob(Value, frozen=True):
    """End a job that has nothing left to do."""

    job_id: str


Step = (
    ClaimJob | StartDecode | FollowSession | LoadModel | UnloadModel | GiveBatch | GiveDraft | HearChunk
    | AssignSpeakers | RestSpeakers | FinishJob
)  # fmt: skip
