"""The messages between the service and its actors: a `Command` goes to an actor, a `Report` comes back. Pure.

Audio is never sent, only absolute paths and sample offsets. Every message is complete in itself: no open files, no
shared memory. So an actor could run on another machine.

A report has no generation. The service's reader belongs to one actor and adds the generation to what it reads.
"""

from __future__ import annotations

import msgspec

from whisper_service.supervision.messages.base import Cancel, Fault, Ready, Shutdown
from whisper_service.supervision.messages.cluster import (
    Join,
    Kill,
    LinkClosed,
    Nodes,
    Open,
    Opened,
    Pass,
    Passed,
    Signal,
    WantSeats,
)
from whisper_service.supervision.messages.download import (
    ConnectionTested,
    Download,
    Downloaded,
    DownloadProgress,
    TestConnection,
)
from whisper_service.supervision.messages.drafts import DraftDone, DraftSound
from whisper_service.supervision.messages.media import (
    ChunkFound,
    CutHere,
    Decode,
    Decoded,
    DecodeProgress,
    Follow,
    Followed,
    Grow,
    HearAhead,
    HeardAhead,
    MediaInfo,
    SessionState,
)
from whisper_service.supervision.messages.sites import FetchSite, SiteFailed, SiteFetched, SiteFound, SiteProgress
from whisper_service.supervision.messages.speakers import Assign, Assigned, Heard, Listen, MakeNetworks, NetworksMade
from whisper_service.supervision.messages.speech import (
    Align,
    Aligned,
    BatchDone,
    ChunkDone,
    Load,
    Loaded,
    ModelProgress,
    Transcribe,
)

Command = (
    Load | Transcribe | Align | DraftSound | Decode | Follow | Grow | CutHere | HearAhead | Download | TestConnection
    | FetchSite | Listen | Assign | MakeNetworks | Join | Open | Pass | Signal | Kill | WantSeats | Cancel | Shutdown
)  # fmt: skip

Report = (
    Ready | ModelProgress | Loaded | ChunkDone | BatchDone | Aligned | DraftDone | MediaInfo | ChunkFound
    | DecodeProgress | Decoded | Followed | DownloadProgress | Downloaded | ConnectionTested | SiteFound | SiteProgress
    | SiteFetched | SiteFailed | Heard | Assigned | NetworksMade | SessionState | Nodes | Opened | Passed | LinkClosed
    | HeardAhead | Fault
)  # fmt: skip

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
