"""Decode, check, look again: the recogniser with a scripted engine and a scripted voice detector."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisper_service.actors.speech import recognition
from whisper_service.actors.speech.coverage import Interval
from whisper_service.actors.speech.engine import Audio, DecodedWindow, Engine, Hypothesis, Search, States
from whisper_service.actors.speech.recognition import (
    BEAM,
    GARBAGE_LOGPROB,
    GREEDY,
    MAX_RESUMES,
    NO_REPEATS,
    NO_SPEECH_PROB,
    STRATEGIES,
    UNLIKELY_LOGPROB,
    AudioChunk,
    Recognition,
    Recognizer,
)
from whisper_service.actors.speech.repetition import (
    LOOP_RATIO,
    SQUEEZED_SHARE,
    compression_ratio,
    overlap,
    repeats_itself,
    repetition,
)
from whisper_service.core.domain import SAMPLE_RATE, Preset, Task, Word

SURE, DOUBTFUL = -0.05, -0.7


def sound(seconds: float, at: float = 0.0) -> Audio:
    """Counts its own samples, so that a piece of it tells where it begins; `at` is its place on the script's clock."""
    first = round(at * SAMPLE_RATE)
    return np.arange(first, first + round(seconds * SAMPLE_RATE), dtype=np.float32)


@dataclass
class Text:
    """What the engine hears in a stretch: words with their times on the script's clock."""

    words: list[tuple[float, float, str]]
    avg_logprob: float = SURE
    no_speech_prob: float = 0.1
    complete: bool = True


@dataclass
class FakeEngine:
    """Hears what `script(begin, end, search, wide)` says; its states remember where their sound begins and ends."""

    script: Callable[[float, float, Search, bool], Text]
    spoken: str = "en"
    knows: tuple[str, ...] = ("en", "de", "zh")
    searches: list[tuple[Search, int]] = field(default_factory=list)
    looked: list[tuple[float, float, Search, bool]] = field(default_factory=list)
    prompts: list[str | None] = field(default_factory=list)
    worded: list[tuple[str, Task, float]] = field(default_factory=list)
    detections: int = 0
    languages: list[str] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    texts: dict[tuple[int, ...], Text] = field(default_factory=dict)

    def known_language(self, wanted: str | None) -> str | None:
        return wanted if wanted in self.knows else None

    def encode(self, windows: Sequence[Audio], *, wide: bool = False) -> list[States]:
        return [np.array([s[0], s[-1] + 1, float(wide)], dtype=np.float32) for s in windows]

    def is_wide(self, states: States) -> bool:
        return bool(states[2])

    def detect_languages(self, states: Sequence[States]) -> list[tuple[str, float]]:
        self.detections += len(states)
        return [(self.spoken, 0.9)] * len(states)

    def decode(
        self,
        states: Sequence[States],
        languages: Sequence[str],
        tasks: Sequence[Task],
        search: Search,
        prompt: str | None,
    ) -> list[Hypothesis]:
        self.searches.append((search, len(states)))
        self.languages += languages
        self.tasks += tasks
        self.prompts.append(prompt)
        return [self._decoded(state, search) for state in states]

    def _decoded(self, state: States, search: Search) -> Hypothesis:
        stretch = float(state[0]) / SAMPLE_RATE, float(state[1]) / SAMPLE_RATE
        self.looked.append((*stretch, search, bool(state[2])))
        text = self.script(*stretch, search, bool(state[2]))
        tokens = (len(self.texts),)
        self.texts[tokens] = text
        return Hypothesis(tokens, text.avg_logprob, text.no_speech_prob, text.complete)

    def text(self, hypothesis: Hypothesis) -> str:
        return "".join(word for _, _, word in self.texts[hypothesis.tokens].words)

    def words(self, windows: Sequence[DecodedWindow]) -> list[list[Word]]:
        self.worded += [(window.language, window.task, window.seconds) for window in windows]
        begins = [float(window.states[0]) / SAMPLE_RATE for window in windows]
        said = [self.texts[window.hypothesis.tokens].words for window in windows]
        return [
            [Word(a - begin, b - begin, word, 0.9) for a, b, word in words]
            for begin, words in zip(begins, said, strict=True)
        ]


def listening(
    engine: FakeEngine,
    speech: Sequence[Interval],
    *utterances: AudioChunk,
    preset: Preset = Preset.BALANCED,
    prompt: str | None = None,
) -> Iterator[tuple[int, Recognition]]:
    """What is heard, one after the other; `speech` is where somebody speaks, on the script's clock."""

    def detector(piece: Audio) -> list[Interval]:
        if not len(piece):
            return []
        begin, end = float(piece[0]) / SAMPLE_RATE, float(piece[-1] + 1) / SAMPLE_RATE
        return [(max(a, begin) - begin, min(b, end) - begin) for a, b in speech if a < end and b > begin]

    fake: Any = engine
    return Recognizer(fake, detector).recognise(utterances, preset, prompt)


