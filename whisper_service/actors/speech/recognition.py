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

Where the language may change, `language_choice` looks at every window before it is decoded. A window in two languages
is cut at pauses, and its parts are decoded in the next rounds, each in its own language.

A chunk in a doubtful language has a limited `effort`, or a wrong language would cost many times a right one.
A text that still repeats itself after every search is dropped, and its place is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

from msgspec.structs import replace

from whisper_service.actors.speech import drafting, language_choice
from whisper_service.actors.speech.coverage import LOST_S, Interval, fit
from whisper_service.actors.speech.effort import Effort, greedy_s, most_tokens, token_s
from whisper_service.actors.speech.engine import (
    MAX_TOKENS,
    WINDOW_S,
    Audio,
    Engine,
    Search,
    UnalignableText,
    padded_s,
)
from whisper_service.actors.speech.repetition import (
    LOOP_RATIO,
    overlap,
    repeats_itself,
    repetition,
    stutters,
)
from whisper_service.actors.speech.windows import (
    BEAM_SIZE,
    DOUBT,
    AudioChunk,
    ChunkProgress,
    PendingRange,
    Recognition,
    Window,
    WindowText,
    choose_language,
    has_hint,
    main_language,
    sentences_of,
)
from whisper_service.core.domain import SAMPLE_RATE, Preset, Task, Word

FindSpeech = Callable[[Audio], Sequence[Interval]]
"""A voice activity detector: returns the speech in the audio, in seconds from its beginning."""

GREEDY: Final = Search()
BEAM: Final = Search(beam_size=BEAM_SIZE)
NO_REPEATS: Final = Search(beam_size=BEAM_SIZE, no_repeat_ngram_size=4, repetition_penalty=1.1)
"""The last resort against loops."""

UNLIKELY_LOGPROB: Final = -1.0
"""Mean log-probability below which a text is improbable; OpenAI's value."""
GARBAGE_LOGPROB: Final = -1.5
"""Mean log-probability below which a text is dropped: music and noise that the detector took for speech."""
NO_SPEECH_PROB: Final = 0.6
"""Probability of silence above which an improbable text is dropped; OpenAI's value."""
PIECE_PAD_S: Final = 0.1
"""Audio kept around a piece whose language is detected."""
PAD_S: Final = 0.3
"""Audio kept before speech that is decoded again."""
MIN_AUDIO_S: Final = 0.1
"""Less audio than this holds no word."""
MAX_RESUMES: Final = 12
"""How often the rest of one chunk may be decoded again."""
IMPROBABLE_LOGPROB: Final = -0.5
"""Mean log-probability below which a second language is looked for inside a window, and tried."""
ALIEN: Final = 0.05
"""Probability of the given language below which a window is surely in another one. Measured: 0.36 is the least in the
right language. No search makes such a text better."""


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


