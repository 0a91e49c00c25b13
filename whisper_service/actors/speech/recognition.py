"""Turns the audio of chunks into sentences: decodes, checks the text, and decodes again where a check fails.

Decides what a good text is and what to try after a bad one. Knows neither pipes nor jobs. Everything is deterministic:
no sampling, and no text of an earlier chunk. The result of a chunk depends on this chunk alone.

A chunk is decoded in rounds:

1. All of the chunk is decoded, together with the other chunks of the batch.
2. A text that repeats itself, does not end or is improbable is decoded again: with a beam in a window of full width, at
   last with repetitions forbidden.
3. The words are aligned. Where `coverage` finds speech without words, the words before this speech are kept, and the
   rest of the chunk is decoded in the next round, as if a chunk began there. So no speech is lost, and only doubtful
   chunks cost more. Words on both sides of such a seam are kept once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Final

from msgspec.structs import replace

from whisper_service.actors.speech.coverage import Interval, fit
from whisper_service.actors.speech.engine import Audio, DecodedWindow, Engine, Hypothesis, Search, States
from whisper_service.actors.speech.repetition import compression_ratio, overlap, repeats_itself
from whisper_service.actors.speech.words import sentences, text_of
from whisper_service.core.domain import SAMPLE_RATE, Preset, Task, Word

FindSpeech = Callable[[Audio], Sequence[Interval]]
"""A voice activity detector: returns the speech in the audio, in seconds from its beginning."""

GREEDY: Final = Search()
BEAM: Final = Search(beam_size=5)
NO_REPEATS: Final = Search(beam_size=5, no_repeat_ngram_size=4, repetition_penalty=1.1)
"""The last resort against loops."""

UNLIKELY_LOGPROB: Final = -1.0
"""Mean log-probability below which a text is improbable; OpenAI's value."""
GARBAGE_LOGPROB: Final = -1.5
"""Mean log-probability below which a text is dropped: music and noise that the detector took for speech."""
NO_SPEECH_PROB: Final = 0.6
"""Probability of silence above which an improbable text is dropped; OpenAI's value."""
PAD_S: Final = 0.3
"""Audio kept before speech that is decoded again."""
MIN_AUDIO_S: Final = 0.1
"""Less audio than this holds no word."""
MAX_RESUMES: Final = 12
"""How often the rest of one chunk may be decoded again."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a preset searches for the text of a window."""

    search: Search  # the first search
    wide: bool  # always in a window of full width: in narrow ones Whisper now and then says a phrase twice
    accept_logprob: float  # a mean log-probability above this needs no second search: a beam finds the same text


