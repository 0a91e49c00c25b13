"""Write ONNX files without the package `onnx`: the few messages of its format that a network needs. Pure.

An ONNX file is a message of Protocol Buffers. A field is its number and type, then its value; a text or a message has
its length before it. The numbers are those of `onnx.proto` (Apache-2.0), which never change. What is written here has
the same bytes as what the package `onnx` writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

FLOAT: Final = 1
"""The type of numbers that a network takes and gives."""
_TYPES: Final = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_VARINT, _LENGTH, _FIXED32 = 0, 2, 5


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], attributes: dict[str, Any]) -> bytes:
    """Return a node: an operation of this kind, with attributes in the order of their names."""
    parts = [_text(1, name) for name in inputs]
    parts += [_text(2, name) for name in outputs]
    parts.append(_text(4, kind))
    parts += [_message(5, _attribute(name, attributes[name])) for name in sorted(attributes)]
    return b"".join(parts)


def tensor(array: npt.NDArray[Any], name: str) -> bytes:
    """Return a constant. Raises `KeyError` for other numbers than float32 and int64."""
    dimensions = b"".join(_integer(1, length) for length in array.shape)
    kind = _integer(2, _TYPES[array.dtype])
    return dimensions + kind + _text(8, name) + _bytes(9, array.astype(array.dtype.newbyteorder("<")).tobytes())


def value(name: str, shape: Sequence[int | str]) -> bytes:
    """Return an input or output of floats. A dimension is a number, or a name if it may have any length."""
    dimensions = b"".join(
        _message(1, _integer(1, length) if isinstance(length, int) else _text(2, length)) for length in shape
    )
    return _text(1, name) + _message(2, _message(1, _integer(1, FLOAT) + _message(2, dimensions)))


def model(
    nodes: Iterable[bytes],
    constants: Iterable[bytes],
    given: bytes,
    result: bytes,
    *,
    ir_version: int,
    opset: int,
    source: str,
) -> bytes:
    """Return the bytes of a file. `source` says where the network comes from."""
    graph = b"".join(
        [
            *(_message(1, each) for each in nodes),
            _text(2, "graph"),
            *(_message(5, each) for each in constants),
            _message(11, given),
            _message(12, result),
        ]
    )
    operators = _text(1, "") + _integer(2, opset)
    origin = _text(1, "source") + _text(2, source)
    return _integer(1, ir_version) + _message(7, graph) + _message(8, operators) + _message(14, origin)


def _attribute(name: str, given: Any) -> bytes:
    """Return an attribute: a float, an integer, a text, or several integers."""
    head = _text(1, name)
    if isinstance(given, float):
        return head + _key(2, _FIXED32) + struct.pack("<f", given) + _integer(20, 1)
    if isinstance(given, int):
        return head + _integer(3, given) + _integer(20, 2)
    if isinstance(given, str):
        return head + _text(4, given) + _integer(20, 3)
    return head + b"".join(_integer(8, each) for each in given) + _integer(20, 7)


def _integer(field: int, number: int) -> bytes:
    return _key(field, _VARINT) + _varint(number)


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())


def _message(field: int, message: bytes) -> bytes:
    return _bytes(field, message)


def _bytes(field: int, data: bytes) -> bytes:
    return _key(field, _LENGTH) + _varint(len(data)) + data


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _varint(number: int) -> bytes:
    """Return an integer in groups of seven bits, the lowest first. A negative one has 64 bits."""
    number &= (1 << 64) - 1
    groups = bytearray()
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)
