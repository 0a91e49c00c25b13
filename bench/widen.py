"""Makes a network of the size of a larger model that says what a smaller one says, to measure what size costs without its weights.

    python -m bench.widen --to DIR [--model DIR] [--times 2] [--encoder 24] [--decoder 24]

Twice as wide and with 24 layers a side, base becomes as large as medium; three times as wide with 32, it is 1.4 times large-v3. The
arithmetic is that of the larger network, the text is that of the smaller one, up to rounding: whoever measures has real speech, texts
of a real length and a real search, and only the accuracy is not that of the larger model.

Every vector x becomes (x, x, ...), one copy behind the other. A layer norm of that is the copies of its layer norm. Each matrix W
becomes k by k blocks of W / k, so that it maps copies to copies; attention heads keep their width and are k times as many, and those
that align words keep their numbers. The last norm of the decoder is divided by k, because the embeddings that turn states to tokens
sum over the copies. Layers that are added compute all that a layer computes, and their last matrices are zero: they change nothing.
"""

from __future__ import annotations

import argparse
import re
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from bench import harness

Tensor = npt.NDArray[Any]
TYPES: Final = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}
"""The types of CTranslate2's binary format that numpy has."""
LAST: Final = re.compile(r"/(self_attention/linear_1|attention/linear_2|ffn/linear_1)/")
"""The matrices of a layer whose results are added to its input."""
LAYER: Final = re.compile(r"^(encoder|decoder)/layer_(\d+)/(.*)$")


def read(path: Path) -> tuple[str, int, dict[str, Tensor], list[tuple[str, str]]]:
    """Specification, revision, tensors and aliases of a `model.bin` of version 6; `modelfile` tells the format."""
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
    """The same, written."""
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
    """Every tensor of the larger network."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, required=True, help="the folder to write")
    parser.add_argument(
        "--model", type=Path, help="a CTranslate2 model directory in float16 (default: the built-in one)"
    )
    parser.add_argument("--times", type=int, default=2, help="how many times as wide (default: 2)")
    parser.add_argument("--encoder", type=int, default=24, help="layers of the encoder (default: 24)")
    parser.add_argument("--decoder", type=int, default=24, help="layers of the decoder (default: 24)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        source = harness.model(given.model, Path(scratch))
        name, revision, tensors, aliases = read(source / "model.bin")
        for side in ("encoder", "decoder"):
            key = f"{side}/num_heads"
            if key in tensors:
                tensors[key] = (tensors[key] * given.times).astype(tensors[key].dtype)
        larger = dict(widened(tensors, given.times, {"encoder": given.encoder, "decoder": given.decoder}))
        given.to.mkdir(parents=True, exist_ok=True)
        write(given.to / "model.bin", name, revision, larger, aliases)
        for file in source.iterdir():
            if file.name != "model.bin" and file.suffix in (".json", ".txt") and not file.name.startswith("."):
                shutil.copy(file, given.to)
    parameters = sum(tensor.size for tensor in larger.values())
    print(
        f"{given.to}: {parameters / 1e6:.0f} million parameters, {(given.to / 'model.bin').stat().st_size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