STRATEGIES: Final = {
    Preset.FAST: Strategy(GREEDY, wide=False, accept_logprob=UNLIKELY_LOGPROB),
    Preset.BALANCED: Strategy(GREEDY, wide=False, accept_logprob=-0.2),
    Preset.ACCURATE: Strategy(BEAM, wide=True, accept_logprob=-0.5),
}


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """The audio of one chunk and what to make of it."""

    audio: Audio
    language: str | None = None  # None: detect
    task: Task = Task.TRANSCRIBE


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words that are read together, and the probabilities of the window in which they begin."""

    words: tuple[Word, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """The text of a chunk."""

    sentences: tuple[Sentence, ...]
    language: str
    language_probability: float | None  # None: the language was given


@dataclass(slots=True)
class _Window:
    """A part of a chunk on its way to a text. `audio` begins `begin` samples into the chunk."""

    chunk: int  # its index in the batch
    begin: int
    audio: Audio
    states: States
    language: str
    task: Task
    hypothesis: Hypothesis | None = None
    loops: bool = False  # the text repeats itself or does not end

    @property
    def avg_logprob(self) -> float:
        return self.hypothesis.avg_logprob if self.hypothesis else -inf

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def decoded(self) -> DecodedWindow:
        """The window with its text. There must be one."""
        assert self.hypothesis is not None
        return DecodedWindow(self.states, self.hypothesis, self.language, self.task, self.seconds)


@dataclass(frozen=True, slots=True)
class _Passage:
    """Words of one window, timed from the beginning of the chunk."""

    words: tuple[Word, ...]
    hypothesis: Hypothesis


@dataclass(slots=True)
class _Progress:
    """How far a chunk has come."""

    chunk: AudioChunk
    language: str | None
    probability: float | None = None
    pending: deque[tuple[int, int]] = field(default_factory=deque)  # sample ranges to decode, in order
    passages: list[_Passage] = field(default_factory=list)
    resumes: int = 0


class Recognizer:
    """Turns batches of chunks into sentences. One per thread, because the voice activity detector has a state."""

    def __init__(self, engine: Engine, find_speech: FindSpeech) -> None:
        self._engine = engine
        self._find_speech = find_speech

    def recognise(
        self, chunks: Sequence[AudioChunk], preset: Preset, prompt: str | None = None
    ) -> Iterator[tuple[int, Recognition]]:
        """Yield (index, text) of every chunk, each as soon as its text is complete."""
        unfinished = {
            i: _Progress(chunk, self._engine.known_language(chunk.language)) for i, chunk in enumerate(chunks)
        }
        for progress in unfinished.values():
            detected = progress.chunk.task is Task.DETECT and progress.language is not None
            if len(progress.chunk.audio) >= MIN_AUDIO_S * SAMPLE_RATE and not detected:
                progress.pending.append((0, len(progress.chunk.audio)))
        while unfinished:
            for index in [i for i, progress in unfinished.items() if not progress.pending]:
                done = unfinished.pop(index)
                yield index, Recognition(tuple(_sentences(done.passages)), done.language or "en", done.probability)
            encoded = self._encode(unfinished, wide=STRATEGIES[preset].wide)
            windows = [window for window in encoded if window.task is not Task.DETECT]
            self._decode(windows, STRATEGIES[preset], prompt)
            plausible = [window for window in windows if self._is_plausible(window)]
            aligned = self._engine.words([window.decoded for window in plausible])
            for window, words in zip(plausible, aligned, strict=True):
                self._accept(window, unfinished[window.chunk], words)

    def _encode(self, unfinished: dict[int, _Progress], *, wide: bool) -> list[_Window]:
        """Encode the next pending range of every chunk, and detect the languages that are not known."""
        parts = []
        for progress in unfinished.values():
            begin, end = progress.pending.popleft()
            parts.append((begin, progress.chunk.audio[begin:end]))
        states = self._engine.encode([audio for _, audio in parts], wide=wide)
        unknown = [(p, state) for p, state in zip(unfinished.values(), states, strict=True) if p.language is None]
        languages = self._engine.detect_languages([state for _, state in unknown])
        for (progress, _), (language, probability) in zip(unknown, languages, strict=True):
            progress.language, progress.probability = language, probability
        return [
            _Window(index, begin, audio, state, progress.language or "en", progress.chunk.task)
            for (index, progress), (begin, audio), state in zip(unfinished.items(), parts, states, strict=True)
        ]

    def _decode(self, windows: Sequence[_Window], strategy: Strategy, prompt: str | None) -> None:
        """Give every window the best text that the strategy finds, with as few searches as possible."""
        self._search(windows, strategy.search, prompt)
        doubtful = [window for window in windows if window.loops or window.avg_logprob < strategy.accept_logprob]
        again = [w for w in doubtful if strategy.search != BEAM or not self._engine.is_wide(w.states)]
        narrow = [window for window in again if not self._engine.is_wide(window.states)]
        widened = self._engine.encode([window.audio for window in narrow], wide=True)
        for window, states in zip(narrow, widened, strict=True):
            window.states = states
        self._search(again, BEAM, prompt)
        self._search([window for window in doubtful if window.loops], NO_REPEATS, prompt)

    def _search(self, windows: Sequence[_Window], search: Search, prompt: str | None) -> None:
        """Decode the windows. A window keeps its old text if that is better."""
        if not windows:
            return
        languages, tasks = [window.language for window in windows], [window.task for window in windows]
        found = self._engine.decode([window.states for window in windows], languages, tasks, search, prompt)
        for window, hypothesis in zip(windows, found, strict=True):
            loops = not hypothesis.complete or repeats_itself(self._engine.text(hypothesis))
            if window.hypothesis is None or (not loops, hypothesis.avg_logprob) > (
                not window.loops,
                window.avg_logprob,
            ):
                window.hypothesis, window.loops = hypothesis, loops

    def _is_plausible(self, window: _Window) -> bool:
        """Return whether the text may have been said. The model invents text for silence and noise."""
        hypothesis = window.decoded.hypothesis
        if hypothesis.avg_logprob < GARBAGE_LOGPROB:
            return False
        if hypothesis.no_speech_prob <= NO_SPEECH_PROB:
            return True
        return hypothesis.avg_logprob >= UNLIKELY_LOGPROB and bool(
            self._speech_between(window.audio, 0.0, window.seconds)
        )

    def _accept(self, window: _Window, progress: _Progress, words: Sequence[Word]) -> None:
        """Keep the words of the window up to its first uncovered speech, and have the rest decoded again."""
        if window.task is Task.TRANSCRIBE:
            kept, uncovered = fit(words, window.seconds, lambda a, b: self._speech_between(window.audio, a, b))
            if uncovered is None or (
                progress.resumes < MAX_RESUMES and self._decode_rest(window, progress, kept, uncovered.begin)
            ):
                words = kept
        if not words:
            return
        offset = window.begin / SAMPLE_RATE
        moved = tuple(replace(word, start=word.start + offset, end=word.end + offset) for word in words)
        if progress.passages:
            last = progress.passages.pop()
            once = last.words[: len(last.words) - overlap(last.words, moved)]
            progress.passages.append(_Passage(once, last.hypothesis))
        progress.passages.append(_Passage(moved, window.decoded.hypothesis))

    def _decode_rest(self, window: _Window, progress: _Progress, kept: Sequence[Word], uncovered_s: float) -> bool:
        """Have the window decoded again from the uncovered speech on. Return False if that would be no progress."""
        begin_s = max(kept[-1].end if kept else 0.0, uncovered_s - PAD_S)
        if begin_s < (MIN_AUDIO_S if kept else 0.5):  # kept words are progress, however short
            return not kept and self._decode_halves(window, progress)
        progress.resumes += 1
        progress.pending.appendleft((window.begin + int(begin_s * SAMPLE_RATE), window.begin + len(window.audio)))
        return True

    def _decode_halves(self, window: _Window, progress: _Progress) -> bool:
        """Have both halves of the window decoded again. Return False if there is no pause to cut at.

        The cut is at the pause nearest to the middle.
        """
        speech = self._speech_between(window.audio, 0.0, window.seconds)
        pauses = [(a[1] + b[0]) / 2 for a, b in pairwise(speech) if b[0] - a[1] > 0.1]
        pauses = [at for at in pauses if 0.5 < at < window.seconds - 0.5]
        if not pauses:
            return False
        nearest = min(pauses, key=lambda pause: abs(pause - window.seconds / 2))
        cut, end = window.begin + int(nearest * SAMPLE_RATE), window.begin + len(window.audio)
        progress.resumes += 1
        progress.pending.extendleft([(cut, end), (window.begin, cut)])
        return True

    def _speech_between(self, audio: Audio, begin: float, end: float) -> list[Interval]:
        """Return the speech between two times. The detector gets up to 0.5 s of audio before them to settle."""
        first = begin - min(begin, 0.5)
        found = self._find_speech(audio[int(first * SAMPLE_RATE) : int(end * SAMPLE_RATE)])
        shifted = ((max(begin, a + first), min(end, b + first)) for a, b in found)
        return [(a, b) for a, b in shifted if b > a]


def _sentences(passages: Sequence[_Passage]) -> Iterator[Sentence]:
    """Yield the sentences of all passages, each with the probabilities of the passage in which it begins."""
    ratios = [compression_ratio(text_of(passage.words)) for passage in passages]
    source = [number for number, passage in enumerate(passages) for _ in passage.words]
    begin = 0
    for group in sentences([word for passage in passages for word in passage.words]):
        number = source[begin]
        begin += len(group)
        hypothesis = passages[number].hypothesis
        yield Sentence(tuple(group), hypothesis.avg_logprob, hypothesis.no_speech_prob, ratios[number])
