"""What becomes a text: chunks, the windows that are cut from them, and the words that windows gave.

A chunk is decoded in one or more windows. `Window` has what is known of one on its way to a text, `ChunkProgress` what
is done of a chunk, `Recognition` what came out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from typing import Final

from whisper_service.actors.speech import language_choice
from whisper_service.actors.speech.coverage import Interval
from whisper_service.actors.speech.effort import Effort, token_s
from whisper_service.actors.speech.engine import Audio, DecodedWindow, Hypothesis, States
from whisper_service.actors.speech.language_choice import Probabilities
from whisper_service.actors.speech.repetition import compression_ratio
from whisper_service.actors.speech.words import sentences, text_of
from whisper_service.core.domain import SAMPLE_RATE, Task, Word

BEAM_SIZE: Final = 5
"""Texts that a second search follows at once; OpenAI's value."""
HINT: Final = 0.02
"""Probability of a second language from which it is worth to look for it in an improbable text."""
DOUBT: Final = 0.5
"""Probability of the language below which the work for a chunk is limited."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """The audio of one chunk and what to make of it."""

    audio: Audio
    language: str | None = None  # None: detect
    task: Task = Task.TRANSCRIBE
    follow: bool = False  # another language that is surely spoken is followed


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words that are read together, and the language and probabilities of the window in which they begin."""

    words: tuple[Word, ...]
    language: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """The text of a chunk."""

    sentences: tuple[Sentence, ...]
    language: str
    language_probability: float | None  # None: the language was given
    dropped: tuple[Interval, ...] = ()  # speech without a text, because every text repeats itself


@dataclass(frozen=True, slots=True)
class WindowText:
    """Words of one window, timed from the beginning of the chunk."""

    words: tuple[Word, ...]
    hypothesis: Hypothesis
    language: str


@dataclass(frozen=True, slots=True)
class PendingRange:
    """Samples of a chunk that are to be decoded, in order."""

    begin: int
    end: int
    language: str | None = None  # None: that of the chunk, or what is heard if changes are followed


@dataclass(slots=True)
class ChunkProgress:
    """How far a chunk has come."""

    chunk: AudioChunk
    language: str | None
    effort: Effort
    probability: float | None = None
    pending: deque[PendingRange] = field(default_factory=deque)
    passages: list[WindowText] = field(default_factory=list)
    dropped: list[Interval] = field(default_factory=list)
    resumes: int = 0


@dataclass(slots=True)
class Window:
    """A part of a chunk on its way to a text. `audio` begins `begin` samples into the chunk."""

    chunk: int  # its index in the batch
    progress: ChunkProgress
    begin: int
    audio: Audio
    states: States
    language: str
    task: Task
    heard: Probabilities | None = None  # None: its pieces need no look, or had one
    second: str | None = None  # another language that may be spoken
    hypothesis: Hypothesis | None = None
    loops: bool = False  # the text repeats itself or does not end
    fixed: bool = True  # the language was given, or belongs to this part of a chunk
    part: bool = False  # of a window that was divided
    divided: bool = False  # its parts are decoded instead
    alien: bool = False  # surely not in its language

    @property
    def avg_logprob(self) -> float:
        return self.hypothesis.avg_logprob if self.hypothesis else -inf

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def effort(self) -> Effort:
        return self.progress.effort

    @property
    def beam_s(self) -> float:
        """The work of a beam: that of a text as long as the one that is there."""
        return len(self.hypothesis.tokens) * token_s(BEAM_SIZE) if self.hypothesis else 0.0

    @property
    def decoded(self) -> DecodedWindow:
        """The window with its text. There must be one."""
        assert self.hypothesis is not None
        return DecodedWindow(self.states, self.hypothesis, self.language, self.task, self.seconds)


def choose_language(window: Window, heard: Probabilities) -> bool:
    """Choose the language of a window by what was heard. Return whether its pieces need a look."""
    progress = window.progress
    if progress.language is None:
        progress.language, progress.probability = next(iter(heard.items()))
    window.language = progress.language
    if not progress.chunk.follow or window.task is Task.DETECT:
        return False
    window.heard, window.fixed = heard, False
    spoken = language_choice.spoken(heard, window.language)
    if spoken is None:
        return True
    window.language = spoken
    window.second = language_choice.second(heard, spoken)
    progress.effort.in_doubt |= heard.get(spoken, 0.0) < DOUBT
    return False


def has_hint(window: Window) -> bool:
    """Return whether a second language may be hidden in a window."""
    heard = window.heard or {}
    return any(probability >= HINT for language, probability in heard.items() if language != window.language)


def main_language(progress: ChunkProgress) -> str:
    """Return the language of a chunk: the one that was detected, or the one that most of its words are in."""
    if progress.probability is not None or not progress.passages:
        return progress.language or "en"
    seconds: dict[str, float] = {}
    for passage in progress.passages:
        length = passage.words[-1].end - passage.words[0].start if passage.words else 0.0
        seconds[passage.language] = seconds.get(passage.language, 0.0) + length
    return max(seconds, key=lambda language: seconds[language])


def sentences_of(passages: Sequence[WindowText]) -> Iterator[Sentence]:
    """Yield the sentences of all passages, each with the probabilities of the passage in which it begins."""
    for language, group in groupby(passages, key=lambda passage: passage.language):
        members = list(group)
        ratios = [compression_ratio(text_of(passage.words)) for passage in members]
        source = [number for number, passage in enumerate(members) for _ in passage.words]
        begin = 0
        for words in sentences([word for passage in members for word in passage.words]):
            number = source[begin]
            begin += len(words)
            hypothesis = members[number].hypothesis
            yield Sentence(tuple(words), language, hypothesis.avg_logprob, hypothesis.no_speech_prob, ratios[number])
