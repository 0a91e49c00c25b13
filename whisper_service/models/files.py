"""The files of a model: which ones there must be, and what they tell about the model. No model library is loaded.

`model.bin` is a sequence of named tensors (CTranslate2's binary format, versions 3 to 6: those that name types). Only
the heads of the tensors are read; their data is skipped, so a file of gigabytes costs a few thousand small reads.
Integers are little-endian. A string is a uint16 with its length, then that many bytes, the last of them zero.

    uint32 version | string specification | uint32 revision | uint32 n
    n times: string name | uint8 rank | uint32 dimension, rank times | uint8 type | uint32 bytes | data
    uint32 aliases | as many times: string, string

A file `ORIGIN` beside them tells where the model comes from, and which sizes and hashes its files should have.
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
from whisper_service.core.text import quoted
from whisper_service.models.known import Shape

WEIGHTS: Final = "model.bin"
REQUIRED: Final = (WEIGHTS, "config.json", "tokenizer.json")
VOCABULARIES: Final = ("vocabulary.json", "vocabulary.txt")
"""A model has one of these beside the required files."""
PATTERNS: Final = (*REQUIRED, "preprocessor_config.json", "vocabulary.*")
"""Every file of a model that is downloaded or unpacked: those that faster-whisper downloads."""
ORIGIN: Final = ".download.json"
SUMS: Final = "SHA256SUMS"
"""Hashes of a joined built-in model, in place of `ORIGIN`: lines of a hash, two spaces and a name."""
VERSIONS: Final = range(3, 7)
SPECIFICATION: Final = "WhisperSpec"
MAX_STRING: Final = 1000
MAX_TENSORS: Final = 100_000
MAX_RANK: Final = 8
_TYPES: Final = {0: "float32", 1: "int8", 2: "int16", 4: "float16", 5: "bfloat16"}
_REINSTALL: Final = "Remove the model, then install it again."
CONVERSION: Final = (
    "Choose a conversion for faster-whisper: one with model.bin, config.json, tokenizer.json and a vocabulary."
)


def missing_files(names: Collection[str]) -> list[str]:
    """Return the files that a folder with these files lacks to be a model in CTranslate2's format."""
    missing = [name for name in REQUIRED if name not in names]
    return missing if any(name in names for name in VOCABULARIES) else [*missing, VOCABULARIES[0]]


