"""The models that the service knows by name: where they come from, what they need and what they are good for.

Every number follows from the shape of the network. The count of parameters is exact; the memory at work
(`memory_bytes`) and the speed on a CPU (`speed_on_cpu`) are estimates. This module reads no files and asks no hub.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from whisper_service.core.domain import Value

OVERHEAD_BYTES: Final = {"cpu": 200_000_000, "cuda": 750_000_000}
"""Memory of a process without a model. CPU: Python and libraries, measured. GPU: the CUDA context and the workspaces of
cuBLAS, 710 MB measured on an H100."""

_WEIGHT_BYTES: Final = {
    "int8": 1, "int8_float32": 1, "int8_float16": 1, "int8_bfloat16": 1, "float16": 2, "bfloat16": 2, "float32": 4,
}  # fmt: skip
_STATE_BYTES: Final = {"float16": 2, "bfloat16": 2, "int8_float16": 2, "int8_bfloat16": 2}  # of an activation; else 4
_FRAMES: Final = 1500  # states of the encoder for one input
_TEXT: Final = 448  # positions of the decoder
_HEAD: Final = 64  # width of an attention head
_STEPS: Final = 80  # tokens in one input of ordinary speech
_BATCH: Final = 8  # chunks in a full batch
_INPUT_S: Final = 30.0  # of sound in one input of the network
_LINEAR_MACS, _ATTENTION_MACS, _MEMORY_BPS = 233e9, 58e9, 20e9  # per second and core: int8, float32, bytes read
_REACHED: Final = 0.2
"""Share of these three bounds that a whole transcription reaches; measured with base on cores without VNNI."""
_COMFORTABLE: Final = 2.0
"""Times real time. Some machines have slower cores than the measured ones, and other programs need cores too."""


class Shape(Value, frozen=True):
    """The dimensions of a Whisper network. `encoder` and `decoder` count layers."""

    width: int
    encoder: int
    decoder: int
    vocabulary: int = 51_865
    mels: int = 80

    @property
    def parameters(self) -> int:
        """All parameters, positions included. The projection to tokens shares those of the embedding."""
        d = self.width
        convolutions = 3 * d * self.mels + d + 3 * d * d + d
        encoder = _FRAMES * d + self.encoder * (12 * d * d + 12 * d) + 2 * d
        decoder = (self.vocabulary + _TEXT) * d + self.decoder * (16 * d * d + 17 * d) + 2 * d
        return convolutions + encoder + decoder

    def memory_bytes(self, compute_type: str = "int8", *, device: str = "cpu", chunks: int = 1) -> int:
        """Return the memory of a model at work on batches of `chunks` chunks, on "cpu" or "cuda".

            overhead + parameters * weight + chunks * state * (heads * frames^2 + 2 * decoder layers * frames * width)

        `weight` is 1 byte for int8 types, 2 for float16 and bfloat16, 4 for float32; `state` is 2 bytes if the type
        ends in 16, else 4; `frames` is 1500. The last term is what one chunk needs: its attention scores in an
        encoder layer, and its cross-attention keys and values. In float16 these are 36 and 18 MB for base, 90 and 246
        MB for large-v3, 90 and 31 MB for large-v3-turbo. Raises `KeyError` for a compute type that CTranslate2 does
        not have.
        """
        weights = self.parameters * _WEIGHT_BYTES[compute_type]
        scores = self.width // _HEAD * _FRAMES**2
        keys_and_values = 2 * self.decoder * _FRAMES * self.width
        chunk = _STATE_BYTES.get(compute_type, 4) * (scores + keys_and_values)
        return OVERHEAD_BYTES[device] + weights + chunks * chunk

    def chunks_within(self, free: int, compute_type: str = "float16") -> int:
        """Return how many chunks at a time fit into `free` bytes of a GPU, beside the weights. 0: not one.

        An unknown compute type counts as the largest.
        """
        compute_type = compute_type if compute_type in _WEIGHT_BYTES else "float32"
        none, one = (self.memory_bytes(compute_type, device="cuda", chunks=chunks) for chunks in (0, 1))
        return max(0, free - none) // (one - none)

    def speed_on_cpu(self, cpus: int) -> float:
        """Estimate the seconds of speech per second, in int8 and full batches. The estimate is rather too low.

        The time of one input is that of the encoder's multiplications and that of the bytes that the decoder reads for
        each token, at the share of the bounds of a core that is reached in practice.
        """
        d, macs = self.width, 12 * self.encoder * self.width**2 * _FRAMES
        encoder = macs / _LINEAR_MACS + 2 * self.encoder * _FRAMES**2 * d / _ATTENTION_MACS
        weights = (16 * self.decoder * d * d + self.vocabulary * d) / _BATCH
        read = weights + 8 * self.decoder * _FRAMES * d
        return cpus * _REACHED * _INPUT_S / (encoder + _STEPS * read / _MEMORY_BPS)

    def suits(self, cpus: int, memory: int, vram: int = 0) -> Suitability:
        """Return how well the model runs with so many cores and free bytes of memory and of the GPU (0: no GPU)."""
        for compute_type in ("float16", "int8_float16"):
            if vram >= self.memory_bytes(compute_type, device="cuda"):
                return Suitability(Fit.GPU, "cuda", compute_type)
        speed = self.speed_on_cpu(cpus)
        if memory >= self.memory_bytes("int8"):
            return Suitability(Fit.CPU if speed >= _COMFORTABLE else Fit.SLOW, "cpu", "int8", speed)
        return Suitability(Fit.TOO_BIG)


class KnownModel(Value, frozen=True):
    """A model on the hub. `languages` is "multilingual" or "en"; `good_for` is English text for people.

    `light`: it is faster than real time on two cores, so a CPU takes it before every model that is not.
    """

    name: str
    repo: str
    shape: Shape
    languages: str
    good_for: str
    light: bool = False

    @property
    def download_bytes(self) -> int:
        """Two bytes a parameter, and 3 MB of tokenizer and vocabulary. Within some percent; the hub knows exactly."""
        return 2 * self.shape.parameters + 3_000_000


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


def _systran(name: str, shape: Shape, languages: str, good_for: str, *, light: bool = False) -> KnownModel:
    """Return a model that Systran converted. The repo follows from the name."""
    distil = "distil-" if name.startswith("distil-") else ""
    repo = f"Systran/faster-{distil}whisper-{name.removeprefix(distil)}"
    return KnownModel(name, repo, shape, languages, good_for, light)


_EN: Final = 51_864  # tokens of a model for English alone
_V3: Final = 51_866
_MANY: Final = "multilingual"
_FAST: Final = "nearly the text of large-v3, much faster; does not translate"

KNOWN: Final[tuple[KnownModel, ...]] = (
    KnownModel(
        "large-v3-turbo", "mobiuslabsgmbh/faster-whisper-large-v3-turbo", Shape(1280, 32, 4, _V3, 128), _MANY, _FAST
    ),  # as good as large-v3 on long recordings, at more than twice its speed
    _systran("large-v3", Shape(1280, 32, 32, _V3, 128), _MANY, "the best text, difficult recordings, rare languages"),
    _systran("large-v2", Shape(1280, 32, 32), _MANY, "difficult recordings where large-v3 makes text up"),
    _systran("large-v1", Shape(1280, 32, 32), _MANY, "the first large model; large-v3 is better"),
    _systran("medium", Shape(1024, 24, 24), _MANY, "good text where a large model does not fit"),
    _systran("small", Shape(768, 12, 12), _MANY, "everyday use on a CPU", light=True),
    _systran("base", Shape(512, 6, 6), _MANY, "clear speech on small machines", light=True),
    _systran("tiny", Shape(384, 4, 4), _MANY, "a first look, very small machines", light=True),
    KnownModel(
        "distil-large-v3.5", "distil-whisper/distil-large-v3.5-ct2", Shape(1280, 32, 2, _V3, 128), "en",
        "the best fast English on a GPU",
    ),
    _systran("distil-large-v3", Shape(1280, 32, 2, _V3, 128), "en", "fast English on a GPU, long recordings"),
    _systran("distil-large-v2", Shape(1280, 32, 2), "en", "fast English on a GPU"),
    _systran("medium.en", Shape(1024, 24, 24, _EN), "en", "good English text where a large model does not fit"),
    _systran("distil-medium.en", Shape(1024, 24, 2, _EN), "en", "fast English, better text"),
    _systran("small.en", Shape(768, 12, 12, _EN), "en", "everyday English on a CPU"),
    _systran("distil-small.en", Shape(768, 12, 4, _EN), "en", "fast English on a CPU"),
    _systran("base.en", Shape(512, 6, 6, _EN), "en", "clear English on small machines"),
    _systran("tiny.en", Shape(384, 4, 4, _EN), "en", "a first look at English, very small machines"),
)  # fmt: skip
"""The model to prefer on a GPU comes first. Models for one language come after all that know every language.

The repos are those that faster-whisper itself uses. A new model is one entry here and one row in docs/models.md.
"""

BY_NAME: Final = {model.name: model for model in KNOWN}
BY_REPO: Final = {model.repo: model for model in KNOWN}
ON_GPU: Final = tuple(BY_NAME)
ON_CPU: Final = tuple(model.name for model in sorted(KNOWN, key=lambda model: not model.light))
"""Names, the one to prefer first."""
