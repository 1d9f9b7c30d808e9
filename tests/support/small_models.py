"""Networks of a few thousand weights, one for each way in which channels hang together."""

import keras
import numpy as np
from keras import layers

SIZE = (16, 16, 3)
CLASSES = 4


def _conv(x, name, width, kernel=3, *, norm=True, act=True, **options):
    x = layers.Conv2D(width, kernel, padding="same", use_bias=not norm, name=name, **options)(x)
    if norm:
        x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x) if act else x


def residual():
    """Two blocks on one stream, one sum as a layer and one as an operation, pooling and a Dense head."""
    data = keras.Input(SIZE, name="data")
    x = layers.Rescaling(1 / 255, offset=-0.5, name="scale")(data)
    x = stream = _conv(x, "stem", 16, strides=2)
    x = _conv(x, "a1", 12)
    x = _conv(x, "a2", 16, dilation_rate=2, act=False)
    x = stream = layers.ReLU(name="a_out")(layers.Add(name="a_sum")([x, stream]))
    x = _conv(x, "b1", 12, norm=False)
    x = _conv(x, "b2", 16, act=False)
    x = keras.ops.relu(x + stream)
    x = layers.MaxPooling2D(name="pool")(x)
    x = _conv(x, "top", 20)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return keras.Model(data, layers.Dense(CLASSES, name="classes")(x), name="residual")


def concatenated():
    """A concatenation that is added to one wider convolution, so its channels are tied in parts."""
    data = keras.Input(SIZE, name="data")
    first = _conv(data, "first", 8, activation="tanh")
    second = _conv(data, "second", 16, 5)
    joined = layers.Concatenate(name="join")([first, second])
    both = layers.Average(name="average")([joined, _conv(data, "wide", 24, 1, norm=False)])
    x = layers.UpSampling2D(2, interpolation="bilinear", name="up")(_conv(both, "small", 8, strides=2))
    x = layers.ZeroPadding2D(1, name="pad")(layers.Concatenate(name="skip")([x, both, data]))
    x = layers.Conv2D(16, 3, name="last", padding="valid", activation="relu")(x)
    return keras.Model(data, layers.Conv2D(CLASSES, 1, name="classes")(x), name="concatenated")


def preactivated():
    """Normalisation in front of convolutions: two different ones on the same stream."""
    data = keras.Input(SIZE, name="data")
    stream = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(data)
    for block in ("a", "b"):
        x = layers.Activation("relu", name=f"{block}_act")(layers.BatchNormalization(name=f"{block}_norm")(stream))
        x = layers.Conv2D(12, 3, padding="same", name=f"{block}1")(x)
        x = layers.BatchNormalization(scale=False, name=f"{block}_norm2")(x)
        x = layers.Conv2D(16, 1, name=f"{block}2")(layers.ReLU(name=f"{block}_act2")(x))
        stream = layers.Add(name=f"{block}_sum")([x, stream])
    x = layers.BatchNormalization(name="norm")(stream)
    return keras.Model(data, layers.Conv2D(CLASSES, 1, name="classes")(x), name="preactivated")


def shared():
    """One convolution on two scales, fed by two others, which are tied by it alone."""
    data = keras.Input(SIZE, name="data")
    fine, coarse = _conv(data, "fine", 16), _conv(layers.AveragePooling2D(2, name="half")(data), "coarse", 16)
    conv = layers.Conv2D(24, 3, padding="same", name="both")
    norm = layers.BatchNormalization(name="both_norm")
    fine, coarse = norm(conv(fine)), norm(conv(coarse))
    coarse = layers.Resizing(16, 16, name="resize")(coarse)
    x = layers.Maximum(name="maximum")([fine, coarse])
    x = _conv(x, "grouped", 24, groups=3)
    return keras.Model(data, layers.Conv2D(CLASSES, 1, name="classes")(x), name="shared")


NETS = (residual, concatenated, preactivated, shared)


def randomise(model, seed=0):
    """Random values everywhere, so that nothing is right by being 0 or 1."""
    generator = np.random.default_rng(seed)
    for variable in model.weights:
        shape = tuple(variable.shape)
        if variable.name == "kernel":
            value = generator.normal(0, np.prod(shape[:-1]) ** -0.5, shape)
        elif "variance" in variable.name:
            value = generator.uniform(0.5, 1.5, shape)
        elif variable.name == "gamma":
            value = generator.uniform(0.5, 1.5, shape) * generator.choice([-1, 1], shape)
        elif "mask" in variable.name:
            continue
        else:
            value = generator.uniform(0.2, 0.6, shape) * generator.choice([-1, 1], shape)
        variable.assign(value)
    return model


def pictures(count=3, seed=5):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *SIZE)).astype(np.float32)


def outputs(model):
    return np.asarray(keras.ops.convert_to_numpy(model(pictures(), training=False)))
