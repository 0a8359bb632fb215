"""What every network must do: one call of `check` per kind of every family."""

import dataclasses
import json

import numpy as np
import tensorflow as tf

from tests.quant.replicas import two_replicas
from tests.tasks.fakes import classification
from tfres.engines.optimizer import MomentumSGD
from tfres.engines.steps import training_step
from tfres.families import find, from_preset
from tfres.families.recipes import read_recipe, resolve_network
from tfres.settings import Setting


@dataclasses.dataclass
class Case:
    """A network to check.

    arch: of the preset. options: that make it tiny. exact: outputs of the served form are equal bit for bit. plain: those of
    the materialised form are. objective: fields of its training. final: name of the final layer at the last of its settings.
    """

    arch: str
    options: dict
    exact: bool = True
    plain: bool = True
    objective: dict = dataclasses.field(default_factory=dict)
    final: str = "linear"

    def make(self, dtype=None, **more):
        """The built network."""
        return from_preset(self.arch, dtype=dtype, **{**self.options, **more})

    def images(self, network, setting, rng, dtype="float32"):
        """Pictures of a setting's size."""
        height, width = network.input_size(setting)
        return tf.cast(rng.uniform(0, 1, (2, height, width, 3)), dtype)

    def recipe(self):
        """The resolved recipe of its training."""
        return resolve_network(read_recipe({"model": {"arch": self.arch, **self.options}, "objective": self.objective}))


def check(case, rng, folder):
    """All checks of one network."""
    network = case.make()
    randomise(network, rng)
    expected = {setting: network(*_call(case, network, setting)).numpy() for setting in network.settings}
    _config(case, network)
    _saved(case, network, expected, folder)
    _served(case, network, expected)
    _plain(case, network, expected)
    _features(case, network)
    _trains(case, network)


def randomise(network, rng):
    """Statistics, gammas and betas that tell the settings apart."""
    for variable in network.weights:
        if any(name in variable.name for name in ("gamma", "beta", "moving")):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))


def _call(case, network, setting):
    return case.images(network, setting, np.random.default_rng(1)), setting


def _equal(ours, theirs, exact):
    np.testing.assert_array_equal(ours, theirs) if exact else np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def _config(case, network):
    config = json.loads(json.dumps(network.get_config()))
    copy = type(network).from_config(config)
    copy.build()
    assert json.loads(json.dumps(copy.get_config())) == config
    assert [v.name for v in copy.weights] == [v.name for v in network.weights]
    assert copy.settings == network.settings and copy.options == network.options


def _saved(case, network, expected, folder):
    network.save(folder / "network.keras")
    loaded = tf.keras.models.load_model(folder / "network.keras")
    assert loaded.get_config() == network.get_config()
    for setting, outputs in expected.items():
        _equal(loaded(*_call(case, network, setting)), outputs, exact=True)


def _served(case, network, expected):
    served = network.served()
    assert served.settings == network.settings
    for setting, outputs in expected.items():
        images, _ = _call(case, network, setting)
        _equal(served.run(images, served.at(setting)), outputs, case.exact)


def _plain(case, network, expected):
    for setting, outputs in expected.items():
        plain = network.materialize(setting)
        assert len(plain.settings) == 1
        _equal(plain(_call(case, network, setting)[0]), outputs, case.plain)
        assert plain.cost().macs == network.cost(setting).macs


def _features(case, network):
    setting = network.settings[-1]
    images, _ = _call(case, network, setting)
    maps, height = network.features(images, setting), network.input_size(setting)[0]
    assert list(maps) == sorted(maps) and len(maps) > 1
    for stride, features in maps.items():
        assert features.shape[0] == 2 and features.shape[1] in (height // stride, -(-height // stride))
    assert {"backbone", case.final} <= set(network.layer_names())
    named = network.features(images, setting, names=[case.final])
    np.testing.assert_array_equal(named[case.final], network(images, setting=setting))


def _trains(case, network):
    recipe, options = case.recipe(), network.options
    task = classification(options.classes, side=options.resolutions[0], batch_size=4, fake_size=4)
    objective = find(case.arch).objective(recipe)
    source = task.open(task.data, options.classes)
    (batch,) = task.training_batches(source, options.resolutions, 0, shared=objective.random_numbers).take(1)
    result = training_step(network, task, objective, MomentumSGD(0.01), batch)
    assert np.all(np.isfinite([float(term) for term in result.terms.values()])) and len(result.terms) > 1
    assert set(result.gradients) == {v.name.removesuffix(":0") for v in network.trainable_variables}
    trained = [str(setting) for setting in network.trained_settings] if network.private_norms else ["all"]
    moving = {name for name, change in result.updates.items() if "moving_mean" in name and np.any(change)}
    widths = [str(dataclasses.replace(Setting.parse(name), resolution=None)) for name in trained if "-" in name]
    for name in widths or trained:
        assert any(f"/{name}_moving_mean" in variable for variable in moving), name


def check_precision(case, policy, rng):
    """Outputs are finite at every setting; logits are float32 under mixed precision, variables in their own dtype."""
    network = case.make(dtype=policy)
    kind = tf.keras.mixed_precision.Policy(policy)
    for setting in network.settings:
        outputs = network(case.images(network, setting, rng, kind.compute_dtype), setting=setting)
        assert outputs.dtype == kind.variable_dtype
        assert np.all(np.isfinite(outputs))


def check_distribution(case, rng):
    """Two replicas hold the same values and give the same outputs."""
    strategy = two_replicas()
    with strategy.scope():
        network = case.make()
    setting = network.settings[0]
    images = case.images(network, setting, rng)
    outputs = strategy.run(tf.function(lambda: network(images, setting=setting, training=False)))
    np.testing.assert_array_equal(*strategy.experimental_local_results(outputs))
    for variable in network.weights:
        np.testing.assert_array_equal(*strategy.experimental_local_results(variable))
