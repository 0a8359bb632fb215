"""What every public layer must do: one call of `check` per layer."""

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from quant import At
from tests.quant.replicas import two_replicas
from tfres.layers import assign, served_form


@dataclasses.dataclass
class Case:
    """A layer to check.

    make: `(**kwargs) -> layer`. shape: of the inputs. settings: where it runs. number: it runs by number (served forms).
    exact: the served form's outputs are equal bit for bit. inputs: shape by setting, where it differs. dtype: of the inputs.
    fixed_dtype: of the outputs, whatever the policy. takes_at: it is called with `at`. trains: `fit` changes its variables.
    """

    make: Callable[..., tf.keras.layers.Layer]
    shape: tuple
    settings: tuple = ("r2", "r1")
    number: bool = False
    exact: bool = True
    inputs: Callable[[str], tuple] | None = None
    dtype: str = "float32"
    fixed_dtype: str | None = None
    takes_at: bool = True
    trains: bool = True

    def at(self, setting, by_number=False):
        """The call's `At`; the layers that do not take one get none."""
        return At(index=self.settings.index(setting)) if by_number or self.number else At(setting)

    def images(self, setting, rng):
        """Inputs of the layer at a setting."""
        shape = self.inputs(setting) if self.inputs else self.shape
        if self.dtype == "uint8":
            return tf.constant(rng.integers(0, 256, shape), tf.uint8)
        return tf.constant(np.abs(rng.standard_normal(shape)), self.dtype)


@tf.keras.saving.register_keras_serializable(package="tests")
class Holder(tf.keras.Model):
    """A model of one layer, to save and to train it."""

    def __init__(self, layer, setting=None, number=None, takes_at=True, **kwargs):
        super().__init__(**kwargs)
        made = isinstance(layer, tf.keras.layers.Layer)
        self.layer = layer if made else tf.keras.saving.deserialize_keras_object(layer)
        self.default, self.takes_at = (setting, number), takes_at
        self._autocast = False

    def get_config(self):
        config = {"layer": tf.keras.saving.serialize_keras_object(self.layer), "takes_at": self.takes_at}
        return {**super().get_config(), **config, "setting": self.default[0], "number": self.default[1]}

    def call(self, inputs, at=None, training=None):
        at = at or At(setting=self.default[0], index=self.default[1])
        outputs = self.layer(inputs, **({"at": at} if self.takes_at else {}), training=training)
        if isinstance(outputs, dict):
            return tf.concat([tf.reshape(value, [tf.shape(inputs)[0], -1]) for value in outputs.values()], 1)
        return outputs


def check(case, rng, folder):
    """All checks of one layer."""
    _config(case)
    _save_and_train(case, rng, folder)
    _dtypes(case, rng)
    _distribution(case, rng)
    if not case.number:
        _served(case, rng)
        _served(case, rng, dtype="mixed_bfloat16")


def _holder(case, layer):
    setting = case.settings[0]
    number = 0 if case.number else None
    return Holder(layer, None if case.number else setting, number, case.takes_at)


def _built(case, rng, **kwargs):
    holder = _holder(case, case.make(**kwargs))
    holder(case.images(case.settings[0], rng))
    _randomise(holder.layer, rng)
    return holder


def _randomise(layer, rng):
    """Values that tell the settings apart; bases and variances stay positive."""
    for weight in layer.weights:
        if "_updates" not in weight.name:
            drawn = weight.numpy() + 0.3 * np.abs(rng.standard_normal(weight.shape))
            weight.assign(np.sort(drawn, -1) if weight.name.startswith(("thresholds", "levels")) else drawn)


def _outputs(case, holder, rng_state, by_number=False):
    """Outputs at every setting, on the same inputs each time."""
    rng = np.random.default_rng(rng_state)
    return [holder(case.images(s, rng), at=case.at(s, by_number)).numpy() for s in case.settings]


def _equal(ours, theirs, exact=True):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a, b) if exact else np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def _config(case):
    layer = case.make(name="mine")
    config = json.loads(json.dumps(layer.get_config()))
    copy = type(layer).from_config(config)
    assert copy.name == "mine" and json.loads(json.dumps(copy.get_config())) == config


def _save_and_train(case, rng, folder):
    holder = _built(case, rng)
    before = _outputs(case, holder, 1)
    holder.save(folder / "model.keras")
    loaded = tf.keras.models.load_model(folder / "model.keras")
    assert loaded.layer.get_config() == holder.layer.get_config()
    _equal(_outputs(case, loaded, 1), before)
    images = case.images(case.settings[0], rng)
    weights = [weight.numpy() for weight in holder.weights]
    holder.compile(tf.keras.optimizers.SGD(0.1), loss=lambda _, y: tf.reduce_mean(tf.square(y)))
    losses = holder.fit(images, np.zeros(len(images), "f"), batch_size=len(images), epochs=1, verbose=0).history["loss"]
    assert np.all(np.isfinite(losses))
    moved = any(not np.array_equal(a, b) for a, b in zip(weights, holder.weights, strict=True))
    assert moved == case.trains


def _dtypes(case, rng):
    for policy in ("mixed_bfloat16", "float64"):
        holder = _built(case, rng, dtype=policy)
        compute = tf.keras.mixed_precision.Policy(policy).compute_dtype
        for setting in case.settings:
            images = case.images(setting, rng)
            outputs = holder(images if case.dtype == "uint8" else tf.cast(images, compute), at=case.at(setting))
            assert outputs.dtype == (case.fixed_dtype or compute)
            assert np.all(np.isfinite(tf.cast(outputs, tf.float32)))


def _distribution(case, rng):
    images, strategy = case.images(case.settings[0], rng), two_replicas()
    with strategy.scope():
        holder = _holder(case, case.make())
        holder(images)
    training = not case.number and case.trains
    outputs = strategy.run(tf.function(lambda: holder(images, training=training)))
    results = strategy.experimental_local_results(outputs)
    assert len(results) == 2
    np.testing.assert_array_equal(*results)
    for variable in holder.weights:
        first, second = strategy.experimental_local_results(variable)
        np.testing.assert_array_equal(first, second)


def _served(case, rng, **kwargs):
    holder = _built(case, rng, **kwargs)
    copy = _holder(case, served_form(holder.layer, case.settings))
    assert copy.layer.name == holder.layer.name and not copy.layer.built
    copy(case.images(case.settings[0], rng), at=case.at(case.settings[0], by_number=True))
    assign(copy.layer, holder.layer)
    _equal(_outputs(case, copy, 2, by_number=True), _outputs(case, holder, 2), case.exact)
