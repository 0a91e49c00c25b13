"""The models everybody knows: where they are, what they need, what they are good for. Pure; the numbers are arithmetic.

Everything follows from the shape of a network: its parameters, exactly; the size of its weights; the memory it works in,
`memory_bytes`; and how fast a core gets through it, `speed_on_cpu`. Nobody is asked for any of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from whisper_service.core.domain import Value

OVERHEAD_BYTES: Final = {"cpu": 200_000_000, "cuda": 750_000_000}
"""What a process takes before it holds a model: Python and libraries; on a GPU the CUDA context and the workspaces of cuBLAS.
The first is measured, and so is the second, on an H100: 710 MB."""

_WEIGHT_BYTES: Final = {
    "int8": 1, "int8_float32": 1, "int8_float16": 1, "int8_bfloat16": 1, "float16": 2, "bfloat16": 2, "float32": 4,
}  # fmt: skip
_STATE_BYTES: Final = {"float16": 2, "bfloat16": 2, "int8_float16": 2, "int8_bfloat16": 2}  # of an activation; else 4
_FRAMES: Final = 1500  # states of the encoder per window of 30 s
_TEXT: Final = 448  # positions of the decoder
_HEAD: Final = 64  # width of an attention head
_STEPS: Final = 80  # tokens in a window of ordinary speech
_ROWS: Final = 8  # in a full batch
_WINDOW_S: Final = 30.0
_LINEAR_MACS, _ATTENTION_MACS, _MEMORY_BPS = 233e9, 58e9, 20e9  # a second and core: int8, float32, bytes read
_COMFORTABLE: Final = (
    2.0  # times the speed of the speech: there are cores without VNNI, and others who want the machine
)
_REACHED: Final = (
    0.2  # share of those bounds that is reached from file to text, on cores without VNNI; measured with base
)


class Shape(Value, frozen=True):
    """The dimensions of a Whisper network."""

    width: int
    encoder: int  # layers
    decoder: int
    vocabulary: int = 51_865
    mels: int = 80

    @property
    def parameters(self) -> int:
        """All of them, positions included; the projection to tokens shares the embedding's."""
        d = self.width
        convolutions = 3 * d * self.mels + d + 3 * d * d + d
        encoder = _FRAMES * d + self.encoder * (12 * d * d + 12 * d) + 2 * d
        decoder = (self.vocabulary + _TEXT) * d + self.decoder * (16 * d * d + 17 * d) + 2 * d
        return convolutions + encoder + decoder


class KnownModel(Value, frozen=True):
    """A model on the hub. `languages` is "multilingual" or "en"; `good_for` is English text for people."""

    name: str
    repo: str
    shape: Shape
    languages: str
    good_for: str

    @property
    def parameters(self) -> int:
        return self.shape.parameters

    @property
    def download_bytes(self) -> int:
        """Weights of two bytes each, and 3 MB of tokenizer and vocabulary. Within some percent; the hub tells it exactly."""
        return 2 * self.parameters + 3_000_000

    def memory_bytes(self, compute_type: str = "int8", *, device: str = "cpu", rows: int = 1) -> int:
        """Memory for the model at work on batches of this many rows, on "cpu" or "cuda".

            overhead + parameters * weight + rows * state * (heads * frames^2 + 2 * decoder layers * frames * width)

        `weight` is 1 byte for int8 types, 2 for float16 and bfloat16, 4 for float32; `state` is 2 bytes if the type ends in
        16, else 4. The last term is one row's attention scores in an encoder layer, and its cross-attention keys and
        values: 36 and 18 MB for base in float16, 90 and 246 MB for large-v3, 90 and 31 MB for large-v3-turbo. `frames` is 1500.
        Raises `KeyError` for a compute type that CTranslate2 does not have.
        """
        weights = self.parameters * _WEIGHT_BYTES[compute_type]
        scores = self.shape.width // _HEAD * _FRAMES**2
        keys_and_values = 2 * self.shape.decoder * _FRAMES * self.shape.width
        row = _STATE_BYTES.get(compute_type, 4) * (scores + keys_and_values)
        return OVERHEAD_BYTES[device] + weights + rows * row

    def rows_within(self, free: int, compute_type: str = "float16") -> int:
        """How many rows of batches fit into this much free memory of a GPU, beside the weights; 0: not one.

        A compute type that is not known counts as the largest.
        """
        compute_type = compute_type if compute_type in _WEIGHT_BYTES else "float32"
        row = self.memory_bytes(compute_type, device="cuda", rows=1) - self.memory_bytes(
            compute_type, device="cuda", rows=0
        )
        return max(0, free - self.memory_bytes(compute_type, device="cuda", rows=0)) // row

    def speed_on_cpu(self, cpus: int) -> float:
        """Seconds of speech per second, in int8 and full batches. An estimate for choosing, on the safe side, no promise.

        The encoder's multiplications and the bytes a decoder reads per token, over what a core can do, at the share of that
        which is reached in practice.
        """
        d, macs = self.shape.width, 12 * self.shape.encoder * self.shape.width**2 * _FRAMES
        encoder = macs / _LINEAR_MACS + 2 * self.shape.encoder * _FRAMES**2 * d / _ATTENTION_MACS
        read = (
            16 * self.shape.decoder * d * d + self.shape.vocabulary * d
        ) / _ROWS + 8 * self.shape.decoder * _FRAMES * d
        return cpus * _REACHED * _WINDOW_S / (encoder + _STEPS * read / _MEMORY_BPS)

    def suits(self, cpus: int, memory: int, vram: int = 0) -> Suitability:
        """How well it would run on a machine: cores, and bytes that are free in memory and on the GPU (0: it has none)."""
        for compute_type in ("float16", "int8_float16"):
            if vram >= self.memory_bytes(compute_type, device="cuda"):
                return Suitability(Fit.GPU, "cuda", compute_type)
        speed = self.speed_on_cpu(cpus)
        if memory >= self.memory_bytes("int8"):
            return Suitability(Fit.CPU if speed >= _COMFORTABLE else Fit.SLOW, "cpu", "int8", speed)
        return Suitability(Fit.TOO_BIG)


