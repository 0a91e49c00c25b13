"""What crosses the pipes: `Command` goes to a child, `Report` comes back. Pure.

Audio never crosses, only paths and sample offsets. Paths are absolute. Every message stands for itself: no open files, no
shared memory, so that an actor may one day run on another machine.

A report carries no generation: the parent's reader belongs to one child and stamps what it reads.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from whisper_service.core.domain import Problem, Script, Segment, Span, Task


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A typed message."""


# -- to a child ------------------------------------------------------------------------------------------------------


class Load(Message, frozen=True):
    """Make this model the loaded one, replacing any other. Answered by `Loaded` or `Fault(scope="model")`."""

    model: str  # the name reports and jobs call it by
    path: str  # a directory with a CTranslate2 model
    device: str  # "cpu" | "cuda" | "cuda:1" ...
    compute_type: str  # "auto" or one of CTranslate2's
    slots: int  # how many batches may be in work at once
    threads: int  # cores to use in all; 0: every core this process may run on
    express: int = 0  # batches of one chunk that may be in work besides, for callers who wait


class ChunkInput(Message, frozen=True):
    """One chunk to recognise. Chunks of one batch may belong to different jobs."""

    job_id: str
    span: Span
    spool: str  # raw little-endian int16 PCM, 16 kHz mono
    language: str | None = None  # None: detect it on this chunk
    task: Task = Task.TRANSCRIBE
    word_timestamps: bool = True
    script: Script | None = None  # how Chinese is written; None: as the model does


class Transcribe(Message, frozen=True):
    """Recognise these chunks; each is answered by one `ChunkDone` or one `Fault` with its `index`, unless its job was
    cancelled; then the batch by one `BatchDone`, or in place of all that by one `Fault(scope="batch")` without `index`."""

    batch: int
    chunks: tuple[ChunkInput, ...]
    preset: str = "balanced"
    prompt: str | None = None  # the same for all chunks: CTranslate2 wants equally long prompts
    urgent: bool = False  # somebody waits for it: it pauses for nobody
    express: bool = False  # it comes beside the slots: one of them pauses for it


class Decode(Message, frozen=True):
    """Decode this file into a spool. Answered by `MediaInfo`, `ChunkFound`s, `DecodeProgress`, then `Decoded` or `Fault(scope="media")`.

    The same file always gives the same chunks and the same bytes, so a decode that was cut off is simply done again; it
    writes over the spool in place, because chunks of it may be in work.
    """

    job_id: str
    source: str
    spool: str
    peaks: str
    max_duration_s: float | None = None
    max_expansion: float | None = None  # bytes of samples per byte of the file, beyond an hour
    limit_s: float | None = None  # leave it at this much from the beginning; None: all of it


class Download(Message, frozen=True):
    """Fetch this model. Answered by `DownloadProgress` every second, then `Downloaded` or `Fault(scope="download")`.

    Nothing is asked of the network when a complete model is in `target` already, nor when `offline`. What has come lies in
    `partial_of(target)`: killing the child is how to cancel, the same command again goes on where it stopped, and removing
    that directory gives up what was there. `token` goes to every one of `endpoints`, and to nobody they send us on to.
    """

    model: str  # the name reports call it by
    repo: str  # "owner/name" on the hub
    target: str  # the directory that the model will be; its parent need not exist
    endpoints: tuple[str, ...]  # addresses of hubs, tried in order
    revision: str | None = None  # branch, tag or commit; None: the main branch
    patterns: tuple[str, ...] = ()  # file names to fetch, with wildcards; none: every file
    token: str | None = None  # None: none, not even one that is stored on this machine
    proxy: str | None = None  # URL, perhaps with name and password; None: as the environment says
    offline: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0  # without a single byte
    spare_bytes: int = 0  # room that must be left on the disk afterwards


class TestConnection(Message, frozen=True):
    """Ask every endpoint about this repo, and fetch nothing. Answered by `ConnectionTested`."""

    repo: str
    endpoints: tuple[str, ...]
    revision: str | None = None
    token: str | None = None
    proxy: str | None = None
    offline: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0


class Cancel(Message, frozen=True):
    """Give up on this job: drop its chunks, or its decode. Chunks already in the hands of the model still end in a report."""

    job_id: str


class Shutdown(Message, frozen=True):
    """Finish nothing, leave now."""


