"""The network as an OpenVINO model, built node by node from folded weights: no Keras and no converter in between.

The graph takes images as cameras and OpenCV give them, NHWC BGR from 0 to 255, and works in NCHW inside.
"""

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from icnet.network.graph import logits
from icnet.network.ops import DEPTHWISE, Act
from icnet.network.resample import pooling_cells
from icnet.network.sparse import to_half
from icnet.network.weights import FoldedConv, Weights, fold

Output = Literal["logits", "index", "soft"]
"""What a model gives: `logits` at 1/4 size, an `index` map, or `soft` probabilities (softmax) at input size."""

OUTPUTS: tuple[Output, ...] = get_args(Output)
"""Every kind of output; a model's only output carries its kind as its name."""

INPUT = "data"
"""The name of a model's only input."""


class _Nodes:
    """`icnet.network.ops.Ops` on OpenVINO nodes, NCHW."""

    def __init__(self, convs: dict[str, FoldedConv], *, half: bool) -> None:
        self._convs, self._half = convs, half

    def normalise(self, x: ov.Node, mean: tuple[float, ...], std: tuple[float, ...]) -> ov.Node:
        offset, scale = (np.array(values, np.float32).reshape(1, -1, 1, 1) for values in (mean, 1 / np.array(std)))
        return ops.multiply(ops.subtract(x, offset), scale, name="normalise")

    def conv(
        self, x: ov.Node, name: str, width: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, act: Act = "relu"
    ) -> ov.Node:
        assert self._convs[name].stored.shape[::3] == (kernel, width), f"{name}: {self._convs[name].stored.shape}"
        return self._convolution(x, name, stride, dilation, act, depthwise=False)

    def depthwise(self, x: ov.Node, name: str, kernel: int, *, stride: int = 1, act: Act = "relu") -> ov.Node:
        assert self._convs[name].stored.shape[::2] == (kernel, 1), f"{name}: {self._convs[name].stored.shape}"
        return self._convolution(x, name, stride, 1, act, depthwise=True)

    def _convolution(self, x: ov.Node, name: str, stride: int, dilation: int, act: Act, *, depthwise: bool) -> ov.Node:
        folded = self._convs[name]
        beside = self._half or not folded.kernel_keeps_zeros  # the zeros of every IR are those of the weight file
        values = np.ascontiguousarray((folded.stored if beside else folded.kernel).transpose(3, 2, 0, 1))
        y = (ops.group_convolution if depthwise else ops.convolution)(
            x,
            self._kernel(values[:, None] if depthwise else values, name),
            strides=[stride, stride],
            pads_begin=[0, 0],
            pads_end=[0, 0],
            dilations=[dilation, dilation],
            auto_pad="same_upper",  # TensorFlow's "same": the odd row or column goes to the end
            name=name,
        )
        if beside:
            y = ops.multiply(y, ops.constant(folded.scale.reshape(1, -1, 1, 1), name=f"{name}/scale"), name=f"{name}/multiply")
        y = ops.add(y, ops.constant(folded.bias.reshape(1, -1, 1, 1), name=f"{name}/bias"), name=f"{name}/add")
        return _activated(y, name, act)

    def _kernel(self, values: np.ndarray, name: str) -> ov.Node:
        """`values` are (out, in, height, width) float32, of a depthwise convolution (channels, 1, 1, height, width)."""
        constant = ops.constant(to_half(values) if self._half else values, name=f"{name}/kernel")
        return ops.convert(constant, np.float32, name=f"{name}/decompress") if self._half else constant

    def project(self, x: ov.Node, name: str, width: int) -> ov.Node:
        return self.conv(x, name, width, act="none")

    def add(self, xs: list[ov.Node], name: str, *, act: Act = "relu", drop: float = 0.0) -> ov.Node:
        total, *rest = xs
        for x in rest:
            total = ops.add(total, x)
        total.set_friendly_name(name)
        return _activated(total, name, act)

    def max_pool(self, x: ov.Node, name: str) -> ov.Node:
        return ops.max_pool(
            x,
            strides=[2, 2],
            dilations=[1, 1],
            pads_begin=[0, 0],
            pads_end=[0, 0],
            kernel_shape=[3, 3],
            auto_pad="same_upper",
            name=name,
        ).output(0)  # the second output, positions of the maxima, is not used

    def pool(self, x: ov.Node, name: str, bins: int) -> ov.Node:
        # A matrix product over the flattened map; OpenVINO's AdaptiveAvgPool is reference code, several times as slow.
        batch, channels, height, width = x.shape
        flat = ops.reshape(x, np.array([batch, channels, height * width], np.int64), special_zero=False)
        cells = ops.constant(pooling_cells((height, width), bins), name=f"{name}/cells")
        pooled = ops.matmul(flat, cells, False, False, name=name)
        return ops.reshape(pooled, np.array([batch, channels, bins, bins], np.int64), special_zero=False)

    def resize(self, x: ov.Node, name: str, size_hw: tuple[int, int]) -> ov.Node:
        return resize(x, name, size_hw)


