"""Widths, sentence ends and scripts without spaces: the facts that recognition and export share."""

from __future__ import annotations

from pathlib import Path

import pytest

from whisper_service.core.text import (
    breakable,
    columns,
    ends_sentence,
    ideographic,
    reason,
    unspaced,
    wide_columns,
    wide_mark,
)

HANGUL = {"syllable": "한", "jamo": "\u1112", "compatibility jamo": "ㅎ", "extended jamo": "\ua960"}


@pytest.mark.parametrize(
    "word",
    [
        "done.",
        "Really?",
        "好。",
        "ٹھیک ہے۔",
        "Լավ։",
        "ठीक है।",
        "ደህና።",
        "そう｡",
        " “Yes.”",
        "（对。）",
        "《好。》",
        "〈好。〉",
        "go.",
        "a?",
    ],
)
def test_a_word_with_one_of_these_marks_ends_a_sentence(word: str) -> None:
    assert ends_sentence(word)


@pytest.mark.parametrize("word", ["", "word", "Mr.", "(e.g.", "J.", "U.S.", "p.m.", "“3.", "well,", "%"])
def test_abbreviations_initials_and_numbers_do_not_end_a_sentence(word: str) -> None:
    assert not ends_sentence(word)


@pytest.mark.parametrize("character", HANGUL.values(), ids=HANGUL.keys())
def test_korean_writes_spaces_between_words_whatever_the_block_of_its_letters(character: str) -> None:
    assert columns(character) == 2
    assert breakable(character)
    assert not ideographic(character)
    assert not unspaced(character)


@pytest.mark.parametrize("character", ["中", "の", "。", "ไ", "ក", "མ", "က"])
def test_scripts_without_spaces_may_break_anywhere(character: str) -> None:
    assert unspaced(character)
    assert breakable(character)


def test_wide_characters_take_two_columns_and_combining_marks_none() -> None:
    assert (columns("ab"), columns("中a"), columns("e\u0301"), columns("か\u3099")) == (2, 3, 1, 2)
    assert (wide_columns("ab"), wide_columns("中a文"), wide_columns("か\u3099")) == (0, 4, 2)


def test_a_wide_mark_brings_its_own_space_and_a_letter_or_combining_mark_does_not() -> None:
    assert [wide_mark(character) for character in "。，」中か\u3099.a"] == [True] * 3 + [False] * 5


def test_an_error_of_the_system_is_told_in_words(tmp_path: Path) -> None:
    missing = tmp_path / "it's here"
    with pytest.raises(OSError, match="No such file") as caught:
        missing.read_bytes()
    assert reason(caught.value) == f"No such file or directory: {missing}"
    assert reason(OSError(28, "No space left on device")) == "No space left on device"
    assert [reason(error) for error in (OSError("broken"), ValueError("odd"))] == ["broken", "odd"]
