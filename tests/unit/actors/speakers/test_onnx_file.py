"""ONNX files that are written without the package `onnx` have the bytes that the package writes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from whisper_service.actors.speakers import onnx_file


def theirs(nodes: list[Any], constants: list[Any], shape: list[Any]) -> bytes:
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y"))
    graph = helper.make_graph(nodes, "graph", [given], [result], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = "source", "a test"
    data: bytes = model.SerializeToString()
    return data


def ours(nodes: list[bytes], constants: list[bytes], shape: list[int | str]) -> bytes:
    given, result = onnx_file.value("x", shape), onnx_file.value("y", shape)
    return onnx_file.model(nodes, constants, given, result, ir_version=9, opset=17, source="a test")


NUMBERS = st.integers(-(2**63), 2**63 - 1)
ATTRIBUTES = st.dictionaries(
    st.text("abcdefgh_", min_size=1),
    NUMBERS | st.floats(width=32, allow_nan=False) | st.text() | st.lists(NUMBERS, min_size=1, max_size=4),
    max_size=4,
)


@given(st.text(), st.lists(st.text(), max_size=3), ATTRIBUTES)
def test_a_node_has_the_bytes_of_the_package(kind: str, names: list[str], attributes: dict[str, Any]) -> None:
    node = helper.make_node(kind, names, ["out"], **attributes)
    assert onnx_file.node(kind, names, ["out"], attributes) == node.SerializeToString()


@given(st.lists(st.integers(0, 300), max_size=3), st.booleans())
def test_a_constant_has_the_bytes_of_the_package(shape: list[int], whole: bool) -> None:
    small = [length % 7 for length in shape]
    array = np.arange(np.prod(small, dtype=int)).reshape(small).astype(np.int64 if whole else np.float32)
    assert onnx_file.tensor(array, "c") == numpy_helper.from_array(array, "c").SerializeToString()


def test_other_numbers_are_refused() -> None:
    with pytest.raises(KeyError):
        onnx_file.tensor(np.zeros(1, dtype=np.float64), "c")


def test_a_file_is_that_of_the_package_and_computes() -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [helper.make_node("MatMul", ["x", "c"], ["t"]), helper.make_node("LeakyRelu", ["t"], ["y"], alpha=0.01)]
    own = [
        onnx_file.node("MatMul", ["x", "c"], ["t"], {}),
        onnx_file.node("LeakyRelu", ["t"], ["y"], {"alpha": 0.01}),
    ]
    data = ours(own, [onnx_file.tensor(weights, "c")], ["n", "m"])
    assert data == theirs(nodes, [numpy_helper.from_array(weights, "c")], ["n", "m"])
    onnx.checker.check_model(onnx.load_from_string(data))
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (result,) = session.run(["y"], {"x": np.ones((1, 2), dtype=np.float32)})
    assert result.tolist() == [[3.0, 5.0, 7.0]]
