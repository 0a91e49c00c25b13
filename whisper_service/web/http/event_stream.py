"""The form of server-sent events.

Frames are raw bytes, because a comment must end in one newline: some clients take two for an empty event.
"""

from __future__ import annotations

from typing import Final

PING: Final = b": ping\n"
"""For the stream of one job, whose clients know its events only. The stream of all has an event `ping` for scripts."""
END: Final = b"event: end\ndata: done\n\n"
MEDIA_TYPE: Final = "text/event-stream"
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def frame(kind: str, payload: bytes, seq: int | None = None) -> bytes:
    """Return one event. The payload is JSON without line breaks."""
    head = b"" if seq is None else b"id: %d\n" % seq
    return b"%bevent: %b\ndata: %b\n\n" % (head, kind.encode(), payload)
