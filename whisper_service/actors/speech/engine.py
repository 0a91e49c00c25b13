"""Whisper on CTranslate2: turns audio into encoder states, tokens, languages and aligned words.

Owns the model and knows how to call CTranslate2. Does not decide what a good text is; `recognition` does. A window is
what the encoder takes at once: up to 30 s of audio. Thread-safe: CTranslate2 queues the calls to its replicas.

On a CPU a window has the same result, to the bit, in every batch and on every replica. On a GPU the result may differ,
because the size of a batch decides which kernels run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil
from pathlib import Path
from typing import Any, Final

import ctranslate2
import numpy as np
import numpy.typing as npt
import tokenizers

from whisper_service.actors.speech.faster_whisper_private import FeatureExtractor, Tokenizer, get_suppressed_tokens
from whisper_service.actors.speech.words import (
    found_words,
    merge_punctuation,
    spread_words,
    timed_words,
    with_tokens,
)
from whisper_service.core.domain import SAMPLE_RATE, Task, Word
from whisper_service.models.files import REQUIRED

Audio = npt.NDArray[np.float32]
"""Samples, 16 kHz mono, -1..1."""
States = npt.NDArray[np.floating[Any]]
"""The encoder states of one window: (1, states, width), one state per 20 ms, in the type that the model computes in."""

WINDOW_S: Final = 30
"""The window that Whisper was trained on, and the longest it takes."""
WIDTHS_S: Final = (12, 16, 20, WINDOW_S)
"""Windows are padded to one of these, so that a short clip costs a quarter of a full window to encode. The widths are
few, because only windows of equal width are decoded together, and a decoder step costs nearly the same for one window
as for eight. No width is near the full one, which most windows of a long recording need."""
BRIEF_WIDTHS_S: Final = (8, 10, 12, 14, *WIDTHS_S[1:])
"""The widths for drafts, whose few seconds of sound are encoded again and again. Measured: 8 s cost 40 % of 16 s."""
MARGIN_S: Final = 4.0
"""Silence after the audio in its window. With less than 2 s the decoder does not find the end."""
TIGHT_MARGIN_S: Final = 2.0
"""Silence after the audio where only a language is detected. Measured: with 0.5 s short pieces are less sure."""
SPECTRUM_THREADS: Final = 8
"""Spectrograms computed at once for a GPU, which would otherwise wait: a window takes a core 10 to 40 ms."""
MAX_TOKENS: Final = 224
"""The decoder has 448 positions; half of them are for the text."""
MOST_TEXT: Final = 440
"""Tokens of a text that can be aligned: the positions of the decoder, without those of the special tokens."""
UNFINISHED_LOGPROB: Final = -1.0
"""Stands for the mean log-probability of a text that was cut off. The true one depends on where the batch ended."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text of one window as tokens, without special tokens."""

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    complete: bool  # the decoder ended the text by itself


@dataclass(frozen=True, slots=True)
class DecodedWindow:
    """A window with its text. `seconds` is the length of its audio, without padding."""

    states: States
    hypothesis: Hypothesis
    language: str
    task: Task
    seconds: float


@dataclass(frozen=True, slots=True)
class Search:
    """How to search for the best text. Every search is deterministic."""

    beam_size: int = 1
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0


class UnalignableText(Exception):
    """The model cannot say when this text is said."""


class UnloadableModel(Exception):
    """The directory holds no Whisper model that CTranslate2 can load."""


