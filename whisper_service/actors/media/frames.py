"""Frames of MP3, AAC and FLAC: sound without a container, of which every piece begins with a mark. No FFmpeg."""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Final

from whisper_service.actors.media.mp3_seeking import frame_at

SizeOf = Callable[[bytes], int]
"""Returns the size of the frame that begins with these eight bytes. 0: none does."""

ENOUGH: Final = 3
"""Frames in a row that are no accident."""
PROBES: Final = 256
"""Places of a file in which frames are looked for: less than a part of it in so many is not seen."""
PROBED_BYTES: Final = 4_096
"""Bytes in which such a place has frames of MP3 or AAC, and in which the last ones begin."""
LAST_FRAME: Final = 8_192
"""The most bytes of a frame of AAC: the last one may be cut off."""
MAX_TAGS: Final = 8
"""ID3 tags in front of a recording."""


def behind_tags(data: mmap.mmap, place: int) -> int:
    """Return the first byte behind the ID3 tags at this byte, whose sizes are 4 x 7 bits."""
    for _ in range(MAX_TAGS):
        head = data[place : place + 10]
        if head[:3] != b"ID3" or len(head) < 10 or head[3] == 0xFF or any(byte & 0x80 for byte in head[6:]):
            break
        place += 10 + sum(byte << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return place


def follow(data: mmap.mmap, place: int, size_of: SizeOf) -> bool:
    """Return whether frames follow each other from this byte on."""
    for _ in range(ENOUGH):
        size = size_of(data[place : place + 8])
        if not size:
            return False
        place += size
    return place <= len(data)


def end_of(data: mmap.mmap, place: int, size_of: SizeOf) -> int:
    """Return the end of the frames that begin at this byte, with the tags between and behind them."""
    while True:
        while size := size_of(data[place : place + 8]):
            place += size
        behind = behind_tags(data, place)
        if data[behind : behind + 3] == b"TAG":
            behind += 128
        if behind == place:
            return min(place, len(data))
        place = behind


def last_run(data: mmap.mmap, begin: int, end: int, size_of: SizeOf) -> int | None:
    """Return the first byte from `begin` on from which frames go on to `end`. None: none do."""
    at = begin
    while (at := data.find(b"\xff", at, end)) >= 0:
        if follow(data, at, size_of):
            reached = end_of(data, at, size_of)
            if reached >= end - LAST_FRAME:
                return at
            at = reached
        else:
            at += 1
    return None


def fill(data: mmap.mmap, begin: int, size_of: SizeOf) -> bool:
    """Return whether frames go on to the end of a file, or to the tags there, as far as some places tell."""
    for probe in range(PROBES):
        if _next(data, begin + (len(data) - begin) * probe // PROBES, size_of) is None:
            return False
    at = _next(data, max(begin, len(data) - PROBED_BYTES), size_of)
    while at is not None:
        at = end_of(data, at, size_of)
        if at >= len(data) - LAST_FRAME or data[at : at + 8] == b"APETAGEX":
            return True
        at = _next(data, at, size_of)
    return False


def fill_flac(data: mmap.mmap, begin: int, most: int) -> bool:
    """Return whether frames of FLAC of at most so many bytes go on to the last one, as far as some places tell."""
    for probe in range(PROBES):
        at = place = begin + (len(data) - begin) * probe // PROBES
        while not _is_flac(data[at : at + 16]):
            at = data.find(b"\xff", at + 1, place + most + 16)
            if at < 0:
                return len(data) - place <= most
    return True


def mp3_size(head: bytes) -> int:
    """Return the size of a frame of MP3. 0: these bytes begin none."""
    frame = frame_at(head[:4])
    return 0 if frame is None else frame.size


def adts_size(head: bytes) -> int:
    """Return the size of a frame of AAC. 0: these bytes begin none."""
    if len(head) < 7 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0 or head[2] >> 2 & 15 > 12:
        return 0
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size if size > 7 else 0


def _next(data: mmap.mmap, place: int, size_of: SizeOf) -> int | None:
    """Return the first byte at which frames begin near a place. None: there are none, but sound of another kind."""
    at = place
    while (at := data.find(b"\xff", at, place + PROBED_BYTES)) >= 0:
        if follow(data, at, size_of):
            return at
        at += 1
    return place if place >= len(data) - LAST_FRAME else None


def _is_flac(head: bytes) -> bool:
    """Return whether a frame of FLAC begins with these bytes: its header ends in a checksum."""
    if len(head) < 16 or head[0] != 0xFF or head[1] & 0xFE != 0xF8 or head[3] & 1 or head[3] >> 4 > 10:
        return False
    block, rate = head[2] >> 4, head[2] & 15
    if not block or rate == 15:
        return False
    number = 8 - (head[4] ^ 0xFF).bit_length()  # leading ones: the bytes of the number, as in UTF-8
    size = 4 + max(1, number) + {6: 1, 7: 2}.get(block, 0) + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if size >= len(head):
        return False
    checksum = 0
    for byte in head[:size]:
        checksum ^= byte
        for _ in range(8):
            checksum = checksum << 1 & 0xFF ^ (0x07 if checksum & 0x80 else 0)
    return checksum == head[size]
