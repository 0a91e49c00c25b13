"""Make a WAV file of raw samples by writing a header before them. Pure, apart from the receiver that gets the bytes."""

from __future__ import annotations

import struct
from typing import Final

from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.storage.uploads import Received, Receiver

_UNKNOWN: Final = 0xFFFFFFFF  # the length of a stream, as FFmpeg writes and reads it
_PCM: Final = 1


def header(rate: int = SAMPLE_RATE, width: int = 2, channels: int = 1) -> bytes:
    """Return the header for signed little-endian samples: `rate` per second, `width` bytes each, interleaved."""
    frame = width * channels
    head = struct.pack("<4sI4s", b"RIFF", _UNKNOWN, b"WAVE")
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, _PCM, channels, rate, rate * frame, frame, 8 * width)
    return head + form + struct.pack("<4sI", b"data", _UNKNOWN)


class WavWriter:
    """Writes 16-bit mono samples at 16 kHz to a receiver, as a WAV file. `limit_s`: only the first seconds are kept."""

    def __init__(self, receiver: Receiver, limit_s: float | None = None) -> None:
        self._receiver = receiver
        self._left = None if limit_s is None else int(2 * SAMPLE_RATE * limit_s)
        self._begun = False

    async def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            await self._receiver.write(header())
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            await self._receiver.write(data)

    async def finish(self) -> Received:
        return await self._receiver.finish()