class Engine:
    """A loaded model."""

    def __init__(
        self,
        path: str,
        device: str,
        compute_type: str,
        *,
        slots: int,
        threads: int,
        express: int = 0,
        before_call: Callable[[], None] = lambda: None,
    ) -> None:
        """Load the model from a directory.

        Every slot gets a replica, on a CPU with its share of the threads. All replicas share the weights. There are
        `express` more replicas for express batches; they are nearly always idle. `before_call` runs before every call
        of the model, in the same thread.

        Raises `UnloadableModel`, and `RuntimeError` and `ValueError` of CTranslate2.
        """
        for name in REQUIRED:
            if not (Path(path) / name).is_file():
                raise UnloadableModel(f"{name} is missing in {path}")
        kind, _, index = device.partition(":")
        self._before_call = before_call
        self._cpu = kind == "cpu"
        self._model = ctranslate2.models.Whisper(
            path,
            device=kind,
            device_index=int(index or 0),
            compute_type=resolve_compute_type(kind, int(index or 0), compute_type),
            inter_threads=slots + express,
            intra_threads=max(1, threads // slots),
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(Path(path) / "tokenizer.json"))
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        workers = max(1, min(SPECTRUM_THREADS, threads))
        self._spectrum_threads = None if self._cpu else ThreadPoolExecutor(workers, "spectrum")
        self._suppressed = get_suppressed_tokens(self._tokenizer_for("en", Task.TRANSCRIBE), [-1])
        self._aligns = bool(json.loads((Path(path) / "config.json").read_text(encoding="utf-8")).get("alignment_heads"))

    @property
    def compute_type(self) -> str:
        """The type that the weights really have."""
        return str(self._model.compute_type)

    @property
    def aligns(self) -> bool:
        """Whether the model can tell when a given text is said."""
        return self._aligns

    @property
    def multilingual(self) -> bool:
        """False for models that know only English."""
        return bool(self._model.is_multilingual)

    def known_language(self, wanted: str | None) -> str | None:
        """Return the language to decode in. None: detect it, because none is wanted or the model does not know it."""
        if not self.multilingual:
            return "en"
        return wanted if wanted is None or self._tokenizer.token_to_id(f"<|{wanted}|>") is not None else None

    def warm_up(self) -> None:
        """Encode and decode once. A missing library or too little memory shows here."""
        silence = np.zeros(WINDOW_S * SAMPLE_RATE, dtype=np.float32)
        self.decode(self.encode([silence]), ["en"], [Task.TRANSCRIBE], Search())

    def unload(self) -> None:
        """Release the memory of the weights. The engine cannot be used after this."""
        self._model.unload_model()
        if self._spectrum_threads is not None:
            self._spectrum_threads.shutdown()
        self._tokenizer_for.cache_clear()  # the cache would hold this engine, and its vocabulary of 90 MB

    def encode(
        self,
        windows: Sequence[Audio],
        *,
        wide: bool = False,
        tight: bool = False,
        widths: Sequence[int] = WIDTHS_S,
    ) -> list[States]:
        """Return the encoder states of windows. Each is padded to one of `widths`, with `wide` to the full width.

        With `tight` they are padded as little as possible: enough to detect a language, not to decode a text.

        On a CPU windows are encoded one by one, because a batch gains nothing there and costs memory. On a GPU windows
        of equal width are encoded together.
        """
        if self._spectrum_threads is None:
            return [self._states(self._spectrum(audio, wide, tight, widths)[None]) for audio in windows]
        features = list(
            self._spectrum_threads.map(partial(self._spectrum, wide=wide, tight=tight, widths=widths), windows)
        )
        states: dict[int, States] = {}
        for members in _groups([feature.shape[1] for feature in features]):
            batch = self._states(np.stack([features[i] for i in members]))
            states |= {i: batch[k : k + 1] for k, i in enumerate(members)}
        return [states[i] for i in range(len(windows))]

    def is_wide(self, states: States) -> bool:
        """Return whether states are of a window of full width."""
        return _width(states) == WINDOW_S * 50

    def detect_languages(self, states: Sequence[States]) -> list[dict[str, float]]:
        """Return the probability of every language in each window, the most probable first.

        The cost is one step of the decoder: 1 to 2 % of recognising the window.
        """
        if not self.multilingual:
            return [{"en": 1.0} for _ in states]
        found: dict[int, dict[str, float]] = {}
        for members in _groups([_width(state) for state in states]):
            self._before_call()
            candidates = self._model.detect_language(_batch(states, members))
            for i, probabilities in zip(members, candidates, strict=True):
                found[i] = {token[2:-2]: float(probability) for token, probability in probabilities}
        return [found[i] for i in range(len(states))]

    def decode(
        self,
        states: Sequence[States],
        languages: Sequence[str],
        tasks: Sequence[Task],
        search: Search,
        prompt: str | None = None,
        limits: Sequence[int] | None = None,
        prefixes: Sequence[Sequence[int]] | None = None,
    ) -> list[Hypothesis]:
        """Return the texts of windows, without timestamp tokens. Each is cut off at its limit, by default `MAX_TOKENS`.

        `prefixes`: the tokens with which each text begins. They count for the limits, and not for the log-probability.

        A greedy search goes on to the highest limit of its group, and the other texts are cut off afterwards. A beam
        would find another text, so there all windows of a group have one limit.
        """
        previous = self._prompt_tokens(prompt)
        limits = limits or [MAX_TOKENS] * len(states)
        begun = prefixes or [()] * len(states)
        found: dict[int, Hypothesis] = {}
        greedy = search.beam_size == 1
        keys = [(_width(state), 0 if greedy else limit) for state, limit in zip(states, limits, strict=True)]
        for members in _groups(keys):
            prompts = [[*previous, *self._start_tokens(languages[i], tasks[i]), *begun[i]] for i in members]
            self._before_call()
            results = self._model.generate(
                _batch(states, members),
                prompts,
                beam_size=search.beam_size,
                no_repeat_ngram_size=search.no_repeat_ngram_size,
                repetition_penalty=search.repetition_penalty,
                max_length=2 * max(limits[i] for i in members),  # CTranslate2 takes half
                suppress_tokens=self._suppressed,
                return_scores=True,
                return_no_speech_prob=True,
            )
            found |= {
                i: _hypothesis(result, limits[i], len(begun[i])) for i, result in zip(members, results, strict=True)
            }
        return [found[i] for i in range(len(states))]

    def text(self, hypothesis: Hypothesis) -> str:
        """Return the text of the tokens."""
        return str(self._tokenizer.decode(list(hypothesis.tokens)))

    def words(self, windows: Sequence[DecodedWindow]) -> list[list[Word]]:
        """Return the words of each window, timed from its beginning."""
        # On a CPU each window is a group of its own: a batch gains nothing there.
        keys = [i if self._cpu else (_width(w.states), w.language, w.task) for i, w in enumerate(windows)]
        found: dict[int, list[Word]] = {}
        for members in _groups(keys):
            found |= zip(members, self._aligned([windows[i] for i in members]), strict=True)
        return [found[i] for i in range(len(windows))]

    def words_behind(self, window: DecodedWindow, forced: int) -> list[tuple[Word, tuple[int, ...]]]:
        """Return the words of a window behind its first `forced` tokens, each with its tokens.

        The text may go on in the middle of a word: the rest is a word without a space. Raises `UnalignableText` for a
        model that cannot align.
        """
        if not self._aligns:
            raise UnalignableText
        tokenizer = self._tokenizer_for(window.language, window.task)
        tokens = list(window.hypothesis.tokens)
        texts, groups = tokenizer.split_to_word_tokens(tokens[forced:]) if tokens[forced:] else ([], [])
        if not texts:
            return []
        self._before_call()
        (aligned,) = self._model.align(
            _batch([window.states], [0]), tokenizer.sot_sequence, [tokens], [max(2, int(window.seconds * 100))]
        )
        sizes = [forced, *map(len, groups)] if forced else [*map(len, groups)]
        words = timed_words(["", *texts] if forced else texts, sizes, aligned.alignments, aligned.text_token_probs)
        return with_tokens(merge_punctuation(words[bool(forced) :]), texts, groups)

    def align(self, audio: Audio, texts: Sequence[str], language: str, task: Task) -> list[Word]:
        """Return when given words are said, timed from the beginning of the audio. Joined, `texts` are its text.

        Raises `UnalignableText` for a text that is too long or empty, and for a model that cannot align.
        """
        encoding = self._tokenizer.encode("".join(texts), add_special_tokens=False)
        if not self._aligns or not 0 < len(encoding.ids) <= MOST_TEXT:
            raise UnalignableText
        states = self.encode([audio])[0]
        self._before_call()
        (aligned,) = self._model.align(
            _batch([states], [0]),
            self._tokenizer_for(language, task).sot_sequence,
            [encoding.ids],
            [max(2, int(len(audio) / SAMPLE_RATE * 100))],
        )
        return found_words(texts, encoding.offsets, aligned.alignments, aligned.text_token_probs)

    def _aligned(self, windows: Sequence[DecodedWindow]) -> list[list[Word]]:
        """Return the words of windows of equal width, language and task."""
        tokenizer = self._tokenizer_for(windows[0].language, windows[0].task)
        tokens = [list(window.hypothesis.tokens) for window in windows]
        split = [tokenizer.split_to_word_tokens(each) if each else ([], []) for each in tokens]
        if not self._aligns:
            spread = [spread_words(words, w.seconds) for (words, _), w in zip(split, windows, strict=True)]
            return [merge_punctuation(words) for words in spread]
        found: list[list[Word]] = [[] for _ in windows]
        with_text = [i for i, each in enumerate(tokens) if each]
        if not with_text:
            return found
        self._before_call()
        alignments = self._model.align(
            _batch([window.states for window in windows], with_text),
            tokenizer.sot_sequence,
            [tokens[i] for i in with_text],
            [max(2, int(windows[i].seconds * 100)) for i in with_text],
        )
        for i, aligned in zip(with_text, alignments, strict=True):
            words, groups = split[i]
            sizes = [len(group) for group in groups]
            found[i] = merge_punctuation(timed_words(words, sizes, aligned.alignments, aligned.text_token_probs))
        return found

    def _states(self, features: npt.NDArray[np.float32]) -> States:
        self._before_call()
        output = self._model.encode(_view(features), to_cpu=True)  # windows are grouped anew between calls
        if output.dtype == ctranslate2.DataType.bfloat16:  # numpy has no such type
            output = output.to(ctranslate2.DataType.float32)
        return np.array(output)

    def _spectrum(self, audio: Audio, wide: bool, tight: bool, widths: Sequence[int]) -> npt.NDArray[np.float32]:
        mel: npt.NDArray[np.float32] = self._features(audio)[:, : ceil(len(audio) / self._features.hop_length)]
        seconds = len(audio) / SAMPLE_RATE
        width_s = (
            min(WINDOW_S, ceil(seconds + TIGHT_MARGIN_S)) if tight else padded_s(seconds, wide=wide, widths=widths)
        )
        width = width_s * 100
        return np.pad(mel[:, :width], ((0, 0), (0, max(0, width - mel.shape[1]))))

    def _start_tokens(self, language: str, task: Task) -> list[int]:
        tokenizer = self._tokenizer_for(language, task)
        return [*tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _prompt_tokens(self, prompt: str | None) -> list[int]:
        if not prompt or not prompt.strip():
            return []
        tokenizer = self._tokenizer_for("en", Task.TRANSCRIBE)
        return [tokenizer.sot_prev, *tokenizer.encode(" " + prompt.strip())[-(MAX_TOKENS - 1) :]]

    @lru_cache(maxsize=256)  # noqa: B019  the engine lives as long as its process, or `unload` clears the cache
    def _tokenizer_for(self, language: str, task: Task) -> Tokenizer:
        return Tokenizer(self._tokenizer, self.multilingual, task=task.value, language=language)


def padded_s(seconds: float, *, wide: bool = False, widths: Sequence[int] = WIDTHS_S) -> int:
    """Return the width of the window for so much audio, in seconds."""
    wanted = WINDOW_S if wide else seconds + MARGIN_S
    return next((width for width in widths if width >= wanted), WINDOW_S)


def resolve_compute_type(device: str, index: int, wanted: str) -> str:
    """Return the wanted compute type if the device can use it, otherwise the best that it can."""
    supported = ctranslate2.get_supported_compute_types(device, index)
    if wanted in supported or wanted == "default":
        return wanted
    best = "int8" if device == "cpu" else "float16"
    return best if best in supported else "auto"


def _view(array: npt.NDArray[np.floating[Any]]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _batch(states: Sequence[States], members: Sequence[int]) -> Any:
    """Return the states of these windows, of equal width, as one array."""
    return _view(states[members[0]] if len(members) == 1 else np.concatenate([states[i] for i in members]))


def _width(states: States) -> int:
    return int(states.shape[1])


def _groups(keys: Sequence[Hashable]) -> list[list[int]]:
    """Return the indices of equal keys together, in order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _hypothesis(result: Any, limit: int, forced: int) -> Hypothesis:
    """Return what CTranslate2 found. The first `forced` tokens were given; they come back with the others."""
    tokens = tuple(result.sequences_ids[0])
    if len(tokens) >= limit:
        return Hypothesis(tokens[:limit], UNFINISHED_LOGPROB, float(result.no_speech_prob), complete=False)
    # CTranslate2 divides the sum by the length. Whisper's own mean counts the end-of-text token too.
    mean = result.scores[0] * len(tokens) / (len(tokens) - forced + 1) if tokens else result.scores[0]
    return Hypothesis(tokens, float(mean), float(result.no_speech_prob), complete=True)
