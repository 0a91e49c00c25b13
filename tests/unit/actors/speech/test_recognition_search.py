"""The recogniser searches again where a text is doubtful."""

from __future__ import annotations

import pytest

from tests.unit.actors.speech.scripted_engine import (
    DOUBTFUL,
    FIRST,
    SPEECH,
    SURE,
    FakeEngine,
    Text,
    complete,
    hear,
    listening,
    sound,
    words,
)
from whisper_service.actors.speech.engine import Search
from whisper_service.actors.speech.recognition import BEAM, GARBAGE_LOGPROB, GREEDY, NO_REPEATS, STRATEGIES
from whisper_service.actors.speech.windows import AudioChunk
from whisper_service.actors.speech.words import text_of
from whisper_service.core.domain import Preset


@pytest.mark.parametrize("preset", [Preset.FAST, Preset.BALANCED])
def test_a_phrase_said_twice_in_a_narrow_window_is_heard_again_at_full_width(preset: Preset) -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if wide else FIRST + words(1.5, "one", "two", "three."))

    assert hear(FakeEngine(script), [(0.0, 1.5)], AudioChunk(sound(2), "en"), preset=preset) == {0: ["one two three."]}


def test_a_doubtful_text_is_sought_with_a_beam_and_the_better_one_kept() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if search.beam_size == 1:
            return Text(words(0.0, "won", "too", "three."), DOUBTFUL)
        return Text(FIRST, DOUBTFUL + 0.3)

    engine = FakeEngine(script)
    assert hear(engine, [(0.0, 1.5)], AudioChunk(sound(2), "en")) == {0: ["one two three."]}
    assert [search.beam_size for search, _ in engine.searches] == [1, 5]


NARROW_WIDE_LAST = [(GREEDY, False), (BEAM, True), (NO_REPEATS, True)]


@pytest.mark.parametrize(
    ("preset", "order"),
    [
        (Preset.FAST, NARROW_WIDE_LAST),
        (Preset.BALANCED, NARROW_WIDE_LAST),
        (Preset.ACCURATE, [(BEAM, True), (NO_REPEATS, True)]),
    ],
)
def test_a_preset_searches_in_its_order_and_only_as_long_as_it_has_to(
    preset: Preset, order: list[tuple[Search, bool]]
) -> None:
    def looked(text: Text) -> list[tuple[Search, bool]]:
        engine = FakeEngine(lambda *_: text)
        hear(engine, [(0.0, 1.5)], AudioChunk(sound(2), "en"), preset=preset)
        return [(search, wide) for _, _, search, wide in engine.looked]

    sure = STRATEGIES[preset].accept_logprob
    assert looked(Text(FIRST, sure + 0.01)) == order[:1]
    assert looked(Text(FIRST, sure - 0.01)) == order[:-1]  # forbidding repetitions is for loops
    assert looked(Text(FIRST * 2, sure + 0.01)) == order
    cut_off = [*order[:1], (BEAM, True), order[-1]]  # a beam with the lower limit has not searched to the end
    assert looked(Text(FIRST, sure + 0.01, complete=False)) == cut_off


@pytest.mark.parametrize("preset", [Preset.FAST, Preset.BALANCED])
@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (Text(words(0, "first."), -1.1), Text(words(0, "second."), -1.05), "second."),
        (Text(words(0, "first."), -1.1), Text(words(0, "second."), -1.15), "first."),
        (Text(words(0, "first."), -1.1), Text(words(0, "second."), -1.1), "first."),
        (Text(words(0, "first."), -1.4), Text(words(0, "second."), -1.1, complete=False), "first."),
        (Text(words(0, "first."), -0.1, complete=False), Text(words(0, "second."), -1.4), "second."),
    ],
)
def test_the_better_text_is_kept_and_one_that_ends_is_better_than_a_loop(
    preset: Preset, first: Text, second: Text, kept: str
) -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if search == NO_REPEATS:
            return Text(words(0, "worst."), GARBAGE_LOGPROB - 1, complete=False)
        return second if search == BEAM else first

    found = hear(FakeEngine(script), [(0.0, 0.5)], AudioChunk(sound(2), "en"), preset=preset)
    assert " ".join(found[0]).split() == kept.split()


def test_a_loop_that_nothing_breaks_is_no_text_and_its_place_is_told() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST, complete=False))
    ((_, found),) = listening(engine, SPEECH[:1], AudioChunk(sound(2), "en"))
    assert (found.sentences, found.dropped) == ((), ((0.0, 1.5),))
    assert [search for search, _ in engine.searches] == [GREEDY, BEAM, NO_REPEATS]


def test_a_loop_without_speech_is_dropped_without_a_word() -> None:
    ((_, found),) = listening(FakeEngine(lambda *_: Text(FIRST, complete=False)), [], AudioChunk(sound(2), "en"))
    assert (found.sentences, found.dropped) == ((), ())


def test_a_loop_is_looked_for_by_halves_before_it_is_dropped() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        whole = begin < 1 and end > 5
        return Text(words(0, *["la"] * 80), complete=False) if whole else complete(begin, end, search, wide)

    ((_, found),) = listening(FakeEngine(script), SPEECH, AudioChunk(sound(6), "en"))
    assert [text_of(sentence.words) for sentence in found.sentences] == ["one two three.", "four five six."]
    assert found.dropped == ()


def test_a_phrase_that_is_said_twice_is_no_loop() -> None:
    twice = words(0.0, "come", "here,", "come", "here,")
    assert hear(FakeEngine(lambda *_: Text(twice)), [(0.0, 2.0)], AudioChunk(sound(2.2), "en")) == {
        0: ["come here, come here,"]
    }


def test_only_the_doubtful_rows_of_a_batch_are_sought_again() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST, DOUBTFUL if end > 2.5 and search.beam_size == 1 else SURE)

    engine = FakeEngine(script)
    hear(engine, [(0.0, 1.5)], *(AudioChunk(sound(seconds), "en") for seconds in (2, 3, 2)))
    assert [rows for _, rows in engine.searches] == [3, 1]


def test_a_loop_is_broken_by_forbidding_repetitions() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST) if search.no_repeat_ngram_size else Text(words(0.0, *["la"] * 60), complete=False)

    assert hear(FakeEngine(script), [(0.0, 1.5)], AudioChunk(sound(2), "en")) == {0: ["one two three."]}
