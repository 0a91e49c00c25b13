"""Speech without words is found before, between, behind and inside words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.speech.coverage import (
    LOST_S,
    STRETCHED_S,
    TAIL_S,
    Interval,
    SpeechBetween,
    UncoveredSpeech,
    fit,
)
from whisper_service.actors.speech.words import spoken_s
from whisper_service.core.domain import Word


def speech_at(*speech: Interval) -> SpeechBetween:
    def speech_between(begin: float, end: float) -> Sequence[Interval]:
        return [(max(a, begin), min(b, end)) for a, b in speech if a < end and b > begin]

    return speech_between


def word(start: float, end: float, text: str = " word") -> Word:
    return Word(start, end, text, 0.9)


def row(begin: float, count: int) -> list[Word]:
    return [word(begin + n * 0.4, begin + (n + 1) * 0.4) for n in range(count)]


def test_words_that_cover_the_speech_stay_as_they_are() -> None:
    words = row(0.5, 5)
    assert fit(words, 4.0, speech_at((0.5, 2.5))) == (words, None)


def test_a_sentence_lost_at_the_end_is_uncovered() -> None:
    words = row(0.5, 5)
    assert fit(words, 8.0, speech_at((0.5, 2.5), (4.0, 6.0))) == (words, UncoveredSpeech(4.0, 8.0))


def test_a_sentence_lost_between_words_is_uncovered() -> None:
    words = [*row(0.5, 5), *row(6.0, 3)]
    kept, uncovered = fit(words, 8.0, speech_at((0.5, 2.5), (3.5, 5.0), (6.0, 7.2)))
    assert (kept, uncovered) == (words[:5], UncoveredSpeech(3.5, 6.0))


def test_a_sentence_inside_a_stretched_word_is_uncovered_and_the_word_is_recognised_again() -> None:
    words = [*row(0.5, 5), word(2.5, 6.4), *row(6.4, 2)]
    kept, uncovered = fit(words, 8.0, speech_at((0.5, 2.5), (3.0, 7.2)))
    assert (kept, uncovered) == (words[:5], UncoveredSpeech(3.0, 6.4))


def test_a_sentence_lost_at_the_beginning_is_uncovered() -> None:
    kept, uncovered = fit([word(0.0, 4.4), *row(4.4, 3)], 6.0, speech_at((0.2, 2.0), (4.0, 5.6)))
    assert (kept, uncovered) == ([], UncoveredSpeech(0.2, 4.4))


def test_a_word_that_was_stretched_over_a_pause_is_pulled_back_to_its_speech() -> None:
    (first, second), uncovered = fit([*row(0.5, 1), word(0.9, 3.4)], 4.0, speech_at((0.5, 0.9), (3.0, 3.4)))
    assert uncovered is None
    assert (second.start, second.end) == (3.0, 3.4)
    assert first.end <= second.start


def test_a_breath_that_the_detector_takes_for_speech_is_ignored() -> None:
    words = row(0.5, 3)
    assert fit(words, 4.0, speech_at((0.5, 1.7), (2.5, 2.5 + LOST_S / 2)))[1] is None


def test_the_first_word_begins_where_the_speech_does_not_at_zero() -> None:
    (first, *_), uncovered = fit([word(0.0, 1.2), *row(1.2, 3)], 2.4, speech_at((0.8, 2.4)))
    assert uncovered is None
    assert (first.start, first.end) == (0.8, 1.2)


def test_the_end_of_the_word_before_is_not_the_speech_of_a_stretched_word() -> None:
    tail = (0.5, 0.9 + TAIL_S / 2)
    kept, uncovered = fit([*row(0.5, 1), word(0.9, 3.4)], 4.0, speech_at(tail, (3.0, 3.4)))
    assert uncovered is None
    assert (kept[1].start, kept[1].end) == (3.0, 3.4)


def test_a_word_that_was_stretched_over_what_follows_ends_with_its_own_speech() -> None:
    words = [*row(0.5, 1), word(0.9, 3.4), *row(3.4, 1)]
    kept, uncovered = fit(words, 4.0, speech_at((0.5, 1.5), (3.2, 3.8)))
    assert uncovered is None
    assert (kept[1].start, kept[1].end) == (0.9, 1.5)


def test_a_stretched_word_without_speech_keeps_the_time_it_takes_to_say() -> None:
    kept, uncovered = fit([*row(0.5, 1), word(0.9, 3.4)], 4.0, speech_at((0.5, 0.9)))
    assert uncovered is None
    assert (kept[1].start, kept[1].end) == (0.9, pytest.approx(0.9 + spoken_s(" word")))


def test_a_word_that_was_stretched_over_silence_ends_with_its_own_speech() -> None:
    kept, _ = fit([*row(0.5, 1), word(0.9, 3.4), *row(3.4, 1)], 4.0, speech_at((0.5, 1.5), (3.4, 3.8)))
    assert kept[1].end == pytest.approx(1.5)


def test_words_that_are_not_stretched_are_not_checked() -> None:
    asked: list[Interval] = []

    def speech_between(begin: float, end: float) -> Sequence[Interval]:
        asked.append((begin, end))
        return [(begin, end)]

    words = [*row(0.0, 4), word(1.6, 1.6 + spoken_s(" word") + STRETCHED_S + 0.1)]
    assert fit(words, words[-1].end, speech_between) == (words, None)
    assert asked == [(w.start, w.end) for w in (words[0], words[-1])]


@pytest.mark.parametrize("lost", [LOST_S - 0.05, LOST_S + 0.05])
def test_speech_is_lost_from_the_same_length_on_before_behind_and_within_words(lost: float) -> None:
    found = lost > LOST_S
    allowed = spoken_s(" word")
    gap = [*row(0.0, 2), *row(4.0, 2)]
    swallowed = [*row(0.0, 2), word(0.8, 4.0), *row(4.0, 2)]
    assert (
        fit(gap, 4.8, speech_at((0.0, 0.8), (2.0, 2.0 + lost), (4.0, 4.8)))[1] == UncoveredSpeech(2.0, 4.0)
    ) is found
    assert (fit(gap[:2], 4.0, speech_at((0.0, 0.8), (2.0, 2.0 + lost)))[1] == UncoveredSpeech(2.0, 4.0)) is found
    assert (
        fit(swallowed, 4.8, speech_at((0.0, 0.8), (2.0, 2.0 + allowed + lost), (4.0, 4.8)))[1]
        == UncoveredSpeech(2.0, 4.0)
    ) is found


def test_of_two_uncovered_stretches_the_first_is_found() -> None:
    words = [*row(0.0, 2), *row(3.0, 2), *row(6.0, 2)]
    kept, uncovered = fit(words, 7.0, speech_at((0.0, 0.8), (1.5, 3.8), (4.5, 6.8)))
    assert (kept, uncovered) == (words[:2], UncoveredSpeech(1.5, 3.0))


def test_many_short_stretches_are_uncovered_together() -> None:
    third = LOST_S / 3 + 0.05
    words = row(0.0, 2)
    speech = [(begin, begin + third) for begin in (1.0, 2.0, 3.0)]
    assert fit(words, 4.0, speech_at((0.0, 0.8), *speech[:2]))[1] is None
    assert fit(words, 4.0, speech_at((0.0, 0.8), *speech))[1] == UncoveredSpeech(1.0, 4.0)


@pytest.mark.parametrize("speech_between", [speech_at(), speech_at((0.0, 5.0))])
def test_no_words(speech_between: SpeechBetween) -> None:
    kept, uncovered = fit([], 5.0, speech_between)
    assert kept == []
    assert uncovered == (UncoveredSpeech(0.0, 5.0) if speech_between(0, 5) else None)


TINY = 1e-9
"""Rounding errors of adding and subtracting, in seconds."""
Scene = tuple[list[Word], float, list[Interval]]


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Words with pauses between them, the length of their audio, and speech at other times."""
    words, at = [], 0.0
    for gap, length in draw(
        st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.4, 2.0]), st.floats(0.0, 3.0)), max_size=12)
    ):
        words.append(word(at + gap, at + gap + length))
        at = words[-1].end
    speech, begin = [], 0.0
    for n, stretch in enumerate(draw(st.lists(st.floats(0.02, 3.0), max_size=12))):
        if n % 2 == 0:
            speech.append((begin, begin + stretch))
        begin += stretch
    return words, at + draw(st.sampled_from([0.0, 0.5, 2.0])), speech


