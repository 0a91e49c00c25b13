"""How a text is cut into words. The page cuts by the same cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.editing.splitting import joint, key, split_words

CASES: list[dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("split.json").read_bytes())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["text"])
def test_words_end_as_the_script_ends_them(case: dict[str, Any]) -> None:
    assert split_words(case["text"]) == case["words"]


@given(st.text())
def test_joined_the_words_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text
    assert all(split_words(text))


@given(st.text(st.characters(max_codepoint=127)))
def test_letters_that_any_text_may_have_do_not_change_how_ascii_is_cut(text: str) -> None:
    assert split_words(f"{text} é")[:-1] == split_words(f"{text} e")[:-1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (" Hello,", "hello", True),
        ("Ｈｅｌｌｏ", "hello", True),
        ("“Hash”", " hash.", True),
        ("hash", "hashes", False),
        ("…", "—", False),
    ],
)
def test_a_word_is_the_same_without_case_width_and_marks(one: str, other: str, *, same: bool) -> None:
    assert (key(one) == key(other)) is same


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [("one.", "Two", " "), ("你好。", "再见", ""), ("你好", "OK", " "), ("OK", "你好", " "), ("「好」", "（是）", "")],
)
def test_two_lines_become_one_with_a_space_unless_the_script_has_none(before: str, after: str, between: str) -> None:
    assert joint(before, after) == between
