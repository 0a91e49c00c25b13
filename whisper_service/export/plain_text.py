"""The text of a transcript as one running text: segments with the spaces between them that their script wants. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from whisper_service.core.domain import Segment
from whisper_service.core.text import clean, unspaced


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
    return not (unspaced(last[-1]) or unspaced(text[0]))
