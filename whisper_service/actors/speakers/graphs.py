"""The two networks that tell speakers apart, as ONNX graphs, built from the weights of their checkpoints.

Each graph is written node for node after the published source of its network: pyannote.audio's `PyanNet` and
3D-Speaker's `CAMPPlus`. Against PyTorch 2.13, segmentation differs by at most 3.4e-5, with equal decisions in every
frame; embeddings have a cosine of 0.9999999.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from whisper_service.actors.speakers import onnx_file

Weights = Mapping[str, npt.NDArray[Any]]
OPSET: Final = 17
IR: Final = 9
"""Versions of the format: ONNX Runtime reads them since 1.14."""
EPSILON: Final = 1e-5
"""Of the normalisations, as PyTorch has it."""
POOLED: Final = 100
"""Frames over which CAM++ averages its context."""


class _Graph:
    """Nodes and constants. Every method adds some and returns the name of what they compute."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[bytes] = []
        self.constants: list[bytes] = []

    def constant(self, array: npt.ArrayLike) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(onnx_file.tensor(np.ascontiguousarray(array), name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(np.array(values, dtype=np.int64))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(onnx_file.node(kind, inputs, [name], attributes))
        return name

    def convolution(self, x: str, name: str, **attributes: Any) -> str:
        names = [part for part in (f"{name}.weight", f"{name}.bias") if part in self.weights]
        return self.node("Conv", x, *(self.constant(self.weights[part]) for part in names), **attributes)

    def instance_norm(self, x: str, name: str) -> str:
        scale, bias = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("InstanceNormalization", x, scale, bias, epsilon=EPSILON)

    def batch_norm(self, x: str, name: str) -> str:
        mean, variance = (self.weights[f"{name}.running_{part}"] for part in ("mean", "var"))
        scale = self.weights.get(f"{name}.weight", np.ones_like(mean))  # the last one of CAM++ has none
        bias = self.weights.get(f"{name}.bias", np.zeros_like(mean))
        parts = (self.constant(part) for part in (scale, bias, mean, variance))
        return self.node("BatchNormalization", x, *parts, epsilon=EPSILON)

    def relu(self, x: str) -> str:
        return self.node("Relu", x)

    def model(self, given: tuple[str, Sequence[Any]], x: str, result: tuple[str, Sequence[Any]], source: str) -> bytes:
        """Return the graph from `given` to `x`, which is called `result`, as the bytes of a file."""
        self.nodes.append(onnx_file.node("Identity", [x], [result[0]], {}))
        return onnx_file.model(
            self.nodes,
            self.constants,
            onnx_file.value(*given),
            onnx_file.value(*result),
            ir_version=IR,
            opset=OPSET,
            source=source,
        )


def segmentation(weights: Weights) -> bytes:
    """Return the graph of segmentation-3.0: samples (n, 1, samples) to log probabilities (n, frames, 7)."""
    graph = _Graph(weights)
    x = graph.instance_norm("x", "sincnet.wav_norm1d")
    x = graph.node("Abs", graph.node("Conv", x, graph.constant(_band_filters(weights)), strides=[10]))
    for layer in range(3):
        if layer:
            x = graph.convolution(x, f"sincnet.conv1d.{layer}")
        x = graph.node("MaxPool", x, kernel_shape=[3], strides=[3])
        x = graph.node("LeakyRelu", graph.instance_norm(x, f"sincnet.norm1d.{layer}"), alpha=0.01)
    x = graph.node("Transpose", x, perm=[2, 0, 1])
    both_directions = graph.integers(0, 0, -1)
    for layer in range(4):
        parts = (graph.constant(part) for part in _lstm(weights, layer))
        x = graph.node("LSTM", x, *parts, hidden_size=128, direction="bidirectional")
        x = graph.node("Reshape", graph.node("Transpose", x, perm=[0, 2, 1, 3]), both_directions)
    for name in ("linear.0", "linear.1", "classifier"):
        x = graph.node("MatMul", x, graph.constant(weights[f"{name}.weight"].T))
        x = graph.node("Add", x, graph.constant(weights[f"{name}.bias"]))
        if name != "classifier":
            x = graph.node("LeakyRelu", x, alpha=0.01)
    x = graph.node("Transpose", graph.node("LogSoftmax", x, axis=-1), perm=[1, 0, 2])
    return graph.model(("x", ["n", 1, "samples"]), x, ("y", ["n", "frames", 7]), "pyannote/segmentation-3.0 (MIT)")


def _band_filters(weights: Weights, rate: float = 16_000.0, least_hz: float = 50.0) -> npt.NDArray[np.float32]:
    """Return the filters of SincNet, (80, 1, 251): band passes with learned edges, each as cosine and as sine."""
    low_hz, band_hz, window, times = (
        weights[f"sincnet.conv1d.0.filterbank.{name}"] for name in ("low_hz_", "band_hz_", "window_", "n_")
    )
    low = least_hz + np.abs(low_hz)
    high = np.clip(low + least_hz + np.abs(band_hz), least_hz, rate / 2)
    band = high - low
    at_low, at_high = low @ times, high @ times
    cosine = (np.sin(at_high) - np.sin(at_low)) / (times / 2) * window
    sine = (np.cos(at_low) - np.cos(at_high)) / (times / 2) * window
    even = np.concatenate([cosine, 2 * band, cosine[:, ::-1]], axis=1)
    odd = np.concatenate([sine, np.zeros_like(band), -sine[:, ::-1]], axis=1)
    filters: npt.NDArray[np.float32] = (np.concatenate([even, odd]) / np.tile(2 * band, (2, 1))).astype(np.float32)
    return filters[:, None, :]


def _lstm(weights: Weights, layer: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the weights of a layer as ONNX wants them. PyTorch orders gates i f g o, ONNX i o f g."""

    def part(name: str) -> npt.NDArray[Any]:
        i, f, g, o = np.split(weights[f"lstm.{name}"], 4)
        return np.concatenate([i, o, f, g])

    ends = (f"l{layer}", f"l{layer}_reverse")
    return (
        np.stack([part(f"weight_ih_{end}") for end in ends]),
        np.stack([part(f"weight_hh_{end}") for end in ends]),
        np.stack([np.concatenate([part(f"bias_ih_{end}"), part(f"bias_hh_{end}")]) for end in ends]),
    )


def embedding(weights: Weights) -> bytes:
    """Return the graph of CAM++: features (n, frames, 80) to embeddings (n, 192)."""
    graph = _Graph(weights)
    x = graph.node("Unsqueeze", graph.node("Transpose", "feats", perm=[0, 2, 1]), graph.integers(1))
    x = _head(graph, x)
    x = graph.convolution(x, "xvector.tdnn.linear", pads=[2, 2], strides=[2])
    x = graph.relu(graph.batch_norm(x, "xvector.tdnn.nonlinear.batchnorm"))
    for block, (layers, dilation) in enumerate(((12, 1), (24, 2), (16, 2)), 1):
        for layer in range(1, layers + 1):
            x = _dense_layer(graph, x, f"xvector.block{block}.tdnnd{layer}", dilation)
        x = graph.relu(graph.batch_norm(x, f"xvector.transit{block}.nonlinear.batchnorm"))
        x = graph.convolution(x, f"xvector.transit{block}.linear")
    x = graph.relu(graph.batch_norm(x, "xvector.out_nonlinear.batchnorm"))
    x = graph.convolution(_statistics(graph, x), "xvector.dense.linear")
    x = graph.node("Squeeze", graph.batch_norm(x, "xvector.dense.nonlinear.batchnorm"), graph.integers(2))
    width = len(weights["xvector.dense.linear.weight"])
    source = "iic/speech_campplus_sv_zh_en_16k-common_advanced (Apache-2.0)"
    return graph.model(("feats", ["n", "frames", 80]), x, ("embs", ["n", width]), source)


def _head(graph: _Graph, x: str) -> str:
    """Add the two-dimensional convolutions, which halve the mel bands three times."""
    pads = [1, 1, 1, 1]
    x = graph.relu(graph.batch_norm(graph.convolution(x, "head.conv1", pads=pads), "head.bn1"))
    for name, stride in (("layer1.0", 2), ("layer1.1", 1), ("layer2.0", 2), ("layer2.1", 1)):
        name = f"head.{name}"
        y = graph.convolution(x, f"{name}.conv1", pads=pads, strides=[stride, 1])
        y = graph.convolution(graph.relu(graph.batch_norm(y, f"{name}.bn1")), f"{name}.conv2", pads=pads)
        y = graph.batch_norm(y, f"{name}.bn2")
        if f"{name}.shortcut.0.weight" in graph.weights:
            x = graph.convolution(x, f"{name}.shortcut.0", strides=[stride, 1])
            x = graph.batch_norm(x, f"{name}.shortcut.1")
        x = graph.relu(graph.node("Add", y, x))
    x = graph.convolution(x, "head.conv2", pads=pads, strides=[2, 1])
    x = graph.relu(graph.batch_norm(x, "head.bn2"))
    return graph.node("Reshape", x, graph.integers(0, 320, -1))


def _dense_layer(graph: _Graph, x: str, name: str, dilation: int) -> str:
    """Add a layer whose result is appended to its input, weighted by the context of each frame."""
    h = graph.relu(graph.batch_norm(x, f"{name}.nonlinear1.batchnorm"))
    h = graph.relu(graph.batch_norm(graph.convolution(h, f"{name}.linear1"), f"{name}.nonlinear2.batchnorm"))
    local = graph.convolution(h, f"{name}.cam_layer.linear_local", pads=[dilation] * 2, dilations=[dilation])
    near = graph.node(
        "AveragePool", h, kernel_shape=[POOLED], strides=[POOLED], ceil_mode=1, count_include_pad=0
    )  # one mean for every 100 frames, then repeated for each of them
    near = graph.node("Expand", graph.node("Unsqueeze", near, graph.integers(-1)), graph.integers(1, 1, 1, POOLED))
    near = graph.node("Reshape", near, graph.integers(0, 0, -1))
    frames = graph.node("Shape", x, start=2, end=3)
    near = graph.node("Slice", near, graph.integers(0), frames, graph.integers(2))
    context = graph.node("Add", graph.node("ReduceMean", h, axes=[-1], keepdims=1), near)
    context = graph.relu(graph.convolution(context, f"{name}.cam_layer.linear1"))
    mask = graph.node("Sigmoid", graph.convolution(context, f"{name}.cam_layer.linear2"))
    return graph.node("Concat", x, graph.node("Mul", local, mask), axis=1)


def _statistics(graph: _Graph, x: str) -> str:
    """Add the mean and the standard deviation over all frames, with one degree of freedom less than frames."""
    mean = graph.node("ReduceMean", x, axes=[-1], keepdims=1)
    off = graph.node("Sub", x, mean)
    frames = graph.node("Cast", graph.node("Shape", x, start=2, end=3), to=onnx_file.FLOAT)
    freedom = graph.node("Sub", frames, graph.constant(np.array([1], dtype=np.float32)))
    squares = graph.node("ReduceSum", graph.node("Mul", off, off), graph.integers(2), keepdims=1)
    return graph.node("Concat", mean, graph.node("Sqrt", graph.node("Div", squares, freedom)), axis=1)
