"""Write what people noted in a transcript: as Markdown, as csv, and as comments of a docx. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from whisper_service.core.domain import Value
from whisper_service.core.text import clean
from whisper_service.core.timecode import clock, hms, milliseconds
from whisper_service.editing.marks import MarkKind
from whisper_service.export.documents import Key, literal
from whisper_service.export.word_file import run, xml

COLOURS: Final = ("yellow", "green", "blue", "pink", "orange")
"""The names of the colours 1 to 5 in a csv."""
FILLS: Final = ("FFF2A8", "C9F0C9", "CBE3FF", "FFD3E6", "FFDDB8")
"""The same behind the words of a docx, RRGGBB."""
_KINDS: Final = {MarkKind.BOOKMARK: "Bookmark", MarkKind.HIGHLIGHT: "Highlight", MarkKind.NOTE: "Note"}


class TextPlace(Value, frozen=True):
    """A place in the text of a file: behind `at` characters of the passages with a key."""

    key: Key
    at: int


class Remark(Value, frozen=True):
    """A mark with what it is on. `first` None: its words are not in the text any more."""

    kind: MarkKind
    start: float  # seconds of the recording
    words: str  # the marked words, or those that were deleted
    first: TextPlace | None = None
    last: TextPlace | None = None
    lost: bool = False  # the words were deleted
    speaker: str = ""
    colour: int = 1
    text: str = ""
    author: str = ""
    at: float = 0.0  # Unix seconds


def notes_as_md(remarks: Sequence[Remark], *, heading: str = "Notes", level: int = 2) -> str:
    """Return a list of the remarks with their times, below a heading. "" if there are none."""
    if not remarks:
        return ""
    return "\n".join([f"{'#' * level} {literal(clean(heading))}", "", *map(_md, remarks)]) + "\n"


def _md(remark: Remark) -> str:
    words = literal(clean(remark.words))
    said = f"~~{words}~~" if remark.lost else f"“{words}”"
    parts = [f"- **{hms(milliseconds(remark.start))}**"]
    parts += [f"{literal(clean(remark.speaker))}:"] if clean(remark.speaker) else []
    parts += [said] if words else []
    parts += [f"— {literal(clean(remark.text))}"] if clean(remark.text) else []
    parts += [f"({literal(clean(remark.author))})"] if clean(remark.author) else []
    return " ".join(parts)


def notes_as_csv(remarks: Iterable[Remark]) -> str:
    """Return a table of the remarks (RFC 4180), one row each."""
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\r\n")
    table.writerow(["time", "kind", "colour", "speaker", "words", "deleted", "note", "author", "written"])
    for each in remarks:
        colour = "" if each.kind is MarkKind.BOOKMARK else COLOURS[each.colour - 1]
        deleted = "yes" if each.lost else ""
        written_at = datetime.fromtimestamp(each.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        told = (clean(each.speaker), clean(each.words), deleted, each.text, clean(each.author))
        table.writerow([clock(milliseconds(each.start)), each.kind.value, colour, *told, written_at])
    return written.getvalue()


def comment(number: int, remark: Remark) -> str:
    """Return a remark as a comment of a docx."""
    text = remark.text or _KINDS[remark.kind]
    lines = [*text.splitlines(), *([f"[{clean(remark.words)}]"] if remark.lost else [])]
    author = clean(remark.author)
    when = datetime.fromtimestamp(remark.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = "".join(f"<w:p>{run(line)}</w:p>" for line in lines or [""])
    return (
        f'<w:comment w:id="{number}" w:author={_quoted(author or "?")} w:date="{when}"'
        f" w:initials={_quoted(author[:1] or '?')}>{body}</w:comment>"
    )


def _quoted(text: str) -> str:
    return '"' + xml(text).replace('"', "&quot;") + '"'
