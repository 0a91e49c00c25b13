"""Write segments as one running text, with the spaces between them that their script needs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from whisper_service.core.domain import Segment
from whisper_service.core.text import clean, unspaced


def plain_text(segments: Iterable[Segment]) -> str:
    """Return all text on one line."""
    parts: list[str] = []
    for segment in segments:
        if part := next_part(parts[-1] if parts else "", segment):
            parts.append(part)
    return "".join(parts)


def next_part(last: str, segment: Segment) -> str:
    """Return the text of a segment with the space before it. "": the segment has no text, and is no part.

    `last` is the part before, "" for the first.
    """
    text = clean(segment.text)
    return f" {text}" if text and last and _apart(last, segment, text) else text


def _apart(last: str, segment: Segment, text: str) -> bool:
    """Return whether a space stands between two parts: the first word says so, else the script."""
    if segment.words and segment.words[0].word[:1].isspace():
        return True
    return not (unspaced(last[-1]) or unspaced(text[0]))
