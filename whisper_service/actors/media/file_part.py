"""A part of a file that is one recording. Files may be several recordings glued together."""

from __future__ import annotations

from dataclasses import dataclass

from whisper_service.actors.media.headerless import Headerless


@dataclass(frozen=True, slots=True)
class FilePart:
    """Bytes `begin <= b < end` of a file that are one recording."""

    begin: int
    end: int
    endless: bool = False  # its sound goes on behind the length that it states, up to `end`
    lengths: tuple[tuple[int, bytes], ...] = ()  # then: what its header has to state, and at which of its bytes
    whole: bool = False  # the file is this part and nothing else
    headerless: Headerless | None = None  # None: the content says what it is
