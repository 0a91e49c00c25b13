"""The recogniser hears again from where words are missing."""

from __future__ import annotations

import inspect
from itertools import pairwise

import pytest

from tests.unit.actors.speech.scripted_engine import (
    FIRST,
    SECOND,
    SPEECH,
    SURE,
    FakeEngine,
    Text,
    complete,
    hear,
    lazy,
    listening,
    sound,
    words,
)
from whisper_service.actors.speech import recognition
from whisper_service.actors.speech.engine import Engine, Search
from whisper_service.actors.speech.recognition import GARBAGE_LOGPROB, MAX_RESUMES
from whisper_service.actors.speech.repetition import compression_ratio
from whisper_service.actors.speech.windows import AudioChunk
from whisper_service.core.domain import Preset


@pytest.mark.parametrize(
    "method", ["known_language", "encode", "is_wide", "detect_languages", "decode", "text", "words"]
)
def test_the_scripted_engine_is_called_like_the_real_one(method: str) -> None:
    real, fake = (list(inspect.signature(getattr(kind, method)).parameters) for kind in (Engine, FakeEngine))
    assert fake == real


def test_a_text_that_covers_the_speech_is_heard_once() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, SPEECH, AudioChunk(sound(6), "en")) == {0: ["one two three.", "four five six."]}
    assert len(engine.searches) == 1


@pytest.mark.parametrize("preset", list(Preset))
def test_speech_without_words_is_heard_again_from_the_hole_on(preset: Preset) -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else SECOND)

    engine = FakeEngine(script)
    assert hear(engine, SPEECH, AudioChunk(sound(6), "en"), preset=preset) == {0: ["one two three.", "four five six."]}


def test_a_beginning_that_was_passed_over_is_found_by_halves() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        whole = begin < 1 and end > 5
        return Text([(0.0, 4.5, " four"), *SECOND[1:]]) if whole else complete(begin, end, search, wide)

    assert hear(FakeEngine(script), SPEECH, AudioChunk(sound(6), "en")) == {0: ["one two three.", "four five six."]}


@pytest.mark.parametrize(("pauses", "cut"), [([1.0], 1.0), ([1.0, 3.0, 5.4], 3.0), ([1.0, 2.4, 5.0], 2.4)])
def test_halves_are_cut_at_the_pause_nearest_to_the_middle(pauses: list[float], cut: float) -> None:
    bounds = [0.0, *pauses, 6.0]
    speech = [(a + 0.1 * (a > 0), b - 0.1 * (b < 6)) for a, b in pairwise(bounds)]

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        whole = begin < 0.1 and end > 5.9
        return Text([(5.5, 6.0, " end.")] if whole else [w for w in long if begin <= w[0] and w[1] <= end])

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"  # takes longer to say than any of the stretches
    long = [(a, b, f" {letters[5 * n :]}{letters[: 5 * n]}.") for n, (a, b) in enumerate(speech)]
    engine = FakeEngine(script)
    assert hear(engine, speech, AudioChunk(sound(6), "en")) == {0: [text.strip() for _, _, text in long]}
    assert [(begin, end) for begin, end, *_ in engine.looked] == [
        (0.0, 6.0),
        (0.0, pytest.approx(cut)),
        (pytest.approx(cut), 6.0),
    ]


def test_a_beginning_that_was_passed_over_without_a_pause_in_it_stays_as_it_was_heard() -> None:
    engine = FakeEngine(lambda *_: Text(SECOND))
    assert hear(engine, [(0.0, 5.5)], AudioChunk(sound(6), "en")) == {0: ["four five six."]}
    assert len(engine.searches) == 1


def test_speech_that_is_missing_behind_a_very_short_word_is_heard_again() -> None:
    rest = words(0.6, "four", "five", "six.")

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text([(0.0, 0.4, " No,")] if begin < 0.1 else rest)

    assert hear(FakeEngine(script), [(0.0, 0.4), (0.6, 2.1)], AudioChunk(sound(3), "en")) == {0: ["No, four five six."]}


def test_a_short_word_before_a_hole_is_not_said_twice() -> None:
    speech = [(0.0, 0.4), (0.6, 2.1), (2.5, 4.0)]
    rest = words(0.6, "one", "two", "three.") + words(2.5, "four", "five", "six.")

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text([(0.0, 0.4, " No,")] if begin < 0.1 else [w for w in rest if begin <= w[0] and w[1] <= end])

    assert " ".join(hear(FakeEngine(script), speech, AudioChunk(sound(5), "en"))[0]).count("No,") == 1


def test_what_is_missing_in_the_first_half_is_heard_before_the_second() -> None:
    said = [
        words(0.0, "one", "two."),
        words(2.0, "three", "four."),
        words(4.0, "five", "six."),
        words(6.0, "seven", "eight."),
    ]

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if begin < 0.1 and end > 7:
            return Text(said[3])
        return Text(next(sentence for sentence in said if sentence[0][0] >= begin))  # the first alone, in every stretch

    speech = [(sentence[0][0], sentence[-1][1]) for sentence in said]
    engine = FakeEngine(script)
    assert hear(engine, speech, AudioChunk(sound(7.5), "en")) == {
        0: ["one two.", "three four.", "five six.", "seven eight."]
    }
    assert [begin for begin, *_ in engine.looked] == sorted(begin for begin, *_ in engine.looked)


