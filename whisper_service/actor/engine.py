"""Whisper on CTranslate2: sound in, tokens, languages and alignments out.

Owns the model and everything that is CTranslate2's way of calling it; decides nothing about what a good text is (that is
`recognition`). Thread-safe: CTranslate2 queues calls to its replicas, and the results of a row are the same bits whatever
else is in the batch, on whichever replica.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
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

from whisper_service.actor.words import merge_punctuation, spread_words, timed_words
from whisper_service.domain import SAMPLE_RATE, Task, Word

Sound = npt.NDArray[np.float32]
"""16 kHz mono, -1..1."""
States = npt.NDArray[np.float32]
"""What the encoder makes of one window: (1, states, width), one state per 20 ms."""

WINDOW_S: Final = 30
"""What Whisper was trained on, and the most it can take."""
WIDTHS_S: Final = (12, 16, 20, WINDOW_S)
"""Windows are padded to one of these: a short clip costs a quarter of a full one to encode. Few, because only windows of equal
width are decoded together, and a step of the decoder costs nearly the same for one as for eight; so none is near the full one,
in which most windows of a long recording are."""
MARGIN_S: Final = 4.0
"""Silence that must follow the sound within the window; with less than 2 s of it the decoder does not find the end."""
MAX_TOKENS: Final = 224
"""The decoder has 448 positions; half of them are for the text."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The text of one window as tokens, without special ones."""

    tokens: tuple[int, ...]
    avg_logprob: float
    no_speech_prob: float
    complete: bool  # the decoder ended it by itself


@dataclass(frozen=True, slots=True)
class Search:
    """How to look for the best text; everything here is deterministic."""

    beam_size: int = 1
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0


class ModelBroken(Exception):
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

        On a CPU every slot gets a replica with its share of the threads; the weights are shared. Those for express batches come
        on top: they are idle nearly always. `before` is called before every call of the model, by the thread that makes it.
        """
        for name in ("model.bin", "config.json", "tokenizer.json"):
            if not (Path(path) / name).is_file():
                raise ModelBroken(f"{name} is missing in {path}")
        kind, _, index = device.partition(":")
        self.device = device
        self._before = before
        self._cpu = kind == "cpu"
        self._model = ctranslate2.models.Whisper(
            path,
            device=kind,
            device_index=int(index or 0),
            compute_type=resolve(kind, int(index or 0), compute_type),
            inter_threads=slots + express if self._cpu else 1,
            intra_threads=max(1, threads // slots),
        )
        self._tokenizer = tokenizers.Tokenizer.from_file(str(Path(path) / "tokenizer.json"))
        self._features = FeatureExtractor(feature_size=self._model.n_mels)
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
        self.decode(self.encode([np.zeros(WINDOW_S * SAMPLE_RATE, dtype=np.float32)]), ["en"], [Task.TRANSCRIBE], Search())

    def unload(self) -> None:
        """Give the memory of the weights back; nothing may be asked of the engine after this."""
        self._model.unload_model()
        self._tokenizer_for.cache_clear()  # it would hold this engine, and its vocabulary of 90 MB

    def encode(self, sounds: Sequence[Sound], *, wide: bool = False) -> list[States]:
        """Encode windows of up to 30 s; each is padded to one of `WIDTHS_S`, with `wide` to the full width.

        One by one on a CPU, where a batch gains nothing and costs memory; together on a GPU, by width.
        """
        features = [self._mel(sound, wide=wide) for sound in sounds]
        if self._cpu:
            return [self._encoded(feature[None]) for feature in features]
        states: dict[int, States] = {}
        for members in _by_width(features, axis=1):
            batch = self._encoded(np.stack([features[i] for i in members]))
            states |= {i: batch[k : k + 1] for k, i in enumerate(members)}
        return [states[i] for i in range(len(sounds))]

    def is_wide(self, states: States) -> bool:
        """Whether these states are those of a window of full width."""
        return bool(states.shape[1] == WINDOW_S * 50)

    def detect_language(self, states: States) -> tuple[str, float]:
        """The most probable language of one window and its probability."""
        if not self.multilingual:
            return "en", 1.0
        self._before()
        token, probability = self._model.detect_language(_view(states))[0][0]
        return token[2:-2], float(probability)

    def decode(
        self,
        states: Sequence[States],
        languages: Sequence[str],
        tasks: Sequence[Task],
        search: Search,
        prompt: str | None = None,
    ) -> list[Decoded]:
        """The texts of windows, without timestamp tokens."""
        previous = self._previous(prompt)
        results: dict[int, Decoded] = {}
        for members in _by_width(states, axis=1):
            prompts = [previous + self._start(languages[i], tasks[i]) for i in members]
            self._before()
            found = self._model.generate(
                _view(np.concatenate([states[i] for i in members])),
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

    def text(self, decoded: Decoded) -> str:
        """The text of these tokens."""
        return str(self._tokenizer.decode(list(decoded.tokens)))

    def words(self, states: States, decoded: Decoded, language: str, task: Task, seconds: float) -> list[Word]:
        """The words of one window with their times, in a window of which `seconds` are sound."""
        tokenizer = self._tokenizer_for(language, task)
        tokens = list(decoded.tokens)
        if not tokens:
            return []
        texts, groups = tokenizer.split_to_word_tokens(tokens)
        if not self._aligns:
            return merge_punctuation(spread_words(texts, seconds))
        frames = max(2, int(seconds * 100))
        self._before()
        (aligned,) = self._model.align(_view(states), tokenizer.sot_sequence, [tokens], frames)
        sizes = [len(group) for group in groups]
        return merge_punctuation(timed_words(texts, sizes, aligned.alignments, aligned.text_token_probs))

    def _encoded(self, features: npt.NDArray[np.float32]) -> States:
        # On the host and in float32: rows are regrouped between calls, and numpy has no bfloat16.
        self._before()
        output = self._model.encode(_view(features), to_cpu=True)
        return np.array(output.to(ctranslate2.DataType.float32))

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


def _view(array: npt.NDArray[np.float32]) -> Any:
    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array))


def _by_width(arrays: Sequence[npt.NDArray[np.float32]], axis: int) -> list[list[int]]:
    """Indices grouped by the size of that axis, in order of first appearance."""
    groups: dict[int, list[int]] = {}
    for index, array in enumerate(arrays):
        groups.setdefault(array.shape[axis], []).append(index)
    return list(groups.values())


def _decoded(result: Any) -> Decoded:
    tokens = tuple(result.sequences_ids[0])
    # CTranslate2 divides the sum by the length; Whisper's own mean counts the end-of-text token too.
    mean = result.scores[0] * len(tokens) / (len(tokens) + 1) if tokens else result.scores[0]
    return Decoded(tokens, float(mean), float(result.no_speech_prob), complete=len(tokens) < MAX_TOKENS)
