"""Costs: every kind of operation against its formula, what costs nothing, what is refused."""

import pytest
import tensorflow as tf

from tests.models.parts import Classifier, plain_parts, slim_parts
from tfres.models.backbones import ResNet, VGGSmall, WideResNet
from tfres.models.costs import Cost, CostError, count_cost

SIDE, CHANNELS = 8, 6


class Network(tf.keras.Model):
    """Runs `function(images, weights)`; its one variable has the given shape."""

    def __init__(self, function, shape=(1,)):
        super().__init__()
        self.function = function
        self.kernel = self.add_weight(name="kernel", shape=shape)

    def call(self, images, setting=None, training=None):
        return self.function(images, self.kernel)


def macs(function, shape=(1,), input_shape=(1, SIDE, SIDE, CHANNELS)):
    return count_cost(Network(function, shape), None, input_shape).macs


def transposed(x, w):
    return tf.nn.conv2d_transpose(x, w, [1, 16, 16, 5], 2)


def transposed_depthwise(x, w):
    return tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
        input_sizes=[1, 16, 16, 6], filter=w, out_backprop=x, strides=[1, 2, 2, 1], padding="SAME"
    )


def attention(x, w):
    tokens = tf.reshape(x, [-1, 64, 6])
    return tf.matmul(tf.nn.softmax(tf.matmul(tokens, tokens, transpose_b=True)), tokens)


PIXELS = SIDE * SIDE
COUNTED = {
    "convolution": (lambda x, w: tf.nn.conv2d(x, w, 2, "SAME"), (3, 3, 6, 4), 16 * 4 * 9 * 6),
    "grouped": (lambda x, w: tf.nn.conv2d(x, w, 1, "VALID"), (3, 3, 2, 9), 36 * 9 * 9 * 2),
    "dilated": (lambda x, w: tf.nn.conv2d(x, w, 1, "SAME", dilations=2), (3, 3, 6, 4), PIXELS * 4 * 9 * 6),
    "depthwise": (lambda x, w: tf.nn.depthwise_conv2d(x, w, [1, 2, 2, 1], "SAME"), (5, 5, 6, 2), 16 * 12 * 25),
    "transposed": (transposed, (3, 3, 5, 6), PIXELS * 6 * 9 * 5),
    "transposed depthwise": (transposed_depthwise, (3, 3, 6, 1), PIXELS * 6 * 9),
    "3-D": (lambda x, w: tf.nn.conv3d(x[:, None], w, [1] * 5, "SAME"), (1, 3, 3, 6, 4), PIXELS * 4 * 9 * 6),
    "pointwise as a product": (lambda x, w: tf.tensordot(x, w, 1), (6, 4), PIXELS * 6 * 4),
    "dense": (lambda x, w: tf.matmul(tf.reduce_mean(x, [1, 2]), w, transpose_b=True), (10, 6), 60),
    "batched": (lambda x, w: tf.matmul(w, tf.reshape(x, [8, 8, 6]), transpose_a=True), (8, 8, 3), 8 * 3 * 8 * 6),
    "einsum": (lambda x, w: tf.einsum("bhwc,cd->bhwd", x, w), (6, 4), PIXELS * 6 * 4),
    "einsum with dots": (lambda x, w: tf.einsum("...c,cd->...d", x, w), (6, 4), PIXELS * 6 * 4),
    "einsum, summed before": (lambda x, w: tf.einsum("bhwc,cde->bd", x, w), (6, 4, 7), 6 * 4),
    "attention": (attention, (1,), 2 * 64 * 64 * 6),
    "einsum of the images": (lambda x, w: tf.einsum("bhwc,bijc->bhwij", x, x), (1,), 64 * 64 * 6),
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTED)
def test_counted(name):
    function, shape, expected = COUNTED[name]
    assert macs(function, shape) == expected


