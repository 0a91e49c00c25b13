"""Whisper on CTranslate2: sound in, tokens, languages and alignments out.

Owns the model and everything that is CTranslate2's way of calling it; decides nothing about what a good text is (that is
`recognition`). Thread-safe: CTranslate2 queues calls to its replicas. On a CPU the results of a row are the same bits whatever
else is in the batch, on whichever replica; on a GPU, where kernels are chosen by the size of a batch, they need not be.
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
from faster_whisper.feature_extractor import FeatureExtractor
from faster_whisper.tokenizer import _LANGUAGE_CODES, Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens

from whisper_service.actors.speech.words import merge_punctuation, spread_words, timed_words
from whisper_service.core.domain import SAMPLE_RATE, Task, Word

Sound = npt.NDArray[np.float32]
"""16 kHz mono, -1..1."""
States = npt.NDArray[np.floating[Any]]
"""What the encoder makes of one window: (1, states, width), one state per 20 ms; in the type that the model computes in."""

WINDOW_S: Final = 30
"""What Whisper was trained on, and the most it can take."""
WIDTHS_S: Final = (12, 16, 20, WINDOW_S)
"""Windows are padded to one of these: a short clip costs a quarter of a full one to encode. Few, because only windows of equal
width are decoded together, and a step of the decoder costs nearly the same for one as for eight; so none is near the full one,
in which most windows of a long recording are."""
MARGIN_S: Final = 4.0
"""Silence that must follow the sound within the window; with less than 2 s of it the decoder does not find the end."""
SPECTRA: Final = 8
"""Spectrograms that are computed at once for a GPU, which would else wait for them: a window takes a core 10 to 40 ms."""
MAX_TOKENS: Final = 224
"""The decoder has 448 positions; half of them are for the text."""


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The text of one window as tokens, without special ones."""

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    complete: bool  # the decoder ended it by itself


@dataclass(frozen=True, slots=True)
class Text:
    """What was decoded of a window of which `seconds` are sound."""

    states: States
    decoded: Hypothesis
    language: str
    task: Task
    seconds: float


@dataclass(frozen=True, slots=True)
class Search:
    """How to look for the best text; everything here is deterministic."""

    beam_size: int = 1
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0


