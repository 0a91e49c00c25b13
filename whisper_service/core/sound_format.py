"""The formats of raw sound that a live session may send, and the header that makes a WAV file of such sound. Pure."""

from __future__ import annotations

import struct
from typing import Final

from whisper_service.core.domain import Encoding, LiveSession, Value

UNKNOWN: Final = 0xFFFFFFFF
"""The size of a stream, as FFmpeg writes and reads it. Greater sizes do not fit into a WAV header either."""
_PCM: Final = 1


_FORMS: Final = {
    Encoding.S16LE: (_PCM, 2),
    Encoding.S24LE: (_PCM, 3),
    Encoding.S32LE: (_PCM, 4),
    Encoding.F32LE: (3, 4),
    Encoding.ALAW: (6, 1),
    Encoding.MULAW: (7, 1),
}
"""The number of each encoding in a WAV header, and the bytes of a sample."""


class SoundFormat(Value, frozen=True):
    """A format of raw sound: samples per second, how one is written, and how many channels are interleaved."""

    rate: int
    encoding: Encoding = Encoding.S16LE
    channels: int = 1

    @property
    def frame_bytes(self) -> int:
        """The bytes of one sample of every channel."""
        return _FORMS[self.encoding][1] * self.channels

    @property
    def header_bytes(self) -> int:
        """The length of every header of this format."""
        return len(self.header(0))

    def header(self, sound_bytes: int | None) -> bytes:
        """Return the header of a WAV file with so many bytes of sound. None: it is still growing.

        The header does not change its length, so that one can be written over another.
        """
        number, width = _FORMS[self.encoding]
        form = struct.pack(
            "<HHIIHH", number, self.channels, self.rate, self.rate * self.frame_bytes, self.frame_bytes, 8 * width
        )
        frames = UNKNOWN if sound_bytes is None else min(sound_bytes // self.frame_bytes, UNKNOWN)
        if number == _PCM:
            chunks = struct.pack("<4sI", b"fmt ", len(form)) + form
        else:  # what is not PCM has an extension, here an empty one, and the number of its samples
            chunks = struct.pack("<4sI", b"fmt ", len(form) + 2) + form + bytes(2)
            chunks += struct.pack("<4sII", b"fact", 4, frames)
        after_size = 4 + len(chunks) + 8
        total = None if sound_bytes is None else after_size + sound_bytes
        head = struct.pack("<4sI4s", b"RIFF", _stated(total), b"WAVE")
        return head + chunks + struct.pack("<4sI", b"data", _stated(sound_bytes))


def form_of(live: LiveSession) -> SoundFormat:
    """Return the format of the sound of a session."""
    return SoundFormat(live.rate, live.encoding, live.channels)


def _stated(size: int | None) -> int:
    return UNKNOWN if size is None or size > UNKNOWN else size
