"""The length that a file states in its header, for the formats where FFmpeg does not tell it. FFmpeg is not used."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

UNKNOWN_BYTES: Final = 0x7FFF_0000
"""Programs that write to a pipe state a length of 0, 0xffffffff or a number near 0x7fffffff."""
MAX_CHUNKS: Final = 1_000
"""Chunks of a WAV file that are read to find the sound, which comes early."""


def mp3_has_length(path: Path, begin: int = 0) -> bool:
    """Return whether an MP3 file states its length: in a Xing, Info or VBRI header in its first frame.

    `begin` is the first byte, for a file that is part of another.
    """
    with path.open("rb") as file:
        file.seek(begin)
        head = file.read(10)
        if head[:3] == b"ID3":  # its size is 4 x 7 bits
            size = sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            file.seek(begin + 10 + size)
        else:
            file.seek(begin)
        first = file.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


def wav_seconds(path: Path, begin: int = 0) -> float | None:
    """Return the seconds of sound that a RIFF or RF64 file (EBU Tech 3306) states. None: the length is unknown.

    `begin` is the first byte, for a file that is part of another.
    """
    bytes_per_s = long_size = 0
    with path.open("rb") as file:
        file.seek(begin)
        for name, size in _chunks(file):
            if name == b"ds64":
                long_size = int.from_bytes(file.read(16)[8:16], "little")
            elif name == b"fmt ":
                bytes_per_s = int.from_bytes(file.read(12)[8:12], "little")
            elif name == b"data":
                total = size if 0 < size < UNKNOWN_BYTES else long_size
                return total / bytes_per_s if total and bytes_per_s else None
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the length in bytes of each chunk, with the file at its first byte."""
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return
    for _ in range(MAX_CHUNKS):
        if len(name_and_size := file.read(8)) < 8:
            return
        name, size = struct.unpack("<4sI", name_and_size)
        inside = file.tell()
        yield name, size
        file.seek(inside + size + size % 2)  # padded to an even length
