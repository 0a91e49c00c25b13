"""Where the words of marks are in a transcript as files have it."""

from __future__ import annotations

from msgspec.structs import replace

from whisper_service.core.domain import Segment, Transcript, Word
from whisper_service.editing.lines import line_of
from whisper_service.editing.marks import Anchor, Mark, MarkKind
from whisper_service.export.notes import TextPlace
from whisper_service.export.remarks import remarks_of

SEGMENTS = [
    Segment(
        0, 0, 1.0, 3.0, "yes I do", (Word(1.0, 1.2, " yes", 0.9), Word(1.5, 1.6, " I", 0.9), Word(2.0, 3.0, " do", 0.9))
    ),
    Segment(0, 1, 4.0, 5.0, "Good."),
]
LINES = [line_of(segment) for segment in SEGMENTS]
CUT = (
    replace(SEGMENTS[0], text="yes", words=SEGMENTS[0].words[:1], speaker="Anna"),
    replace(SEGMENTS[0], text="I do", words=SEGMENTS[0].words[1:], speaker="Bo"),
    replace(SEGMENTS[1], speaker="Anna"),
)
TALK = Transcript("a", 10.0, "en", "base", CUT)


def mark(kind: MarkKind, first: tuple[str, int], last: tuple[str, int], **fields: object) -> Mark:
    return Mark("m", kind, Anchor(*first), Anchor(*last), **fields)  # type: ignore[arg-type]


def test_a_mark_has_its_words_their_time_and_speaker() -> None:
    note = mark(MarkKind.NOTE, ("c0.0", 4), ("c0.1", 4), text="Hm.", colour=2, author="Li", at=7.0)
    (remark,) = remarks_of(TALK, LINES, [note])
    assert (remark.words, remark.start, remark.speaker) == ("I do Good", 1.5, "Bo")
    assert (remark.first, remark.last) == (TextPlace((0, 0), 3), TextPlace((0, 1), 4))
    assert (remark.text, remark.colour, remark.author, remark.at) == ("Hm.", 2, "Li", 7.0)


def test_places_are_the_same_without_a_cut() -> None:
    whole = Transcript("a", 10.0, "en", "base", tuple(SEGMENTS))
    (remark,) = remarks_of(whole, LINES, [mark(MarkKind.HIGHLIGHT, ("c0.0", 4), ("c0.0", 8))])
    assert (remark.first, remark.last, remark.speaker) == (TextPlace((0, 0), 4), TextPlace((0, 0), 8), "")


def test_bookmarks_and_deleted_words_are_on_their_whole_line() -> None:
    bookmark = mark(MarkKind.BOOKMARK, ("c0.1", 0), ("c0.1", 0))
    lost = replace(mark(MarkKind.HIGHLIGHT, ("c0.0", 3), ("c0.0", 3)), lost="indeed")
    first, second = remarks_of(TALK, LINES, [bookmark, lost])
    assert (first.words, first.lost, first.start) == ("indeed", True, 1.5)
    assert (first.first, first.last) == (TextPlace((0, 0), 0), TextPlace((0, 0), 7))
    assert (second.words, second.start, second.speaker) == ("Good.", 4.0, "Anna")
    assert second.last == TextPlace((0, 1), 5)


def test_a_mark_whose_line_is_gone_keeps_its_words() -> None:
    (remark,) = remarks_of(TALK, LINES, [mark(MarkKind.NOTE, ("gone", 0), ("gone", 3), lost="Who")])
    assert (remark.words, remark.first, remark.start) == ("Who", None, 0.0)
