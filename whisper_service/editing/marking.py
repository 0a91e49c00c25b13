"""What an edit does to the marks: those that follow their words, and the operations on marks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from whisper_service.core.domain import Value
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.editing.lines import Line
from whisper_service.editing.marks import Anchor, Mark, MarkKind, Text, follow
from whisper_service.editing.operations import (
    ChangeMark,
    MakeMark,
    Operation,
    Place,
    PutMarks,
    RemoveMarks,
)

MAX_MARKS: Final = 5_000
"""Marks of a transcript. All of them are read with every edit of it: 5,000 take some 20 ms."""


class MarkChanges(Value, frozen=True):
    """The marks that an edit changed. `inverse` undoes that."""

    marks: tuple[Mark, ...] = ()  # as they are now
    gone: tuple[str, ...] = ()  # IDs
    inverse: tuple[Operation, ...] = ()


def texts(lines: Iterable[Line]) -> list[Text]:
    """Return what marks know of lines."""
    return [(line.id, line.text) for line in lines]


def mark_changes(
    marks: Iterable[Mark],
    operations: Sequence[Operation],
    before: Sequence[Text],
    after: Sequence[Text],
    *,
    author: str = "",
    now: float = 0.0,
) -> MarkChanges:
    """Return what an edit does to the marks of a job. `before` and `after` are the lines as `follow` takes them.

    `now` is the time in Unix seconds. Raises EditConflict for a line that is not there, and BadEdit.
    """
    old = {mark.id: mark for mark in marks}
    moved = {was.id: is_now for was, is_now in follow(old.values(), before, after)} if before != after else {}
    new = old | moved
    lines = dict(after)
    order = {line_id: number for number, line_id in enumerate(lines)}
    for operation in operations:
        match operation:
            case MakeMark():
                new[operation.id] = _made(operation, new, lines, order, author, now)
            case ChangeMark():
                new[operation.id] = _changed(operation, new)
            case RemoveMarks():
                for mark_id in operation.ids:
                    new.pop(mark_id, None)
            case PutMarks():
                _put(operation, old, new, lines)
            case _:
                pass
    if len(new) > max(MAX_MARKS, len(old)):
        raise BadEdit(f"A transcript has at most {MAX_MARKS} marks.", reason="too_many_marks")
    changed = tuple(mark for mark in new.values() if old.get(mark.id) != mark)
    gone = tuple(mark_id for mark_id in old if mark_id not in new)
    return MarkChanges(changed, gone, tuple(_way_back(old, new, before, after)))


def _way_back(
    old: dict[str, Mark], new: dict[str, Mark], before: Sequence[Text], after: Sequence[Text]
) -> Iterator[PutMarks]:
    """Yield the operation that leads back to the `old` marks, for those that do not go back with their words."""
    back = new | {was.id: is_then for was, is_then in follow(new.values(), after, before)} if before != after else new
    differ = [mark_id for mark_id in {**old, **new} if old.get(mark_id) != back.get(mark_id)]
    if differ:
        then = tuple(old[mark_id] for mark_id in differ if mark_id in old)
        yield PutMarks(then=then, now=tuple(new[mark_id] for mark_id in differ if mark_id in new))


def places_before(
    marks: dict[str, Mark], operations: Sequence[Operation], was: Sequence[Text], now: Sequence[Text]
) -> dict[str, Mark]:
    """Return marks by ID where they were before an edit. `operations` are its inverse, which leads from `was` to `now`.

    No mark is made or removed, and each keeps its colour and its text.
    """
    found = {mark.id: mark for mark in mark_changes(marks.values(), operations, was, now).marks}
    return {
        mark_id: replace(mark, first=there.first, last=there.last, lost=there.lost)
        for mark_id, mark in marks.items()
        if (there := found.get(mark_id, mark))
    }


def _made(
    operation: MakeMark, marks: dict[str, Mark], lines: dict[str, str], order: dict[str, int], author: str, now: float
) -> Mark:
    if operation.id in marks:
        raise BadEdit("The ID of a new mark must be new.", reason="id_taken")
    if missing := [place.line for place in (operation.first, operation.last) if place.line not in lines]:
        raise EditConflict(ids=missing)
    first, last = _anchor(operation.first, lines), _anchor(operation.last, lines)
    if operation.kind is MarkKind.BOOKMARK:
        last = first
    elif (order[first.line], first.at) >= (order[last.line], last.at):
        raise BadEdit("A highlight and a note need some words.", reason="empty")
    return Mark(operation.id, operation.kind, first, last, operation.colour, operation.text, "", author, now)


def _anchor(place: Place, lines: dict[str, str]) -> Anchor:
    return Anchor(place.line, min(place.at, len(lines[place.line])))


def _changed(operation: ChangeMark, marks: dict[str, Mark]) -> Mark:
    if (mark := marks.get(operation.id)) is None:
        raise BadEdit("This mark is not there any more.", reason="no_mark")
    colour = mark.colour if operation.colour is None else operation.colour
    return replace(mark, colour=colour, text=mark.text if operation.text is None else operation.text)


def _put(operation: PutMarks, old: dict[str, Mark], new: dict[str, Mark], lines: dict[str, str]) -> None:
    """Lead marks back. What somebody else changed of them since stays."""
    then, now = {mark.id: mark for mark in operation.then}, {mark.id: mark for mark in operation.now}
    for mark_id, mark in then.items():
        if mark_id in now and mark_id in old and mark_id in new:
            new[mark_id] = _led_back(mark, now[mark_id], old[mark_id], new[mark_id], lines)
        elif mark_id not in now and mark_id not in new:
            new[mark_id] = mark
    for mark_id, mark in now.items():
        if mark_id not in then and (is_now := new.get(mark_id)) and _said(is_now) == _said(mark):
            del new[mark_id]


def _led_back(then: Mark, left: Mark, was: Mark, mark: Mark, lines: dict[str, str]) -> Mark:
    """Return a mark with what `then` has of the things in which `was` is still as the edit `left` it."""
    first = then.first if was.first == left.first and then.first.line in lines else mark.first
    last = then.last if was.last == left.last and then.last.line in lines else mark.last
    lost = then.lost if was.lost == left.lost else mark.lost
    said = _said(then) if _said(was) == _said(left) else _said(mark)
    return replace(mark, first=first, last=last, lost=lost, colour=said[0], text=said[1])


def _said(mark: Mark) -> tuple[int, str]:
    return mark.colour, mark.text