class Recognizer:
    """Turns batches of chunks into sentences. One per thread, because the voice activity detector has a state."""

    def __init__(self, engine: Engine, find_speech: FindSpeech) -> None:
        self._engine = engine
        self.draft = partial(drafting.draft, engine)
        self.find_speech = find_speech

    def recognise(
        self, chunks: Sequence[AudioChunk], preset: Preset, prompt: str | None = None
    ) -> Iterator[tuple[int, Recognition]]:
        """Yield (index, text) of every chunk, each as soon as its text is complete."""
        unfinished = {i: self._begin(chunk, STRATEGIES[preset]) for i, chunk in enumerate(chunks)}
        for progress in unfinished.values():
            detected = progress.chunk.task is Task.DETECT and progress.language is not None
            if len(progress.chunk.audio) >= MIN_AUDIO_S * SAMPLE_RATE and not detected:
                progress.pending.append(PendingRange(0, len(progress.chunk.audio)))
        while unfinished:
            for index in [i for i, progress in unfinished.items() if not progress.pending]:
                done = unfinished.pop(index)
                said, dropped = tuple(sentences_of(done.passages)), tuple(sorted(done.dropped))
                yield index, Recognition(said, main_language(done), done.probability, dropped)
            encoded = self._encode(unfinished, wide=STRATEGIES[preset].wide)
            windows = [window for window in encoded if window.task is not Task.DETECT]
            decoded = self._decode(windows, STRATEGIES[preset], prompt)
            plausible = [window for window in decoded if self._is_plausible(window) and not self._drop_loop(window)]
            aligned = self._engine.words([window.decoded for window in plausible])
            for window, words in zip(plausible, aligned, strict=True):
                self._accept(window, words)

    def align(self, audio: Audio, texts: Sequence[str], language: str, task: Task) -> list[Word]:
        """Return when given words are said, as `Engine.align` does. The language is one that the model knows."""
        known = self._engine.known_language(language)
        if known is None:
            raise UnalignableText
        return self._engine.align(audio, texts, known, task)

    def _begin(self, chunk: AudioChunk, strategy: Strategy) -> ChunkProgress:
        seconds = len(chunk.audio) / SAMPLE_RATE
        effort = Effort.of(seconds, wide=strategy.wide, beam_size=strategy.search.beam_size)
        return ChunkProgress(chunk, self._engine.known_language(chunk.language), effort)

    def _encode(self, unfinished: dict[int, ChunkProgress], *, wide: bool) -> list[Window]:
        """Encode the next pending range of every chunk, and choose the languages of those that have none.

        Returns no window for a range in several languages: its parts are pending now.
        """
        ranges = [progress.pending.popleft() for progress in unfinished.values()]
        parts = [p.chunk.audio[r.begin : r.end] for p, r in zip(unfinished.values(), ranges, strict=True)]
        states = self._engine.encode(parts, wide=wide)
        windows = []
        for (index, progress), part, audio, state in zip(unfinished.items(), ranges, parts, states, strict=True):
            language, task = part.language or progress.language or "en", progress.chunk.task
            is_part = part.language is not None and progress.chunk.follow
            windows.append(Window(index, progress, part.begin, audio, state, language, task, part=is_part))
        open_windows = [
            window
            for window, part in zip(windows, ranges, strict=True)
            if part.language is None and (window.progress.language is None or window.progress.chunk.follow)
        ]
        heard = self._engine.detect_languages([window.states for window in open_windows])
        mixed = [w for w, probabilities in zip(open_windows, heard, strict=True) if choose_language(w, probabilities)]
        self._divide(mixed)
        for window in windows:
            window.progress.effort.done += padded_s(window.seconds, wide=self._engine.is_wide(window.states))
        return [window for window in windows if not window.divided]

    def _divide(self, windows: Sequence[Window]) -> None:
        """Find the languages inside these windows. A window with several is divided: its parts are pending then."""
        if not windows:
            return
        found = [language_choice.pieces(self._speech_between(w.audio, 0.0, w.seconds)) for w in windows]
        sounds = [
            window.audio[int(max(0.0, begin - PIECE_PAD_S) * SAMPLE_RATE) : int((end + PIECE_PAD_S) * SAMPLE_RATE)]
            for window, pieces in zip(windows, found, strict=True)
            for begin, end in pieces
        ]
        heard = iter(self._engine.detect_languages(self._engine.encode(sounds, tight=True)))
        for window, pieces in zip(windows, found, strict=True):
            assert window.heard is not None
            expected = window.progress.language or window.language
            of_pieces = [next(heard) for _ in pieces]
            stretches = language_choice.stretches(pieces, of_pieces, window.heard, expected, window.seconds)
            window.progress.effort.done += sum(end - begin for begin, end in pieces)
            if len(stretches) == 1:
                window.language = stretches[0].language
            elif stretches:
                window.divided = True
                bounds = [window.begin + int(part.begin * SAMPLE_RATE) for part in stretches]
                ends = [*bounds[1:], window.begin + len(window.audio)]
                parts = [PendingRange(a, b, s.language) for a, b, s in zip(bounds, ends, stretches, strict=True)]
                window.progress.pending.extendleft(reversed(parts))
            window.second = language_choice.second(window.heard, window.language)
            window.heard = None

    def _decode(self, windows: Sequence[Window], strategy: Strategy, prompt: str | None) -> list[Window]:
        """Give every window the best text that the strategy finds, with as few searches as possible.

        Returns the windows without those that turned out to hold several languages.
        """
        self._search(windows, strategy.search, prompt)
        improbable = [window for window in windows if window.loops or window.avg_logprob < IMPROBABLE_LOGPROB]
        self._divide([window for window in improbable if has_hint(window)])
        windows = [window for window in windows if not window.divided]
        self._hear_again([window for window in windows if window.part and window.avg_logprob < UNLIKELY_LOGPROB])
        self._search_second([window for window in improbable if window.second and not window.divided], prompt)
        doubtful = [window for window in windows if _is_doubtful(window, strategy)]
        self._find_aliens([window for window in doubtful if window.fixed])
        doubtful = [window for window in doubtful if not window.alien]
        self._search_beam([window for window in doubtful if not self._was_exhaustive(window, strategy)], prompt)
        self._search_again([window for window in doubtful if window.loops], NO_REPEATS, prompt)
        return windows

    def _find_aliens(self, windows: Sequence[Window]) -> None:
        """Mark the windows that are surely not in the language that was given for them."""
        heard = self._engine.detect_languages([window.states for window in windows])
        for window, probabilities in zip(windows, heard, strict=True):
            probability = probabilities.get(window.language, 0.0)
            window.alien = probability < ALIEN
            window.progress.effort.in_doubt |= probability < DOUBT

    def _hear_again(self, windows: Sequence[Window]) -> None:
        """Look for other languages of parts with an improbable text. A short part may have got a wrong one."""
        heard = self._engine.detect_languages([window.states for window in windows])
        for window, probabilities in zip(windows, heard, strict=True):
            window.second = language_choice.second(probabilities, window.language)

    def _search_second(self, windows: Sequence[Window], prompt: str | None) -> None:
        """Decode the windows in their second language. A window keeps its language if that text is better."""
        for window in windows:
            assert window.second is not None
            other = copy(window)
            other.language, other.hypothesis, other.loops = window.second, None, False
            self._search([other], GREEDY, prompt)
            if (not other.loops, other.avg_logprob) > (not window.loops, window.avg_logprob):
                window.language, window.hypothesis, window.loops = other.language, other.hypothesis, other.loops

    def _was_exhaustive(self, window: Window, strategy: Strategy) -> bool:
        """Return whether a beam at full width has searched, and the text was not cut off."""
        return strategy.search == BEAM and self._engine.is_wide(window.states) and window.decoded.hypothesis.complete

    def _search_beam(self, windows: Sequence[Window], prompt: str | None) -> None:
        """Search with a beam, at full width where the effort allows."""
        narrow = [window for window in windows if not self._engine.is_wide(window.states)]
        narrow = [window for window in narrow if window.effort.allows(WINDOW_S + window.beam_s)]
        widened = self._engine.encode([window.audio for window in narrow], wide=True)
        for window, states in zip(narrow, widened, strict=True):
            window.states = states
            window.effort.done += WINDOW_S
        self._search_again(windows, BEAM, prompt)

    def _search_again(self, windows: Sequence[Window], search: Search, prompt: str | None) -> None:
        """Search with a beam once more where the effort allows."""
        self._search([window for window in windows if window.effort.allows(window.beam_s)], search, prompt, again=True)

    def _search(self, windows: Sequence[Window], search: Search, prompt: str | None, *, again: bool = False) -> None:
        """Decode the windows. A window keeps its old text if that is better. A second search is not cut off early."""
        if not windows:
            return
        languages, tasks = [window.language for window in windows], [window.task for window in windows]
        limits = [
            MAX_TOKENS if again and not window.effort.in_doubt else most_tokens(window.seconds, search.beam_size)
            for window in windows
        ]
        found = self._engine.decode([w.states for w in windows], languages, tasks, search, prompt, limits)
        for window, hypothesis in zip(windows, found, strict=True):
            window.effort.done += len(hypothesis.tokens) * token_s(search.beam_size)
            loops = not hypothesis.complete or repeats_itself(self._engine.text(hypothesis))
            if window.hypothesis is None or (not loops, hypothesis.avg_logprob) > (
                not window.loops,
                window.avg_logprob,
            ):
                window.hypothesis, window.loops = hypothesis, loops

    def _is_plausible(self, window: Window) -> bool:
        """Return whether the text may have been said. The model invents text for silence and noise."""
        hypothesis = window.decoded.hypothesis
        if hypothesis.avg_logprob < GARBAGE_LOGPROB:
            return False
        if hypothesis.no_speech_prob <= NO_SPEECH_PROB:
            return True
        return hypothesis.avg_logprob >= UNLIKELY_LOGPROB and bool(
            self._speech_between(window.audio, 0.0, window.seconds)
        )

    def _drop_loop(self, window: Window) -> bool:
        """Return whether the text is a loop. Its place is decoded by halves, or reported as dropped."""
        if not self._is_loop(window):
            return False
        progress = window.progress
        if window.alien or progress.resumes >= MAX_RESUMES or not self._decode_halves(window):
            speech = self._speech_between(window.audio, 0.0, window.seconds)
            if sum(end - begin for begin, end in speech) >= LOST_S:
                offset = window.begin / SAMPLE_RATE
                progress.dropped.append((speech[0][0] + offset, speech[-1][1] + offset))
        return True

    def _is_loop(self, window: Window) -> bool:
        """Return whether a text has no end or repeats itself all the time.

        A phrase may be said twice, and three times where the language is not in doubt.
        """
        hypothesis = window.decoded.hypothesis
        text = self._engine.text(hypothesis)
        if window.effort.in_doubt and stutters(text):
            return True
        return window.loops and (not hypothesis.complete or repetition(text) > LOOP_RATIO)

    def _accept(self, window: Window, words: Sequence[Word]) -> None:
        """Keep the words of the window up to its first uncovered speech, and have the rest decoded again."""
        progress = window.progress
        if window.task is Task.TRANSCRIBE:
            kept, uncovered = fit(words, window.seconds, lambda a, b: self._speech_between(window.audio, a, b))
            more = progress.resumes < MAX_RESUMES and not window.alien
            if uncovered is None or (more and self._decode_rest(window, kept, uncovered.begin)):
                words = kept
        if not words:
            return
        offset = window.begin / SAMPLE_RATE
        moved = tuple(replace(word, start=word.start + offset, end=word.end + offset) for word in words)
        if progress.passages:
            last = progress.passages.pop()
            once = last.words[: len(last.words) - overlap(last.words, moved)]
            progress.passages.append(WindowText(once, last.hypothesis, last.language))
        progress.passages.append(WindowText(moved, window.decoded.hypothesis, window.language))

    def _decode_rest(self, window: Window, kept: Sequence[Word], uncovered_s: float) -> bool:
        """Have the window decoded again from the uncovered speech on. Return False if that would be no progress."""
        begin_s = max(kept[-1].end if kept else 0.0, uncovered_s - PAD_S)
        if begin_s < (MIN_AUDIO_S if kept else 0.5):  # kept words are progress, however short
            return not kept and self._decode_halves(window)
        if not window.effort.allows(greedy_s(window.seconds - begin_s)):
            return False
        window.progress.resumes += 1
        begin, end = window.begin + int(begin_s * SAMPLE_RATE), window.begin + len(window.audio)
        window.progress.pending.appendleft(PendingRange(begin, end, window.language if window.fixed else None))
        return True

    def _decode_halves(self, window: Window) -> bool:
        """Have both halves of the window decoded again. Return False if that is too much work or there is no pause.

        The cut is at the pause nearest to the middle.
        """
        speech = self._speech_between(window.audio, 0.0, window.seconds)
        pauses = [(a[1] + b[0]) / 2 for a, b in pairwise(speech) if b[0] - a[1] > 0.1]
        pauses = [at for at in pauses if 0.5 < at < window.seconds - 0.5]
        if not pauses:
            return False
        nearest = min(pauses, key=lambda pause: abs(pause - window.seconds / 2))
        if not window.effort.allows(greedy_s(nearest) + greedy_s(window.seconds - nearest)):
            return False
        cut, end = window.begin + int(nearest * SAMPLE_RATE), window.begin + len(window.audio)
        language = window.language if window.fixed else None
        window.progress.resumes += 1
        window.progress.pending.extendleft(
            [PendingRange(cut, end, language), PendingRange(window.begin, cut, language)]
        )
        return True

    def _speech_between(self, audio: Audio, begin: float, end: float) -> list[Interval]:
        """Return the speech between two times. The detector gets up to 0.5 s of audio before them to settle."""
        first = begin - min(begin, 0.5)
        found = self.find_speech(audio[int(first * SAMPLE_RATE) : int(end * SAMPLE_RATE)])
        shifted = ((max(begin, a + first), min(end, b + first)) for a, b in found)
        return [(a, b) for a, b in shifted if b > a]


def _is_doubtful(window: Window, strategy: Strategy) -> bool:
    """Return whether a window is searched again. Parts in full width would cost as much as their whole chunk each."""
    least = min(strategy.accept_logprob, IMPROBABLE_LOGPROB) if window.part else strategy.accept_logprob
    return window.loops or window.avg_logprob < least
