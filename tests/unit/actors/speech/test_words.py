"""Tokens with their alignment become words and sentences."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.speech.words import (
    FRAME_S,
    LONG_COLUMNS,
    LONG_S,
    PAUSE_S,
    columns,
    found_words,
    merge_punctuation,
    sentences,
    spoken_s,
    spread_words,
    text_of,
    timed_words,
    with_tokens,
)
from whisper_service.core.domain import Word


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
    words = timed_words(
        [" Hello", " world"], [2, 1], [(0, 0), (0, 3), (1, 10), (2, 20), (2, 25), (3, 30)], [0.5, 0.7, 0.9]
    )
    assert [(w.start, w.end) for w in words] == [(0.0, 20 * FRAME_S), (20 * FRAME_S, 30 * FRAME_S)]
    assert [w.probability for w in words] == pytest.approx([0.6, 0.9])


def test_without_an_alignment_time_goes_by_length() -> None:
    words = spread_words([" a", " bbbbb"], 8.0)
    assert [(w.start, w.end) for w in words] == [(0.0, 2.0), (2.0, 8.0)]
    assert spread_words([], 8.0) == []


def test_times_of_tokens_are_those_of_the_frame_at_which_they_are_first_reached() -> None:
    words = timed_words([" a", " b"], [1, 1], [(0, 5), (1, 5), (1, 6), (2, 9)], [0.1, 0.2])
    assert [(w.start, w.end) for w in words] == [(5 * FRAME_S, 5 * FRAME_S), (5 * FRAME_S, 9 * FRAME_S)]
    assert timed_words([], [], [(0, 0)], []) == []


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20), st.data())
def test_aligned_words_never_go_back_in_time(sizes: list[int], data: st.DataObject) -> None:
    tokens = sum(sizes)
    steps = st.sampled_from([(0, 1), (1, 0), (1, 1)])
    path = [(0, 0)]
    while path[-1][0] < tokens:
        token, frame = data.draw(steps)
        path.append((path[-1][0] + token, path[-1][1] + frame))
        if len(path) > 4 * tokens:
            path += [(token, path[-1][1]) for token in range(path[-1][0] + 1, tokens + 1)]
    names = [f" {n}" for n in range(len(sizes))]
    words = timed_words(names, sizes, path, [0.5] * tokens)
    assert [w.word for w in words] == names
    assert all(w.start <= w.end for w in words)
    assert all(a.end == b.start for a, b in pairwise(words))
    assert words[-1].end == path[[token for token, _ in path].index(tokens)][1] * FRAME_S


@given(st.lists(st.text("ab中", min_size=1, max_size=5), min_size=1, max_size=20), st.floats(0.1, 30))
def test_spread_words_fill_the_whole_time_in_order(given: list[str], duration: float) -> None:
    words = spread_words(given, duration)
    assert [w.word for w in words] == given
    assert words[0].start == 0.0
    assert words[-1].end == pytest.approx(duration)
    assert [w.end for w in words] == pytest.approx(
        [n * duration / len("".join(given)) for n in accumulate(map(len, given))]
    )
    assert all(a.end == pytest.approx(b.start) for a, b in pairwise(words))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([" Hello", ",", " world", "!"], [" Hello,", " world!"]),
        ([" ¿", "Qué", "?"], [" ¿Qué?"]),
        ([" (", "see", " below", ")"], [" (see", " below)"]),
        (["今天", "。", "明天"], ["今天。", "明天"]),
        ([" 5", "%"], [" 5", "%"]),
        ([" 3", ".5", " kg"], [" 3", ".5", " kg"]),
        ([" costs", " $", "5"], [" costs", " $", "5"]),
        ([" He", ":", ' "', "Yes", '."'], [" He:", ' "Yes."']),
        ([" «", " ¿", "Qué", "?", "»"], [" «¿Qué?»"]),
        ([" (", " “", "so", "”", ")"], [" (“so”)"]),
        (["مرحبا", "،", " كيف", "؟"], ["مرحبا،", " كيف؟"]),
        (["今天", " ", "明天"], ["今天 ", "明天"]),
        (["今天", "。", " ", " ", "明天"], ["今天。 ", "明天"]),
        ([" ", "今天"], ["今天"]),
        ([" end", " ("], [" end ("]),
        (["。"], []),
        ([" ...", " -", "?"], []),
        ([" "], []),
        ([], []),
        pytest.param(
            [" a", " (", " ", "b"],
            [" a", " (b"],
        ),
        pytest.param(
            ["他", "说", "：", "「", "好", "」"],
            ["他", "说：", "「好」"],
        ),
    ],
)
def test_marks_are_joined_to_their_word(given: list[str], expected: list[str]) -> None:
    assert [w.word for w in merge_punctuation(said(*given))] == expected


def test_marks_neither_move_their_word_nor_lengthen_it() -> None:
    first, second = merge_punctuation(said(" One", "!", " (", "two", ")", pause_after={0: 1.0, 2: 1.0}))
    assert (first.start, first.end) == (0.0, 0.3)
    assert (second.start, second.end) == pytest.approx((2.9, 3.2))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([" One.", " Two?", " Three!"], ["One.", "Two?", "Three!"]),
        ([" Dr.", " No", " lives", " at", " 3.", " Elm", " St.", " now."], ["Dr. No lives at 3. Elm St. now."]),
        ([" He", ' said."', " Then"], ['He said."', "Then"]),
        (["今", "天。", "明", "天？"], ["今天。", "明天？"]),
        ([" See", " www.asterisk", ".org."], ["See www.asterisk.org."]),
        ([" A.", " B"], ["A. B"]),
        ([" It", " weighs", " 3", ".5", " kg."], ["It weighs 3.5 kg."]),
        ([" e.g.", " this,", " i.e.", " that."], ["e.g. this, i.e. that."]),
        ([" (Mr.", " Smith.)", " Then"], ["(Mr. Smith.)", "Then"]),
        ([" ¿Qué?", " ¡Sí!"], ["¿Qué?", "¡Sí!"]),
        ([" مرحبا،", " كيف", " حالك؟", " بخير."], ["مرحبا، كيف حالك؟", "بخير."]),
        ([" क्या।", " हाँ।"], ["क्या।", "हाँ।"]),
        ([" well…", " yes"], ["well…", "yes"]),
        (["好", "吗？」", "他", "说"], ["好吗？」", "他说"]),
        (["今", "天，", "明", "天。 ", "后", "天"], ["今天，明天。", "后天"]),
        (["今", "天 ", "明", "天"], ["今天 明天"]),
        pytest.param(
            [" the", " U.S.", " Army", " came."],
            ["the U.S. Army came."],
        ),
        pytest.param([" یہ۔", " وہ۔"], ["یہ۔", "وہ۔"]),
    ],
)
def test_sentences_end_where_they_end(given: list[str], expected: list[str]) -> None:
    assert texts(said(*given)) == expected


@pytest.mark.parametrize(
    "given",
    [
        ["天", "氣", "怎", "麼", "樣", "?", "How", " do", " I", " go"],
        ["天", "氣", "怎", "麼", "樣?", "How", " do", " I", " go"],
        ["天氣怎麼樣", "?How", " do", " I", " go"],
    ],
)
def test_a_mark_behind_a_wide_character_ends_the_sentence_whatever_follows(given: list[str]) -> None:
    assert texts(merge_punctuation(said(*given))) == ["天氣怎麼樣?", "How do I go"]


def test_a_mark_inside_a_latin_word_does_not() -> None:
    assert texts(merge_punctuation(said(" See", " a", "?b", " now"))) == ["See a?b now"]
    assert texts(merge_punctuation(said("第", "3", ".5", "章"))) == ["第3.5章"]


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


@pytest.mark.parametrize(
    "words",
    [
        [f" word{n}" for n in range(10)] + [" clause,"] + [f" more{n}" for n in range(10)],
        [f"字字{n}" for n in range(10)] + ["句，"] + [f"字字{n}" for n in range(10)],
        [f"字字{n}" for n in range(10)] + ["句 "] + [f"字字{n}" for n in range(10)],
    ],
)
def test_a_clause_near_the_middle_is_the_place_to_cut(words: list[str]) -> None:
    assert columns("".join(words)) > LONG_COLUMNS
    assert texts(said(*words)) == ["".join(words[:11]).strip(), "".join(words[11:]).strip()]


def test_a_sentence_of_many_seconds_is_cut_at_its_breath() -> None:
    length, breath = LONG_S / 8, PAUSE_S * 0.9
    words = [Word(n * length + (n > 2) * breath, (n + 1) * length + (n > 2) * breath, " w", 0.9) for n in range(8)]
    assert [len(group) for group in sentences(words)] == [3, 5]


def test_one_word_is_never_cut_however_long() -> None:
    assert texts([Word(0.0, 3 * LONG_S, " " + "a" * 2 * LONG_COLUMNS, 0.9)]) == ["a" * 2 * LONG_COLUMNS]
    assert len(texts(said(*["x" * LONG_COLUMNS] * 3))) == 1


def test_words_that_an_alignment_puts_on_one_instant_are_cut_like_others() -> None:
    words = [Word(1.0, 1.0, " word", 0.9)] * LONG_COLUMNS
    assert all(columns(text) <= LONG_COLUMNS for text in texts(words))


def test_nothing_has_no_sentences() -> None:
    assert list(sentences([])) == []
    assert text_of([]) == ""


pieces = st.lists(
    st.sampled_from([" word", " a", "。", ",", " 3.5", "中", "文", " end.", " (", ")", ".org", " ¿", "?"]), max_size=60
)


@given(pieces)
def test_no_word_is_lost_and_no_order_changed(given: list[str]) -> None:
    merged = merge_punctuation(said(*given))
    speakable = [c for c in "".join(given) if c.isalnum()]
    assert [c for w in merged for c in w.word if c.isalnum()] == speakable
    groups = list(sentences(merged))
    assert [w for group in groups for w in group] == merged
    assert all(groups)
    assert all(a.start <= b.start for a, b in pairwise(merged))


@given(pieces.filter(lambda given: any(character.isalnum() for text in given for character in text)))
def test_marks_are_only_moved_from_word_to_word(given: list[str]) -> None:
    words = said(*given)
    merged = merge_punctuation(words)
    assert "".join(text_of(merged).split()) == "".join(text_of(words).split())
    assert {(w.start, w.end) for w in merged} <= {(w.start, w.end) for w in words}


@given(
    st.lists(
        st.tuples(
            st.sampled_from([" word", " longer", " a", " sentence.", " clause,", ".org", "中", "文，", "สวัสดี", "5"]),
            st.floats(0.02, 3.0),
            st.sampled_from([0.0, 0.0, 0.0, 0.5, PAUSE_S + 0.1]),
        ),
        min_size=1,
        max_size=120,
    )
)
def test_segments_are_short_enough_to_read_wherever_there_is_a_place_to_cut(
    given: list[tuple[str, float, float]],
) -> None:
    words, at = [], 0.0
    for text, length, pause in given:
        words.append(Word(at, at + length, text, 0.9))
        at += length + pause
    groups = list(sentences(words))
    assert [w for group in groups for w in group] == words
    for group in groups:
        short = columns(text_of(group)) <= LONG_COLUMNS and group[-1].end - group[0].start <= LONG_S
        glued = all(after.word[0] in ".5" and before.word[-1].isascii() for before, after in pairwise(group))
        assert short or glued
    for before, after in pairwise(groups):
        assert not (after[0].word[0] in ".5" and before[-1].word[-1].isascii())


def test_wide_characters_count_twice_and_take_longer_to_say() -> None:
    assert columns("ab中文") == 6
    assert spoken_s("中文中文") > spoken_s("abcd")
    assert spoken_s("2026") > spoken_s("abcd")
    assert columns("") == 0
    assert columns("，。「」") == 8


@given(st.text(max_size=20), st.text(max_size=20))
def test_more_text_never_takes_less_time_or_room(one: str, other: str) -> None:
    assert spoken_s(one + other) >= max(spoken_s(one), spoken_s(other))
    assert columns(one + other) == columns(one) + columns(other)


@given(st.text(" ,.!?-—…\"'()[]¿¡،؟", max_size=20))
def test_marks_are_not_spoken(marks: str) -> None:
    assert spoken_s("word" + marks) == spoken_s("word")


def test_given_words_begin_with_their_first_token_and_end_with_their_last() -> None:
    path = [(0, 0), (0, 10), (1, 25), (2, 50), (3, 75), (4, 100)]
    found = found_words([" un", "done", " it"], [(0, 3), (3, 5), (5, 7), (7, 10)], path, [0.2, 0.4, 0.6, 0.8])
    assert [(word.word, word.start, word.end) for word in found] == [
        (" un", 0.0, 0.5),
        ("done", 0.5, 1.5),
        (" it", 1.5, 2.0),
    ]
    assert [word.probability for word in found] == pytest.approx([0.2, 0.5, 0.8])


def test_words_that_share_a_token_share_its_time() -> None:
    path = [(0, 0), (1, 50), (2, 80)]
    found = found_words(["我", "们", "今"], [(0, 2), (2, 3)], path, [0.9, 0.5])
    assert [(word.start, word.end) for word in found] == [(0.0, 0.5), (0.5, 1.0), (1.0, 1.6)]


def test_a_character_of_several_tokens_has_the_time_of_all() -> None:
    path = [(0, 0), (1, 10), (2, 20), (3, 30), (4, 50)]
    found = found_words(["蘋", "果"], [(0, 1), (0, 1), (0, 1), (1, 2)], path, [0.3, 0.6, 0.9, 0.5])
    assert [(word.start, word.end) for word in found] == [(0.0, pytest.approx(0.6)), (pytest.approx(0.6), 1.0)]
    assert found[0].probability == pytest.approx(0.6)


def test_a_word_without_a_token_was_not_said() -> None:
    found = found_words([" a", "  ", " b"], [(0, 2), (4, 6)], [(0, 0), (1, 10), (2, 20)], [0.9, 0.9])
    assert [word.probability for word in found] == [0.9, 0.0, 0.9]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([" One", ",", " two", "."], [(" One,", (0, 1)), (" two.", (2, 3))]),
        ([" (", "one", ")", " two"], [(" (one)", (0, 1, 2)), (" two", (3,))]),
        ([",", " my", " friend"], [(",", (0,)), (" my", (1,)), (" friend", (2,))]),
        (["天", "。", " ", "地"], [("天。 ", (0, 1, 2)), ("地", (3,))]),
        (["好", "。地"], [("好。", (0,)), ("地", (1,))]),
        ([" ", "one"], [("one", (0, 1))]),
        ([" ..."], []),
    ],
)
def test_merged_words_keep_all_tokens_in_their_order(
    given: list[str], expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    merged = merge_punctuation(said(*given))
    found = with_tokens(merged, given, [[number] for number in range(len(given))])
    assert [(word.word, tokens) for word, tokens in found] == expected
