"""The messages of the media actors: recordings to decode, and sessions to follow while they grow. Pure."""

from __future__ import annotations

from whisper_service.core.domain import AudioTrack, Channels, Playable, Problem, Span
from whisper_service.core.sound_format import SoundFormat
from whisper_service.supervision.messages.base import Message


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
    copy_in_place: bool = False  # `copy` is an empty file without a name; else the copy is made in a draft beside it
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
    """The recordings of sessions that are followed have grown, or have ended."""

    sounds: dict[str, int]  # bytes of sound in all, by session
    ended: bool = False  # no more will come of any of them


class CutHere(Message, frozen=True):
    """End the open chunk of a session that is followed, as if a pause came now."""

    job_id: str


class HearAhead(Message, frozen=True):
    """Hear a session that is followed up to its newest sound. Answered by `HeardAhead`."""

    job_id: str


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


def no_listening_copy(*, full: bool) -> Problem:
    """Return what `Decoded` warns of when there is no copy although one is needed. `full`: the disk is."""
    return Problem(
        code="no_listening_copy",
        message="There is no copy of the recording for browsers: "
        + ("the disk has no room for it." if full else "it could not be encoded."),
        hint="The text is complete. To listen here, make room on the disk or convert the recording, and send it again.",
    )


class SessionState(Message, frozen=True):
    """A state from which another actor can go on. Every chunk up to there was reported before."""

    job_id: str
    state: bytes


class Followed(Message, frozen=True):
    """How far a session was taken in, after every piece of its sound."""

    job_id: str
    sound_bytes: int
    position_s: float  # the end of what is in the spool
    speaking: bool = False  # there is speech at the end of what the voice detector has heard
    speech: tuple[float, float] | None = None  # begin and end of the last speech, in seconds; None: there was none


class HeardAhead(Message, frozen=True):
    """How a session sounds up to its newest sound, although the end of it will be heard again with what follows."""

    job_id: str
    position_s: float  # the end of what can be read in the spool
    speaking: bool = False  # as `Followed` has it
    speech: tuple[float, float] | None = None
