"""ScaleNAS: one graph that trains every mask, extracted and served networks, settings, statistics of calibrated ones."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tfres.engines.optimizer import MomentumSGD
from tfres.engines.steps import Step, training_step
from tfres.layers.fusion import ConvNorm
from tfres.models.costs import count_cost
from tfres.models.scalenas import Mask, ScaleNAS
from tfres.models.scalenas.sampling import sample
from tfres.objectives import OneShot
from tfres.settings import Setting

TINY = {
    "width": 4, "stem_width": 4, "classes": 5, "modules": [1, 1, 1], "blocks": 2, "least_blocks": 1, "resolutions": ["64x96"]
}  # fmt: skip


class Regression:
    """A task of maps that should be equal to others."""

    loss_name = "squares"

    def prepare(self, batch, sizes, training):
        return dict.fromkeys(sizes, batch["images"]), batch["targets"]

    def loss(self, outputs, targets):
        return tf.reduce_mean(tf.square(outputs - tf.cast(targets, outputs.dtype)))

    def divergence(self, teacher, student):
        return tf.reduce_mean(tf.square(tf.stop_gradient(teacher) - student))


def make(rng, dtype="float64", **options):
    """A built network with values of usual size."""
    network = ScaleNAS(dtype=dtype, **{**TINY, **options})
    network.build()
    for variable in network.weights:
        kernel = "kernel" in variable.name
        variable.assign(rng.normal(0, 0.3, variable.shape) if kernel else rng.uniform(0.5, 1.5, variable.shape))
    return network


@pytest.fixture(scope="module")
def network():
    return make(np.random.default_rng(0))


@pytest.fixture
def images(rng):
    return tf.constant(rng.normal(size=(2, 64, 96, 3)))


def masks(network, count=3):
    """A small, a large and a random mask."""
    space = network.options.space
    drawn = [sample(seed, space, 0.5, [1, 2], gathered=False) for seed in range(count - 2)]
    return [Mask.smallest(space, 1), Mask.full(space), *drawn]


def test_one_graph_trains_every_mask(network, rng, images, monkeypatch):
    """The traced step makes the step of the extracted network; what does not run does no work and does not move."""
    ran, plain_call = [], ConvNorm.call

    def counted(self, x, at=None, training=None):
        (noted,) = tf.numpy_function(lambda value: (ran.append(self.name), value)[1], [np.float64(1)], [tf.float64])
        with tf.control_dependencies([noted]):
            return plain_call(self, tf.identity(x), at=at, training=training)

    drawn, start = masks(network)[::2], [weight.numpy() for weight in network.weights]
    targets, optimizer = rng.normal(size=(2, 16, 24, 5)), MomentumSGD(0.1, nesterov=False)
    optimizer.build(network.trainable_variables)
    objective = OneShot(
        weight_decay=0.1,
        decay_on="all",
        draw=lambda step, steps_per_epoch: drawn[step % steps_per_epoch].vector(network.options.space),
        length=len(network.options.space.places),
    ).ready(len(drawn))
    step = Step(network, Regression(), objective)

    @tf.function(autograph=False)
    def traced(number):
        terms, gradients, scope = step.compute({"images": images, "targets": targets, "step": number})
        with optimizer.only(step.running(scope)):
            optimizer.apply_gradients(list(zip(gradients, network.trainable_variables, strict=True)))
        scope.apply()
        return terms

    with monkeypatch.context() as patch:
        patch.setattr(ConvNorm, "call", counted)
        traced.get_concrete_function(tf.TensorSpec([], tf.int64))
    for number, mask in enumerate(drawn):
        for weight, value in zip(network.weights, start, strict=True):
            weight.assign(value)
        for buffer in optimizer.buffers:
            buffer.assign(tf.ones_like(buffer))
        plain = network.materialize(f"net{mask.code(network.options.space)}")
        ran.clear()
        terms = traced(tf.constant(number + len(drawn), tf.int64))
        units = {layer.name for layer in plain._flatten_layers() if isinstance(layer, ConvNorm)}
        assert {*ran} == units and len(ran) == sum(isinstance(layer, ConvNorm) for layer in plain._flatten_layers())

        own = MomentumSGD(0.1, nesterov=False)
        own.build(plain.trainable_variables)
        for buffer in own.buffers:
            buffer.assign(tf.ones_like(buffer))
        still = dataclasses.replace(objective, draw=None)
        result = training_step(plain, Regression(), still, own, {"images": images, "targets": targets})
        for name, term in terms.items():
            np.testing.assert_allclose(term, result.terms[name], rtol=1e-9)
        for weight, before in zip(network.weights, start, strict=True):
            change = result.updates.get(weight.name.removesuffix(":0"))
            if change is None:
                np.testing.assert_array_equal(weight, before, err_msg=weight.name)
            else:
                np.testing.assert_allclose(weight - before, change, rtol=1e-6, atol=1e-9, err_msg=weight.name)
        for variable, buffer in zip(network.trainable_variables, optimizer.buffers, strict=True):
            if variable.name.removesuffix(":0") not in result.updates:
                np.testing.assert_array_equal(buffer, tf.ones_like(buffer))


def test_extracted_networks(network, images):
    for mask in masks(network, 4):
        setting = network.resolve(f"net{mask.code(network.options.space)}")
        outputs, plain = network(images, setting=setting), network.materialize(setting)
        np.testing.assert_array_equal(plain(images), outputs)
        assert plain.settings == [setting] and outputs.shape == (2, 16, 24, 5)
        cost = network.cost(setting)
        assert plain.cost() == cost == count_cost(plain, None, (1, 64, 96, 3))
        assert cost.params == sum(np.prod(weight.shape) for weight in plain.trainable_weights)
        if mask != Mask.full(network.options.space):
            with pytest.raises(ValueError, match="`setting` must be a sub-network that was extracted"):
                plain.resolve("netfull")


def test_dead_parts_are_dropped_on_request(rng, images):
    modules = Mask.full(ScaleNAS.Options(**TINY).space).to_json()
    modules[-1] = {"depth": [1, 2, 2, 1], "paths": ["0:1>0", "0:2>0", "0:3>0", "1:1>2"]}
    network = make(rng, head="finest", masks={"mine": modules}, subnets=["mine"])
    whole, live = network.materialize("netmine"), network.materialize("netmine", drop_dead=True)
    np.testing.assert_array_equal(live(images), whole(images))
    more = network.more_costs("netmine")
    assert (live.cost().macs, live.cost().params) == (more["macs_live"], more["params_live"])
    assert more["gimacs"] * 2**30 == network.cost("netmine").macs
    assert len(live.weights) < len(whole.weights) and live.options.mask("mine").depths[-1] == (1, 1, 1, 1)


def test_settings(network):
    assert [str(setting) for setting in network.settings] == ["r64x96-netfull", "r64x96-netsmallest"]
    assert network.resolve() == network.resolve("r64x96") == network.resolve("netfull") == network.settings[0]
    assert network.resolve("r32").subnet == "full" and network.input_size("r32x96-netsmallest") == (32, 96)
    for wrong, words in {
        "r48": "multiples of 32",
        "nethuge": "`subnet` must be one of",
        "w0.5": "a resolution and a sub",
    }.items():
        with pytest.raises(ValueError, match=words):
            network.resolve(wrong)
    with pytest.raises(ValueError, match="`subnet` must be a mask of this network"):
        network.resolve("netS1")


def test_any_size(network, images):
    """Fully convolutional, and the same at a size that is named or not."""
    assert network(images[:, :32, :64], setting="r32x64-netsmallest").shape == (2, 8, 16, 5)
    maps = network.features(images, "netsmallest")
    assert {stride: tuple(x.shape[1:3]) for stride, x in maps.items()} == {4: (16, 24), 8: (8, 12), 16: (4, 6), 32: (2, 3)}


def test_calibrated_settings_have_statistics_of_their_own(network, images):
    setting = Setting((64, 96), subnet="smallest")
    private = network.uncalibrated(setting)
    private = dataclasses.replace(private, values={name: value + 0.5 for name, value in private.values.items()})
    wider = network.extended({setting: private})
    assert wider.settings == network.settings and wider.calibrated_settings == [setting]
    assert not np.allclose(wider(images, setting=setting), network(images, setting=setting))
    np.testing.assert_array_equal(wider(images, setting="netfull"), network(images, setting="netfull"))
    for plain in (wider.materialize(setting), network.materialize(setting, private)):
        np.testing.assert_array_equal(plain(images), wider(images, setting=setting))
        assert plain.private_values(setting, setting).values.keys() <= private.values.keys()


def test_served(rng, images):
    """One graph function per sub-network, weights once and only those that a setting uses."""
    network = make(rng, "float32", subnets=["smallest"], calibrated=["r32-netsmallest"])
    images, served = tf.cast(images, tf.float32), network.served()
    assert served.settings == network.settings and len(served.settings) == 2
    for setting in network.settings:
        np.testing.assert_array_equal(served.run(images, served.at(setting)), network(images, setting=setting))
    kernels = [weight for weight in served.weights if "kernel" in weight.name]
    assert len(kernels) == sum("kernel" in weight.name for weight in network.materialize("netsmallest").weights)


def test_configuration(network, images, tmp_path):
    again = type(network).from_config(network.get_config())
    again.build()
    assert [v.name for v in again.weights] == [v.name for v in network.weights] and again.options == network.options
    network.save(tmp_path / "network.keras")
    loaded = tf.keras.models.load_model(tmp_path / "network.keras")
    for setting in network.settings:
        np.testing.assert_array_equal(loaded(images, setting=setting), network(images, setting=setting))


def test_pictures_of_other_sides_are_refused(network):
    with pytest.raises(ValueError, match="`images` must have sides that are multiples of 32. Received: "):
        network(tf.zeros([1, 48, 64, 3], tf.float64))


def test_half_precision(rng, images):
    network = make(rng, "mixed_bfloat16")
    outputs = network(tf.cast(images, tf.bfloat16), setting="netsmallest")
    assert outputs.dtype == tf.float32 and np.all(np.isfinite(outputs))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolutions", ["48x64"]), ("resolutions", ["x"]), ("resolutions", [32, "32x32"]), ("resolutions", []),
        ("width", 0), ("stem_width", 0), ("modules", [1, 1]), ("modules", [0, 1, 1]), ("modules", [8, 8, 8]), ("blocks", 6),
        ("least_blocks", 3), ("head", "x"), ("subnets", []), ("subnets", ["full", "full"]), ("masks", {"full": []}),
        ("masks", {"a-b": []}), ("masks", {"mine": []}), ("norm_momentum", 2), ("up_momentum", -1), ("extracted", "x"),
        ("calibrated", ["r48-netfull"]), ("calibrated", ["r64"]),
    ],
)  # fmt: skip
def test_bad_arguments(name, value):
    with pytest.raises(ValueError, match=rf"`{name}`.* must.* Received: "):
        ScaleNAS(**{**TINY, name: value})


def test_masks_below_the_least_blocks_need_an_extracted_network():
    space = ScaleNAS.Options(**TINY).space
    none = {"none": Mask.smallest(space, 0).to_json()}
    with pytest.raises(ValueError, match="`subnets` must be of at least 1 blocks"):
        ScaleNAS(**TINY, masks=none, subnets=["none"])
    assert ScaleNAS(**TINY, masks=none, subnets=["none"], extracted=True).options.built == Mask.smallest(space, 0)
