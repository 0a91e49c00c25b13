"""The parts of a file: where a file is several recordings glued together, or is longer than it states. No FFmpeg.

FFmpeg stops at the end of the first recording. People glue files with `cat`, recorders and radio streams do it by
themselves, and a WAV file beyond 4 GiB states its length modulo 4 GiB. So the outermost structure of a file is walked
here, without reading the sound, and each part is decoded by itself.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from whisper_service.actors.media.headerless import HEAD, Headerless, headerless

MAX_PARTS: Final = 1_000
"""Parts that are decoded. Each costs some milliseconds to open; an attack has a million."""
SOUND_BYTES: Final = 1_024
"""Fewer bytes behind the stated end of a WAV file are padding: 32 ms of 16 kHz mono."""
STRAY_BYTES: Final = 65_536
"""Fewer bytes that belong to nothing are a signature or a tag of some program."""
RIFFS: Final = (b"RIFF", b"RF64", b"BW64")
EBML: Final = b"\x1a\x45\xdf\xa3"
SEGMENT: Final = b"\x18\x53\x80\x67"
FLAC: Final = b"fLaC"
STREAM_INFOS: Final = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")
"""How the first block of a FLAC file begins, with and without other blocks behind it."""
DOCUMENTS: Final = (b"webm", b"matroska")
BOX_TYPES: Final = frozenset(
    {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"mfra", b"sidx", b"ssix", b"meta",
     b"uuid", b"udta", b"pnot", b"PICT", b"prft", b"emsg", b"pdin", b"junk"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes `begin <= b < end` of a file that are one recording."""

    begin: int
    end: int
    endless: bool = False  # its sound goes on behind the length that it states, up to `end`
    whole: bool = False  # the file is this part and nothing else
    headerless: Headerless | None = None  # None: the content says what it is


@dataclass(frozen=True, slots=True)
class FileParts:
    """The parts of a file, in order; at least one. `stray` bytes from `stray_at` on belong to none of them."""

    parts: tuple[FilePart, ...]
    stray_at: int = 0
    stray: int = 0


def find_parts(path: Path, name: str = "") -> FileParts:
    """Return the parts of a file. A file of unknown structure is one part. Raises `OSError`.

    `name` is what its user calls it: the extension counts where nothing in the file says what it is.
    """
    size = path.stat().st_size
    one = FileParts((FilePart(0, size, whole=True),))
    if size < 16:
        return one
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if (format := headerless(name, data[:HEAD])) is not None:
            return FileParts((FilePart(0, size, whole=True, headerless=format),))
        walk = _walker(data[:16])
        found = walk(data, size) if walk is not None else one
    if len(found.parts) == 1 and found.parts[0].end == size:
        return replace(found, parts=(replace(found.parts[0], whole=True),))
    return found


def _walker(head: bytes) -> Callable[[mmap.mmap, int], FileParts] | None:
    if _is_wave(head):
        return _waves
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _forms
    if head[4:8] == b"ftyp":
        return _boxes
    if head[:4] == EBML:
        return _documents
    if head[:4] == FLAC:
        return _flacs
    return _chain if head[:4] == b"OggS" else None


# -- WAV -------------------------------------------------------------------------------------------------------------


def _waves(data: mmap.mmap, size: int) -> FileParts:
    parts: list[FilePart] = []
    begin = 0
    while begin < size and len(parts) < MAX_PARTS:
        end = _wave_end(data, begin, size)
        if end is None:
            return FileParts((*parts, FilePart(begin, size, endless=True)))
        parts.append(FilePart(begin, end))
        begin = end
    return FileParts(tuple(parts), begin, size - begin)


def _wave_end(data: mmap.mmap, begin: int, size: int) -> int | None:
    """Return where a WAV file ends: at another, or at the end of the file. None: its sound goes on behind its end."""
    place, long_size = begin + 12, 0
    while place + 8 <= size:
        name, length = struct.unpack("<4sI", data[place : place + 8])
        if name == b"ds64":
            long_size = int.from_bytes(data[place + 16 : place + 24], "little")
        if name == b"data":
            stated = long_size if long_size and length in (0, 0xFFFF_FFFF) else length
            sound_end = place + 8 + stated
            if stated == 0 or sound_end >= size - SOUND_BYTES:
                return size
            ends = (_tail_end(data, at, size) for at in dict.fromkeys((sound_end + stated % 2, sound_end)))
            return next((end for end in ends if end is not None), None)
        place += 8 + length + length % 2
    return size


def _tail_end(data: mmap.mmap, place: int, size: int) -> int | None:
    """Return the end of the chunks behind the sound. None: there are no chunks, but something else."""
    while place + 8 <= size:
        if _is_wave(data[place : place + 16]):
            return place
        name, length = struct.unpack("<4sI", data[place : place + 8])
        if not all(32 <= byte < 127 for byte in name) or place + 8 + length > size:
            return None
        place += 8 + length
        place += length % 2 and place < size and data[place] == 0
    return size


