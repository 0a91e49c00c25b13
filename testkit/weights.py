"""A `model.bin` that says the right things about itself and that no engine would be content with."""

from __future__ import annotations

import struct


def text(name: str) -> bytes:
    raw = name.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def tensor(name: str, *dimensions: int, kind: int = 4, data: bytes | None = None) -> bytes:
    """Return one tensor in CTranslate2's binary format. Kind 4 is float16."""
    if data is None:
        size = 2
        for dimension in dimensions:
            size *= dimension
        data = bytes(size)
    head = text(name) + struct.pack("<B", len(dimensions)) + b"".join(struct.pack("<I", d) for d in dimensions)
    return head + struct.pack("<BI", kind, len(data)) + data


def weights(
    size: int = 0,
    *,
    spec: str = "WhisperSpec",
    version: int = 6,
    vocabulary: int = 100,
    layers: int = 2,
    width: int = 8,
) -> bytes:
    """Return the weights of a tiny network, filled up to at least `size` bytes."""
    parts = [tensor("decoder/embeddings/weight", vocabulary, width), tensor("encoder/conv1/weight", width, 80, 3)]
    parts += [
        tensor(f"{side}/layer_{n}/ffn/linear_0/weight", width, width)
        for side in ("encoder", "decoder")
        for n in range(layers)
    ]
    parts += [
        tensor("decoder/layer_norm/gamma", width),
        tensor("filler", 0, kind=1, data=bytes(range(256)) * (size // 256 + 1)),
    ]
    head = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(parts))
    return (
        head
        + b"".join(parts)
        + struct.pack("<I", 1)
        + text("decoder/projection/weight")
        + text("decoder/embeddings/weight")
    )