class UnloadableModel(Exception):
    """The directory does not hold a Whisper model that CTranslate2 can load."""


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
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """Load the model from a directory; `RuntimeError` and `ValueError` of CTranslate2 pass through.

        Every slot gets a replica, on a CPU with its share of the threads; the weights are shared. Those for express batches come
        on top: they are idle nearly always. `before` is called before every call of the model, by the thread that makes it.
        """
        for name in ("model.bin", "config.json", "tokenizer.json"):
            if not (Path(path) / name).is_file():
                raise UnloadableModel(f"{name} is missing in {path}")
        kind, _, index = device.partition(":")
        self.device = device
        self._before = before
        self._cpu = kind == "cpu"
        self._model = ctranslate2.models.Whisper(
            path,
            device=kind,
            device_index=int(index or 0),
            compute_type=resolve(kind, int(index or 0), compute_type),
            inter_threads=slots + express,
            intra_threads=max(1, threads // slots),
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(Path(path) / "tokenizer.json"))
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
        self._spectra = None if self._cpu else ThreadPoolExecutor(max(1, min(SPECTRA, threads)), "spectrum")
        self._suppressed = get_suppressed_tokens(self._tokenizer_for("en", Task.TRANSCRIBE), [-1])
        self._aligns = bool(json.loads((Path(path) / "config.json").read_text(encoding="utf-8")).get("alignment_heads"))

    @property
    def compute_type(self) -> str:
        """What the weights really are."""
        return str(self._model.compute_type)

    @property
    def multilingual(self) -> bool:
        """False for models that know English alone."""
        return bool(self._model.is_multilingual)

    def language(self, wanted: str | None) -> str | None:
        """The language to decode in, as this model knows it; None if it is to be detected."""
        if not self.multilingual:
            return "en"
        return wanted if wanted is None or self._tokenizer.token_to_id(f"<|{wanted}|>") is not None else None

    def warm_up(self) -> None:
        """Encode and decode once: libraries that are missing and memory that is too small show here."""
        self.decode(
            self.encode([np.zeros(WINDOW_S * SAMPLE_RATE, dtype=np.float32)]), ["en"], [Task.TRANSCRIBE], Search()
        )

    def unload(self) -> None:
        """Give the memory of the weights back; nothing may be asked of the engine after this."""
        self._model.unload_model()
        if self._spectra is not None:
            self._spectra.shutdown()
        self._tokenizer_for.cache_clear()  # it would hold this engine, and its vocabulary of 90 MB

    def encode(self, sounds: Sequence[Sound], *, wide: bool = False) -> list[States]:
        """Encode windows of up to 30 s; each is padded to one of `WIDTHS_S`, with `wide` to the full width.

        One by one on a CPU, where a batch gains nothing and costs memory; together on a GPU, by width.
        """
        if self._spectra is None:
            return [self._encoded(self._mel(sound, wide=wide)[None]) for sound in sounds]
        features = list(self._spectra.map(partial(self._mel, wide=wide), sounds))
        states: dict[int, States] = {}
        for members in _alike([feature.shape[1] for feature in features]):
            batch = self._encoded(np.stack([features[i] for i in members]))
            states |= {i: batch[k : k + 1] for k, i in enumerate(members)}
        return [states[i] for i in range(len(sounds))]

    def is_wide(self, states: States) -> bool:
        """Whether these states are those of a window of full width."""
        return bool(states.shape[1] == WINDOW_S * 50)

    def detect_languages(self, states: Sequence[States]) -> list[tuple[str, float]]:
        """The most probable language of each window and its probability."""
        if not self.multilingual:
            return [("en", 1.0)] * len(states)
        found: dict[int, tuple[str, float]] = {}
        for members in _alike([_width(state) for state in states]):
            self._before()
            for i, ((token, probability), *_) in zip(
                members, self._model.detect_language(_batch(states, members)), strict=True
            ):
                found[i] = token[2:-2], float(probability)
        return [found[i] for i in range(len(states))]

    def decode(
        self,
        states: Sequence[States],
        languages: Sequence[str],
        tasks: Sequence[Task],
        search: Search,
        prompt: str | None = None,
    ) -> list[Hypothesis]:
        """The texts of windows, without timestamp tokens."""
        previous = self._previous(prompt)
        results: dict[int, Hypothesis] = {}
        for members in _alike([_width(state) for state in states]):
            prompts = [previous + self._start(languages[i], tasks[i]) for i in members]
            self._before()
            found = self._model.generate(
                _batch(states, members),
                prompts,
                beam_size=search.beam_size,
                no_repeat_ngram_size=search.no_repeat_ngram_size,
                repetition_penalty=search.repetition_penalty,
                max_length=2 * MAX_TOKENS,
                suppress_tokens=self._suppressed,
                return_scores=True,
                return_no_speech_prob=True,
            )
            results |= {i: _decoded(result) for i, result in zip(members, found, strict=True)}
        return [results[i] for i in range(len(states))]

    def text(self, decoded: Hypothesis) -> str:
        """The text of these tokens."""
        return str(self._tokenizer.decode(list(decoded.tokens)))

    def words(self, texts: Sequence[Text]) -> list[list[Word]]:
        """The words of each text with their times, within its window."""
        found: dict[int, list[Word]] = {}
        # One by one on a CPU: a batch gains nothing there either.
        for members in _alike(
            [i if self._cpu else (_width(text.states), text.language, text.task) for i, text in enumerate(texts)]
        ):
            found |= zip(members, self._timed([texts[i] for i in members]), strict=True)
        return [found[i] for i in range(len(texts))]

    def _timed(self, texts: Sequence[Text]) -> list[list[Word]]:
        """The same for texts that are alike in the width of their windows, language and task."""
        tokenizer = self._tokenizer_for(texts[0].language, texts[0].task)
        split = [
            tokenizer.split_to_word_tokens(list(text.decoded.tokens)) if text.decoded.tokens else ([], [])
            for text in texts
        ]
        if not self._aligns:
            return [
                merge_punctuation(spread_words(words, text.seconds))
                for (words, _), text in zip(split, texts, strict=True)
            ]
        said = [i for i, text in enumerate(texts) if text.decoded.tokens]
        if not said:
            return [[] for _ in texts]
        self._before()
        aligned = self._model.align(
            _batch([text.states for text in texts], said),
            tokenizer.sot_sequence,
            [list(texts[i].decoded.tokens) for i in said],
            [max(2, int(texts[i].seconds * 100)) for i in said],
        )
        found: list[list[Word]] = [[] for _ in texts]
        for i, one in zip(said, aligned, strict=True):
            words, groups = split[i]
            found[i] = merge_punctuation(
                timed_words(words, [len(group) for group in groups], one.alignments, one.text_token_probs)
            )
        return found

    def _encoded(self, features: npt.NDArray[np.float32]) -> States:
        # On the host, because rows are regrouped between calls.
        self._before()
        output = self._model.encode(_view(features), to_cpu=True)
        if output.dtype == ctranslate2.DataType.bfloat16:  # which numpy has not
            output = output.to(ctranslate2.DataType.float32)
        return np.array(output)

    def _mel(self, sound: Sound, *, wide: bool) -> npt.NDArray[np.float32]:
        mel: npt.NDArray[np.float32] = self._features(sound)[:, : ceil(len(sound) / self._features.hop_length)]
        wanted = WINDOW_S if wide else len(sound) / SAMPLE_RATE + MARGIN_S
        width = next((width for width in WIDTHS_S if width >= wanted), WINDOW_S) * 100
        return np.pad(mel[:, :width], ((0, 0), (0, max(0, width - mel.shape[1]))))

    def _start(self, language: str, task: Task) -> list[int]:
        tokenizer = self._tokenizer_for(language, task)
        return [*tokenizer.sot_sequence, tokenizer.no_timestamps]

    def _previous(self, prompt: str | None) -> list[int]:
        if not prompt or not prompt.strip():
            return []
        tokenizer = self._tokenizer_for("en", Task.TRANSCRIBE)
        return [tokenizer.sot_prev, *tokenizer.encode(" " + prompt.strip())[-(MAX_TOKENS - 1) :]]

    @lru_cache(maxsize=256)  # noqa: B019  the engine lives as long as its process or is replaced as a whole
    def _tokenizer_for(self, language: str, task: Task) -> Tokenizer:
        return Tokenizer(self._tokenizer, self.multilingual, task=task.value, language=language)


def resolve(device: str, index: int, wanted: str) -> str:
    """A compute type that runs here: the one wanted, or the best there is."""
    supported = ctranslate2.get_supported_compute_types(device, index)
    if wanted in supported or wanted in ("default",):
        return wanted
    best = ("int8",) if device == "cpu" else ("float16",)
    return next((name for name in best if name in supported), "auto")


def languages() -> frozenset[str]:
    """The codes that Whisper knows."""
    return frozenset(_LANGUAGE_CODES)


def _view(array: npt.NDArray[np.floating[Any]]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _batch(states: Sequence[States], members: Sequence[int]) -> Any:
    """The states of these windows, of equal width, as one array."""
    return _view(states[members[0]] if len(members) == 1 else np.concatenate([states[i] for i in members]))


def _width(states: States) -> int:
    return int(states.shape[1])


def _alike(keys: Sequence[Hashable]) -> list[list[int]]:
    """Indices of equal keys together, in order of first appearance."""
    groups: dict[Hashable, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _decoded(result: Any) -> Hypothesis:
    tokens = tuple(result.sequences_ids[0])
    # CTranslate2 divides the sum by the length; Whisper's own mean counts the end-of-text token too.
    mean = result.scores[0] * len(tokens) / (len(tokens) + 1) if tokens else result.scores[0]
    return Hypothesis(tokens, float(mean), float(result.no_speech_prob), complete=len(tokens) < MAX_TOKENS)
