"""What a model's files say about themselves, read without any model library: shape, compute type, and whether all is there.

`model.bin` is a sequence of named tensors (CTranslate2's binary format, version 6 and the ones before it that name types).
Only the heads are read and the data is skipped: a file of gigabytes costs a few thousand small reads. All integers are
little-endian; strings are a uint16 with their length, then that many bytes, the last of them zero.

    uint32 version | string specification | uint32 revision | uint32 n
    n times: string name | uint8 rank | uint32 dimension, rank times | uint8 type | uint32 bytes | data
    uint32 aliases | as many times: string, string

Beside them may lie `ORIGIN`: where the model is from, and what its files should be.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from whisper_service.core.domain import Value
from whisper_service.core.errors import ModelBroken
from whisper_service.core.files import sha256_of
from whisper_service.models.known import Shape

WEIGHTS: Final = "model.bin"
REQUIRED: Final = (WEIGHTS, "config.json", "tokenizer.json")
VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
"""A model has one of these beside the required files."""
PATTERNS: Final = (*REQUIRED, "preprocessor_config.json", "vocabulary.*")
"""Every file of a model that is fetched or unpacked, as faster-whisper downloads them."""
VERSIONS: Final = range(3, 7)
SPECIFICATION: Final = "WhisperSpec"
ORIGIN: Final = ".download.json"
SUMS: Final = "SHA256SUMS"
"""The same for the built-in model: lines of a hash, two spaces and a name."""
MAX_STRING: Final = 1000
MAX_TENSORS: Final = 100_000
MAX_RANK: Final = 8
_TYPES: Final = {0: "float32", 1: "int8", 2: "int16", 4: "float16", 5: "bfloat16"}
_REMOVE: Final = "Remove the model, then install it again."
_CONVERT: Final = (
    "Choose a conversion for faster-whisper, one with model.bin, config.json, tokenizer.json and vocabulary."
)


def missing_files(names: Collection[str]) -> list[str]:
    """Return the files that a folder with these files lacks to be a model in CTranslate2's format."""
    missing = [name for name in REQUIRED if name not in names]
    return missing if any(name in names for name in VOCABULARIES) else [*missing, VOCABULARIES[0]]


class ModelFacts(Value, frozen=True):
    """What the weights are. `stored` is the type of most of them on disk; they are converted when they are loaded."""

    shape: Shape
    stored: str
    bytes: int  # of model.bin

    @property
    def multilingual(self) -> bool:
        """Vocabularies of models for English alone lack the tokens of the other languages."""
        return self.shape.vocabulary > 51_864


def read(directory: Path) -> ModelFacts:
    """Look into `model.bin` and the JSON files of a model. Blocks. Raises `ModelBroken` with the reason, and `OSError`."""
    path = directory / WEIGHTS
    size = path.stat().st_size
    with path.open("rb") as file:
        try:
            facts = _walk(_Reader(file, size), size)
        except _Short as error:
            raise ModelBroken(
                f"model.bin of {directory.name} is truncated: it ends after {size} bytes, in the middle of {error}.",
                hint=_REMOVE,
            ) from None
        except _NotAModel as error:
            raise ModelBroken(
                f"{directory.name} is not a Whisper model in CTranslate2's format: {error}.", hint=_CONVERT
            ) from None
    for name in ("config.json", "tokenizer.json"):
        _check_json(directory / name)
    return facts


class ModelOrigin(Value, frozen=True):
    """Where a model is from. `files` are sizes in bytes; `sha256` is that of its large files."""

    repo: str = ""  # empty: it was imported
    revision: str | None = None
    endpoint: str = ""
    files: dict[str, int] = msgspec.field(default_factory=dict)
    sha256: dict[str, str] = msgspec.field(default_factory=dict)


def origin(directory: Path) -> ModelOrigin:
    """What is written beside a model; nothing if nothing is known about it."""
    try:
        return msgspec.json.decode((directory / ORIGIN).read_bytes(), type=ModelOrigin)
    except (OSError, msgspec.DecodeError):  # not there, or not ours
        return ModelOrigin(sha256=_sums(directory))


