import keras
import pytest
from keras import layers
from small_models import concatenated, preactivated, residual, shared

from icnet.base.errors import UsageError
from icnet.pruning import analyse, maskable
from icnet.pruning.channels import FROZEN


def groups(model, **options):
    return {name: (len(group.channels), group.producers) for name, group in analyse(model, **options).groups.items()}


def chain(*operations):
    """Convolution `first`, the operations, convolution `last`."""
    x = data = keras.Input((8, 8, 3))
    for operation in (layers.Conv2D(6, 3, name="first"), *operations, layers.Conv2D(2, 1, name="last")):
        x = operation(x)
    return keras.Model(data, x)


@pytest.mark.parametrize("masked", [False, True])
def test_a_residual_stream_is_one_group(masked):
    model = maskable(residual()) if masked else residual()
    assert groups(model) == {
        "stem": (16, ("stem", "a2", "b2")),
        "a1": (12, ("a1",)),
        "b1": (12, ("b1",)),
        "top": (20, ("top",)),  # through the pooling into the Dense layer
    }


def test_a_concatenation_lines_channels_up():
    found = groups(concatenated())
    assert {name: width for name, (width, _) in found.items()} == {"first": 8, "second": 16, "small": 8, "last": 16}
    assert {name: set(names) for name, (_, names) in found.items()} == {
        "first": {"first", "wide"},
        "second": {"second", "wide"},
        "small": {"small"},
        "last": {"last"},
    }
    graph = analyse(concatenated())
    assert graph.group_of("small").name == "small"
    with pytest.raises(UsageError, match="channels of wide are tied in parts"):
        graph.group_of("wide")
    with pytest.raises(UsageError, match="no convolution or channel group called data"):
        graph.group_of("data")
    assert graph.group_of("classes") is None


def test_preactivation_ties_the_stream_and_nothing_else():
    assert groups(preactivated()) == {"stem": (16, ("stem", "a2", "b2")), "a1": (12, ("a1",)), "b1": (12, ("b1",))}


def test_a_shared_layer_ties_what_goes_into_it():
    found = groups(shared())
    assert found == {"fine": (16, ("fine", "coarse"))} or found == {"coarse": (16, ("coarse", "fine"))}
    assert analyse(shared()).layers["both"].positions == 16 * 16 + 8 * 8


class Twice(layers.Layer):
    def call(self, x):
        return 2 * x


class Plus(layers.Layer):
    def call(self, x):
        return x + 1


@pytest.mark.parametrize(
    "operation",
    [
        layers.ReLU(6.0),
        layers.Activation("tanh"),
        layers.Dropout(0.5),
        layers.Rescaling(3.0),
        layers.Resizing(4, 4),
        layers.ZeroPadding2D(2),
        layers.Cropping2D(1),
        layers.UpSampling2D(2),
        layers.BatchNormalization(),
        keras.ops.relu,
        layers.DepthwiseConv2D(3, use_bias=False),
        lambda x: x * x,
        lambda x: layers.Concatenate(axis=1)([x, x]),
    ],
)
def test_carried_through(operation):
    assert groups(chain(operation)) == {"first": (6, ("first",))}


@pytest.mark.parametrize(
    "operation",
    [
        layers.Activation("sigmoid"),
        layers.Activation(lambda x: x + 1),
        layers.ReLU(negative_slope=0.1, threshold=0.5),
        layers.Softmax(),
        layers.Rescaling(3.0, offset=1.0),
        layers.Resizing(4, 4, pad_to_aspect_ratio=True, fill_value=1.0),
        layers.BatchNormalization(axis=1),
        layers.LayerNormalization(),
        layers.PReLU(),
        layers.DepthwiseConv2D(3),  # its bias moves zero
        layers.DepthwiseConv2D(3, use_bias=False, depth_multiplier=2),
        layers.Conv2D(6, 3, groups=2),
        layers.Conv2DTranspose(4, 3),
        Twice(),
        keras.ops.sigmoid,
        lambda x: x + 1.0,
        lambda x: layers.Add()([x, keras.ops.mean(x, axis=-1, keepdims=True)]),
    ],
)
def test_what_is_not_known_freezes(operation):
    assert groups(chain(operation)) == {}


def test_own_layers_can_be_declared():
    assert groups(chain(Twice(), Plus()), channelwise=(Twice,)) == {}
    assert groups(chain(Twice()), channelwise=(Twice,)) == {"first": (6, ("first",))}


def test_inputs_outputs_and_odd_activations_are_frozen():
    data = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, activation="sigmoid", name="first")(data)
    y = layers.Conv2D(5, 3, name="second")(x)
    graph = analyse(keras.Model(data, [y, layers.Conv2D(2, 1)(y)]))
    assert not graph.groups
    assert (graph.layers["first"].inputs == FROZEN).all()


def test_channels_first_is_refused():
    data = keras.Input((3, 8, 8))
    model = keras.Model(data, layers.Conv2D(4, 3, data_format="channels_first", name="conv")(data))
    with pytest.raises(UsageError, match="conv has its channels first"):
        analyse(model)