def hear(
    engine: FakeEngine, speech: Sequence[Interval], *utterances: AudioChunk, preset: Preset = Preset.BALANCED
) -> dict[int, list[str]]:
    """The sentences of each utterance."""
    found = list(listening(engine, speech, *utterances, preset=preset))
    assert sorted(index for index, _ in found) == list(range(len(utterances)))
    return {index: ["".join(w.word for w in s.words).strip() for s in heard.sentences] for index, heard in found}


def words(begin: float, *texts: str) -> list[tuple[float, float, str]]:
    """Words of half a second, one after the other."""
    return [(begin + n / 2, begin + (n + 1) / 2, f" {text}") for n, text in enumerate(texts)]


FIRST = words(0.0, "one", "two", "three.")
SECOND = words(4.0, "four", "five", "six.")
SPEECH = [(0.0, 1.5), (4.0, 5.5)]


def complete(begin: float, end: float, search: Search, wide: bool) -> Text:
    return Text([w for w in FIRST + SECOND if w[0] >= begin - 0.01 and w[1] <= end + 0.01])


def lazy(begin: float, end: float, search: Search, wide: bool) -> Text:
    """Gives up after the first sentence."""
    return Text(FIRST if begin < 1 else SECOND)


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


def test_a_translation_is_not_held_against_the_speech() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST))
    assert hear(engine, SPEECH, AudioChunk(sound(6), "de", Task.TRANSLATE)) == {0: ["one two three."]}
    assert engine.tasks == [Task.TRANSLATE]
    assert engine.worded == [("de", Task.TRANSLATE, 6.0)]


def test_a_translation_keeps_the_times_it_was_aligned_to() -> None:
    stretched = [(0.0, 3.9, " one")]
    ((_, heard),) = listening(
        FakeEngine(lambda *_: Text(stretched)), [(3.5, 3.9)], AudioChunk(sound(6), "de", Task.TRANSLATE)
    )
    assert [(w.start, w.end) for s in heard.sentences for w in s.words] == [(0.0, pytest.approx(3.9))]


def test_what_is_really_said_twice_is_kept_twice() -> None:
    again = words(4.0, "one", "two", "three.")

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else again)

    assert hear(FakeEngine(script), SPEECH, AudioChunk(sound(6), "en")) == {0: ["one two three."] * 2}


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
    assert looked(Text(FIRST, sure + 0.01, complete=False)) == order


@pytest.mark.parametrize("preset", [Preset.FAST, Preset.BALANCED])
@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (Text(words(0, "first."), -1.1), Text(words(0, "second."), -1.05), "second."),
        (Text(words(0, "first."), -1.1), Text(words(0, "second."), -1.15), "first."),
        (Text(words(0, "first."), -1.1), Text(words(0, "second."), -1.1), "first."),
        (Text(words(0, "first."), -1.4), Text(words(0, "second."), -1.1, complete=False), "first."),
        (Text(words(0, "first."), -0.1, complete=False), Text(words(0, "second."), -1.4), "second."),
        (Text(words(0, *["first"] * 3), -0.1), Text(words(0, *["la"] * 80), -0.05, complete=False), "la " * 80),
    ],
)
def test_the_better_text_is_kept_and_any_is_better_than_a_loop(
    preset: Preset, first: Text, second: Text, kept: str
) -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        if search == NO_REPEATS:
            return Text(words(0, "worst."), GARBAGE_LOGPROB - 1, complete=False)
        return second if search == BEAM else first

    if kept.startswith("la"):
        first.complete = False  # between two loops the likelier one
    found = hear(FakeEngine(script), [(0.0, 0.5)], AudioChunk(sound(2), "en"), preset=preset)
    assert " ".join(found[0]).split() == kept.split()


def test_a_loop_that_nothing_breaks_is_kept_rather_than_silence() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST, complete=False))
    assert hear(engine, SPEECH[:1], AudioChunk(sound(2), "en")) == {0: ["one two three."]}
    assert [search for search, _ in engine.searches] == [GREEDY, BEAM, NO_REPEATS]


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


@pytest.mark.parametrize(
    ("speech", "text"),
    [
        ([], Text(words(0.0, "you"), no_speech_prob=0.9)),
        (
            [(0.0, 1.5)],
            Text(words(0.0, "you"), avg_logprob=UNLIKELY_LOGPROB - 0.01, no_speech_prob=NO_SPEECH_PROB + 0.01),
        ),
        ([(0.0, 1.5)], Text(words(0.0, "mumble"), avg_logprob=GARBAGE_LOGPROB - 0.01)),
        ([(0.0, 1.5)], Text([])),
    ],
)
def test_what_was_made_of_silence_or_noise_is_dropped(speech: list[Interval], text: Text) -> None:
    assert hear(FakeEngine(lambda *_: text), speech, AudioChunk(sound(2), "en")) == {0: []}