def verify(directory: Path) -> tuple[str, ...]:
    """Read everything and compare it with what it should be; the names of the files whose hash is known and right.

    Blocks for as long as the disk takes. Raises `ModelBroken` with the first thing that is wrong, and `OSError`.
    """
    read(directory)
    known = origin(directory)
    for name, size in known.files.items():
        path = directory / name
        have = path.stat().st_size if path.is_file() else None
        if have != size:
            said = "is missing" if have is None else f"has {have} bytes"
            raise ModelBroken(f"{name} of {directory.name} {said}; it should have {size}.", hint=_REMOVE)
    for name, digest in known.sha256.items():
        if sha256_of(directory / name) != digest:
            raise ModelBroken(f"{name} of {directory.name} does not have the content it should have.", hint=_REMOVE)
    return tuple(known.sha256)


def _sums(directory: Path) -> dict[str, str]:
    try:
        lines = (directory / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: digest for digest, gap, name in (line.partition("  ") for line in lines) if gap}


class _Short(Exception):
    """The file ends too early."""


class _NotAModel(Exception):
    """The file is of another kind."""


class _Reader:
    """Little-endian values from a file of known size."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size
        self.at = "its head"

    def integer(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def string(self) -> str:
        length = self.integer(2)
        if length > MAX_STRING:
            raise _NotAModel("it holds no names of tensors")
        return self._take(length).rstrip(b"\0").decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        if count > self._left:
            raise _Short(self.at)
        self._file.seek(count, 1)
        self._left -= count

    def _take(self, count: int) -> bytes:
        if count > self._left:
            raise _Short(self.at)
        self._left -= count
        return self._file.read(count)


def _walk(reader: _Reader, size: int) -> ModelFacts:
    if reader.integer(4) not in VERSIONS:
        raise _NotAModel("model.bin has another format, or is of another version")
    if (kind := reader.string()) != SPECIFICATION:
        raise _NotAModel(f"model.bin holds a {kind[:40]!r}")
    reader.integer(4)
    if (count := reader.integer(4)) > MAX_TENSORS:
        raise _NotAModel("it holds no plausible number of tensors")
    dimensions: dict[str, tuple[int, ...]] = {}
    weights: dict[int, int] = {}  # bytes by type
    for _ in range(count):
        name = reader.string()
        reader.at = name[:80]
        if (rank := reader.integer(1)) > MAX_RANK:
            raise _NotAModel("it holds tensors of no plausible shape")
        dimensions[name] = tuple(reader.integer(4) for _ in range(rank))
        kind_id, length = reader.integer(1), reader.integer(4)
        reader.skip(length)
        if rank > 1:
            weights[kind_id] = weights.get(kind_id, 0) + length
    reader.at = "its end"
    for _ in range(2 * min(reader.integer(4), MAX_TENSORS)):
        reader.string()
    stored = max(weights, key=lambda kind_id: weights[kind_id], default=-1)
    return ModelFacts(_shape(dimensions), _TYPES.get(stored, "unknown"), size)


def _shape(dimensions: dict[str, tuple[int, ...]]) -> Shape:
    try:
        vocabulary, width = dimensions["decoder/embeddings/weight"]
        mels = dimensions["encoder/conv1/weight"][1]
    except (KeyError, ValueError, IndexError):
        raise _NotAModel("model.bin lacks the tensors of a Whisper network") from None
    layers = {
        side: len({name.split("/")[1] for name in dimensions if name.startswith(f"{side}/layer_")} - {"layer_norm"})
        for side in ("encoder", "decoder")
    }
    return Shape(width, layers["encoder"], layers["decoder"], vocabulary, mels)


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        raise ModelBroken(f"{path.name} of {path.parent.name} is damaged.", hint=_REMOVE) from None
