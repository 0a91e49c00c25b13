"""A network as large as a larger model that says what a smaller one says: measures what size costs.

Every vector x becomes (x, x, ...), one copy behind the other. A layer norm of that is the copies of its layer norm.
Each matrix W becomes k by k blocks of W / k, so that it maps copies to copies; attention heads keep their width and are
k times as many, and those that align words keep their numbers. The last norm of the decoder is divided by k, because
the embeddings that turn states to tokens sum over the copies. Layers that are added compute all that a layer computes,
and their last matrices are zero: they change nothing.
"""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]
TYPES: Final = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""The types of CTranslate2's binary format that numpy has."""
LAST: Final = re.compile(r"/(self_attention/linear_1|attention/linear_2|ffn/linear_1)/")
"""The matrices of a layer whose results are added to its input."""
LAYER: Final = re.compile(r"^(encoder|decoder)/layer_(\d+)/(.*)$")


def widen(source: Path, target: Path, *, times: int, encoder: int, decoder: int) -> int:
    """Write the widened model of the folder `source` to the folder `target`. Return how many parameters it has.

    `times` is how many times as wide it becomes; `encoder` and `decoder` are how many layers it gets.
    """
    name, revision, tensors, aliases = read(source / "model.bin")
    for side in ("encoder", "decoder"):
        key = f"{side}/num_heads"
        if key in tensors:
            tensors[key] = (tensors[key] * times).astype(tensors[key].dtype)
    larger = dict(widened(tensors, times, {"encoder": encoder, "decoder": decoder}))
    target.mkdir(parents=True, exist_ok=True)
    write(target / "model.bin", name, revision, larger, aliases)
    for file in source.iterdir():
        if file.name != "model.bin" and file.suffix in (".json", ".txt") and not file.name.startswith("."):
            shutil.copy(file, target)
    return sum(tensor.size for tensor in larger.values())


def read(path: Path) -> tuple[str, int, dict[str, Tensor], list[tuple[str, str]]]:
    """Return specification, revision, tensors and aliases of a `model.bin` of version 6."""
    with path.open("rb") as file:
        (version,) = struct.unpack("<I", file.read(4))
        if version != 6:
            raise SystemExit(f"{path} is of version {version}; this reads version 6.")
        name, revision = _string(file), _integer(file)
        tensors: dict[str, Tensor] = {}
        for _ in range(_integer(file)):
            key, rank = _string(file), file.read(1)[0]
            shape = [_integer(file) for _ in range(rank)]
            kind, size = file.read(1)[0], _integer(file)
            if kind not in TYPES:
                raise SystemExit(f"{key} is of a type that numpy has not; convert the model to float16.")
            tensors[key] = np.frombuffer(file.read(size), dtype=TYPES[kind]).reshape(shape)
        aliases = [(_string(file), _string(file)) for _ in range(_integer(file))]
    return name, revision, tensors, aliases


def write(path: Path, name: str, revision: int, tensors: dict[str, Tensor], aliases: list[tuple[str, str]]) -> None:
    """Write a `model.bin` of version 6."""
    numbers = {np.dtype(kind): number for number, kind in TYPES.items()}
    with path.open("wb") as file:
        file.write(struct.pack("<I", 6) + _packed(name) + struct.pack("<II", revision, len(tensors)))
        for key, tensor in tensors.items():
            file.write(_packed(key) + bytes([tensor.ndim]) + struct.pack(f"<{tensor.ndim}I", *tensor.shape))
            file.write(bytes([numbers[tensor.dtype]]) + struct.pack("<I", tensor.nbytes))
            file.write(np.ascontiguousarray(tensor).data)
        file.write(
            struct.pack("<I", len(aliases)) + b"".join(map(_packed, (word for pair in aliases for word in pair)))
        )


def widened(tensors: dict[str, Tensor], times: int, layers: dict[str, int]) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor of the larger network."""
    have = {side: 1 + max(int(m[2]) for key in tensors if (m := LAYER.match(key)) and m[1] == side) for side in layers}
    width = tensors["decoder/embeddings/weight"].shape[1]
    for key, tensor in tensors.items():
        larger = _copied(key, tensor, times, width)
        yield key, larger
        if (found := LAYER.match(key)) is None:
            continue
        side, number, rest = found[1], int(found[2]), found[3]
        for added in range(have[side] + number, layers[side], have[side]):
            yield f"{side}/layer_{added}/{rest}", np.zeros_like(larger) if LAST.search(key) else larger


def _copied(key: str, tensor: Tensor, times: int, width: int) -> Tensor:
    if tensor.ndim == 0 or not np.issubdtype(tensor.dtype, np.floating):
        return tensor
    if key == "decoder/embeddings/weight" or key.endswith("position_encodings/encodings"):
        return np.tile(tensor, (1, times))
    if tensor.ndim == 1:
        parts = [
            np.tile(part, times) for part in np.split(tensor, max(1, len(tensor) // width) if "attention" in key else 1)
        ]
        return np.concatenate(parts) / (times if key.startswith("decoder/layer_norm/") else 1)
    across = 1 if key == "encoder/conv1/weight" else times  # its input is the spectrogram
    parts = np.split(tensor, tensor.shape[0] // width) if "attention" in key else [tensor]  # query, key and value
    repeated = (times, across, *[1] * (tensor.ndim - 2))
    return np.concatenate([np.tile(part / tensor.dtype.type(across), repeated) for part in parts])


def _string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<H", file.read(2))
    return file.read(length).rstrip(b"\0").decode()


def _integer(file: BinaryIO) -> int:
    number: int = struct.unpack("<I", file.read(4))[0]
    return number


def _packed(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
