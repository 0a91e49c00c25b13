"""Raw samples on their way to the disk: made a WAV file by the header before them. Pure, but for the receiver it writes to."""

from __future__ import annotations

import struct
from typing import Final

from whisper_service.core.domain import SAMPLE_RATE
from whisper_service.storage.uploads import Received, Receiver

_UNKNOWN: Final = 0xFFFFFFFF  # lengths of a stream, as FFmpeg itself writes and reads them


def header(rate: int = SAMPLE_RATE, width: int = 2, channels: int = 1) -> bytes:
    """Before little-endian signed samples of `width` bytes, `rate` a second, `channels` interleaved."""
    frame = width * channels
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(
            b"RIFF",
            _UNKNOWN,
            b"WAVE",
            b"fmt ",
            16,
            1,
            channels,
            rate,
            rate * frame,
            frame,
            8 * width,
            b"data",
            _UNKNOWN,
        ),
    )


class WavWriter:
    """16-bit mono at 16 kHz before a receiver. With `limit_s`, only that much from the beginning is kept."""

    def __init__(self, receiver: Receiver, limit_s: float | None = None) -> None:
        self._receiver = receiver
        self._left = None if limit_s is None else int(2 * SAMPLE_RATE * limit_s)
        self._begun = False

    async def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._begun:
            self._begun = True
            await self._receiver.write(header())
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
        if data:
            await self._receiver.write(data)

    async def finish(self) -> Received:
        """The whole file, on stable storage."""
        return await self._receiver.finish()
