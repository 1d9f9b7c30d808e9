"""The network as an ONNX model, to be measured in ONNX Runtime beside OpenVINO."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from icnet.base.errors import require
from icnet.network.graph import logits
from icnet.network.openvino_model import INPUT
from icnet.network.ops import Act
from icnet.network.resample import pooling_cells, same_padding
from icnet.network.weights import FoldedConv, Weights, fold

OPSET = 18


@dataclass(frozen=True)
class _Value:
    name: str
    shape: tuple[int, int, int, int]
    """NCHW."""


@dataclass
class _Nodes:
    """`icnet.network.ops.Ops` on ONNX nodes, NCHW."""

    convs: dict[str, FoldedConv]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def _node(self, kind: str, name: str, inputs: list[str], shape: tuple[int, ...], **attributes: Any) -> _Value:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return _Value(name, shape)  # type: ignore[arg-type]

    def _constant(self, name: str, values: np.ndarray | np.generic) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def normalise(self, x: _Value, mean: tuple[float, ...], std: tuple[float, ...]) -> _Value:
        offset, scale = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (mean, 1 / np.array(std)))
        y = self._node("Sub", "normalise/offset", [x.name, self._constant("normalise/mean", offset)], x.shape)
        return self._node("Mul", "normalise", [y.name, self._constant("normalise/scale", scale)], x.shape)

    def conv(
        self, x: _Value, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: Act = "relu"
    ) -> _Value:
        return self._convolution(x, name, kernel, stride, dilation, act, groups=1)

    def depthwise(self, x: _Value, name: str, kernel: int, *, stride: int = 1, act: Act = "relu") -> _Value:
        return self._convolution(x, name, kernel, stride, 1, act, groups=x.shape[1])

    def _convolution(self, x: _Value, name: str, kernel: int, stride: int, dilation: int, act: Act, *, groups: int) -> _Value:
        folded = self.convs[name]
        (top, bottom), (left, right) = (same_padding(side, kernel, stride, dilation) for side in x.shape[2:])
        inputs = [
            x.name,
            self._constant(f"{name}/kernel", folded.kernel.transpose(3, 2, 0, 1).astype(np.float32)),
            self._constant(f"{name}/bias", folded.bias),
        ]
        shape = (x.shape[0], folded.bias.size, *(-(-side // stride) for side in x.shape[2:]))
        places = {"pads": [top, left, bottom, right], "strides": [stride] * 2, "dilations": [dilation] * 2, "group": groups}
        y = self._node("Conv", name, inputs, shape, **places)
        return self._activated(y, name, act)

    def _activated(self, x: _Value, name: str, act: Act) -> _Value:
        match act:
            case "relu":
                return self._node("Relu", f"{name}/relu", [x.name], x.shape)
            case "relu6":
                bounds = [self._constant(f"{name}/{label}", np.float32(value)) for label, value in (("zero", 0), ("six", 6))]
                return self._node("Clip", f"{name}/relu6", [x.name, *bounds], x.shape)
            case "none":
                return x

    def project(self, x: _Value, name: str, width: int) -> _Value:
        return self.conv(x, name, width, act="none")

    def add(self, xs: list[_Value], name: str, *, act: Act = "relu", drop: float = 0.0) -> _Value:
        return self._activated(self._node("Sum", name, [x.name for x in xs], xs[0].shape), name, act)

    def max_pool(self, x: _Value, name: str) -> _Value:
        (top, bottom), (left, right) = (same_padding(side, 3, 2, 1) for side in x.shape[2:])
        shape = (*x.shape[:2], *(-(-side // 2) for side in x.shape[2:]))
        return self._node("MaxPool", name, [x.name], shape, kernel_shape=[3, 3], strides=[2, 2], pads=[top, left, bottom, right])

    def pool(self, x: _Value, name: str, bins: int) -> _Value:
        batch, channels, height, width = x.shape
        flat = np.array([batch, channels, height * width], np.int64)
        y = self._node("Reshape", f"{name}/flat", [x.name, self._constant(f"{name}/flat_shape", flat)], x.shape)
        matrix = self._constant(f"{name}/cells", pooling_cells((height, width), bins))
        y = self._node("MatMul", f"{name}/product", [y.name, matrix], x.shape)
        small = (batch, channels, bins, bins)
        return self._node("Reshape", name, [y.name, self._constant(f"{name}/shape", np.array(small))], small)

    def resize(self, x: _Value, name: str, size_hw: tuple[int, int]) -> _Value:
        shape = (*x.shape[:2], *size_hw)
        sizes = self._constant(f"{name}/sizes", np.array(shape, np.int64))
        return self._node(
            "Resize", name, [x.name, "", "", sizes], shape, mode="linear", coordinate_transformation_mode="half_pixel"
        )


def onnx_model(weights: Weights) -> bytes:
    """Serialise the network: from the input `data`, (1, H, W, 3) float32 BGR from 0 to 255, to `index`, (1, H, W) int64.

    Raises:
        UsageError: the package `onnx` is not installed.
    """
    onnx = require("onnx", "an ONNX model needs the package onnx", "onnx")
    helper, numbers = onnx.helper, onnx.TensorProto
    height, width = size_hw = weights.spec.size_hw
    nodes = _Nodes(fold(weights))
    image = nodes._node("Transpose", "nchw", [INPUT], (1, 3, height, width), perm=[0, 3, 1, 2])
    result = logits(nodes, image, weights.spec, size_hw).full
    full = nodes.resize(result, "upsample", size_hw)
    nodes._node("ArgMax", "index", [full.name], (1, height, width, 1), axis=1, keepdims=0)
    graph = helper.make_graph(
        nodes.nodes,
        weights.spec.name,
        [helper.make_tensor_value_info(INPUT, numbers.FLOAT, [1, height, width, 3])],
        [helper.make_tensor_value_info("index", numbers.INT64, [1, height, width])],
        initializer=nodes.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="icnet")
    model.ir_version = 9  # readable by ONNX Runtime since 1.17
    return bytes(model.SerializeToString())
