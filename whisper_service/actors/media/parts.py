"""The parts of a file: where a file is several recordings glued together, or is longer than it states. No FFmpeg.

FFmpeg stops at the end of the first recording. People glue files with `cat`, recorders and radio streams do it by
themselves, and a WAV file beyond 4 GiB states its length modulo 4 GiB. So the outermost structure of a file is walked
here, without reading the sound, and each part is decoded by itself. The parts may be of different kinds.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from whisper_service.actors.media import containers, streams
from whisper_service.actors.media.file_part import FilePart
from whisper_service.actors.media.headerless import HEAD, headerless
from whisper_service.actors.media.headers import Kind, kind_at, next_header

MAX_PARTS: Final = 1_000
"""Parts that are decoded. Each costs some milliseconds to open; an attack has a million."""
WALKS: Final[dict[Kind, Callable[[mmap.mmap, int, int], FilePart]]] = {
    Kind.WAVE: containers.wave,
    Kind.WAVE64: containers.wave64,
    Kind.AIFF: containers.aiff,
    Kind.AU: containers.au,
    Kind.CAF: containers.caf,
    Kind.AVI: containers.avi,
    Kind.MP4: containers.mp4,
    Kind.MATROSKA: containers.matroska,
    Kind.ASF: containers.asf,
    Kind.FLAC: streams.flac,
    Kind.OGG: streams.ogg,
    Kind.MP3: streams.mp3,
    Kind.ADTS: streams.adts,
    Kind.TS: streams.transport,
}
TO_THE_END: Final = (Kind.MP4, Kind.MATROSKA, Kind.OGG, Kind.AVI, Kind.ASF)
"""Kinds for which FFmpeg looks at the end of the file for itself: the last part keeps what belongs to nothing."""


@dataclass(frozen=True, slots=True)
class FileParts:
    """The parts of a file, in order; at least one. `stray` bytes belong to none of them, the first is `stray_at`."""

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
        kind = kind_at(data, 0)
        found = one if kind is None else _walk(data, kind, size)
    if len(found.parts) == 1 and found.parts[0].end == size:
        return replace(found, parts=(replace(found.parts[0], whole=True),))
    return found


def _walk(data: mmap.mmap, kind: Kind | None, size: int) -> FileParts:
    parts: list[FilePart] = []
    strays: list[tuple[int, int]] = []
    begin: int | None = 0
    while begin is not None and kind is not None:
        part = WALKS[kind](data, begin, size)
        parts.append(part)
        begin = next_header(data, max(part.end, begin + 16)) if part.end < size and len(parts) < MAX_PARTS else None
        if begin is None and part.end < size and kind in TO_THE_END and len(parts) < MAX_PARTS:
            parts[-1] = replace(part, end=size)
        kind = None if begin is None else kind_at(data, begin)
        if (until := size if begin is None else begin) > part.end:
            strays.append((part.end, until - part.end))
    return FileParts(tuple(parts), strays[0][0] if strays else size, sum(length for _, length in strays))
