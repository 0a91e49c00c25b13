"""From the sound of chunks to their sentences: decode, check, and look again where the check fails.

Owns what counts as a good text and what is tried when it is not; knows neither pipes nor jobs. Everything here is
deterministic, and what comes of a chunk depends on that chunk alone: no sampling, no text of the chunk before.

A chunk is heard in rounds. First all of it, together with the other chunks of the batch. A text that repeats itself, never
ends or is improbable is sought again: with a beam in a window of full width, at last with repetitions forbidden. Then the words are aligned, and where `coverage` finds
speech that did not become words, the words up to there are kept and the rest of the chunk is heard anew, as a chunk of its
own that begins at the hole: so nothing is lost, and only doubtful chunks pay for it. Words that are heard on both sides of
such a seam are kept once.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from typing import Final

from msgspec.structs import replace

from whisper_service.actors.speech.coverage import Interval, fit
from whisper_service.actors.speech.engine import Engine, Hypothesis, Search, Sound, States, Text
from whisper_service.actors.speech.words import sentences, text_of
from whisper_service.core.domain import SAMPLE_RATE, Preset, Task, Word

Speech = Callable[[Sound], Sequence[Interval]]
"""The stretches of speech in some sound, seconds from its beginning: a voice activity detector."""

GREEDY: Final = Search()
BEAM: Final = Search(beam_size=5)
UNREPEATED: Final = Search(beam_size=5, no_repeat_ngram_size=4, repetition_penalty=1.1)
"""The last resort against loops."""

LOOP: Final = 2.4
"""Compression ratio above which a text repeats itself; OpenAI's value."""
SQUEEZED: Final = 0.5
"""Share of the time that words take, below which an alignment has put them where they were not said."""
TWICE: Final = 6
"""Letters from which a phrase said twice, and nothing else, is looked at again."""
UNLIKELY: Final = -1.0
"""Mean log-probability below which a text is hardly what was said; OpenAI's value."""
GARBAGE: Final = -1.5
"""Mean log-probability below which a text is not worth showing: music and noise that the detector took for speech."""
NO_SPEECH: Final = 0.6
"""Probability of silence above which an unlikely text is dropped; OpenAI's value."""
PAD_S: Final = 0.3
"""Sound kept before speech that is heard again."""
SHORTEST_S: Final = 0.1
"""Less sound than this holds no word."""
RESUMES: Final = 12
"""How often one chunk may be taken up again behind a hole."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """How a preset looks for the text of a window at first, and when it is content with it."""

    search: Search
    wide: bool  # always in a window of full width: in narrow ones Whisper now and then says a phrase twice
    sure: float  # a mean log-probability above this needs no second look: there a beam finds the same


STRATEGIES: Final = {
    Preset.FAST: Strategy(GREEDY, wide=False, sure=UNLIKELY),
    Preset.BALANCED: Strategy(GREEDY, wide=False, sure=-0.2),
    Preset.ACCURATE: Strategy(BEAM, wide=True, sure=-0.5),
}


@dataclass(frozen=True, slots=True)
class Utterance:
    """The sound of one chunk and what is wanted of it."""

    sound: Sound
    language: str | None = None  # None: detect
    task: Task = Task.TRANSCRIBE


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words that are read together, and how sure the model was of the stretch they come from."""

    words: tuple[Word, ...]
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class Recognition:
    """What was said in an utterance."""

    sentences: tuple[Sentence, ...]
    language: str
    language_probability: float | None  # None: it was given


