"""What repeats itself, in any script, and what was said twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.actors.speech.scripted_engine import SECOND
from whisper_service.actors.speech.repetition import (
    LOOP_RATIO,
    SQUEEZED_SHARE,
    compression_ratio,
    overlap,
    repeats_itself,
    repetition,
    stutters,
)
from whisper_service.core.domain import Word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Captain David Brown, captain David Brown.", True),
        ("随便搜一手 苍浪之歌 随便搜一手 苍浪之歌", True),
        ("no no", False),  # shorter than what counts as a phrase
        ("one two three four five six", False),
        ("", False),
        ("la " * 80, True),
    ],
)
def test_repetition(text: str, expected: bool) -> None:
    assert repeats_itself(text) is expected


def test_compression_ratio_is_whispers() -> None:
    assert compression_ratio("") == 0.0
    assert compression_ratio("a" * 100) > 5
    assert compression_ratio("The quick brown fox jumps over the lazy dog.") < 1
    assert compression_ratio("la " * 80) > LOOP_RATIO


@pytest.mark.parametrize("text", ["今天天气很好我们一起去公园散步吧", "สวัสดีครับ วันนี้อากาศดีมาก", "مرحبا كيف حالك اليوم"])
def test_repetition_does_not_take_the_bytes_of_a_script_for_a_loop(text: str) -> None:
    assert repetition(text) < compression_ratio(text)
    assert repetition(text) < 1
    assert repetition(text * 10) > LOOP_RATIO


@given(st.text("ab cd", max_size=80))
def test_repetition_is_the_same_in_every_script(text: str) -> None:
    assert repetition(text.translate(str.maketrans("ab cd", "今天，好吗"))) == repetition(text)
    assert repetition("") == 0.0


def test_words_squeezed_before_a_seam_are_dropped_for_those_behind_it() -> None:
    squeezed = [Word(n / 10, (n + 1) / 10, text, 0.9) for n, text in enumerate((" Four", " five", " six."))]
    true = [Word(a, b, text, 0.9) for a, b, text in SECOND]
    assert overlap(squeezed, true) == 3
    assert overlap(true, true) == 0
    assert overlap(squeezed[:1], true[1:]) == 0
    assert overlap([], true) == overlap(true, []) == overlap([], []) == 0


@pytest.mark.parametrize("share", [SQUEEZED_SHARE - 0.05, SQUEEZED_SHARE + 0.05])
def test_what_takes_its_time_was_really_said_twice(share: float) -> None:
    before = [Word(2.0, 3.0, " Other", 0.9), Word(3.0, 3.0 + share, " Word,", 0.9)]
    assert overlap(before, [Word(4.0, 5.0, " word.", 0.9)]) == (1 if share < SQUEEZED_SHARE else 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Good time, good time, good time, good time.", True),
        ("Po-o-o-o-o-o-o-o-o", True),
        ("你好你好你好你好", True),
        ("So: la la la la la la la", True),
        ("Come here, come here.", False),
        ("no no no", True),
        ("No, no.", False),
        ("We shall fight on the beaches, we shall fight on the landing grounds, we shall fight in the fields.", False),
        ("", False),
    ],
)
def test_a_short_loop_stutters(text: str, expected: bool) -> None:
    assert stutters(text) is expected
