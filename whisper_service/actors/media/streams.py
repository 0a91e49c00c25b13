"""Where recordings without a container end: FLAC, Ogg, MP3, AAC and MPEG-TS. No FFmpeg.

Each function takes a file, the first byte of a recording in it, and the size of the file. It returns the part that
begins there. What lies behind the end of that part does not belong to it.
"""

from __future__ import annotations

import mmap
from typing import Final

from whisper_service.actors.media import frames
from whisper_service.actors.media.file_part import FilePart
from whisper_service.actors.media.headers import (
    ALL_MARKS,
    MARKS,
    TS_BEGINS,
    TS_PACKET,
    Kind,
    kind_at,
    next_header,
    next_mark,
)

SEARCHED_TAIL: Final = 1 << 20
"""Bytes at the end of a FLAC file in which every kind of file is searched in any case."""


def flac(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return a FLAC file. FFmpeg reads on behind the header of another one, but with the rate of the first."""
    place = frames.behind_tags(data, begin) + 4
    most = int.from_bytes(data[place + 11 : place + 14], "big")  # bytes in a frame; 0: not stated
    last = False
    while not last and place + 4 <= size:  # headers of other files may be kept in the blocks before the sound
        last = bool(data[place] & 0x80)
        place += 4 + int.from_bytes(data[place + 1 : place + 4], "big")
    place = min(place, size)
    found = next_mark(data, place, MARKS if most and frames.fill_flac(data, place, most) else ALL_MARKS)
    if found is None:  # what is longer shows as unread in the end
        found = next_mark(data, max(place, size - SEARCHED_TAIL), ALL_MARKS)
    end = size if found is None else found
    return FilePart(begin, _packets_up_to(data, place, end) or _frames_up_to(data, place, end) or end)


def _packets_up_to(data: mmap.mmap, first: int, end: int) -> int | None:
    """Return the first byte of packets of MPEG-TS that go on to this end. None: there are none."""
    at = end
    while at - TS_PACKET >= first and data[at - TS_PACKET] == TS_BEGINS:
        at -= TS_PACKET
    return at if end - at >= frames.ENOUGH * TS_PACKET else None


def _frames_up_to(data: mmap.mmap, first: int, end: int) -> int | None:
    """Return the first byte of frames of AAC or MP3 that go on to this end. None: there are none."""
    span = SEARCHED_TAIL
    while True:
        begin = max(first, end - span)
        runs = [frames.last_run(data, begin, end, size_of) for size_of in (frames.adts_size, frames.mp3_size)]
        found = min((at for at in runs if at is not None), default=None)
        if found is None or begin == first or found - begin > frames.LAST_FRAME:
            return found
        span *= 2  # the frames may begin before the bytes that were searched


def ogg(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return one link of a chain: a page that begins a stream, behind pages that do not, begins another link."""
    place = end = frames.behind_tags(data, begin)
    inside = False
    while place + 27 <= size:
        if data[place : place + 4] != b"OggS":
            if kind_at(data, place) is not None:
                break
            if (place := data.find(b"OggS", place)) < 0:
                break
            continue
        first = bool(data[place + 5] & 2)
        if first and inside:
            break
        inside = not first
        segments = data[place + 26]
        place += 27 + segments + sum(data[place + 27 : place + 27 + segments])
        end = place
    return FilePart(begin, min(end if place < 0 else place, size))


def mp3(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return frames of MP3. FFmpeg reads on through joined files by itself."""
    return _frames(data, begin, size, Kind.MP3, frames.mp3_size)


def adts(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return frames of AAC. FFmpeg reads on through joined files by itself."""
    return _frames(data, begin, size, Kind.ADTS, frames.adts_size)


def _frames(data: mmap.mmap, begin: int, size: int, kind: Kind, size_of: frames.SizeOf) -> FilePart:
    if frames.fill(data, frames.behind_tags(data, begin), size_of):
        return FilePart(begin, size)
    found = next_header(data, frames.end_of(data, begin, size_of), but=frozenset({kind}))
    return FilePart(begin, size if found is None else found)


def transport(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return packets of MPEG-TS, which begin with one byte that is always the same."""

    def synced(number: int) -> bool:
        return all(data[begin + TS_PACKET * n] == 0x47 for n in range(number, min(number + 3, packets)))

    packets = (size - begin) // TS_PACKET
    inside, outside = 0, max(0, packets - 3)
    if synced(outside):
        return FilePart(begin, size)
    while outside - inside > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if synced(middle) else (inside, middle)
    near = range(begin + TS_PACKET * inside, min(size, begin + TS_PACKET * (outside + 3)))
    found = next((at for at in near if kind_at(data, at) not in (None, Kind.TS)), size)
    return FilePart(begin, found)