@pytest.mark.parametrize(
    ("speech", "text"),
    [
        ([], Text(words(0.0, "you"), no_speech_prob=NO_SPEECH_PROB)),
        ([(0.0, 0.5)], Text(words(0.0, "you"), no_speech_prob=NO_SPEECH_PROB + 0.1)),
        ([(0.0, 0.5)], Text(words(0.0, "you"), avg_logprob=UNLIKELY_LOGPROB - 0.01, no_speech_prob=NO_SPEECH_PROB)),
        ([(0.0, 0.5)], Text(words(0.0, "you"), avg_logprob=GARBAGE_LOGPROB, no_speech_prob=0.0)),
    ],
)
def test_one_doubt_alone_does_not_drop_a_text(speech: list[Interval], text: Text) -> None:
    assert hear(FakeEngine(lambda *_: text), speech, AudioChunk(sound(2), "en")) == {0: ["you"]}


def test_the_language_is_detected_once_for_an_utterance_and_kept_for_all_of_it() -> None:
    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        return Text(FIRST if begin < 1 else SECOND)

    engine = FakeEngine(script, spoken="de")
    hear(engine, SPEECH, AudioChunk(sound(6)))
    assert engine.detections == 1
    assert set(engine.languages) == {"de"}


def test_the_language_that_was_wanted_is_passed_on_and_one_the_model_does_not_know_is_detected() -> None:
    engine = FakeEngine(lambda *_: Text(FIRST), spoken="zh")
    wanted = [AudioChunk(sound(2), language) for language in ("de", None, "tlh", "en")]
    found = dict(listening(engine, SPEECH[:1], *wanted))
    assert engine.languages == ["de", "zh", "zh", "en"]
    assert [language for language, *_ in engine.worded] == engine.languages
    assert [found[i].language for i in range(4)] == engine.languages
    assert [found[i].language_probability for i in range(4)] == [None, 0.9, 0.9, None]
    assert engine.detections == 2


def test_a_second_search_is_made_in_the_language_and_task_of_its_row() -> None:
    engine = FakeEngine(lambda begin, end, *_: Text(FIRST, SURE if end < 3 else UNLIKELY_LOGPROB - 0.1))
    hear(
        engine,
        SPEECH[:1],
        AudioChunk(sound(2), "en"),
        AudioChunk(sound(4), "de", Task.TRANSLATE),
        AudioChunk(sound(2), "zh"),
    )
    assert engine.languages == ["en", "de", "zh", "de"]
    assert engine.tasks == [Task.TRANSCRIBE, Task.TRANSLATE, Task.TRANSCRIBE, Task.TRANSLATE]


def test_every_search_is_told_the_prompt() -> None:
    engine = FakeEngine(lambda begin, *_: Text(FIRST, complete=False) if begin < 1 else Text(SECOND))
    list(listening(engine, SPEECH, AudioChunk(sound(6), "en"), prompt="numbers"))
    assert engine.prompts == ["numbers"] * 4


def test_nothing_to_hear() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, []) == {}
    assert engine.searches == []


def test_sound_too_short_for_a_word_is_not_even_encoded() -> None:
    engine = FakeEngine(complete)
    assert hear(engine, SPEECH, AudioChunk(sound(0.05), "en"), AudioChunk(sound(0), "en")) == {0: [], 1: []}
    assert engine.searches == []


def test_what_is_known_is_told_before_the_rest_is_heard() -> None:
    engine = FakeEngine(lazy)
    found = listening(
        engine, SPEECH, AudioChunk(sound(6), "en"), AudioChunk(sound(2), "en"), AudioChunk(sound(0.01), "en")
    )
    assert (next(found)[0], len(engine.searches)) == (2, 0)
    assert (next(found)[0], len(engine.searches)) == (1, 1)
    assert (next(found)[0], len(engine.searches)) == (0, 2)
    assert next(found, None) is None


PLACE = 64.0
"""Seconds between the beginnings of utterances on the script's clock: more than any of them lasts."""


@dataclass(frozen=True)
class Scene:
    """Sentences in a sound, and after how many of them the engine gives up at every look."""

    sentences: tuple[tuple[float, int], ...]  # the pause before it, its number of words
    stamina: tuple[int, ...]
    doubts: tuple[float, ...]

    def spoken(self, at: float) -> list[list[tuple[float, float, str]]]:
        said, names = [], iter(f"{chr(97 + n)}{n}{chr(122 - n)}" for n in range(26))
        for pause, count in self.sentences:
            texts = [next(names) for _ in range(count)]
            said.append(words(at + pause, *texts[:-1], f"{texts[-1]}."))
            at = said[-1][-1][1]
        return said

    def seconds(self) -> float:
        return self.spoken(0.0)[-1][-1][1] + 0.5


