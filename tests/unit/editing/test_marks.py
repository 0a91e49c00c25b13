"""Marks hold on to their words, whatever people do with the lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from testkit.strategies import shares
from whisper_service.core.domain import Segment, Word
from whisper_service.core.errors import BadEdit, EditConflict
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList, line_of
from whisper_service.editing.marking import MarkChanges, mark_changes, texts
from whisper_service.editing.marks import Anchor, Mark, MarkKind, follow, words_of
from whisper_service.editing.operations import (
    ChangeMark,
    ChangeText,
    DeleteLine,
    InsertLine,
    MakeMark,
    MergeLines,
    Operation,
    Place,
    PutMarks,
    RemoveMarks,
    SplitLine,
)
from whisper_service.editing.rollback import rollback
from whisper_service.editing.splitting import split_words

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "ui" / "marks.json").read_text())
SAID = ["Good day to you all.", "那么苹果呢？", "We go home now.", "Yes.", "It rains today."]


def line(number: int, text: str) -> Line:
    words = tuple(
        Word(start=10.0 * number + at, end=10.0 * number + at + 0.8, word=word, probability=0.5)
        for at, word in enumerate(split_words(f" {text}"))
    )
    return line_of(Segment(number // 3, number % 3, words[0].start, words[-1].end, text, words))


def transcript() -> list[Line]:
    return [line(number, text) for number, text in enumerate(SAID)]


class Book:
    """A transcript with marks and its log, as the store keeps them."""

    def __init__(self, *marks: Mark) -> None:
        self.lines = transcript()
        self.marks = {mark.id: mark for mark in marks}
        self.log: list[tuple[Operation, ...]] = []  # the inverses

    def do(self, *operations: Operation) -> MarkChanges:
        after = LineList(self.lines)
        outcome = apply(after, operations)
        changes = mark_changes(
            self.marks.values(), operations, texts(self.lines), texts(after), author="Li", now=1.5
        )  # fmt: skip
        self.lines = list(after)
        self.marks |= {mark.id: mark for mark in changes.marks}
        for mark_id in changes.gone:
            del self.marks[mark_id]
        self.log.append((*outcome.inverse, *changes.inverse))
        return changes

    def undo(self) -> None:
        if inverse := self.log.pop():
            self.do(*inverse)
            self.log.pop()

    def restore(self) -> None:
        """Lead the text back to what the model wrote."""
        if back := rollback(LineList(self.lines), reversed(self.log), list(self.marks.values())):
            self.do(*back)

    def words(self, mark_id: str = "m") -> str:
        return words_of(self.marks[mark_id], texts(self.lines))


def mark(first: tuple[str, int], last: tuple[str, int], kind: MarkKind = MarkKind.HIGHLIGHT, **fields: Any) -> Mark:
    return Mark("m", kind, Anchor(*first), Anchor(*last), **fields)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_marks_follow_their_words_as_they_do_on_the_page(case: dict[str, Any]) -> None:
    kind = MarkKind.BOOKMARK if case.get("bookmark") else MarkKind.HIGHLIGHT
    was = mark(tuple(case["first"]), tuple(case["last"]), kind)
    before, after = ([(line_id, text) for line_id, text in case[name]] for name in ("before", "after"))
    now = next((now for _, now in follow([was], before, after)), was)
    assert [now.first.line, now.first.at] == case["is_first"]
    assert [now.last.line, now.last.at] == case["is_last"]
    assert now.lost == case["lost"]


def test_the_words_of_a_mark_are_joined_as_their_script_wants() -> None:
    lines = texts(transcript())
    assert words_of(mark(("c0.0", 12), ("c0.2", 2)), lines) == "you all. 那么苹果呢？ We"
    assert words_of(mark(("c0.1", 2), ("c0.1", 4)), lines) == "苹果"
    assert words_of(mark(("c0.2", 3), ("c0.2", 3), MarkKind.BOOKMARK), lines) == "We go home now."
    assert words_of(mark(("gone", 0), ("c0.1", 4)), lines) == ""


def test_a_mark_is_made_changed_and_removed_and_each_is_undone() -> None:
    book = Book()
    made = book.do(MakeMark(id="m", kind=MarkKind.NOTE, first=Place("c0.0", 5), last=Place("c0.2", 2), text="Who?"))
    assert made.marks == (mark(("c0.0", 5), ("c0.2", 2), MarkKind.NOTE, text="Who?", author="Li", at=1.5),)
    changed = book.do(ChangeMark(id="m", colour=4))
    assert (changed.marks[0].colour, changed.marks[0].text) == (4, "Who?")
    assert book.do(ChangeMark(id="m", text="Whom?")).marks[0].colour == 4
    before = dict(book.marks)
    assert book.do(RemoveMarks(ids=("m", "never"))).gone == ("m",)
    book.undo()
    assert book.marks == before
    book.undo()
    book.undo()
    assert list(book.marks.values()) == list(made.marks)
    book.undo()
    assert book.marks == {}


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (MakeMark(id="m", kind=MarkKind.HIGHLIGHT, first=Place("c0.0", 0), last=Place("c0.0", 4)), "id_taken"),
        (MakeMark(id="n", kind=MarkKind.HIGHLIGHT, first=Place("c0.2", 2), last=Place("c0.0", 4)), "empty"),
        (MakeMark(id="n", kind=MarkKind.NOTE, first=Place("c1.0", 90), last=Place("c1.0", 99)), "empty"),
        (ChangeMark(id="n", colour=2), "no_mark"),
    ],
)
def test_a_mark_that_cannot_be_is_refused(operation: Operation, reason: str) -> None:
    with pytest.raises(BadEdit) as caught:
        Book(mark(("c0.0", 0), ("c0.0", 4))).do(operation)
    assert caught.value.params["reason"] == reason


def test_a_mark_of_a_line_that_is_gone_is_told_which_line() -> None:
    with pytest.raises(EditConflict) as caught:
        Book().do(MakeMark(id="n", kind=MarkKind.NOTE, first=Place("c0.0", 0), last=Place("gone", 4)))
    assert caught.value.params["ids"] == ["gone"]


def test_an_undo_keeps_what_somebody_else_changed_of_the_mark_since() -> None:
    book = Book(mark(("c0.0", 5), ("c0.0", 8), MarkKind.NOTE, text="one"))
    deleted = book.do(ChangeText(id="c0.0", v=0, text="Good to you all."))
    assert (book.words(), book.marks["m"].lost) == ("", "day")
    inverse = book.log[-1]
    book.do(ChangeMark(id="m", text="two", colour=3))
    book.do(*inverse)
    assert deleted.marks[0].lost == "day"
    assert book.marks["m"] == mark(("c0.0", 5), ("c0.0", 8), MarkKind.NOTE, text="two", colour=3)


def test_a_mark_that_somebody_wrote_into_survives_the_undo_of_its_making() -> None:
    book = Book()
    book.do(MakeMark(id="m", kind=MarkKind.NOTE, first=Place("c0.0", 0), last=Place("c0.0", 4)))
    inverse = book.log[-1]
    book.do(ChangeMark(id="m", text="mine"))
    book.do(*inverse)
    assert book.marks["m"].text == "mine"


def test_a_restore_brings_marks_back_to_their_words_and_removes_none() -> None:
    book = Book(mark(("c0.2", 3), ("c0.2", 10)))
    book.do(ChangeText(id="c0.2", v=0, text="We now."))
    book.do(MergeLines(ids=("c0.0", "c0.1"), v=(0, 0)))
    book.do(MakeMark(id="n", kind=MarkKind.BOOKMARK, first=Place("c1.0", 0), last=Place("c1.0", 0)))
    assert book.marks["m"].lost == "go home"
    book.restore()
    assert [line.text for line in book.lines] == SAID
    assert book.words() == "go home"
    assert book.marks["m"].lost == ""
    assert set(book.marks) == {"m", "n"}


@st.composite
def edits(draw: st.DrawFn, lines: Sequence[Line], number: int, spared: tuple[str, str] = ("", "")) -> list[Operation]:
    """Draw an act of a person that leaves a stretch of `spared` words as it is, if there is one."""
    at = draw(st.integers(0, len(lines) - 1))
    one, words = lines[at], split_words(lines[at].text)
    kind = draw(st.sampled_from(["write", "write", "split", "join", "delete", "insert"]))
    if kind == "split" and len(words) > 1:
        cut = len("".join(words[: draw(st.integers(1, len(words) - 1))]))
        return [SplitLine(id=one.id, v=one.version, at=cut, new=f"n{number}")]
    if kind == "join" and at + 1 < len(lines):
        other = lines[at + 1]
        return [MergeLines(ids=(one.id, other.id), v=(one.version, other.version))]
    if kind == "insert":
        text = draw(st.sampled_from(["And so on.", "好的"]))
        return [InsertLine(after=one.id, new=f"n{number}", start=one.end, end=one.end + 0.01, text=text)]
    if kind == "delete" and len(lines) > 1 and not any(word.strip() in spared for word in words):
        return [DeleteLine(id=one.id, v=one.version)]
    free = [index for index, word in enumerate(words) if word.strip() not in spared]
    if not free:
        return [ChangeText(id=one.id, v=one.version, text=one.text)]
    index = draw(st.sampled_from(free))
    words[index] = draw(st.sampled_from(["", " well", f"{words[index]} then", " x y z"]))
    return [ChangeText(id=one.id, v=one.version, text="".join(words))]


def attempt(book: Book, operations: Sequence[Operation]) -> bool:
    try:
        book.do(*operations)
    except BadEdit:
        return False
    return True


@given(st.data())
def test_marked_words_that_nobody_touches_stay_marked(data: st.DataObject) -> None:
    book = Book(mark(("c0.2", 3), ("c0.2", 10)))  # go home
    for number in range(data.draw(st.integers(1, 8))):
        attempt(book, data.draw(edits(book.lines, number, ("go", "home"))))
        said = book.words()
        assert said.startswith("go")
        assert said.endswith("home")
        assert book.marks["m"].lost == ""


@given(st.data())
def test_undo_and_restore_bring_every_mark_back(data: st.DataObject) -> None:
    marks = (
        mark(("c0.0", 5), ("c0.0", 8)),
        replace(mark(("c0.1", 2), ("c1.1", 2)), id="over"),
        replace(mark(("c1.0", 0), ("c1.0", 0), MarkKind.BOOKMARK), id="line"),
    )
    book = Book(*marks)
    drawn = (data.draw(edits(book.lines, number)) for number in range(data.draw(st.integers(1, 8))) if book.lines)
    done = sum(attempt(book, operations) for operations in drawn)
    for now in book.marks.values() if book.lines else ():  # without a line there is no place
        ids = [line.id for line in book.lines]
        assert now.first.line in ids
        assert (ids.index(now.first.line), now.first.at) <= (ids.index(now.last.line), now.last.at)
    again = Book(*marks)
    again.lines, again.marks, again.log = list(book.lines), dict(book.marks), list(book.log)
    again.restore()
    assert again.marks == {one.id: one for one in marks}
    for _ in range(done):
        book.undo()
    assert book.marks == {one.id: one for one in marks}


def test_the_drawn_edits_move_and_lose_marks() -> None:
    def labels(data: list[Operation]) -> list[str]:
        book = Book(mark(("c0.0", 5), ("c0.0", 8)))
        if not attempt(book, data):
            return []
        now = book.marks["m"]
        return ["lost"] if now.lost else ["moved"] if now.first != Anchor("c0.0", 5) else []

    found = shares(edits(transcript(), 0), labels)
    assert found["moved"] > 0.01
    assert found["lost"] > 0.005


def test_nothing_changes_without_marks_or_operations_on_them() -> None:
    assert mark_changes([], [DeleteLine(id="c0.0", v=0)], texts(transcript()), texts(transcript()[1:])) == MarkChanges()


def test_too_many_marks_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisper_service.editing.marking.MAX_MARKS", 1)
    book = Book(mark(("c0.0", 0), ("c0.0", 4)))
    with pytest.raises(BadEdit) as caught:
        book.do(MakeMark(id="n", kind=MarkKind.NOTE, first=Place("c0.0", 0), last=Place("c0.0", 4)))
    assert caught.value.params["reason"] == "too_many_marks"
    book.do(PutMarks(then=(replace(book.marks["m"], colour=2),), now=(book.marks["m"],)))
    assert book.marks["m"].colour == 2