def _is_wave(head: bytes) -> bool:
    return head[:4] in RIFFS and head[8:12] == b"WAVE"


# -- AIFF ------------------------------------------------------------------------------------------------------------


def _forms(data: mmap.mmap, size: int) -> FileParts:
    parts: list[FilePart] = []
    begin = 0
    while data[begin : begin + 4] == b"FORM" and len(parts) < MAX_PARTS:
        length = int.from_bytes(data[begin + 4 : begin + 8], "big")
        end = min(size, begin + 8 + length + length % 2)
        parts.append(FilePart(begin, end))
        begin = end
    return FileParts(tuple(parts), begin, size - begin)


# -- MP4 -------------------------------------------------------------------------------------------------------------


def _boxes(data: mmap.mmap, size: int) -> FileParts:
    """Return the parts: a second `ftyp` behind an index and media begins another recording."""
    parts: list[FilePart] = []
    begin = place = 0
    seen: set[bytes] = set()
    while place + 8 <= size and len(parts) < MAX_PARTS:
        length, name = struct.unpack(">I4s", data[place : place + 8])
        if name == b"ftyp" and b"moov" in seen and seen & {b"mdat", b"moof"}:
            parts.append(FilePart(begin, place))
            begin, seen = place, set()
        if name not in BOX_TYPES and not (name.isalnum() and place + 8 <= place + length <= size):
            break
        seen.add(name)
        if length == 1:
            length = int.from_bytes(data[place + 8 : place + 16], "big")
        if length < 8:  # 0: up to the end of the file
            place = size
            break
        place += length
    place = min(place, size)
    # FFmpeg looks at the end of the file for itself, so the last part keeps the strays
    return FileParts((*parts, FilePart(begin, size)), place, size - place)


# -- Matroska and WebM -----------------------------------------------------------------------------------------------


def _documents(data: mmap.mmap, size: int) -> FileParts:
    parts: list[FilePart] = []
    begin = 0
    while len(parts) < MAX_PARTS:
        end = _next_document(data, _document_end(data, begin, size))
        if end < 0:
            return FileParts((*parts, FilePart(begin, size)))
        parts.append(FilePart(begin, end))
        begin = end
    return FileParts(tuple(parts), begin, size - begin)


def _document_end(data: mmap.mmap, begin: int, size: int) -> int:
    """Return the least place at which another document may begin."""
    segment = data.find(SEGMENT, begin, begin + 4_096)
    if segment < 0 or segment + 12 > size:
        return begin + 4
    first = data[segment + 4]
    width = 9 - first.bit_length()  # of the number, in bytes; it begins with as many zeros less one
    number = int.from_bytes(data[segment + 4 : segment + 4 + width], "big") & ((1 << 7 * width) - 1)
    if width > 8 or number == (1 << 7 * width) - 1:  # all ones: the length is not known
        return begin + 4
    return min(size, segment + 4 + width + number)


def _next_document(data: mmap.mmap, place: int) -> int:
    while (place := data.find(EBML, place)) >= 0:
        if any(name in data[place : place + 64] for name in DOCUMENTS):
            return place
        place += 1
    return -1


# -- FLAC ------------------------------------------------------------------------------------------------------------


def _flacs(data: mmap.mmap, size: int) -> FileParts:
    """Return the parts. FFmpeg reads on behind another header, but with the rate of the first."""
    parts: list[FilePart] = []
    begin = 0
    while len(parts) < MAX_PARTS:
        places = [data.find(FLAC + info, begin + 4) for info in STREAM_INFOS]
        end = min((place for place in places if place >= 0), default=size)
        parts.append(FilePart(begin, end))
        begin = end
        if begin == size:
            break
    return FileParts(tuple(parts), begin, size - begin)


# -- Ogg -------------------------------------------------------------------------------------------------------------


def _chain(data: mmap.mmap, size: int) -> FileParts:
    """Return the links: a page that begins a stream, behind pages that do not, begins another link."""
    parts: list[FilePart] = []
    begin = place = 0
    inside = False
    while place + 27 <= size and len(parts) < MAX_PARTS:
        if data[place : place + 4] != b"OggS":
            if (place := data.find(b"OggS", place)) < 0:
                break
            continue
        first = bool(data[place + 5] & 2)
        if first and inside:
            parts.append(FilePart(begin, place))
            begin = place
        inside = not first
        segments = data[place + 26]
        place += 27 + segments + sum(data[place + 27 : place + 27 + segments])
    if len(parts) == MAX_PARTS:
        return FileParts(tuple(parts), begin, size - begin)
    return FileParts((*parts, FilePart(begin, size)))
