"""Find the words of marks in a transcript as files have it: cut where the speaker changes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from whisper_service.core.domain import Segment, Transcript
from whisper_service.core.text import clean
from whisper_service.editing.lines import Line
from whisper_service.editing.marking import texts
from whisper_service.editing.marks import Anchor, Mark, MarkKind, words_of
from whisper_service.export.documents import Key
from whisper_service.export.notes import Remark, TextPlace


def remarks_of(transcript: Transcript, lines: Sequence[Line], marks: Sequence[Mark]) -> tuple[Remark, ...]:
    """Return the marks of a transcript in order of time. `lines` are those that its segments were made of."""
    by_id, said = {line.id: line for line in lines}, texts(lines)
    cut: dict[Key, list[Segment]] = {}
    for segment in transcript.segments:
        cut.setdefault((segment.chunk, segment.index), []).append(segment)
    found = [_remark(mark, by_id, cut, mark.lost or words_of(mark, said)) for mark in marks]
    return tuple(sorted(found, key=lambda remark: (remark.start, remark.at)))


def _remark(mark: Mark, lines: dict[str, Line], cut: dict[Key, list[Segment]], words: str) -> Remark:
    line, end = lines.get(mark.first.line), lines.get(mark.last.line)
    remark = Remark(
        mark.kind, 0.0, words, lost=bool(mark.lost), colour=mark.colour, text=mark.text, author=mark.author, at=mark.at
    )
    if line is None or end is None:
        return remark
    first, last = mark.first, mark.last
    start = line.start if mark.kind is MarkKind.BOOKMARK else _begins(line, first.at)
    speaker = _speaker(line, first.at, cut)
    if mark.kind is MarkKind.BOOKMARK or mark.lost:  # a comment needs some words
        first, last, end = Anchor(line.id, 0), Anchor(line.id, len(line.text)), line
    places = {"first": _place(line, first.at, cut), "last": _place(end, last.at, cut)}
    return replace(remark, start=start, speaker=speaker, **places)


def _key(line: Line) -> Key:
    return line.chunk, line.index


def _begins(line: Line, at: int) -> float:
    """Return when the word at a place of a line begins, in seconds."""
    text = "".join(word.word for word in line.words)
    end = len(text.lstrip()) - len(text)
    for word in line.words:
        end += len(word.word)
        if end > at:
            return word.start
    return line.start


def _place(line: Line, at: int, cut: dict[Key, list[Segment]]) -> TextPlace:
    """Return a place of a line as one in its pieces, which have no spaces at their ends."""
    behind, searched = 0, 0
    for piece in cut.get(_key(line), []):
        text = clean(piece.text)
        begin = max(line.text.find(text, searched), searched)
        if at <= begin + len(text):
            return TextPlace(_key(line), behind + max(0, at - begin))
        behind, searched = behind + len(text), begin + len(text)
    return TextPlace(_key(line), behind)


def _speaker(line: Line, at: int, cut: dict[Key, list[Segment]]) -> str:
    searched, name = 0, ""
    for piece in cut.get(_key(line), []):
        text = clean(piece.text)
        begin = max(line.text.find(text, searched), searched)
        name, searched = piece.speaker or "", begin + len(text)
        if at < searched:
            break
    return name
