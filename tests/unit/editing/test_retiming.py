"""The times of the words of an edited text. The page times words by the same cases."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.editing.retiming import TimedBy, TimedWord, retime, spread
from whisper_service.editing.splitting import split_words

CASES: list[dict[str, Any]] = msgspec.json.decode(Path(__file__).with_name("retime.json").read_bytes())
EARLIEST, LATEST = 0.0, 10.0
TEXTS = st.lists(
    st.sampled_from(["so", "we", "go,", "Home.", "是", "好。", "www.a.org", "—"]), min_size=1, max_size=8
).map(" ".join)


def heard(text: str, start: float = 1.0) -> tuple[TimedWord, ...]:
    """Return the words of a text as a model hears them: each 0.3 s, with a pause of 0.1 s."""
    return tuple(
        TimedWord(start=start + 0.4 * at, end=start + 0.4 * at + 0.3, word=word, probability=0.5)
        for at, word in enumerate(split_words(text))
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_edited_words_have_the_times_of_the_case(case: dict[str, Any]) -> None:
    words = [TimedWord(start=start, end=end, word=word, probability=0.5) for start, end, word in case["words"]]
    found = retime(words, case["text"], EARLIEST, LATEST)
    assert [(word.word, word.by) for word in found] == [(word, by) for _, _, word, by in case["expected"]]
    for word, (start, end, _, by) in zip(found, case["expected"], strict=True):
        assert (word.start, word.end) == pytest.approx((start, end), abs=1e-6)
        assert word.probability == (0.5 if by == TimedBy.MACHINE else 1.0)


@given(TEXTS)
def test_a_text_that_did_not_change_keeps_every_word_to_the_bit(text: str) -> None:
    words = heard(f" {text}")
    assert retime(words, text, EARLIEST, LATEST) == words


@given(TEXTS, TEXTS)
def test_the_words_are_the_new_text_and_their_times_ascend(old: str, new: str) -> None:
    words = retime(heard(old), new, EARLIEST, LATEST)
    assert "".join(word.word for word in words) == new
    assert all(word.start <= word.end for word in words)
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(words))


@given(TEXTS, TEXTS, TEXTS)
def test_words_before_and_behind_the_edit_keep_their_times_to_the_bit(head: str, old: str, new: str) -> None:
    words = heard(f"{head} one {old} two")
    found = retime(words, f"{head} one {new} two", EARLIEST, LATEST)
    before = len(split_words(f"{head} one")) - 1  # "one" itself may give time to what is inserted behind it
    assert found[:before] == words[:before]
    assert (found[-1].start, found[-1].end, found[-1].probability) == (words[-1].start, words[-1].end, 0.5)


def test_a_new_text_is_spread_over_its_time_by_characters() -> None:
    words = spread("we come 好", 10.0, 17.0)
    assert [(word.start, word.end, word.word) for word in words] == [
        (10.0, 12.0, "we"), (12.0, 16.0, " come"), (16.0, 17.0, " 好"),
    ]  # fmt: skip