@given(scenes())
def test_fitted_words_are_a_prefix_in_order_and_end_before_the_uncovered_speech(scene: Scene) -> None:
    words, duration, speech = scene
    kept, uncovered = fit(words, duration, speech_at(*speech))
    assert [w.word for w in kept] == [w.word for w in words[: len(kept)]]
    assert all(given.start <= w.start <= w.end <= given.end + TINY for w, given in zip(kept, words, strict=False))
    assert all(before.end <= after.start + TINY for before, after in pairwise(kept))
    if uncovered is None:
        assert len(kept) == len(words)
    else:
        assert (kept[-1].end if kept else 0.0) <= uncovered.begin + TINY
        assert uncovered.begin + LOST_S <= uncovered.end + TINY
        assert uncovered.end <= duration
        assert any(begin <= uncovered.begin < end for begin, end in speech)


@given(scenes())
def test_a_word_that_was_moved_begins_in_speech_and_covers_no_pause_to_the_next_stretch(scene: Scene) -> None:
    words, duration, speech = scene
    kept, _ = fit(words, duration, speech_at(*speech))
    for now, before in zip(kept, words, strict=False):
        speech_in = speech_at(*speech)(before.start, before.end)
        if now.start != before.start:
            assert now.start in [begin for begin, _ in speech_in]
        if now != before and speech_in:
            own = [(begin, end) for begin, end in speech_in if begin <= now.start <= end]
            later = [begin for begin, _ in speech_in if begin > now.start]
            assert own
            assert not later or now.end <= max(own[-1][1], now.start + 0.1 + TINY)


@given(scenes())
def test_audio_up_to_the_uncovered_speech_has_none(scene: Scene) -> None:
    """The kept words cover the audio before the uncovered speech, so nothing there has to be recognised again."""
    words, duration, speech = scene
    kept, uncovered = fit(words, duration, speech_at(*speech))
    if uncovered is not None:
        assert fit(words[: len(kept)], uncovered.begin, speech_at(*speech)) == (kept, None)