FREE = {
    "element-wise": lambda x, w: tf.nn.relu6(x * x + 1) * tf.nn.sigmoid(x),
    "scale of every channel": lambda x, w: tf.einsum("bhwc,bc->bhwc", x, tf.reduce_mean(x, [1, 2])),
    "pooling": lambda x, w: tf.nn.avg_pool2d(tf.nn.max_pool2d(x, 2, 2, "SAME"), 2, 2, "SAME"),
    "norm": lambda x, w: tf.compat.v1.nn.fused_batch_norm(x, tf.ones([6]), tf.ones([6]))[0],
    "resizing": lambda x, w: tf.image.resize(x, [5, 5]),
    "resizing as a product": lambda x, w: tf.einsum("ih,bhwc->biwc", tf.random.uniform([5, 8]) + 1, x),
    "pooling as a product": lambda x, w: tf.matmul(tf.fill([1, 2, 64], 1 / 64), tf.reshape(x, [-1, 64, 6])),
    "sizes only": lambda x, w: tf.matmul(tf.cast(tf.shape(x)[None], tf.float32), w[:4, None]) + x[0, 0, 0, 0],
    "weights prepared first": lambda x, w: x + tf.reduce_sum(tf.linalg.inv(tf.matmul(w[:, None], w[None]) + tf.eye(6))),
    "shapes": lambda x, w: tf.transpose(tf.concat([x, tf.pad(x, [[0, 0]] * 4)], -1), [0, 3, 1, 2]),
}


@pytest.mark.parametrize("name", FREE)
def test_free(name):
    assert macs(FREE[name], (6,)) == 0


def test_captured_table_is_no_image():
    """Larger constants reach the graph as its inputs."""
    bins = tf.random.uniform([16, 64])
    assert macs(lambda x, w: tf.matmul(bins, tf.reshape(x, [64, 6]))) == 0


def inner(x, w):
    return tf.matmul(tf.reshape(x, [64, 6]), w)


def test_called_functions_are_walked():
    once, twice = tf.function(inner), tf.function(lambda x, w: tf.function(inner)(x, w) + inner(x, w))
    assert macs(once, (6, 4)) == 64 * 6 * 4
    assert macs(twice, (6, 4)) == macs(tf.recompute_grad(twice), (6, 4)) == 2 * 64 * 6 * 4
    assert macs(tf.function(lambda x, w: inner(tf.ones([1, 8, 8, 6]), w)), (6, 4)) == 0
    cost = count_cost(Network(tf.function(lambda x, w: inner(x, w[:6, :2])), (9, 4)), None, (1, 8, 8, 6))
    assert cost == Cost(64 * 6 * 2, 12, 48)


def test_branches_must_cost_the_same():
    def either(other):
        def function(x, w):
            return tf.cond(tf.reduce_sum(x) > 0, lambda: inner(x, w), lambda: other(x, w))

        return function

    def switch(x, w):
        return tf.switch_case(tf.cast(x[0, 0, 0, 0], tf.int32), [lambda: inner(x, w), lambda: 2 * inner(x, w)])

    assert macs(either(lambda x, w: -inner(x, w)), (6, 4)) == macs(switch, (6, 4)) == 64 * 6 * 4
    with pytest.raises(CostError, match="If .*cond in .* cannot be counted: its branches cost 0 or 1536 multiply-adds"):
        macs(either(lambda x, w: tf.zeros([64, 4])), (6, 4))


def test_loops_must_cost_nothing():
    def repeated(step):
        return lambda x, w: tf.while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, step(y, w)), [0, x])[1]

    assert macs(repeated(lambda y, w: y * 2), (6, 6)) == 0
    with pytest.raises(CostError, match="While .* cannot be counted: how often a loop runs is not known"):
        macs(repeated(lambda y, w: tf.tensordot(y, w, 1)), (6, 6))


