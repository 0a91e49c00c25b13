"""How a text is cut into words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.editing.splitting import joint, key, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, world!", ["Hello,", " world!"]),
        (" It's — “fine” (really).", [" It's", " — “fine”", " (really)."]),
        ("www.example.org has 1,000 pages", ["www.example.org", " has", " 1,000", " pages"]),
        ("那么苹果吗？", ["那", "么", "苹", "果", "吗？"]),
        ("在2024年，iPhone降价10%。", ["在", "2024", "年，", "iPhone", "降", "价", "10%。"]),
        ("怎麼樣?How do I go，OK", ["怎", "麼", "樣?", "How", " do", " I", " go，", "OK"]),
        ("他说“你好”", ["他", "说", "“你", "好”"]),
        ("สวัสดี", ["ส", "วั", "ส", "ดี"]),
        ("…", ["…"]),
        ("", []),
        ("end  ", ["end  "]),
    ],
)
def test_words_end_as_the_script_ends_them(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text())
def test_joined_the_words_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text
    assert all(split_words(text))


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
