"""Speech that did not become words is found, wherever it is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actor.coverage import LOST_S, Hole, Interval, Listen, fit
from whisper_service.domain import Word


def hears(*speech: Interval) -> Listen:
    def listen(begin: float, end: float) -> Sequence[Interval]:
        return [(max(a, begin), min(b, end)) for a, b in speech if a < end and b > begin]

    return listen


def word(start: float, end: float, text: str = " word") -> Word:
    return Word(start, end, text, 0.9)


def row(begin: float, count: int) -> list[Word]:
    return [word(begin + n * 0.4, begin + (n + 1) * 0.4) for n in range(count)]


def test_words_that_cover_the_speech_stay_as_they_are() -> None:
    words = row(0.5, 5)
    assert fit(words, 4.0, hears((0.5, 2.5))) == (words, None)


def test_a_sentence_lost_at_the_end_is_a_hole() -> None:
    words = row(0.5, 5)
    assert fit(words, 8.0, hears((0.5, 2.5), (4.0, 6.0))) == (words, Hole(4.0, 8.0))


def test_a_sentence_lost_between_words_is_a_hole() -> None:
    words = [*row(0.5, 5), *row(6.0, 3)]
    kept, hole = fit(words, 8.0, hears((0.5, 2.5), (3.5, 5.0), (6.0, 7.2)))
    assert (kept, hole) == (words[:5], Hole(3.5, 6.0))


def test_a_sentence_swallowed_by_a_stretched_word_is_a_hole_and_the_word_is_heard_again() -> None:
    words = [*row(0.5, 5), word(2.5, 6.4), *row(6.4, 2)]
    kept, hole = fit(words, 8.0, hears((0.5, 2.5), (3.0, 7.2)))
    assert (kept, hole) == (words[:5], Hole(3.0, 6.4))


def test_a_sentence_lost_at_the_beginning_is_a_hole() -> None:
    kept, hole = fit([word(0.0, 4.4), *row(4.4, 3)], 6.0, hears((0.2, 2.0), (4.0, 5.6)))
    assert (kept, hole) == ([], Hole(0.2, 4.4))


def test_a_word_that_was_stretched_over_a_pause_is_pulled_back_to_its_speech() -> None:
    (first, second), hole = fit([*row(0.5, 1), word(0.9, 3.4)], 4.0, hears((0.5, 0.9), (3.0, 3.4)))
    assert hole is None
    assert (second.start, second.end) == (3.0, 3.4)
    assert first.end <= second.start


def test_a_breath_that_the_detector_takes_for_speech_is_no_hole() -> None:
    words = row(0.5, 3)
    assert fit(words, 4.0, hears((0.5, 1.7), (2.5, 2.5 + LOST_S / 2)))[1] is None


@pytest.mark.parametrize("listen", [hears(), hears((0.0, 5.0))])
def test_no_words(listen: Listen) -> None:
    kept, hole = fit([], 5.0, listen)
    assert kept == []
    assert hole == (Hole(0.0, 5.0) if listen(0, 5) else None)


times = st.lists(st.floats(0.02, 3.0), max_size=12)


@given(times, times)
def test_fitted_words_are_a_prefix_in_order_and_end_before_the_hole(lengths: list[float], stretches: list[float]) -> None:
    words, at = [], 0.0
    for length in lengths:
        words.append(word(at, at + length))
        at += length
    speech, begin = [], 0.0
    for n, stretch in enumerate(stretches):
        if n % 2 == 0:
            speech.append((begin, begin + stretch))
        begin += stretch
    kept, hole = fit(words, at + 1.0, hears(*speech))
    assert [w.word for w in kept] == [w.word for w in words[: len(kept)]]
    assert all(w.start <= w.end for w in kept)
    assert all(given.start <= w.start and w.end <= max(given.end, w.start + 0.1) for w, given in zip(kept, words, strict=False))
    if hole is None:
        assert len(kept) == len(words)
    else:
        assert hole.begin <= hole.end