class Fit(StrEnum):
    """How well a model runs on a machine."""

    GPU = "gpu"  # it fits on the graphics card
    CPU = "cpu"  # it fits into memory and is much faster than the speech
    SLOW = "slow"  # it fits into memory and is hardly faster than the speech, or slower
    TOO_BIG = "too_big"  # it does not fit


class Suitability(Value, frozen=True):
    """A `Fit`, and how to get it. `speed` is seconds of speech per second, known for a CPU only."""

    fit: Fit
    device: str | None = None
    compute_type: str | None = None
    speed: float | None = None


def _shape(width: int, encoder: int, decoder: int | None = None, *, vocabulary: int = 51_865, mels: int = 80) -> Shape:
    return Shape(width, encoder, encoder if decoder is None else decoder, vocabulary, mels)


_EN: Final = 51_864
_V3: Final = 51_866
_MANY: Final = "multilingual"

KNOWN: Final[tuple[KnownModel, ...]] = (
    KnownModel("tiny", "Systran/faster-whisper-tiny", _shape(384, 4), _MANY, "a first look, very small machines"),
    KnownModel("tiny.en", "Systran/faster-whisper-tiny.en", _shape(384, 4, vocabulary=_EN), "en", "a first look at English, very small machines"),
    KnownModel("base", "Systran/faster-whisper-base", _shape(512, 6), _MANY, "clear speech on small machines"),
    KnownModel("base.en", "Systran/faster-whisper-base.en", _shape(512, 6, vocabulary=_EN), "en", "clear English on small machines"),
    KnownModel("small", "Systran/faster-whisper-small", _shape(768, 12), _MANY, "everyday use on a CPU"),
    KnownModel("small.en", "Systran/faster-whisper-small.en", _shape(768, 12, vocabulary=_EN), "en", "everyday English on a CPU"),
    KnownModel("medium", "Systran/faster-whisper-medium", _shape(1024, 24), _MANY, "good text where a large model does not fit"),
    KnownModel("medium.en", "Systran/faster-whisper-medium.en", _shape(1024, 24, vocabulary=_EN), "en", "good English text where a large model does not fit"),
    KnownModel("large-v1", "Systran/faster-whisper-large-v1", _shape(1280, 32), _MANY, "the first large model; large-v3 is better"),
    KnownModel("large-v2", "Systran/faster-whisper-large-v2", _shape(1280, 32), _MANY, "difficult recordings where large-v3 makes text up"),
    KnownModel("large-v3", "Systran/faster-whisper-large-v3", _shape(1280, 32, vocabulary=_V3, mels=128), _MANY, "the best text, difficult recordings, rare languages"),
    KnownModel(
        "large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", _shape(1280, 32, 4, vocabulary=_V3, mels=128), _MANY,
        "nearly the text of large-v3, much faster; does not translate",
    ),
    KnownModel("distil-small.en", "Systran/faster-distil-whisper-small.en", _shape(768, 12, 4, vocabulary=_EN), "en", "fast English on a CPU"),
    KnownModel("distil-medium.en", "Systran/faster-distil-whisper-medium.en", _shape(1024, 24, 2, vocabulary=_EN), "en", "fast English, better text"),
    KnownModel("distil-large-v2", "Systran/faster-distil-whisper-large-v2", _shape(1280, 32, 2), "en", "fast English on a GPU"),
    KnownModel("distil-large-v3", "Systran/faster-distil-whisper-large-v3", _shape(1280, 32, 2, vocabulary=_V3, mels=128), "en", "fast English on a GPU, long recordings"),
    KnownModel("distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", _shape(1280, 32, 2, vocabulary=_V3, mels=128), "en", "the best fast English on a GPU"),
)  # fmt: skip
"""The repos are those that faster-whisper itself uses."""

BY_NAME: Final = {model.name: model for model in KNOWN}
"""The known models by name; the aliases are the catalogue's."""
BY_REPO: Final = {model.repo: model for model in KNOWN}