def file_size(path: Path) -> int:
    """Return the bytes in a file. 0: there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


class ModelFacts(Value, frozen=True):
    """What `model.bin` tells. `stored` is the type of most weights on disk; loading may convert them."""

    shape: Shape
    stored: str
    bytes: int  # of model.bin

    @property
    def multilingual(self) -> bool:
        """Whether the model knows many languages: the vocabularies of English models lack the tokens of the others."""
        return self.shape.vocabulary > 51_864


def read_facts(directory: Path) -> ModelFacts:
    """Read the heads of `model.bin` and check the JSON files of a model.

    Blocks. Raises `ModelBroken` with the reason, and `OSError`.
    """
    path = directory / WEIGHTS
    size = path.stat().st_size
    with path.open("rb") as file:
        facts = _parse(_Reader(file, size, directory.name))
    for name in REQUIRED[1:]:
        _check_json(directory / name)
    return facts


class ModelOrigin(Value, frozen=True):
    """Where a model comes from. `files` are sizes in bytes; `sha256` has the hashes of its large files."""

    repo: str = ""  # empty: it was imported
    revision: str | None = None
    endpoint: str = ""
    files: dict[str, int] = msgspec.field(default_factory=dict)
    sha256: dict[str, str] = msgspec.field(default_factory=dict)


def read_origin(directory: Path) -> ModelOrigin:
    """Return what is written beside a model; an empty origin if nothing is."""
    try:
        return msgspec.json.decode((directory / ORIGIN).read_bytes(), type=ModelOrigin)
    except (OSError, msgspec.DecodeError):  # there is no such file, or another program wrote it
        return ModelOrigin(sha256=_read_sums(directory))


def verify(directory: Path) -> tuple[str, ...]:
    """Read a whole model, compare it with its origin, and return the files whose hash is known and right.

    Blocks for as long as the disk takes. Raises `ModelBroken` with the first difference, and `OSError`.
    """
    read_facts(directory)
    return compare_with_origin(directory)


def compare_with_origin(directory: Path) -> tuple[str, ...]:
    """Compare the files of a model with its origin. Return and raise as `verify`."""
    origin = read_origin(directory)
    for name, size in origin.files.items():
        path = directory / name
        have = path.stat().st_size if path.is_file() else None
        if have != size:
            state = "is missing" if have is None else f"has {have} bytes"
            raise ModelBroken(f"{name} of {directory.name} {state}; it should have {size} bytes.", hint=_REINSTALL)
    for name, digest in origin.sha256.items():
        if sha256_of(directory / name) != digest:
            raise ModelBroken(f"{name} of {directory.name} does not have its original content.", hint=_REINSTALL)
    return tuple(origin.sha256)


def _read_sums(directory: Path) -> dict[str, str]:
    try:
        lines = (directory / SUMS).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: digest for digest, gap, name in (line.partition("  ") for line in lines) if gap}


class _Reader:
    """Little-endian values from a file of `size` bytes."""

    def __init__(self, file: BinaryIO, size: int, model: str) -> None:
        self.size = self._left = size
        self._file = file
        self._model = model
        self.place = "its head"  # what is read now, for errors

    def integer(self, width: int) -> int:
        return int.from_bytes(self._take(width), "little")

    def string(self) -> str:
        length = self.integer(2)
        if length > MAX_STRING:
            raise self.wrong("model.bin has no names of tensors where they belong")
        return self._take(length).rstrip(b"\0").decode("utf-8", "replace")

    def skip(self, count: int) -> None:
        self._count(count)
        self._file.seek(count, 1)

    def _take(self, count: int) -> bytes:
        self._count(count)
        return self._file.read(count)

    def _count(self, count: int) -> None:
        if count > self._left:
            end = f"it ends after {self.size} bytes, in the middle of {self.place}"
            raise ModelBroken(f"model.bin of {self._model} is truncated: {end}.", hint=_REINSTALL)
        self._left -= count

    def wrong(self, reason: str) -> ModelBroken:
        """Return the error for a file of another kind."""
        return ModelBroken(f"{self._model} is not a Whisper model in CTranslate2's format: {reason}.", hint=CONVERSION)


def _parse(reader: _Reader) -> ModelFacts:
    if reader.integer(4) not in VERSIONS:
        raise reader.wrong("model.bin has another format or another version of it")
    if (kind := reader.string()) != SPECIFICATION:
        raise reader.wrong(f"model.bin holds a {quoted(kind, 40)}")
    reader.integer(4)
    if (count := reader.integer(4)) > MAX_TENSORS:
        raise reader.wrong(f"model.bin claims to hold {count} tensors")
    dimensions: dict[str, tuple[int, ...]] = {}
    weights: dict[int, int] = {}  # bytes by type
    for _ in range(count):
        name = reader.string()
        reader.place = name[:80]
        if (rank := reader.integer(1)) > MAX_RANK:
            raise reader.wrong(f"model.bin holds a tensor of {rank} dimensions")
        dimensions[name] = tuple(reader.integer(4) for _ in range(rank))
        kind_id, length = reader.integer(1), reader.integer(4)
        reader.skip(length)
        if rank > 1:
            weights[kind_id] = weights.get(kind_id, 0) + length
    reader.place = "its end"
    for _ in range(2 * min(reader.integer(4), MAX_TENSORS)):
        reader.string()
    stored = max(weights, key=lambda kind_id: weights[kind_id], default=-1)
    return ModelFacts(_shape(reader, dimensions), _TYPES.get(stored, "unknown"), reader.size)


def _shape(reader: _Reader, dimensions: dict[str, tuple[int, ...]]) -> Shape:
    try:
        vocabulary, width = dimensions["decoder/embeddings/weight"]
        mels = dimensions["encoder/conv1/weight"][1]
    except (KeyError, ValueError, IndexError):
        raise reader.wrong("model.bin lacks the tensors of a Whisper network") from None
    layers = {
        side: len({name.split("/")[1] for name in dimensions if name.startswith(f"{side}/layer_")} - {"layer_norm"})
        for side in ("encoder", "decoder")
    }
    return Shape(width, layers["encoder"], layers["decoder"], vocabulary, mels)


def _check_json(path: Path) -> None:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        raise ModelBroken(f"{path.name} of {path.parent.name} is damaged.", hint=_REINSTALL) from None
