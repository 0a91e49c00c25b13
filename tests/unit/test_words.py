"""From tokens and their places to words and sentences."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actor.words import (
    FRAME_S,
    LONG_COLUMNS,
    PAUSE_S,
    columns,
    merge_punctuation,
    sentences,
    spoken_s,
    spread_words,
    text_of,
    timed_words,
)
from whisper_service.domain import Word


def said(*texts: str, pause_after: dict[int, float] | None = None) -> list[Word]:
    """Words of 0.3 s each."""
    words, at = [], 0.0
    for number, text in enumerate(texts):
        words.append(Word(at, at + 0.3, text, 0.9))
        at += 0.3 + (pause_after or {}).get(number, 0.0)
    return words


def texts(words: list[Word]) -> list[str]:
    return [text_of(group) for group in sentences(words)]


def test_words_get_the_time_of_their_first_token_up_to_that_of_the_next_word() -> None:
    words = timed_words([" Hello", " world"], [2, 1], [(0, 0), (0, 3), (1, 10), (2, 20), (2, 25), (3, 30)], [0.5, 0.7, 0.9])
    assert [(w.start, w.end) for w in words] == [(0.0, 20 * FRAME_S), (20 * FRAME_S, 30 * FRAME_S)]
    assert [w.probability for w in words] == pytest.approx([0.6, 0.9])


def test_without_an_alignment_time_goes_by_length() -> None:
    words = spread_words([" a", " bbbbb"], 8.0)
    assert [(w.start, w.end) for w in words] == [(0.0, 2.0), (2.0, 8.0)]
    assert spread_words([], 8.0) == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([" Hello", ",", " world", "!"], [" Hello,", " world!"]),
        ([" ¿", "Qué", "?"], [" ¿Qué?"]),
        ([" (", "see", " below", ")"], [" (see", " below)"]),
        (["今天", "。", "明天"], ["今天。", "明天"]),
        ([" 5", "%"], [" 5", "%"]),
        (["。"], []),
        ([], []),
    ],
)
def test_marks_hang_on_their_word(given: list[str], expected: list[str]) -> None:
    assert [w.word for w in merge_punctuation(said(*given))] == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([" One.", " Two?", " Three!"], ["One.", "Two?", "Three!"]),
        ([" Dr.", " No", " lives", " at", " 3.", " Elm", " St.", " now."], ["Dr. No lives at 3. Elm St. now."]),
        ([" He", ' said."', " Then"], ['He said."', "Then"]),
        (["今", "天。", "明", "天？"], ["今天。", "明天？"]),
        ([" See", " www.asterisk", ".org."], ["See www.asterisk.org."]),
        ([" A.", " B"], ["A. B"]),
    ],
)
def test_sentences_end_where_they_end(given: list[str], expected: list[str]) -> None:
    assert texts(said(*given)) == expected


def test_a_long_pause_ends_a_segment_and_a_breath_does_not() -> None:
    words = [" and", " so", " on"]
    assert texts(said(*words, pause_after={0: PAUSE_S / 2})) == ["and so on"]
    assert texts(said(*words, pause_after={0: PAUSE_S + 0.01})) == ["and", "so on"]


def test_nothing_is_cut_inside_a_word_however_long_the_pause() -> None:
    assert texts(said(" www.asterisk", ".org", pause_after={0: 5.0})) == ["www.asterisk.org"]
    assert texts(said("สวัสดี", "ครับ", pause_after={0: 5.0})) == ["สวัสดี", "ครับ"]


def test_a_sentence_without_end_is_cut_at_its_clause() -> None:
    words = [f" word{n}" for n in range(10)] + [" clause,"] + [f" more{n}" for n in range(10)]
    first, second = texts(said(*words))
    assert first.endswith("clause,")
    assert second.startswith("more0")


pieces = st.lists(st.sampled_from([" word", " a", "。", ",", " 3.5", "中", "文", " end.", " (", ")", ".org", " ¿", "?"]), max_size=60)


@given(pieces)
def test_no_word_is_lost_and_no_order_changed(given: list[str]) -> None:
    merged = merge_punctuation(said(*given))
    speakable = [c for c in "".join(given) if c.isalnum()]
    assert [c for w in merged for c in w.word if c.isalnum()] == speakable
    groups = list(sentences(merged))
    assert [w for group in groups for w in group] == merged
    assert all(groups)
    assert all(a.start <= b.start for a, b in pairwise(merged))


@given(st.lists(st.sampled_from([" word", " longer", " a", " sentence"]), min_size=1, max_size=120))
def test_segments_can_be_read(given: list[str]) -> None:
    assert all(columns(text) <= LONG_COLUMNS for text in texts(said(*given)))


def test_wide_characters_count_twice_and_take_longer_to_say() -> None:
    assert columns("ab中文") == 6
    assert spoken_s("中文中文") > spoken_s("abcd")
    assert spoken_s("2026") > spoken_s("abcd")