@dataclass(slots=True)
class _Window:
    """One window on its way to a text: `sound` begins `begin` samples into its utterance."""

    row: int
    begin: int
    sound: Sound
    states: States
    language: str
    task: Task
    decoded: Hypothesis | None = None
    loops: bool = False  # the text repeats itself or does not end

    @property
    def avg_logprob(self) -> float:
        return self.decoded.avg_logprob if self.decoded else -inf

    @property
    def seconds(self) -> float:
        return len(self.sound) / SAMPLE_RATE

    @property
    def text(self) -> Text:
        """What was found, once there is something."""
        assert self.decoded is not None
        return Text(self.states, self.decoded, self.language, self.task, self.seconds)


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Words that were decoded together, on the clock of the utterance."""

    words: tuple[Word, ...]
    decoded: Hypothesis


@dataclass(slots=True)
class _Progress:
    """How far an utterance has come."""

    utterance: Utterance
    language: str | None
    probability: float | None = None
    stretches: deque[tuple[int, int]] = field(default_factory=deque)  # samples still to be heard, in order
    passages: list[_Decoded] = field(default_factory=list)
    resumes: int = 0


class Recognizer:
    """Turns batches of utterances into sentences. One per thread: the voice activity detector has a state."""

    def __init__(self, engine: Engine, speech: Speech) -> None:
        self._engine = engine
        self._speech = speech

    def recognise(
        self, utterances: Sequence[Utterance], preset: Preset, prompt: str | None = None
    ) -> Iterator[tuple[int, Recognition]]:
        """Yield (index, what was heard) of every utterance, each as soon as it is known."""
        rows = {i: _Progress(u, self._engine.language(u.language)) for i, u in enumerate(utterances)}
        for row in rows.values():
            known = row.utterance.task is Task.DETECT and row.language is not None
            if len(row.utterance.sound) >= SHORTEST_S * SAMPLE_RATE and not known:
                row.stretches.append((0, len(row.utterance.sound)))
        while rows:
            for index in [i for i, row in rows.items() if not row.stretches]:
                row = rows.pop(index)
                yield index, Recognition(tuple(_sentences(row.passages)), row.language or "en", row.probability)
            heard = self._encode(rows, wide=STRATEGIES[preset].wide)
            takes = [take for take in heard if take.task is not Task.DETECT]
            self._decode(takes, STRATEGIES[preset], prompt)
            worth = [take for take in takes if self._believable(take)]
            for take, words in zip(worth, self._engine.words([take.text for take in worth]), strict=True):
                self._accept(take, rows[take.row], words)

    def _encode(self, rows: dict[int, _Progress], *, wide: bool) -> list[_Window]:
        """The next stretch of every row, encoded, in a language."""
        sounds = []
        for row in rows.values():
            begin, end = row.stretches.popleft()
            sounds.append((begin, row.utterance.sound[begin:end]))
        states = self._engine.encode([sound for _, sound in sounds], wide=wide)
        unknown = [(row, state) for row, state in zip(rows.values(), states, strict=True) if row.language is None]
        for (row, _), found in zip(
            unknown, self._engine.detect_languages([state for _, state in unknown]), strict=True
        ):
            row.language, row.probability = found
        return [
            _Window(index, begin, sound, state, row.language or "en", row.utterance.task)
            for (index, row), (begin, sound), state in zip(rows.items(), sounds, states, strict=True)
        ]

    def _decode(self, takes: Sequence[_Window], strategy: Strategy, prompt: str | None) -> None:
        """Give every take the best text the strategy finds, with as little work as that needs."""
        self._search(takes, strategy.search, prompt)
        doubtful = [take for take in takes if take.loops or take.avg_logprob < strategy.sure]
        again = [take for take in doubtful if strategy.search != BEAM or not self._engine.is_wide(take.states)]
        narrow = [take for take in again if not self._engine.is_wide(take.states)]
        for take, states in zip(narrow, self._engine.encode([take.sound for take in narrow], wide=True), strict=True):
            take.states = states
        self._search(again, BEAM, prompt)
        self._search([take for take in doubtful if take.loops], UNREPEATED, prompt)

    def _search(self, takes: Sequence[_Window], search: Search, prompt: str | None) -> None:
        """Decode; a take keeps the text it has if that is better."""
        if not takes:
            return
        languages, tasks = [take.language for take in takes], [take.task for take in takes]
        found = self._engine.decode([take.states for take in takes], languages, tasks, search, prompt)
        for take, decoded in zip(takes, found, strict=True):
            loops = not decoded.complete or repeats(self._engine.text(decoded))
            if take.decoded is None or (not loops, decoded.avg_logprob) > (not take.loops, take.decoded.avg_logprob):
                take.decoded, take.loops = decoded, loops

    def _believable(self, take: _Window) -> bool:
        """Whether somebody may have said this."""
        decoded = take.text.decoded
        return decoded.avg_logprob >= GARBAGE and not (
            decoded.no_speech_prob > NO_SPEECH and self._imagined(take, decoded)
        )

    def _accept(self, take: _Window, row: _Progress, words: Sequence[Word]) -> None:
        """Keep the words of this take up to its first hole, and put what lies behind on the row's list."""
        if take.task is Task.TRANSCRIBE:
            kept, hole = fit(words, take.seconds, lambda begin, end: self._listen(take.sound, begin, end))
            if (
                hole is not None and row.resumes < RESUMES and self._resume(take, row, kept, hole.begin)
            ) or hole is None:
                words = kept
        self._keep(take, row, words, take.text.decoded)

    def _imagined(self, take: _Window, decoded: Hypothesis) -> bool:
        """Whether a text that the model itself finds improbable, or that nobody spoke, was made of silence."""
        return decoded.avg_logprob < UNLIKELY or not self._listen(take.sound, 0.0, take.seconds)

    def _resume(self, take: _Window, row: _Progress, kept: Sequence[Word], hole_s: float) -> bool:
        """Have the stretch from the hole on heard again; False if that would be no progress."""
        begin_s = max(kept[-1].end if kept else 0.0, hole_s - PAD_S)
        if begin_s < (SHORTEST_S if kept else 0.5):  # what was kept is progress, however short
            return self._halve(take, row, kept)
        row.resumes += 1
        row.stretches.appendleft((take.begin + int(begin_s * SAMPLE_RATE), take.begin + len(take.sound)))
        return True

    def _halve(self, take: _Window, row: _Progress, kept: Sequence[Word]) -> bool:
        """Have both halves of the take heard apart, cut at the pause nearest to its middle."""
        speech = self._listen(take.sound, 0.0, take.seconds)
        pauses = [(a[1] + b[0]) / 2 for a, b in pairwise(speech) if b[0] - a[1] > 0.1]
        pauses = [at for at in pauses if 0.5 < at < take.seconds - 0.5]
        if kept or not pauses:
            return False
        row.resumes += 1
        at = int(min(pauses, key=lambda pause: abs(pause - take.seconds / 2)) * SAMPLE_RATE)
        row.stretches.extendleft([(take.begin + at, take.begin + len(take.sound)), (take.begin, take.begin + at)])
        return True

    def _listen(self, sound: Sound, begin: float, end: float) -> list[Interval]:
        """Speech between two times. The detector needs some sound before them to find its way in."""
        lead = min(begin, 0.5)
        first = begin - lead
        found = self._speech(sound[int(first * SAMPLE_RATE) : int(end * SAMPLE_RATE)])
        shifted = ((max(begin, a + first), min(end, b + first)) for a, b in found)
        return [(a, b) for a, b in shifted if b > a]

    def _keep(self, take: _Window, row: _Progress, words: Sequence[Word], decoded: Hypothesis) -> None:
        if not words:
            return
        offset = take.begin / SAMPLE_RATE
        moved = tuple(replace(word, start=word.start + offset, end=word.end + offset) for word in words)
        if row.passages:
            last = row.passages.pop()
            row.passages.append(_Decoded(last.words[: len(last.words) - overlap(last.words, moved)], last.decoded))
        row.passages.append(_Decoded(moved, decoded))


