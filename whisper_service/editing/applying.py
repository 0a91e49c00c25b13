"""Does operations on the lines of a transcript, and finds what undoes them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any, assert_never

from msgspec.structs import replace

from whisper_service.core.domain import Value
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.core.text import clean
from whisper_service.editing.aligning import with_times
from whisper_service.editing.cutting import cut_words, joined, moved
from whisper_service.editing.lines import MACHINE, PERSON, Line, LineList, place_of_segment
from whisper_service.editing.operations import (
    MAX_CHARACTERS,
    ChangeMark,
    ChangeText,
    DeleteLine,
    InsertLine,
    JoinSpeakers,
    MakeMark,
    MergeLines,
    NameSpeaker,
    Operation,
    PutLines,
    PutMarks,
    PutSpeakers,
    RemoveMarks,
    RemoveSpeaker,
    SetChecked,
    SetSpeaker,
    SetTimes,
    SplitLine,
    TimeWords,
    UseHeard,
)
from whisper_service.editing.retiming import retime, spread, timed


class Outcome(Value, frozen=True):
    """What an edit changed. `inverse` undoes it, as long as the same lines stay as they are."""

    lines: tuple[Line, ...]
    gone: tuple[str, ...]
    inverse: tuple[Operation, ...]


def apply(lines: LineList, operations: Sequence[Operation]) -> Outcome:
    """Do an edit on `lines`, which holds whole chunks and their neighbours.

    Raises EditConflict or BadEdit. `lines` is then spoilt: do not use it again.
    """
    if not operations:
        raise BadEdit("There is nothing to change.", reason="nothing")
    before = {line.id: line for line in lines}
    for operation in operations:
        _do(lines, operation)
    changed = tuple(line for line in lines if before.get(line.id) != line)
    gone = tuple(line_id for line_id in before if lines.get(line_id) is None)
    for line in changed:
        _check(lines, line, before.get(line.id))
    return Outcome(lines=changed, gone=gone, inverse=tuple(way_back(before, changed, gone)))


def _do(lines: LineList, operation: Operation) -> None:
    match operation:
        case ChangeText():
            _write(lines, _current(lines, operation.id, operation.v), clean(operation.text))
        case SplitLine():
            _split(lines, operation)
        case MergeLines():
            _merge(lines, operation)
        case DeleteLine():
            lines.remove(_current(lines, operation.id, operation.v).id)
        case InsertLine():
            _insert(lines, operation)
        case SetTimes():
            line = _current(lines, operation.id, operation.v)
            lines.put(_next(moved(line, operation.start, operation.end), held=True))
        case SetSpeaker():
            for line in _present(lines, operation.ids):
                lines.put(replace(line, speaker=operation.speaker))
        case SetChecked():
            for line in _present(lines, operation.ids):
                lines.put(replace(line, checked=operation.on))
        case UseHeard():
            _use_heard(lines, operation)
        case PutLines():
            _put(lines, operation)
        case TimeWords():
            line = _current(lines, operation.id, operation.v)
            if operation.first + len(operation.times) > len(line.words):
                raise EditConflict(ids=[line.id])
            lines.put(with_times(line, operation.first, operation.times))
        case RemoveSpeaker():
            for line in [line for line in lines if line.speaker == operation.id]:
                lines.put(replace(line, speaker=None))
        case NameSpeaker() | JoinSpeakers() | PutSpeakers():
            pass  # `speaker_changes` does them
        case MakeMark() | ChangeMark() | RemoveMarks() | PutMarks():
            pass  # `marking.mark_changes` does them
        case _:
            assert_never(operation)


def way_back(before: Mapping[str, Line], changed: Sequence[Line], gone: Iterable[str]) -> Iterator[Operation]:
    """Yield the operations that lead back to the lines `before`, from others that are `changed` or `gone`.

    Speakers and checks are set apart from the text, as they are made.
    """
    edited = [line for line in changed if line.id not in before or before[line.id].content != line.content]
    ids = [*(line.id for line in edited), *gone]
    if ids:
        yield PutLines(
            v={line.id: line.content for line in edited},
            lines=tuple(before[line_id] for line_id in ids if line_id in before),
            gone=tuple(line.id for line in edited if line.id not in before),
        )
    known = [(line, before[line.id]) for line in changed if line.id in before]
    spoke = [(line.id, old.speaker) for line, old in known if old.speaker != line.speaker]
    for speaker in dict.fromkeys(name for _, name in spoke):
        yield SetSpeaker(ids=tuple(line_id for line_id, name in spoke if name == speaker), speaker=speaker)
    for on in (True, False):
        if flipped := tuple(line.id for line, old in known if old.checked is on and line.checked is not on):
            yield SetChecked(ids=flipped, on=on)


def _write(lines: LineList, line: Line, text: str) -> None:
    """Give a line another text. Its times follow its words, unless they were set by hand."""
    if not text:
        lines.remove(line.id)
    elif text != line.text:
        words = retime(line.words, text, *_room(lines, line)) if line.words else ()
        line = _next(line, text=text, words=words)
        if words and not line.held and words[0].start < words[-1].end:
            line = replace(line, start=words[0].start, end=words[-1].end)
        lines.put(line)


def _split(lines: LineList, operation: SplitLine) -> None:
    line = _current(lines, operation.id, operation.v)
    _must_be_new(lines, operation.new)
    left, right = line.text[: operation.at].rstrip(), line.text[operation.at :].lstrip()
    if not left or not right:
        raise BadEdit("A line can be split only between two of its characters.", reason="split")
    first, second = cut_words(line, operation.at)
    middle = line.start + (line.end - line.start) * len(left) / (len(left) + len(right))
    position = lines.position_behind(line)
    line = lines.get(line.id) or line  # its position may be another one now
    lines.put(_next(line, text=left, words=first, end=first[-1].end if first else middle))
    start = second[0].start if second else middle
    lines.put(
        Line(
            id=operation.new,
            version=1,
            content=1,
            chunk=line.chunk,
            index=-1,
            position=position,
            start=start,
            end=line.end,
            text=right,
            words=second,
            language=line.language,
            speaker=line.speaker,
            held=line.held,
            checked=line.checked,
            source=PERSON,
        )
    )


def _merge(lines: LineList, operation: MergeLines) -> None:
    first, *others = _in_a_row(lines, operation.ids, operation.v)
    merged = first
    for other in others:
        lines.remove(other.id)
        merged = joined(merged, other)
    lines.put(_next(merged))


def _in_a_row(lines: LineList, ids: Sequence[str], versions: Sequence[int]) -> list[Line]:
    """Return lines that follow each other, as they are now."""
    if len(ids) != len(versions):
        raise BadEdit("Every line needs its version.", reason="versions")
    found = [_current(lines, *one) for one in zip(ids, versions, strict=True)]
    for line, following in pairwise(found):
        if (other := lines.neighbour(line, 1)) is None or other.id != following.id:
            raise BadEdit("Only lines that follow each other can be joined or replaced.", reason="not_neighbours")
    return found


def _use_heard(lines: LineList, operation: UseHeard) -> None:
    replaced = _in_a_row(lines, operation.ids, operation.v)
    speakers = {line.speaker for line in replaced}
    for heard in operation.lines:
        _must_be_new(lines, heard.id)
    for line in replaced:
        lines.remove(line.id)
    position, chunk = replaced[0].position, replaced[0].chunk
    for heard in operation.lines:
        if not (text := clean(heard.text)):
            raise BadEdit("A new line needs a text and a time.", reason="empty")
        new = Line(
            id=heard.id,
            version=1,
            content=1,
            chunk=chunk,
            index=-1,
            position=position,
            start=heard.start,
            end=heard.end,
            text=text,
            words=tuple(map(timed, heard.words)),
            language=heard.language,
            speaker=replaced[0].speaker if len(speakers) == 1 else None,
            source=f"{MACHINE}:{operation.model}",
        )
        lines.put(new)
        position = lines.position_behind(new)


def _insert(lines: LineList, operation: InsertLine) -> None:
    _must_be_new(lines, operation.new)
    text = clean(operation.text)
    if not text or operation.start >= operation.end:
        raise BadEdit("A new line needs a text and a time.", reason="empty")
    if operation.after is None:
        first = next(iter(lines), None)
        chunk, position = (first.chunk, first.position - 1) if first else (0, 0.0)
    else:
        (before,) = _present(lines, [operation.after])
        chunk, position = before.chunk, lines.position_behind(before)
    lines.put(
        Line(
            id=operation.new,
            version=1,
            content=1,
            chunk=chunk,
            index=-1,
            position=position,
            start=operation.start,
            end=operation.end,
            text=text,
            words=spread(text, operation.start, operation.end),
            source=PERSON,
        )
    )


def _put(lines: LineList, operation: PutLines) -> None:
    ids = [*(line.id for line in operation.lines), *operation.gone]
    if wrong := [line_id for line_id in ids if _content(lines, line_id) != operation.v.get(line_id)]:
        raise EditConflict(ids=wrong)
    for line_id in operation.gone:
        lines.remove(line_id)
    for line in operation.lines:
        now = lines.get(line.id)
        if now is not None:
            line = replace(line, speaker=now.speaker, checked=now.checked)
        lines.put(replace(line, version=max(line.version, now.version if now else 0) + 1))


def _current(lines: LineList, line_id: str, version: int) -> Line:
    line = lines.get(line_id)
    if line is None or line.version != version:
        raise EditConflict(ids=[line_id])
    return line


def _present(lines: LineList, ids: Iterable[str]) -> list[Line]:
    found = {line_id: lines.get(line_id) for line_id in ids}
    if missing := [line_id for line_id, line in found.items() if line is None]:
        raise EditConflict(ids=missing)
    return [line for line in found.values() if line is not None]


def _content(lines: LineList, line_id: str) -> int | None:
    line = lines.get(line_id)
    return None if line is None else line.content


def _must_be_new(lines: LineList, line_id: str) -> None:
    if lines.get(line_id) is not None or place_of_segment(line_id):
        raise BadEdit("The ID of a new line must be new.", reason="id_taken")


def _next(line: Line, **changes: Any) -> Line:
    return replace(line, version=line.version + 1, content=line.version + 1, **changes)


def _room(lines: LineList, line: Line) -> tuple[float, float]:
    """Return the end of the line before and the start of the line behind, in seconds."""
    before, behind = lines.neighbour(line, -1), lines.neighbour(line, 1)
    return before.end if before else 0.0, behind.start if behind else inf


def _check(lines: LineList, line: Line, old: Line | None) -> None:
    """Raise BadEdit for a line that cannot be stored. Times that nobody touched are not looked at."""
    if len(line.text) > MAX_CHARACTERS:
        raise BadEdit(f"A line has at most {MAX_CHARACTERS} characters.", reason="too_long")
    if old is not None and (old.start, old.end) == (line.start, line.end):
        return
    before, behind = lines.neighbour(line, -1), lines.neighbour(line, 1)
    if not line.start < line.end:
        raise BadEdit("A line must end after it begins.", reason="no_time")
    if (before and before.start > line.start) or (behind and behind.start < line.start):
        raise BadEdit("A line must begin after the line before it and before the line behind it.", reason="order")
