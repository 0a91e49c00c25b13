"""A replacement in a transcript, without a database: what is found, and that its undo brings every line back."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from whisper_service.app.replace import Replacement, _operations
from whisper_service.core.domain import Segment, Word
from whisper_service.editing.applying import apply
from whisper_service.editing.lines import Line, LineList, line_of
from whisper_service.editing.matching import Phrase, excerpt
from whisper_service.editing.operations import ChangeText
from whisper_service.storage.transcript_edits import LineText

WORDS = st.sampled_from(["pound", "Pound,", "the", "key.", "苹果", "蘋果。", "it’s", "ＡＢＣ"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=5)
PHRASES = st.sampled_from(["pound", "POUND", "the key", "苹果", "it's", "abc", "key. the"])


def lines_of(texts: list[str]) -> list[Line]:
    """Lines of one second, with words of equal length."""
    lines = []
    for at, text in enumerate(texts):
        parts = text.split(" ")
        step = 0.9 / len(parts)
        words = [Word(at + n * step, at + (n + 1) * step, f" {part}", 0.5) for n, part in enumerate(parts)]
        lines.append(line_of(Segment(0, at, float(at), at + 0.9, text, tuple(words))))
    return lines


def asked(texts: list[str], replacement: Replacement) -> tuple[int, tuple[ChangeText, ...]]:
    shown = [LineText(line.id, line.version, line.start, line.text) for line in lines_of(texts)]
    return _operations(shown, replacement)


@given(TEXTS, PHRASES, st.sampled_from(["hash", "", "香蕉", "a longer name"]), st.booleans(), st.booleans())
def test_the_undo_of_a_replacement_brings_every_line_back(
    texts: list[str], phrase: str, by: str, scripts: bool, whole: bool
) -> None:
    count, operations = asked(texts, Replacement(Phrase(phrase, whole=whole), by, scripts))
    assume(operations)
    before = lines_of(texts)
    lines = LineList(before)
    outcome = apply(lines, operations)
    assert count >= len(operations)
    apply(lines, outcome.inverse)
    after = list(lines)
    assert [(line.id, line.text, line.words, line.start, line.end) for line in after] == [
        (line.id, line.text, line.words, line.start, line.end) for line in before
    ]
    assert [line.content for line in after] == [line.content for line in before]


@given(TEXTS, PHRASES)
def test_nothing_is_left_to_find_behind_a_replacement(texts: list[str], phrase: str) -> None:
    _, operations = asked(texts, Replacement(Phrase(phrase), "#", scripts=True))
    lines = LineList(lines_of(texts))
    if operations:
        apply(lines, operations)
    left = [line.text for line in lines]
    assert asked(left, Replacement(Phrase(phrase), "#", scripts=True)) == (0, ())


def test_an_excerpt_shows_the_finds_and_what_is_near() -> None:
    assert excerpt("The pound key", [(4, 9)]) == ["The ", "pound", " key"]
    assert excerpt("pound pound", [(0, 5), (6, 11)]) == ["", "pound", " ", "pound", ""]
    parts = excerpt("x" * 100 + " pound " + "y" * 100, [(101, 106)], around=10)
    assert parts == ["…" + "x" * 9 + " ", "pound", " " + "y" * 9 + "…"]
