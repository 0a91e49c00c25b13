"""Read how long a recording says that it is, from some bytes of the file. Costs no decoder.

Only formats are read in which a minute may be a large file: WAV, FLAC, and MP4 with its relatives (M4A, MOV, 3GP). The
length decides the order of work. What a media actor finds in the recording counts more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

MAX_BLOCKS: Final = 256
"""Blocks of a file that are looked at. Real files have a dozen before the one with the length."""
MAX_S: Final = 1_000 * 3600.0
"""Seconds from which a length is not believable. Files whose length is unknown state the greatest number."""


def stated_length(path: Path) -> float | None:
    """Return the stated length in seconds. None: nothing believable is stated, or the format is not read.

    Raises `OSError`.
    """
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:] == b"WAVE":
            return _wav(file, path.stat().st_size)
        if head[:4] == b"fLaC":
            return _flac(file)
        if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            return _mp4(file, path.stat().st_size)
    return None


def _wav(file: BinaryIO, size: int) -> float | None:
    """Return the length of what is in the file: headers of streams and of files above 4 GiB state other sizes."""
    place, rate = 12, 0
    for _ in range(MAX_BLOCKS):
        file.seek(place)
        head = file.read(8)
        if len(head) < 8:
            return None
        if head[:4] == b"fmt ":
            rate = _number(file.read(16)[8:12], "little")
        elif head[:4] == b"data":
            return _seconds(size - place - 8, rate)
        length = _number(head[4:], "little")
        place += 8 + length + length % 2
    return None


def _flac(file: BinaryIO) -> float | None:
    file.seek(8)
    info = file.read(18)  # the block with the length comes first
    if len(info) < 18:
        return None
    bits = _number(info[10:])  # 20 of the rate, 3 and 5 of channels and depth, 36 of the samples
    return _seconds(bits & (1 << 36) - 1, bits >> 44)


def _mp4(file: BinaryIO, size: int) -> float | None:
    for kind, begin, end in _boxes(file, 0, size):
        if kind == b"moov":
            for inner, place, _ in _boxes(file, begin, end):
                if inner == b"mvhd":
                    file.seek(place)
                    fields = file.read(32)
                    wide = fields[:1] == b"\1"
                    at, width = (20, 8) if wide else (12, 4)
                    return _seconds(_number(fields[at + 4 : at + 4 + width]), _number(fields[at : at + 4]))
            return None
    return None


def _boxes(file: BinaryIO, place: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box between two places of the file, and where its content begins and ends."""
    for _ in range(MAX_BLOCKS):
        file.seek(place)
        head = file.read(16)
        length, begin = _number(head[:4]), place + 8
        if length == 1:
            length, begin = _number(head[8:]), place + 16
        if len(head) < 8 or (length and length < begin - place):
            return
        stop = min(end, place + length) if length else end
        yield head[4:8], begin, stop
        place = stop
        if place >= end:
            return


def _number(data: bytes, order: Literal["big", "little"] = "big") -> int:
    return int.from_bytes(data, order)


def _seconds(amount: int, per_second: int) -> float | None:
    seconds = amount / per_second if amount > 0 and per_second > 0 else None
    return seconds if seconds is not None and seconds < MAX_S else None