def overlap(before: Sequence[Word], after: Sequence[Word]) -> int:
    """How many of the last words before a seam are the first words behind it, and were said only once.

    Where text is missing, the alignment may squeeze the words that are there into a time that is too early and too short;
    then they are heard again in their true place. Whoever really says a thing twice takes about as long each time.
    """
    heard, again = ([_plain(word.word) for word in side] for side in (before, after))
    longest = min(len(heard), len(again))
    count = next((n for n in range(longest, 0, -1) if heard[-n:] == again[:n]), 0)
    squeezed = count and before[-1].end - before[-count].start < SQUEEZED * (after[count - 1].end - after[0].start)
    return count if squeezed else 0


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _sentences(passages: Sequence[_Decoded]) -> Iterator[Sentence]:
    """The sentences of all passages; how sure the model was is that of the passage in which a sentence begins."""
    ratios = [compression_ratio(text_of(passage.words)) for passage in passages]
    source = [number for number, passage in enumerate(passages) for _ in passage.words]
    begin = 0
    for group in sentences([word for passage in passages for word in passage.words]):
        number = source[begin]
        begin += len(group)
        decoded = passages[number].decoded
        yield Sentence(tuple(group), decoded.avg_logprob, decoded.no_speech_prob, ratios[number])


def compression_ratio(text: str) -> float:
    """Whisper's measure of repetition: bytes of UTF-8 over bytes of zlib."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def repeats(text: str) -> bool:
    """Whether a text goes round in circles, or says one phrase twice and nothing else."""
    plain = _plain(text)
    half = len(plain) // 2
    return repetition(text) > LOOP or (half >= TWICE and plain == 2 * plain[:half])


def repetition(text: str) -> float:
    """The same measure, fair to every script: one byte a character, so that it compares to that of English."""
    alphabet: dict[str, int] = {}
    data = bytes(alphabet.setdefault(character, len(alphabet)) % 256 for character in text)
    return len(data) / len(zlib.compress(data)) if data else 0.0