Command = Load | Transcribe | Decode | Download | TestConnection | Cancel | Shutdown


# -- from a child ----------------------------------------------------------------------------------------------------


class Ready(Message, frozen=True):
    """The entry is imported and takes commands."""

    pid: int
    facts: dict[str, Any] = {}  # versions, devices, compute types: what only the child can know


class Loaded(Message, frozen=True):
    """The model is loaded and has encoded once."""

    model: str
    device: str
    compute_type: str
    seconds: float
    window_s: float = 0.0  # of work, for the one full window that it warmed up with


class ChunkDone(Message, frozen=True):
    """One chunk is recognised; `segments` may be empty."""

    batch: int
    job_id: str
    index: int  # of the chunk
    segments: tuple[Segment, ...]
    language: str
    language_probability: float | None = None  # None: the language was given


class BatchDone(Message, frozen=True):
    """Every chunk of the batch has been reported or was cancelled."""

    batch: int
    seconds: float
    audio_s: float  # of the chunks that became text


class MediaInfo(Message, frozen=True):
    """What the container says about itself, before anything is decoded."""

    job_id: str
    duration_s: float | None  # None: it does not say
    format: str
    codec: str


class ChunkFound(Message, frozen=True):
    """The next chunk; its samples are in the spool when this is sent."""

    job_id: str
    span: Span


class DecodeProgress(Message, frozen=True):
    """Decoded up to here; sent about once a second of work."""

    job_id: str
    position_s: float


class Decoded(Message, frozen=True):
    """The whole file is in the spool, on stable storage."""

    job_id: str
    duration_s: float
    chunks: int
    warning: Problem | None = None  # e.g. the file ends before the length it states


class EndpointResult(Message, frozen=True):
    """How an endpoint answered; no `problem`: as it should. The address is given without name and password."""

    endpoint: str
    problem: Problem | None = None


class DownloadProgress(Message, frozen=True):
    """What has come of a model so far, from the endpoint in use; sent every second, also while nothing moves."""

    model: str
    bytes: int  # of the model on this disk, from earlier attempts too; falls if something has to be fetched anew
    total: int | None = None  # None: not known yet
    speed_bps: float = 0.0  # bytes per second, over the last seconds
    eta_s: float | None = None  # None: nothing moves
    endpoint: str = ""
    failed: tuple[EndpointResult, ...] = ()  # the endpoints that were tried before this one, and why not


class Downloaded(Message, frozen=True):
    """The model is complete, checked, and in its place."""

    model: str
    path: str
    bytes: int  # of all its files
    endpoint: str = ""  # empty: it was here already
    revision: str | None = None  # the commit; None: nobody knows, it was not downloaded by this service
    failed: tuple[EndpointResult, ...] = ()


class ConnectionTested(Message, frozen=True):
    """How each endpoint answered, in the order of the command."""

    repo: str
    results: tuple[EndpointResult, ...]


class Fault(Message, frozen=True):
    """Something failed. The child lives on, unless it says `fatal`: then it exits right after.

    A fault of scope "batch" with an `index` is about that chunk alone, and hearing it again will not help: the rest of the
    batch goes on. Without one it ends the batch: chunks of it that were not reported have not become text.
    """

    scope: str  # "model" | "batch" | "media" | "download" | "actor"
    kind: str  # a `faults.FaultKind`
    problem: Problem
    batch: int | None = None
    job_id: str | None = None
    index: int | None = None  # of the chunk
    fatal: bool = False
    model: str | None = None  # of a download


Report = (
    Ready | Loaded | ChunkDone | BatchDone | MediaInfo | ChunkFound | DecodeProgress | Decoded
    | DownloadProgress | Downloaded | ConnectionTested | Fault
)  # fmt: skip


def partial_of(target: str) -> str:
    """Where the files of a model wait until all are there: beside `target`, under a name that no model can have."""
    path = PurePath(target)
    return str(path.with_name(f".{path.name}.partial"))


_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode(message: Command | Report) -> bytes:
    """The bytes of a message."""
    return _encoder.encode(message)


def decode_command(data: bytes) -> Command:
    """The command in these bytes; `msgspec.ValidationError` names the field that is wrong."""
    return _commands.decode(data)


def decode_report(data: bytes) -> Report:
    """The report in these bytes; `msgspec.ValidationError` names the field that is wrong."""
    return _reports.decode(data)
