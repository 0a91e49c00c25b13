"""Where the recordings in containers end: files whose outermost structure is known. No FFmpeg.

Each function takes a file, the first byte of a recording in it, and the size of the file. It returns the part that
begins there. What lies behind the end of that part does not belong to it.
"""

from __future__ import annotations

import mmap
import struct
from typing import Final, Literal

from whisper_service.actors.media.file_part import FilePart
from whisper_service.actors.media.frames import behind_tags
from whisper_service.actors.media.headers import ASF, EBML, kind_at, next_mark

SOUND_BYTES: Final = 1_024
"""Fewer bytes behind the stated end of the sound are padding: 32 ms of 16 kHz mono."""
TAGS: Final = (b"ID3", b"TAG")
"""How tags begin that players leave behind the sound."""
SEGMENT: Final = b"\x18\x53\x80\x67"
CLUSTER: Final = b"\x1f\x43\xb6\x75"
BOX_TYPES: Final = frozenset(
    {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"mfra", b"sidx", b"ssix", b"meta",
     b"uuid", b"udta", b"pnot", b"PICT", b"prft", b"emsg", b"pdin", b"junk"}
)  # fmt: skip
GUID_64: Final = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
"""How the names of the chunks of Wave64 end."""
ASF_DATA: Final = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
ASF_OBJECTS: Final = (
    ASF_DATA,
    bytes.fromhex("90080033b1e5cf1189f400a0c90349cb"),
    bytes.fromhex("d329e2d6da35d111903400a0c90349be"),
    bytes.fromhex("f803b1fead12644c840f2a1d2f7ad48c"),
    bytes.fromhex("d03fb73c4a0c034b953dedf7b6228f0c"),
)
"""What stands beside the header of an ASF file: the data and four kinds of index."""
PLAIN_CAF: Final = (b"lpcm", b"ulaw", b"alaw")
"""Formats of Core Audio files that need no table of packets."""


