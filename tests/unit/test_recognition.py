"""Decode, check, look again: the recogniser with a scripted engine and a scripted voice detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from whisper_service.actor import recognition
from whisper_service.actor.coverage import Interval
from whisper_service.actor.engine import Decoded, Search, Sound, States
from whisper_service.actor.recognition import Recognizer, Utterance, compression_ratio, overlap, repeats
from whisper_service.domain import SAMPLE_RATE, Preset, Task, Word

SURE, DOUBTFUL = -0.05, -0.7


def sound(seconds: float) -> Sound:
    """Counts its own samples, so that a piece of it tells where it begins."""
    return np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32)


@dataclass
class Text:
    """What the engine hears in a stretch: words with their times on the clock of the utterance."""

    words: list[tuple[float, float, str]]
    avg_logprob: float = SURE
    no_speech_prob: float = 0.1
    complete: bool = True


@dataclass
class FakeEngine:
    """Hears what `script(begin, end, search, wide)` says; its states remember where their sound begins and ends."""

    script: Callable[[float, float, Search, bool], Text]
    spoken: str = "en"
    searches: list[tuple[Search, int]] = field(default_factory=list)
    detections: int = 0
    languages: list[str] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    texts: dict[tuple[int, ...], Text] = field(default_factory=dict)

    def language(self, wanted: str | None) -> str | None:
        return wanted

    def encode(self, sounds: Sequence[Sound], *, wide: bool = False) -> list[States]:
        return [np.array([s[0], s[-1] + 1, float(wide)], dtype=np.float32) for s in sounds]

    def is_wide(self, states: States) -> bool:
        return bool(states[2])

    def detect_language(self, states: States) -> tuple[str, float]:
        self.detections += 1
        return self.spoken, 0.9

    def decode(
        self, states: Sequence[States], languages: Sequence[str], tasks: Sequence[Task], search: Search, prompt: str | None
    ) -> list[Decoded]:
        self.searches.append((search, len(states)))
        self.languages += languages
        self.tasks += tasks
        return [self._decoded(state, search) for state in states]

    def _decoded(self, state: States, search: Search) -> Decoded:
        text = self.script(float(state[0]) / SAMPLE_RATE, float(state[1]) / SAMPLE_RATE, search, bool(state[2]))
        tokens = (len(self.texts),)
        self.texts[tokens] = text
        return Decoded(tokens, text.avg_logprob, text.no_speech_prob, text.complete)

    def text(self, decoded: Decoded) -> str:
        return "".join(word for _, _, word in self.texts[decoded.tokens].words)

    def words(self, states: States, decoded: Decoded, language: str, task: Task, seconds: float) -> list[Word]:
        begin = float(states[0]) / SAMPLE_RATE
        return [Word(a - begin, b - begin, word, 0.9) for a, b, word in self.texts[decoded.tokens].words]


def hear(
    engine: FakeEngine, speech: Sequence[Interval], *utterances: Utterance, preset: Preset = Preset.BALANCED
) -> dict[int, list[str]]:
    """The sentences of each utterance; `speech` is where somebody speaks, on the clock of every utterance."""

    def detector(piece: Sound) -> list[Interval]:
        begin, end = float(piece[0]) / SAMPLE_RATE, float(piece[-1] + 1) / SAMPLE_RATE
        return [(max(a, begin) - begin, min(b, end) - begin) for a, b in speech if a < end and b > begin]

    fake: Any = engine
    found = Recognizer(fake, detector).recognise(utterances, preset)
    return {index: ["".join(w.word for w in s.words).strip() for s in heard.sentences] for index, heard in found}


def words(begin: float, *texts: str) -> list[tuple[float, float, str]]:
    """Words of half a second, one after the other."""
    return [(begin + n / 2, begin + (n + 1) / 2, f" {text}") for n, text in enumerate(texts)]


FIRST = words(0.0, "one", "two", "three.")
SECOND = words(4.0, "four", "five", "six.")
SPEECH = [(0.0, 1.5), (4.0, 5.5)]


def complete(begin: float, end: float, search: Search, wide: bool) -> Text:
    return Text([w for w in FIRST + SECOND if w[0] >= begin - 0.01 and w[1] <= end + 0.01])


def test_a_text_that_covers_the_speech_is_heard_once() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, SPEECH, Utterance(sound(6), "en")) == {0: ["one two three.", "four five six."]}
    assert len(engine.searches) == 1


@pytest.mark.parametrize("preset", list(Preset))
def test_speech_without_words_is_heard_again_from_the_hole_on(preset: Preset) -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else SECOND)

    engine = FakeEngine(script)
    assert hear(engine, SPEECH, Utterance(sound(6), "en"), preset=preset) == {0: ["one two three.", "four five six."]}


def test_a_beginning_that_was_passed_over_is_found_by_halves() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        whole = begin < 1 and end > 5
        return Text([(0.0, 4.5, " four"), *SECOND[1:]]) if whole else complete(begin, end, search, wide)

    assert hear(FakeEngine(script), SPEECH, Utterance(sound(6), "en")) == {0: ["one two three.", "four five six."]}


def test_a_chunk_that_never_gets_complete_comes_to_an_end() -> None:
    long = [(float(n), n + 0.9) for n in range(29)]

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text([(begin, begin + 0.4, " word")])

    engine = FakeEngine(script)
    assert set(hear(engine, long, Utterance(sound(29), "en"))) == {0}
    assert len(engine.searches) <= 3 * (recognition.RESUMES + 2)


def test_a_translation_is_not_held_against_the_speech() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST))
    assert hear(engine, SPEECH, Utterance(sound(6), "de", Task.TRANSLATE)) == {0: ["one two three."]}
    assert engine.tasks == [Task.TRANSLATE]


def test_what_is_really_said_twice_is_kept_twice() -> None:
    again = words(4.0, "one", "two", "three.")

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else again)

    assert hear(FakeEngine(script), SPEECH, Utterance(sound(6), "en")) == {0: ["one two three."] * 2}


def test_words_squeezed_before_a_seam_are_dropped_for_those_behind_it() -> None:
    squeezed = [Word(n / 10, (n + 1) / 10, text, 0.9) for n, text in enumerate((" Four", " five", " six."))]
    true = [Word(a, b, text, 0.9) for a, b, text in SECOND]
    assert overlap(squeezed, true) == 3
    assert overlap(true, true) == 0
    assert overlap(squeezed[:1], true[1:]) == 0


@pytest.mark.parametrize("preset", [Preset.FAST, Preset.BALANCED])
def test_a_phrase_said_twice_in_a_narrow_window_is_heard_again_at_full_width(preset: Preset) -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if wide else FIRST + words(1.5, "one", "two", "three."))

    assert hear(FakeEngine(script), [(0.0, 1.5)], Utterance(sound(2), "en"), preset=preset) == {0: ["one two three."]}


def test_a_doubtful_text_is_sought_with_a_beam_and_the_better_one_kept() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if search.beam_size == 1:
            return Text(words(0.0, "won", "too", "three."), DOUBTFUL)
        return Text(FIRST, DOUBTFUL + 0.3)

    engine = FakeEngine(script)
    assert hear(engine, [(0.0, 1.5)], Utterance(sound(2), "en")) == {0: ["one two three."]}
    assert [search.beam_size for search, _ in engine.searches] == [1, 5]


def test_only_the_doubtful_rows_of_a_batch_are_sought_again() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST, DOUBTFUL if end > 2.5 and search.beam_size == 1 else SURE)

    engine = FakeEngine(script)
    hear(engine, [(0.0, 1.5)], *(Utterance(sound(seconds), "en") for seconds in (2, 3, 2)))
    assert [rows for _, rows in engine.searches] == [3, 1]


def test_a_loop_is_broken_by_forbidding_repetitions() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST) if search.no_repeat_ngram_size else Text(words(0.0, *["la"] * 60), complete=False)

    assert hear(FakeEngine(script), [(0.0, 1.5)], Utterance(sound(2), "en")) == {0: ["one two three."]}


@pytest.mark.parametrize(
    ("speech", "text"),
    [
        ([], Text(words(0.0, "you"), no_speech_prob=0.9)),
        ([(0.0, 1.5)], Text(words(0.0, "you"), avg_logprob=-1.2, no_speech_prob=0.9)),
        ([(0.0, 1.5)], Text(words(0.0, "mumble"), avg_logprob=-2.0)),
    ],
)
def test_what_was_made_of_silence_or_noise_is_dropped(speech: list[Interval], text: Text) -> None:
    assert hear(FakeEngine(lambda *_: text), speech, Utterance(sound(2), "en")) == {0: []}


def test_the_language_is_detected_once_for_an_utterance_and_kept_for_all_of_it() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else SECOND)

    engine = FakeEngine(script, spoken="de")
    hear(engine, SPEECH, Utterance(sound(6)))
    assert engine.detections == 1
    assert set(engine.languages) == {"de"}


def test_sound_too_short_for_a_word_is_not_even_encoded() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, SPEECH, Utterance(sound(0.05), "en"), Utterance(sound(0), "en")) == {0: [], 1: []}
    assert engine.searches == []


def test_neighbours_in_a_batch_make_no_difference() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else SECOND)

    alone = hear(FakeEngine(script), SPEECH, Utterance(sound(6), "en"))[0]
    beside = hear(FakeEngine(script), SPEECH, Utterance(sound(2), "en"), Utterance(sound(6), "en"), Utterance(sound(3), "en"))
    assert beside[1] == alone


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
    assert repeats(text) is expected


def test_compression_ratio_is_whispers() -> None:
    assert compression_ratio("") == 0.0
    assert compression_ratio("a" * 100) > 5
    assert compression_ratio("The quick brown fox jumps over the lazy dog.") < 1