REFUSED = {
    "RFFT2D": lambda x, w: tf.signal.rfft2d(x[..., 0]),
    "SparseMatMul": lambda x, w: tf.raw_ops.SparseMatMul(a=tf.reshape(x, [64, 6]), b=w),
    "Conv2DBackpropFilter": lambda x, w: tf.raw_ops.Conv2DBackpropFilter(
        input=x, filter_sizes=[1, 1, 6, 6], out_backprop=x, strides=[1] * 4, padding="SAME"
    ),
    "Dilation2D": lambda x, w: tf.nn.dilation2d(x, w[None], [1] * 4, "SAME", "NHWC", [1] * 4),
    "MatrixInverse": lambda x, w: tf.linalg.inv(x[:, :6, :6]),
    "EagerPyFunc": lambda x, w: tf.py_function(lambda y: y, [x], tf.float32),
    "MapDefun": lambda x, w: tf.raw_ops.MapDefun(
        arguments=[x],
        captured_inputs=[],
        output_types=[tf.float32],
        output_shapes=[x.shape[1:]],
        f=tf.function(tf.nn.relu).get_concrete_function(tf.TensorSpec(x.shape[1:])),
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind):
    with pytest.raises(CostError, match=f"The multiply-adds of {kind} .* cannot be counted: no rule counts it"):
        macs(REFUSED[kind], (6, 6))


def test_unknown_shapes_are_refused():
    """As of the grouped convolutions of Keras, which share one function for all shapes."""
    signature = [tf.TensorSpec([None, None, None, 6]), tf.TensorSpec([3, 3, 2, 9])]
    function = tf.function(lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"), input_signature=signature)
    with pytest.raises(CostError, match="Conv2D Conv2D in .* cannot be counted: a shape is not known"):
        macs(function, (3, 3, 2, 9))


def test_pooling_of_other_resolutions_is_free():
    """VGG-small: the bins of other resolutions are a product with fixed weights."""
    model = Classifier(VGGSmall(plain_parts(), (4, 8), resolution=16), classes=10)
    model.build((None, 16, 16, 3))
    convolutions = 4 * 27 + 16 * 9 + (32 * 9 + 64 * 9) / 4
    for side in (16, 12, 32):
        assert count_cost(model, None, (1, side, side, 3)).macs == side**2 * convolutions + 16 * 8 * 10


def test_training_costs_the_same():
    model = Classifier(WideResNet(plain_parts(), (1, 1), (8, 16, 32), dropout=0.5), classes=10)
    model.build((None, 16, 16, 3))
    assert count_cost(model, None, (1, 16, 16, 3), training=True) == count_cost(model, None, (1, 16, 16, 3))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_slices_count_as_what_is_used(dtype):
    """At half the width: half the channels in and out, whatever the dtype of the computation."""
    previous = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(dtype)
    try:
        options = {"blocks": (1,), "widths": (16,), "kind": "basic", "mode": "float", "stem": "cifar"}
        model = Classifier(ResNet(slim_parts(["w1", "w0.5"]), **options), classes=10)
        model(tf.zeros([1, 8, 8, 3]), training=True)
    finally:
        tf.keras.mixed_precision.set_global_policy(previous)
    for setting, count in (("w1", 16), ("w0.5", 8)):
        params = 27 * count + 2 * 9 * count**2 + 6 * count + 10 * count + 10
        expected = Cost(64 * (27 * count + 2 * 9 * count**2) + 10 * count, params, 4 * params)
        assert count_cost(model, setting, (1, 8, 8, 3)) == expected


def test_packed_bits():
    """Kernels of a quantized layer count at their width, with a basis per filter."""
    model = Network(inner, (6, 4))
    layer = tf.keras.layers.Layer()
    layer.latent_kernel, layer.weight_bits = model.kernel, 2
    model.layer = layer
    assert count_cost(model, None, (1, 8, 8, 6)) == Cost(64 * 24, 24, 24 * 2 // 8 + 4 * 2 * 4)