scene = st.builds(
    Scene,
    st.lists(st.tuples(st.sampled_from([1.0, 1.5, 2.25]), st.integers(2, 4)), min_size=1, max_size=5).map(tuple),
    st.lists(st.integers(1, 3), min_size=1, max_size=4).map(tuple),
    st.lists(st.sampled_from([SURE, DOUBTFUL, UNLIKELY_LOGPROB - 0.1]), min_size=1, max_size=4).map(tuple),
)


def play(scenes: Sequence[Scene], places: Sequence[int], preset: Preset) -> tuple[FakeEngine, dict[int, list[str]]]:
    """Hear scenes together, each at its place on the clock, with an engine whose faults depend on the stretch alone."""
    said = {place: scene.spoken(place * PLACE) for scene, place in zip(scenes, places, strict=True)}
    by_place = dict(zip(places, scenes, strict=True))

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        place = int(begin // PLACE)
        scene = by_place[place]
        number = int(begin * 10) + search.beam_size + wide
        heard = [
            sentence for sentence in said[place] if sentence[0][0] >= begin - 0.01 and sentence[-1][1] <= end + 0.01
        ]
        heard = heard[: scene.stamina[number % len(scene.stamina)]]
        return Text([w for sentence in heard for w in sentence], scene.doubts[number % len(scene.doubts)])

    speech = [(sentence[0][0], sentence[-1][1]) for place in sorted(said) for sentence in said[place]]
    engine = FakeEngine(script)
    utterances = [
        AudioChunk(sound(scene.seconds(), place * PLACE), "en") for scene, place in zip(scenes, places, strict=True)
    ]
    return engine, hear(engine, speech, *utterances, preset=preset)


@given(st.lists(scene, min_size=1, max_size=4), st.sampled_from(Preset), st.randoms(use_true_random=False))
def test_nothing_is_lost_or_said_twice_whatever_the_engine_passes_over_and_whoever_is_beside(
    scenes: list[Scene], preset: Preset, random: Any
) -> None:
    places = list(range(len(scenes)))
    random.shuffle(places)
    _, together = play(scenes, places, preset)
    for index, (scene, place) in enumerate(zip(scenes, places, strict=True)):
        assert together[index] == ["".join(w for _, _, w in sentence).strip() for sentence in scene.spoken(0.0)]
        assert play([scene], [place], preset)[1][0] == together[index]


@given(st.lists(st.tuples(scene, st.booleans()), min_size=1, max_size=4), st.sampled_from(Preset))
def test_what_is_heard_of_a_sound_depends_on_it_alone(rows: list[tuple[Scene, bool]], preset: Preset) -> None:
    """Also where text is lost, dropped or goes round in circles."""

    def script(begin: float, end: float, search: Search, wide: bool) -> Text:
        number, odd = rows[int(begin // PLACE)]
        look = int(begin * 10) + search.beam_size + wide
        sentence = number.spoken(begin + 0.2)[0]
        if odd and look % 3 == 0:
            return Text(sentence * 2, GARBAGE_LOGPROB - 0.1 if look % 2 else SURE, 0.9, complete=False)
        return Text(sentence, number.doubts[look % len(number.doubts)], 0.9 if odd else 0.1)

    def heard(*places: int) -> list[Recognition]:
        utterances = [AudioChunk(sound(rows[place][0].seconds(), place * PLACE)) for place in places]
        speech = [
            (place * PLACE + 0.2, place * PLACE + 0.2 + rows[place][0].seconds() / 2) for place in range(len(rows))
        ]
        found = dict(listening(FakeEngine(script), speech, *utterances, preset=preset))
        return [found[index] for index in range(len(places))]

    places = range(len(rows))
    alone = [heard(place)[0] for place in places]
    assert heard(*places) == alone
    assert heard(*reversed(places)) == alone[::-1]


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


def test_a_language_is_found_without_a_text() -> None:
    engine = FakeEngine(lambda *_: Text([(0.0, 1.0, " Ja.")]), spoken="de")
    rows = [AudioChunk(sound(5.0), task=Task.DETECT), AudioChunk(sound(5.0), language="en", task=Task.DETECT)]
    heard = dict(Recognizer(engine, lambda _: []).recognise(rows, Preset.BALANCED))
    assert heard == {0: Recognition((), "de", 0.9), 1: Recognition((), "en", None)}
    assert engine.searches == []
    assert engine.detections == 1, "what is known is not sought"