def wave(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return a WAV file. Beyond 4 GiB, its sound goes on behind the end that it states."""
    place, long_size = behind_tags(data, begin) + 12, 0
    is_long = data[place - 12 : place - 8] != b"RIFF"
    while place + 8 <= size:
        name, length = struct.unpack("<4sI", data[place : place + 8])
        if name == b"ds64":
            long_size = int.from_bytes(data[place + 16 : place + 24], "little")
        if name == b"data":
            stated = long_size if long_size and length in (0, 0xFFFF_FFFF) else length
            if stated in (0, 0xFFFF_FFFF):  # recorded live; of RF64, FFmpeg believes a length of zero
                return FilePart(begin, size, endless=is_long)
            end = _sound_end(data, place + 8 + stated, size, "little")
            return FilePart(begin, end) if end is not None else FilePart(begin, size, endless=True)
        place += 8 + length + length % 2
    return FilePart(begin, size)


def aiff(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return an AIFF file."""
    form = behind_tags(data, begin)
    place, described = form + 12, False
    while place + 8 <= size:
        name, length = struct.unpack(">4sI", data[place : place + 8])
        described |= name == b"COMM"
        if name == b"SSND":
            end = _sound_end(data, place + 8 + length, size, "big") if length > 8 else None
            if end is not None or not described:
                return FilePart(begin, end or size)
            lengths = ((form + 4, size - form - 8), (place + 4, size - place - 8))
            told = tuple((at - begin, min(left, 0xFFFF_FFFE).to_bytes(4, "big")) for at, left in lengths)
            return FilePart(begin, size, endless=True, lengths=told)
        place += 8 + length + length % 2
    return FilePart(begin, size)


def caf(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return a Core Audio file."""
    place, format = begin + 8, b""
    while place + 12 <= size:
        name, length = struct.unpack(">4sq", data[place : place + 12])
        if name == b"desc":
            format = data[place + 20 : place + 24]
        if length < 0:  # up to the end of the file
            break
        if name == b"data":
            end = _sound_end(data, place + 12 + length, size, "caf")
            if end is not None or format not in PLAIN_CAF:
                return FilePart(begin, end or min(size, place + 12 + length))
            return FilePart(begin, size, endless=True, lengths=((place + 4 - begin, b"\xff" * 8),))
        place += 12 + length
    return FilePart(begin, size)


def wave64(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return a file of Sony's Wave64, whose chunks begin at every eighth byte."""
    place = begin + 40
    while place + 24 <= size:
        length = int.from_bytes(data[place + 16 : place + 24], "little")
        if length < 24 or data[place + 4 : place + 16] != GUID_64:
            break
        if data[place : place + 4] == b"data":
            end = _sound_end(data, place + length + -length % 8, size, "w64")
            if end is not None:
                return FilePart(begin, end)
            told = (place + 16 - begin, (size - place).to_bytes(8, "little"))
            return FilePart(begin, size, endless=True, lengths=(told,))
        place += length + -length % 8
    return FilePart(begin, size)


def au(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return a file of Sun. FFmpeg reads its sound up to the end of the file."""
    first, length = struct.unpack(">2I", data[begin + 4 : begin + 12])
    if length in (0, 0xFFFF_FFFF):
        return FilePart(begin, size)
    end = begin + first + length
    if end >= size - SOUND_BYTES:
        return FilePart(begin, size)
    found = _header_near(data, end)
    return FilePart(begin, size, endless=True) if found is None else FilePart(begin, found)


def avi(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return an AVI file. Beyond 1 GiB such a file has several chunks of the outermost level."""
    place = begin
    while data[place : place + 4] == b"RIFF" and (place == begin or data[place + 8 : place + 12] == b"AVIX"):
        length = int.from_bytes(data[place + 4 : place + 8], "little")
        if not length:  # its recorder was stopped
            return FilePart(begin, size)
        place += 8 + length + length % 2
    return FilePart(begin, min(place, size))


def mp4(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return an MP4 or MOV file: an `ftyp` behind an index and media begins another recording."""
    place = begin
    seen: set[bytes] = set()
    while place + 8 <= size:
        length, name = struct.unpack(">I4s", data[place : place + 8])
        if name == b"ftyp" and b"moov" in seen and seen & {b"mdat", b"moof"}:
            break
        if name not in BOX_TYPES and not (name.isalnum() and place + 8 <= place + length <= size):
            break
        if name not in BOX_TYPES and kind_at(data, place) is not None:
            break
        seen.add(name)
        if length == 1:
            length = int.from_bytes(data[place + 8 : place + 16], "big")
        if length < 8:  # 0: up to the end of the file
            return FilePart(begin, size)
        place += length
    return FilePart(begin, min(place, size))


def matroska(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return a Matroska or WebM file. One that was recorded live does not state its length."""
    segment = data.find(SEGMENT, begin, begin + 4_096)
    if segment >= 0 and segment + 12 <= size:
        first = data[segment + 4]
        width = 9 - first.bit_length()  # of the number, in bytes; it begins with as many zeros less one
        number = int.from_bytes(data[segment + 4 : segment + 4 + width], "big") & ((1 << 7 * width) - 1)
        if width <= 8 and number != (1 << 7 * width) - 1:  # all ones: the length is not known
            return FilePart(begin, min(size, segment + 4 + width + number))
    cluster = data.find(CLUSTER, begin)
    found = next_mark(data, begin + len(EBML) if cluster < 0 else cluster)
    return FilePart(begin, size if found is None else found)


def asf(data: mmap.mmap, begin: int, size: int) -> FilePart:
    """Return an ASF file: WMA or WMV."""
    place = begin
    while place + 24 <= size:
        name, length = data[place : place + 16], int.from_bytes(data[place + 16 : place + 24], "little")
        if name not in ASF_OBJECTS if place > begin else name != ASF:
            return FilePart(begin, place if place > begin else size)
        if length < 24 or (name == ASF_DATA and length <= 50):  # live: the length is not known
            return FilePart(begin, size)
        place += length
    return FilePart(begin, min(place, size) if place < size else size)


def _sound_end(data: mmap.mmap, place: int, size: int, form: Literal["little", "big", "caf", "w64"]) -> int | None:
    """Return where a file ends whose sound ends at this byte. None: its sound goes on."""
    if place >= size - SOUND_BYTES:
        return size
    for at in (place, place + 1):  # without and with padding
        if (end := _tail_end(data, at, size, form)) is not None:
            return end
    return _header_near(data, place)


def _tail_end(data: mmap.mmap, place: int, size: int, form: Literal["little", "big", "caf", "w64"]) -> int | None:
    """Return the end of the chunks behind the sound. None: there are no chunks, but something else."""
    while place + 8 <= size:
        head = data[place : place + 24]
        if head[:3] in TAGS or kind_at(data, place) is not None:
            return place
        match form:
            case "little" | "big":
                name, length = head[:4], 8 + int.from_bytes(head[4:8], form)
            case "caf":
                name, length = head[:4], 12 + int.from_bytes(head[4:12], "big")
            case "w64":
                name, length = head[:4], int.from_bytes(head[16:24], "little")
                length = length + -length % 8 if length >= 24 and head[4:16] == GUID_64 else size
        if not all(32 <= byte < 127 for byte in name) or place + length > size:
            return None
        place += length
        place += form in ("little", "big") and length % 2 and place < size and data[place] == 0
    return size


def _header_near(data: mmap.mmap, place: int) -> int | None:
    """Return where another file begins, at this byte or at the next. None: there is none."""
    return next((at for at in (place, place + 1) if kind_at(data, at) is not None), None)
