"""Finds the words in the newest sound of live sessions: fast and greedy, because a draft is replaced soon.

A text goes on behind a prefix, the words that are stable already. Narrow windows cost half of what wide ones cost, and
now and then say a phrase twice: such a text is heard once more with more silence behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from whisper_service.actors.speech.engine import (
    BRIEF_WIDTHS_S,
    MAX_TOKENS,
    Audio,
    DecodedWindow,
    Engine,
    Hypothesis,
    Search,
)
from whisper_service.actors.speech.repetition import LOOP_RATIO, repetition
from whisper_service.core.domain import SAMPLE_RATE, Task, Word

SILENCE_S: Final = 4.0
"""Silence with which a doubtful text is heard again, beside that of every window. Measured: a window of 20 s finds the
same text and takes twice as long."""
LEAST_TOKENS: Final = 4
TOKENS_PER_S: Final = 6.0
"""More tokens than these of a window are no speech. Measured: at most 6.2 a second in seven languages."""
DENSE: Final = frozenset(
    ("am", "bn", "bo", "gu", "hi", "hy", "ja", "ka", "km", "kn", "ko", "lo", "ml", "mr", "my", "ne", "pa", "si", "ta")
) | {"te", "th", "yue", "zh"}
"""Languages whose characters have more than one token each: they may have twice as many tokens."""
PHRASE_WORDS: Final = 2
"""Words of the shortest phrase that is suspect when it is said twice in a row."""
UNLIKELY_LOGPROB: Final = -1.0
"""Mean log-probability below which a text is dropped where the model hears silence; OpenAI's value."""
GARBAGE_LOGPROB: Final = -1.5
"""Mean log-probability below which a text is dropped, as for chunks."""
NO_SPEECH_PROB: Final = 0.6
"""Probability of silence above which an improbable text is dropped; OpenAI's value."""


@dataclass(frozen=True, slots=True)
class DraftAudio:
    """The newest sound of a session. `prefix`: tokens of the words in it that are known."""

    audio: Audio
    prefix: tuple[int, ...] = ()
    language: str | None = None  # None: detect it
    task: Task = Task.TRANSCRIBE


@dataclass(frozen=True, slots=True)
class DraftText:
    """The words behind the prefix, in seconds from the beginning of the sound, each with its tokens."""

    words: tuple[tuple[Word, tuple[int, ...]], ...]
    language: str


def draft(engine: Engine, sounds: Sequence[DraftAudio], widths: Sequence[int] = BRIEF_WIDTHS_S) -> list[DraftText]:
    """Return the text of each sound. Raises `UnalignableText` for a model that cannot tell when words are said."""
    states = engine.encode([sound.audio for sound in sounds], widths=widths)
    languages = [engine.known_language(sound.language) for sound in sounds]
    unknown = [number for number, language in enumerate(languages) if language is None]
    for number, heard in zip(unknown, engine.detect_languages([states[n] for n in unknown]), strict=True):
        languages[number] = next(iter(heard))
    windows = [
        DecodedWindow(state, Hypothesis((), 0.0, 1.0, complete=True), language or "en", sound.task, _seconds(sound))
        for sound, state, language in zip(sounds, states, languages, strict=True)
    ]
    windows = _decoded(engine, sounds, windows)
    doubtful = [n for n, window in enumerate(windows) if _is_doubtful(engine, window, len(sounds[n].prefix))]
    if doubtful:
        silence = np.zeros(int(SILENCE_S * SAMPLE_RATE), dtype=np.float32)
        wider = engine.encode([np.concatenate([sounds[n].audio, silence]) for n in doubtful], widths=widths)
        again = [replace(windows[n], states=state) for n, state in zip(doubtful, wider, strict=True)]
        for number, window in zip(doubtful, _decoded(engine, [sounds[n] for n in doubtful], again), strict=True):
            windows[number] = window
    return [_text(engine, sound, window) for sound, window in zip(sounds, windows, strict=True)]


def repeated_at(words: Sequence[str]) -> int | None:
    """Return where a phrase of two words or more begins again behind itself. None: no phrase does."""
    letters = ["".join(filter(str.isalnum, word.casefold())) for word in words]
    for second in range(PHRASE_WORDS, len(letters) - PHRASE_WORDS + 1):
        for length in range(PHRASE_WORDS, min(second, len(letters) - second) + 1):
            phrase = letters[second : second + length]
            if phrase == letters[second - length : second] and len(set(phrase)) > 1:
                return second
    return None


def _decoded(engine: Engine, sounds: Sequence[DraftAudio], windows: Sequence[DecodedWindow]) -> list[DecodedWindow]:
    """Return the windows with the texts that a greedy search finds."""
    found = engine.decode(
        [window.states for window in windows],
        [window.language for window in windows],
        [window.task for window in windows],
        Search(),
        limits=[_most_tokens(sound, window) for sound, window in zip(sounds, windows, strict=True)],
        prefixes=[sound.prefix for sound in sounds],
    )
    return [replace(window, hypothesis=text) for window, text in zip(windows, found, strict=True)]


def _most_tokens(sound: DraftAudio, window: DecodedWindow) -> int:
    rate = TOKENS_PER_S * (2 if window.language in DENSE else 1)
    return min(MAX_TOKENS, max(LEAST_TOKENS + int(rate * window.seconds), len(sound.prefix) + LEAST_TOKENS))


def _is_doubtful(engine: Engine, window: DecodedWindow, forced: int) -> bool:
    """Return whether a text has no end, or says something twice that begins behind the prefix or goes on there."""
    if not window.hypothesis.complete:
        return True
    words = engine.text(window.hypothesis).split()
    again = repeated_at(words)
    known = len(engine.text(Hypothesis(window.hypothesis.tokens[:forced], 0.0, 0.0, complete=True)).split())
    return again is not None and again + PHRASE_WORDS > known


def _text(engine: Engine, sound: DraftAudio, window: DecodedWindow) -> DraftText:
    """Return the words of a window that may have been said."""
    text, forced = window.hypothesis, len(sound.prefix)
    silent = text.no_speech_prob > NO_SPEECH_PROB and text.avg_logprob < UNLIKELY_LOGPROB
    if len(text.tokens) <= forced or silent or text.avg_logprob < GARBAGE_LOGPROB:
        return DraftText((), window.language)
    if repetition(engine.text(text)) > LOOP_RATIO:
        return DraftText((), window.language)
    words = engine.words_behind(window, forced)
    broken = next((n for n, (word, _) in enumerate(words) if "\ufffd" in word.word), len(words))
    looped = None if text.complete else repeated_at([word.word for word, _ in words])
    return DraftText(tuple(words[: min(broken, len(words) if looped is None else looped)]), window.language)


def _seconds(sound: DraftAudio) -> float:
    return len(sound.audio) / SAMPLE_RATE
