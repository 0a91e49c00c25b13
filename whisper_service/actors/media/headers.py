"""How recordings begin: tells the kind of a file from its first bytes, and finds such bytes in a file. No FFmpeg."""

from __future__ import annotations

import mmap
from enum import StrEnum
from typing import Final

from whisper_service.actors.media import frames

RIFFS: Final = (b"RIFF", b"RF64", b"BW64")
EBML: Final = b"\x1a\x45\xdf\xa3"
DOCUMENTS: Final = (b"webm", b"matroska")
FLAC_INFOS: Final = (b"\x00\x00\x00\x22", b"\x80\x00\x00\x22")
"""How the first block of a FLAC file begins, with and without other blocks behind it."""
WAVE64: Final = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"
ASF: Final = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
TS_PACKET: Final = 188
"""Bytes in a packet of MPEG-TS."""
TS_BEGINS: Final = 0x47
"""The first byte of each."""
WINDOW: Final = 1 << 24
"""Bytes that are searched for all marks before the next bytes are."""
MAX_LOOKS: Final = 1_000
"""Marks in a file that are looked at. An attack has millions."""


class Kind(StrEnum):
    """A kind of file whose parts can be told apart."""

    WAVE = "wave"  # and RF64, BW64
    WAVE64 = "w64"
    AIFF = "aiff"
    AU = "au"
    CAF = "caf"
    AVI = "avi"
    MP4 = "mp4"
    MATROSKA = "matroska"  # and WebM
    ASF = "asf"
    FLAC = "flac"
    OGG = "ogg"
    MP3 = "mp3"
    ADTS = "adts"  # AAC without a container
    TS = "ts"


MARKS: Final = ((b"WAVE", 8), (b"OggS\x00\x02", 0), (b"fLaC", 0), (b"ftyp", 4), (b"ID3", 0), (EBML, 0))
"""What is searched in sound, and how many bytes behind the beginning of a file it stands. Each costs a second for 2 GB,
so that only the kinds are searched that people join with others."""
ALL_MARKS: Final = (*MARKS, (b"AIF", 8), (b"AVI ", 8), (b"caff", 0), (WAVE64, 0), (ASF, 0), (b".snd", 0))
"""What is searched where something is known to be."""


def kind_at(data: mmap.mmap, place: int) -> Kind | None:
    """Return the kind of file that begins at this byte. None: none that is known."""
    behind = frames.behind_tags(data, place)
    if (kind := _kind_of(data[behind : behind + 64])) is not None:
        return kind
    if frames.follow(data, behind, frames.mp3_size):
        return Kind.MP3
    if frames.follow(data, behind, frames.adts_size):
        return Kind.ADTS
    packets = range(behind, behind + frames.ENOUGH * TS_PACKET, TS_PACKET)
    return Kind.TS if all(data[at : at + 1] == b"\x47" for at in packets) else None


def next_header(data: mmap.mmap, place: int, *, but: frozenset[Kind] = frozenset()) -> int | None:
    """Return the first byte from `place` on at which a file begins that is not of these kinds. None: there is none."""
    for at in (place, place + 1):  # with and without padding
        if kind_at(data, at) not in (None, *but):
            return at
    return next_mark(data, place, ALL_MARKS, but=but)


def next_mark(
    data: mmap.mmap, place: int, marks: tuple[tuple[bytes, int], ...] = MARKS, *, but: frozenset[Kind] = frozenset()
) -> int | None:
    """Return what `next_header` returns, but only for files with one of these marks."""
    looks = 0
    for first in range(place, len(data), WINDOW):
        found: list[int] = []
        for mark, offset in marks:
            at, end = first + offset, min(len(data), first + offset + WINDOW + len(mark) - 1)
            while (at := data.find(mark, at, end)) >= 0 and looks < MAX_LOOKS:
                looks += 1
                if kind_at(data, at - offset) not in (None, *but):
                    found.append(at - offset)
                    break
                at += 1
        if found:
            return min(found)
    return None


def is_wave(head: bytes) -> bool:
    """Return whether a WAV file begins with these bytes."""
    return head[:4] in RIFFS and head[8:12] == b"WAVE"


def _kind_of(head: bytes) -> Kind | None:
    if len(head) < 16:
        return None
    if is_wave(head):
        return Kind.WAVE
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return Kind.AIFF
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return Kind.AVI
    if head[4:8] == b"ftyp" and 8 <= int.from_bytes(head[:4], "big") <= 4_096:
        return Kind.MP4
    if head[:4] == EBML and any(name in head for name in DOCUMENTS):
        return Kind.MATROSKA
    if head[:4] == b"fLaC" and head[4:8] in FLAC_INFOS:
        return Kind.FLAC
    if head[:4] == b"OggS" and head[4] == 0 and head[5] & 2:
        return Kind.OGG
    if head.startswith((WAVE64, ASF)):
        return Kind.WAVE64 if head.startswith(WAVE64) else Kind.ASF
    if head[:8] == b"caff\x00\x01\x00\x00":
        return Kind.CAF
    return Kind.AU if head[:4] == b".snd" and _is_au(head) else None


def _is_au(head: bytes) -> bool:
    if len(head) < 24:
        return False
    begin, _, encoding, rate, channels = (int.from_bytes(head[at : at + 4], "big") for at in range(4, 24, 4))
    return 24 <= begin < 65_536 and 1 <= encoding <= 30 and 1_000 <= rate <= 768_000 and 1 <= channels <= 512
