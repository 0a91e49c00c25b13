"""The text of a transcript as one running text: segments with the spaces between them that their script wants. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from whisper_service.core.domain import Segment
from whisper_service.export.captions import clean


def prose(segments: Iterable[Segment]) -> str:
    """All of it on one line: the joined pieces."""
    parts: list[str] = []
    for segment in segments:
        if said := piece(parts[-1] if parts else "", segment):
            parts.append(said)
    return "".join(parts)


def piece(last: str, segment: Segment) -> str:
    """The text of a segment, behind the space that separates it from the piece before; `last` is "" before the first.

    "" if there is no text in it; then it is no piece.
    """
    text = clean(segment.text)
    return f" {text}" if text and last and _apart(last, segment, text) else text


def _apart(last: str, segment: Segment, text: str) -> bool:
    """Whether a space stands between these: the first word says so, else the script."""
    if segment.words and segment.words[0].word[:1].isspace():
        return True
    return not (_unspaced(last[-1]) or _unspaced(text[0]))


def _unspaced(character: str) -> bool:
    """Whether no spaces are written around it: Chinese and Japanese with their marks, Thai, Lao, Burmese, Khmer, Tibetan."""
    if "\u0e00" <= character <= "\u109f" or "\u1780" <= character <= "\u17ff":
        return True
    hangul = "\u1100" <= character <= "\u11ff" or "\uac00" <= character <= "\ud7af"
    return unicodedata.east_asian_width(character) in ("W", "F") and not hangul