ISLANDS = MAX_RESUMES + 5


def islands(begin: float, end: float, search: Search, wide: bool) -> Text:
    """A word in every second; the engine hears the first one of its stretch, and no other."""
    return Text([(float(n), n + 0.9, f" word{n}") for n in range(ISLANDS) if begin - 0.01 <= n][:1])


@pytest.mark.parametrize("preset", list(Preset))
def test_a_chunk_that_never_gets_complete_comes_to_an_end(preset: Preset) -> None:
    speech = [(float(n), n + 0.9) for n in range(ISLANDS)]
    engine = FakeEngine(islands)
    found = hear(engine, speech, AudioChunk(sound(ISLANDS), "en"), preset=preset)[0]
    assert " ".join(found) == " ".join(f"word{n}" for n in range(MAX_RESUMES + 1))
    assert len(engine.searches) == MAX_RESUMES + 1


def test_every_chunk_has_resumes_of_its_own() -> None:
    speech = [(float(n), n + 0.9) for n in range(ISLANDS)]
    both = [AudioChunk(sound(ISLANDS), "en")] * 2
    found = hear(FakeEngine(islands), speech, *both)
    assert found[0] == found[1]
    assert " ".join(found[0]) == " ".join(f"word{n}" for n in range(MAX_RESUMES + 1))


def test_a_sentence_goes_on_across_a_seam() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if begin < 1:
            return Text(words(0.0, "one", "two"), SURE, 0.1)
        return Text(words(2.0, "three.", "Four."), SURE / 2, 0.2)

    engine = FakeEngine(script)
    ((_, heard),) = listening(engine, [(0.0, 1.0), (2.0, 3.0)], AudioChunk(sound(4), "en"))
    assert ["".join(w.word for w in s.words) for s in heard.sentences] == [" one two three.", " Four."]
    assert [(s.avg_logprob, s.no_speech_prob) for s in heard.sentences] == [(SURE, 0.1), (SURE / 2, 0.2)]
    assert [s.compression_ratio for s in heard.sentences] == [
        compression_ratio("one two"),
        compression_ratio("three. Four."),
    ]
    starts = [w.start for s in heard.sentences for w in s.words]
    assert starts == pytest.approx([0.0, 0.5, 2.0, 2.5], abs=1e-3)


def test_the_stretch_behind_a_hole_begins_a_little_before_its_speech_but_not_in_a_word() -> None:
    engine = FakeEngine(lazy)
    hear(engine, SPEECH, AudioChunk(sound(6), "en"))
    assert engine.looked[1][:2] == (pytest.approx(4.0 - recognition.PAD_S, abs=1e-3), 6.0)
    near = [(0.0, 1.5), (1.6, 3.1)]
    engine = FakeEngine(lambda begin, *_: Text(FIRST if begin < 1 else words(1.6, "four", "five", "six.")))
    hear(engine, near, AudioChunk(sound(6), "en"))
    assert engine.looked[1][:2] == (pytest.approx(1.5, abs=1e-3), 6.0)


def test_a_rest_that_turns_out_to_be_noise_leaves_what_was_heard_before() -> None:
    engine = FakeEngine(lambda begin, *_: Text(FIRST) if begin < 1 else Text(SECOND, GARBAGE_LOGPROB - 0.1))
    assert hear(engine, SPEECH, AudioChunk(sound(6), "en")) == {0: ["one two three."]}


def test_words_heard_too_early_and_again_behind_a_hole_are_kept_in_their_true_place() -> None:
    early = [(1.5 + n / 10, 1.6 + n / 10, f" {text}") for n, text in enumerate(("four", "five", "six."))]
    engine = FakeEngine(lambda begin, *_: Text(FIRST + early if begin < 1 else SECOND))
    ((_, heard),) = listening(engine, SPEECH, AudioChunk(sound(6), "en"))
    assert [[w.word for w in s.words] for s in heard.sentences] == [
        [" one", " two", " three."],
        [" four", " five", " six."],
    ]
    assert [w.start for w in heard.sentences[1].words] == pytest.approx([4.0, 4.5, 5.0], abs=1e-3)


def test_words_heard_too_early_are_dropped_although_the_next_stretch_has_to_be_halved() -> None:
    early = [(1.5 + n / 10, 1.6 + n / 10, f" {text}") for n, text in enumerate(("four", "five", "six."))]
    last = words(7.0, "seven", "eight.")

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if begin < 1:
            return Text(FIRST + early)
        if begin < 5 and end > 7:
            return Text(last)
        return Text(SECOND if begin < 5 else last)

    speech = [*SPEECH, (7.0, 8.0)]
    expected = ["one two three.", "four five six.", "seven eight."]
    assert hear(FakeEngine(script), speech, AudioChunk(sound(9), "en")) == {0: expected}
