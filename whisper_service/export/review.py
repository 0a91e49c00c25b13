"""Write what people did with a transcript: notes, lines that are not checked, and changes of the text. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from whisper_service.core.chinese import convert
from whisper_service.core.domain import Transcript, Value
from whisper_service.core.file_names import stem_of
from whisper_service.core.text import clean
from whisper_service.editing.marks import MarkKind
from whisper_service.export.documents import Key
from whisper_service.export.layout import Layout
from whisper_service.export.notes import FILLS, Remark, comment, notes_as_md
from whisper_service.export.tracked_changes import BREAK, Side, TextPiece, pieces
from whisper_service.export.word_file import paragraph, run, word_file, xml

_NOTES: Final = {"zh": "备注", "yue": "備註"}
_UNCHECKED: Final = {"zh": "[未校对] ", "yue": "[未校對] "}


class Review(Value, frozen=True):
    """What people did with a transcript. `checked` are the keys of the lines that a person looked at."""

    remarks: tuple[Remark, ...] = ()
    checked: frozenset[Key] = frozenset()
    machine: Transcript | None = None  # None: it is not compared


def notes_heading(language: str | None) -> str:
    """Return the heading of the notes in the language of a recording, as far as files speak it."""
    return _NOTES.get(language or "", "Notes")


def unchecked_mark(language: str | None) -> str:
    """Return what stands before a line that nobody checked."""
    return _UNCHECKED.get(language or "", "[unchecked] ")


def with_unchecked(transcript: Transcript, review: Review, only: frozenset[Key] | None = None) -> Transcript:
    """Return a transcript whose lines say that nobody checked them. `only`: the keys of lines that may say so."""
    mark, told, segments = unchecked_mark(transcript.language), set[Key](), []
    for segment in transcript.segments:
        key = (segment.chunk, segment.index)
        if key not in review.checked and key not in told and clean(segment.text) and (only is None or key in only):
            segment = replace(segment, text=f"{mark}{segment.text.lstrip()}")
            told.add(key)
        segments.append(segment)
    return replace(transcript, segments=tuple(segments))


def notes_section(transcript: Transcript, review: Review) -> str:
    """Return the notes as they stand at the end of a Markdown file."""
    notes = notes_as_md(review.remarks, heading=notes_heading(transcript.language))
    return f"\n{notes}" if notes else ""


def reviewed_docx(transcript: Transcript, layout: Layout, review: Review) -> bytes:
    """Write the transcript with its notes as comments and its changes as tracked changes, as `layout` asks for them."""
    machine = review.machine if layout.compare else None
    if machine is not None and layout.script is not None:
        machine = convert(machine, layout.script)
    if layout.unchecked:
        shown = frozenset((segment.chunk, segment.index) for segment in transcript.segments)
        transcript = with_unchecked(transcript, review)
        machine = machine and with_unchecked(machine, review, shown)
    remarks = [each for each in review.remarks if each.first and each.last] if layout.notes else []
    mark = len(unchecked_mark(transcript.language)) if layout.unchecked else 0
    shifts = {
        place.key: mark
        for each in remarks
        for place in (each.first, each.last)
        if place and place.key not in review.checked
    }
    writer = _DocxWriter(remarks, shifts, clean(layout.author))
    body = "".join(writer.paragraphs(pieces(transcript, layout, machine)))
    comments = "".join(comment(number, each) for number, each in enumerate(remarks) if number in writer.closed)
    return word_file(clean(stem_of(transcript.name)), body, author=clean(layout.author), comments=comments)


class _DocxWriter:
    """Writes pieces as paragraphs. Comments begin and end between characters of a piece."""

    def __init__(self, remarks: Sequence[Remark], shifts: Mapping[Key, int], author: str) -> None:
        self._remarks = remarks
        self._author = xml(author).replace('"', "&quot;")
        self._changes = 0  # IDs of changes
        self._open: set[int] = set()
        self.closed: set[int] = set()
        self._begins: dict[Key, list[tuple[int, int]]] = {}
        self._ends: dict[Key, list[tuple[int, int]]] = {}
        for number, each in enumerate(remarks):
            for place, found in ((each.first, self._begins), (each.last, self._ends)):
                assert place is not None
                found.setdefault(place.key, []).append((place.at + shifts.get(place.key, 0), number))

    def paragraphs(self, found: Sequence[TextPiece]) -> Iterator[str]:
        """Yield the paragraphs."""
        runs: list[str] = []
        text, begun = "", False
        for piece in found:
            if piece.text != BREAK:
                runs += self._written(piece)
                text += "" if piece.bold else piece.text
                continue
            if begun or runs:
                yield paragraph("".join(runs), text, mark=self._end_mark(piece.side))
            runs, text, begun = [], "", True
        runs += [self._end(number) for number in sorted(self._open)]
        if begun or runs:
            yield paragraph("".join(runs), text)

    def _end_mark(self, side: Side) -> str:
        return f"<w:rPr><w:ins {self._change()}/></w:rPr>" if side is Side.NEW else ""

    def _written(self, piece: TextPiece) -> Iterator[str]:
        if piece.key is None:
            yield self._run(piece, piece.text)
            return
        begins, ends = self._begins.get(piece.key, []), self._ends.get(piece.key, [])
        cuts = {at - piece.at for at, _ in (*begins, *ends)}
        done = 0
        for cut in sorted({*(each for each in cuts if 0 <= each <= len(piece.text)), len(piece.text)}):
            if cut > done:
                yield self._run(piece, piece.text[done:cut])
                done = cut
            yield from (self._end(number) for at, number in ends if at - piece.at == cut and number in self._open)
            yield from (self._begin(number) for at, number in begins if at - piece.at == cut < len(piece.text))

    def _begin(self, number: int) -> str:
        if number in self._open or number in self.closed:
            return ""
        self._open.add(number)
        return f'<w:commentRangeStart w:id="{number}"/>'

    def _end(self, number: int) -> str:
        self._open.discard(number)
        self.closed.add(number)
        return f'<w:commentRangeEnd w:id="{number}"/><w:r><w:rPr/><w:commentReference w:id="{number}"/></w:r>'

    def _run(self, piece: TextPiece, text: str) -> str:
        fills = [
            FILLS[each.colour - 1]
            for number in sorted(self._open)
            if (each := self._remarks[number]).kind is not MarkKind.BOOKMARK
        ]
        properties = "<w:b/>" if piece.bold else ""
        properties += f'<w:shd w:val="clear" w:color="auto" w:fill="{fills[-1]}"/>' if fills and piece.key else ""
        match piece.side:
            case Side.NEW:
                return f"<w:ins {self._change()}>{run(text, properties)}</w:ins>"
            case Side.GONE:
                return f"<w:del {self._change()}>{run(text, properties, tag='w:delText')}</w:del>"
            case Side.BOTH:
                return run(text, properties)

    def _change(self) -> str:
        self._changes += 1
        return f'w:id="{1_000_000 + self._changes}" w:author="{self._author}"'
