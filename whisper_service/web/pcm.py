"""Raw samples on their way to the disk: 16-bit little-endian mono at 16 kHz, made a WAV file by the header before them."""

from __future__ import annotations

import struct
from typing import Final

from whisper_service.domain import SAMPLE_RATE
from whisper_service.intake import Received, Receiver

_UNKNOWN: Final = 0xFFFFFFFF  # lengths of a stream, as FFmpeg itself writes and reads them
HEADER: Final = struct.pack(
    "<4sI4s4sIHHIIHH4sI",
    *(b"RIFF", _UNKNOWN, b"WAVE", b"fmt ", 16, 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16, b"data", _UNKNOWN),
)


class Pcm:
    """A sink before a receiver. With `limit_s`, only that much from the beginning is kept."""

    def __init__(self, receiver: Receiver, limit_s: float | None = None) -> None:
        self._receiver = receiver
        self._left = None if limit_s is None else int(2 * SAMPLE_RATE * limit_s)
        self._begun = False

    async def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun = True
            await self._receiver.write(HEADER)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            await self._receiver.write(data)

    async def finish(self) -> Received:
        return await self._receiver.finish()