def _activated(x: ov.Node, name: str, act: Act) -> ov.Node:
    match act:
        case "relu":
            return ops.relu(x, name=f"{name}/relu")
        case "relu6":
            return ops.clamp(x, 0.0, 6.0, name=f"{name}/relu6")
        case "none":
            return x


def convolution_nodes(model: ov.Model) -> Iterator[ov.Node]:
    """The network's convolutions in a model, depthwise ones included; halving a map is a grouped operation too, but not one."""
    for node in model.get_ordered_ops():
        depthwise = node.get_type_name() == "GroupConvolution" and node.get_friendly_name().endswith(DEPTHWISE)
        if depthwise or node.get_type_name() == "Convolution":
            yield node


def kernel_constant(convolution: ov.Node) -> ov.Node:
    """Where a convolution's kernel is stored, behind the conversions that fp16 and int8 put between the two.

    A zero is a zero in every one of them: scales are not zero, and quantised kernels are symmetric.
    """
    node = convolution.input_value(1).get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node


def resize(x: ov.Node, name: str, size_hw: tuple[int, int]) -> ov.Node:
    """Bilinear, half-pixel centres, of the last two axes."""
    channels, height, width = x.shape[1:]
    if (height, width) == (2 * size_hw[0], 2 * size_hw[1]):
        # Bilinear halving is the mean of 2x2 pixels. Written as a depthwise convolution it is quantized too, and fast.
        mean = ops.constant(np.full((channels, 1, 1, 2, 2), 0.25, np.float32), name=f"{name}/mean")
        return ops.group_convolution(x, mean, [2, 2], [0, 0], [0, 0], [1, 1], name=name)
    return ops.interpolate(
        x,
        np.array(size_hw, np.int64),
        mode="linear_onnx",  # bilinear with two taps per axis when shrinking too: what Keras and cv2.INTER_LINEAR do
        shape_calculation_mode="sizes",
        coordinate_transformation_mode="half_pixel",
        axes=np.array([2, 3], np.int64),
        name=name,
    )


def openvino_model(
    weights: Weights, *, output: Output = "logits", size_hw: tuple[int, int] | None = None, half: bool = False
) -> ov.Model:
    """Build the inference graph.

    Args:
        weights: the trained network.
        output: what the only output holds and what it is called; `logits` (1, C, H/4, W/4) float32, `index` (1, H, W)
            int32 class indices, `soft` (1, C, H, W) float32 probabilities.
        size_hw: H and W of the input; the spec's own size if not given.
        half: keep the kernels as the fp16 numbers of the weight file, with the scale of batch normalisation beside them: half
            the size at no loss, since rounding a kernel that has the scale multiplied in would lose digits a second time.

    Returns:
        A model with the one input `data`, (1, H, W, 3) float32 BGR from 0 to 255; its size is fixed.

    Raises:
        UsageError: the size does not fit the strides.
    """
    height, width = size_hw = size_hw or weights.spec.size_hw
    data = ops.parameter([1, height, width, 3], np.float32, name=INPUT)
    data.set_layout(ov.Layout("NHWC"))
    data.output(0).set_names({INPUT})
    image = ops.transpose(data, np.array([0, 3, 1, 2], np.int64), name="nchw")
    nodes = _Nodes(fold(weights), half=half)
    result = logits(nodes, image, weights.spec, size_hw).full
    result.output(0).set_names({"logits"})
    model = ov.Model([ops.result(result, name="logits/result")], [data], weights.spec.name)
    return with_output(model, output)


def with_output(model: ov.Model, output: Output) -> ov.Model:
    """A model that gives another output (see `openvino_model`) of the same logits, floats or quantized.

    The nodes of `model` become part of the result, so leave it alone afterwards.
    """
    assert output in OUTPUTS, output
    if output == "logits":
        return model
    (data,) = model.get_parameters()
    result = model.outputs[0].node.input_value(0)
    result.set_names(set())
    result = resize(result, "upsample", tuple(data.shape)[1:3])
    if output == "index":
        best = ops.topk(result, np.int64(1), axis=1, mode="max", sort="none", index_element_type="i32", name="argmax")
        result = ops.squeeze(best.output(1), np.array([1], np.int64), name=output)
    else:
        result = ops.softmax(result, axis=1, name=output)
    result.output(0).set_names({output})
    return ov.Model([ops.result(result, name=f"{output}/result")], [data], model.get_friendly_name())
