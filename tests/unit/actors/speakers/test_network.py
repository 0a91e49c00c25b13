"""Networks of any maker are loaded, and files that are none are refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from whisper_service.actors.speakers.embedding import LEAST_FRAMES, WIDTH, Embedder
from whisper_service.actors.speakers.network import Network
from whisper_service.actors.speakers.segmentation import Segmenter
from whisper_service.core.errors import ModelBroken, ModelUnavailable


def write(
    path: Path, kind: str, inputs: dict[str, list[int | str]], output: list[int | str], **attributes: object
) -> Path:
    """Write a network of one operation."""
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, output)
    node = helper.make_node(kind, list(inputs), ["result"], **attributes)
    graph = helper.make_graph([node], "graph", given, [result])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("name", ["x", "feats", "input_values"])
def test_the_input_may_have_any_name(name: str, tmp_path: Path) -> None:
    network = Network(write(tmp_path / "n.onnx", "Neg", {name: ["n", 2]}, ["n", 2]))
    assert network(np.array([[1, 2]], dtype=np.float32)).tolist() == [[-1, -2]]


def test_a_network_computes_on_one_thread(tmp_path: Path) -> None:
    network = Network(write(tmp_path / "n.onnx", "Neg", {"x": [1]}, [1]))
    options = network._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert network._session.get_providers() == ["CPUExecutionProvider"]


def test_files_that_are_no_such_network_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_bytes(b"not a network")
    write(tmp_path / "two.onnx", "Add", {"a": [1], "b": [1]}, [1])
    for name in ("text.onnx", "two.onnx"):
        with pytest.raises(ModelBroken) as broken:
            Network(tmp_path / name)
        assert name in broken.value.message
        assert broken.value.advice
    with pytest.raises(ModelUnavailable, match=r"gone\.onnx"):
        Network(tmp_path / "gone.onnx")


def test_embeddings_have_length_1_and_silence_has_none(tmp_path: Path) -> None:
    shape: list[int | str] = ["n", "frames", WIDTH]
    path = write(tmp_path / "mean.onnx", "ReduceMax", {"feats": shape}, ["n", WIDTH], axes=[1], keepdims=0)
    embedder = Embedder(path)
    rows = np.random.default_rng(1).normal(size=(LEAST_FRAMES, WIDTH)).astype(np.float32)
    vector = embedder.embed(rows)
    assert vector is not None
    assert float(np.linalg.norm(vector)) == pytest.approx(1, abs=1e-6)
    louder = embedder.embed(rows + 7)  # another level: the mean over time is taken away
    assert louder == pytest.approx(vector, abs=1e-4)
    assert embedder.embed(rows[:-1]) is None
    assert embedder.embed(np.full((100, WIDTH), -15.9, dtype=np.float32) * 0) is None


def test_voices_are_in_order_of_their_first_frame_and_silent_ones_are_left_out(tmp_path: Path) -> None:
    """The network stands for segmentation: seven samples are the scores of the seven classes of a frame."""
    path = tmp_path / "scores.onnx"
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "samples"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "frames", 7])
    shape = helper.make_tensor("shape", TensorProto.INT64, [3], [1, -1, 7])
    node = helper.make_node("Reshape", ["x", "shape"], ["y"])
    graph = helper.make_graph([node], "graph", [given], [result], [shape])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    classes = [0, 3, 3, 5, 1, 0]  # nobody, the third voice twice, the first with the third, the first, nobody
    scores = np.eye(7, dtype=np.float32)[classes].ravel()
    assert Segmenter(path).voices(scores).astype(int).T.tolist() == [[0, 1, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0]]
    assert Segmenter(path).voices(np.eye(7, dtype=np.float32)[[0, 0]].ravel()).shape == (2, 0)
