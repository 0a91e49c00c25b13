"""An engine that hears what a script says, and the recogniser on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from whisper_service.actors.speech.coverage import Interval
from whisper_service.actors.speech.engine import Audio, DecodedWindow, Hypothesis, Search, States
from whisper_service.actors.speech.recognition import Recognizer
from whisper_service.actors.speech.windows import AudioChunk, Recognition
from whisper_service.core.domain import SAMPLE_RATE, Preset, Task, Word

SURE, DOUBTFUL = -0.05, -0.7
FAINT = 0.06
"""Probability of a language that may be spoken, and is not heard."""


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
    tokens: int = 1


@dataclass
class FakeEngine:
    """Hears what `script(begin, end, search, wide)` says; its states remember where their sound begins and ends."""

    script: Callable[[float, float, Search, bool], Text]
    spoken: str = "en"
    heard: Callable[[float, float], dict[str, float]] | None = (
        None  # None: `spoken` everywhere, other languages faintly
    )
    says: Callable[[float, float, str], Text] | None = None  # what it hears depends on the language too
    knows: tuple[str, ...] = ("en", "de", "zh")
    searches: list[tuple[Search, int]] = field(default_factory=list)
    looked: list[tuple[float, float, Search, bool]] = field(default_factory=list)
    prompts: list[str | None] = field(default_factory=list)
    limits: list[int] = field(default_factory=list)
    worded: list[tuple[str, Task, float]] = field(default_factory=list)
    encoded: list[tuple[float, float, bool]] = field(default_factory=list)
    detections: int = 0
    languages: list[str] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    texts: dict[tuple[int, ...], Text] = field(default_factory=dict)

    def known_language(self, wanted: str | None) -> str | None:
        return wanted if wanted in self.knows else None

    def encode(
        self, windows: Sequence[Audio], *, wide: bool = False, tight: bool = False, widths: Sequence[int] = ()
    ) -> list[States]:
        self.encoded += [(float(s[0]) / SAMPLE_RATE, float(s[-1] + 1) / SAMPLE_RATE, tight) for s in windows]
        return [np.array([s[0], s[-1] + 1, float(wide)], dtype=np.float32) for s in windows]

    def is_wide(self, states: States) -> bool:
        return bool(states[2])

    def detect_languages(self, states: Sequence[States]) -> list[dict[str, float]]:
        self.detections += len(states)
        faint = {language: FAINT for language in self.knows if language != self.spoken}
        if self.heard is None:
            return [{self.spoken: 0.9} | faint for _ in states]
        found = [self.heard(float(state[0]) / SAMPLE_RATE, float(state[1]) / SAMPLE_RATE) for state in states]
        return [dict(sorted(each.items(), key=lambda pair: -pair[1])) for each in found]

    def decode(
        self,
        states: Sequence[States],
        languages: Sequence[str],
        tasks: Sequence[Task],
        search: Search,
        prompt: str | None,
        limits: Sequence[int],
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[Hypothesis]:
        self.searches.append((search, len(states)))
        self.languages += languages
        self.tasks += tasks
        self.prompts.append(prompt)
        self.limits += limits
        return [self._decoded(state, search, language) for state, language in zip(states, languages, strict=True)]

    def _decoded(self, state: States, search: Search, language: str) -> Hypothesis:
        stretch = float(state[0]) / SAMPLE_RATE, float(state[1]) / SAMPLE_RATE
        self.looked.append((*stretch, search, bool(state[2])))
        text = self.says(*stretch, language) if self.says else self.script(*stretch, search, bool(state[2]))
        tokens = (len(self.texts),) * text.tokens
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
