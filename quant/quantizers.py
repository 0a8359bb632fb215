"""Keras layers that hold the state of a learned quantizer: its bases and their moving averages."""

import tensorflow as tf

from quant import lq
from quant.at import checked_at
from quant.stacked import pick
from quant.step import once, record

BASIS_UPDATES = ("sequential", "pooled", "largest", "private")


class _LQLayer(tf.keras.layers.Layer):
    """Basis variables and their update; subclasses say what is quantized.

    Variables per basis: `basis` (K, C), and the state of its moving average, `basis_biased` (K, C) and
    `basis_updates` (). All float32 under mixed precision; none is trained by gradient.
    """

    signed = None

    def __init__(self, bits, strict=False, **kwargs):
        super().__init__(**kwargs)
        self.bits = lq.check_bits("bits", bits)
        if self.bits is None:
            raise ValueError(f"`bits` must be an integer from 1 to {lq.MAX_BITS}. Received: bits={bits!r}.")
        self.strict = strict
        self._autocast = False

    @property
    def precision(self):
        """Bit width, under the name tools for low-bit networks look for."""
        return self.bits

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "strict": self.strict}

    def _add_basis(self, initial, prefix=""):
        return add_basis(self, initial, f"{prefix}basis")

    def _quantize(self, x, basis, setting, training):
        """Quantize in the basis' precision, return in the dtype of `x`; record statistics in training."""
        # The basis does not change within a step, so its table is the same for all settings.
        table = once((id(basis), "table"), lambda: lq.level_table(tf.convert_to_tensor(basis), self.signed, self.strict))
        values = tf.cast(x, basis.dtype)
        if not training:
            return tf.cast(lq.quantize(values, table), x.dtype)
        y, statistics = lq.quantize_with_statistics(values, table)
        record(self, setting, tf.nest.map_structure(tf.stop_gradient, statistics))
        return tf.cast(y, x.dtype)

    def _update(self, variables, statistics):
        return update_basis(variables, statistics, 0.0 if self.strict and not self.signed else lq.PROXIMAL)


def add_basis(layer, initial, name):
    """Variables of one basis on a Keras layer: `<name>`, `<name>_biased` `(K, C)` and `<name>_updates` `()`."""

    def add(suffix, value):
        return layer.add_weight(
            name=f"{name}{suffix}",
            shape=value.shape,
            initializer=tf.keras.initializers.Constant(value),
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    zeros = 0 * initial
    return add("", initial), add("_biased", zeros), add("_updates", zeros[0, 0])


def update_basis(variables, statistics, proximal=lq.PROXIMAL):
    """One moving-average update per entry of `statistics`, all solved from the same old basis.

    Args:
        variables: of `add_basis`.
        statistics: list of `LQStatistics`, applied in order.
        proximal: see `lq.solve_basis`.

    Returns:
        the update operation.
    """
    basis, biased, count = variables
    old, m, k = (tf.convert_to_tensor(variable) for variable in variables)
    joined = lq.LQStatistics(*(tf.concat(sums, axis=0) for sums in zip(*statistics, strict=True)))
    solutions = lq.solve_basis(joined, tf.tile(old, [1, len(statistics)]), proximal)
    for solution in tf.split(solutions, len(statistics), axis=1):
        average, m, k = lq.debiased_average(m, k, solution)
    return tf.group(basis.assign(average), biased.assign(m), count.assign(k))


@tf.keras.saving.register_keras_serializable(package="quant")
class WeightQuantizer(_LQLayer):
    """Quantizes a kernel, one basis per channel of its last axis, levels of both signs.

    In training every step records one least-squares solution, also when a `StepScope` calls the layer at several
    settings: the kernel is quantized once.

    Args:
        bits: 1 to 8.
        fan_out: h*w*out of the kernel, for the initial basis; default: size of the kernel without its input axis.
        strict: the reference's handling of negative basis entries.

    Input and output shape: the kernel's, `(h, w, in, out)` or `(in, out)`.
    """

    signed = True

    def __init__(self, bits, fan_out=None, **kwargs):
        super().__init__(bits, **kwargs)
        self.fan_out = fan_out

    def get_config(self):
        return {**super().get_config(), "fan_out": self.fan_out}

    def build(self, input_shape):
        channels = input_shape[-1]
        fan_out = self.fan_out or tf.TensorShape(input_shape[:-2]).num_elements() * channels
        self._state = self._add_basis(lq.initial_weight_basis(self.bits, fan_out, channels))
        self.basis = self._state[0]
        super().build(input_shape)

    def call(self, inputs, at=None, training=None):
        key = (id(self), bool(training))
        return once(key, lambda: self._quantize(tf.convert_to_tensor(inputs), self.basis, None, training))

    def apply_statistics(self, records):
        """Average the step's solution into the basis; returns the update operation."""
        return self._update(self._state, [statistics for _, statistics in records])


@tf.keras.saving.register_keras_serializable(package="quant")
class FixedLevels(tf.keras.layers.Layer):
    """The served form of `ActivationQuantizer`: levels and thresholds computed once, outputs equal bit for bit.

    Args:
        bits: 1 to 8.
        sets: how many sets of levels there are (one per setting with private bases, else one).

    Variables `levels` `(sets, 2**bits)` and `thresholds` `(sets, 2**bits - 1)`; `at` tells the set, see
    `quant.stacked.pick`, and is not needed for one set.
    """

    def __init__(self, bits, sets=1, **kwargs):
        super().__init__(**kwargs)
        self.bits = bits
        self.sets = sets
        self._autocast = False

    def get_config(self):
        return {**super().get_config(), "bits": self.bits, "sets": self.sets}

    def build(self, input_shape):
        def add(name, count):
            return self.add_weight(name=name, shape=(self.sets, count), initializer="zeros", trainable=False)

        self.levels, self.thresholds = add("levels", 2**self.bits), add("thresholds", 2**self.bits - 1)
        super().build(input_shape)

    def assign(self, bases, strict=False):
        """Take the levels of `(K, 1)` bases, one per set."""
        tables = [lq.level_table(tf.convert_to_tensor(basis), False, strict) for basis in bases]
        self.levels.assign(tf.concat([table.levels for table in tables], axis=0))
        self.thresholds.assign(tf.concat([table.thresholds for table in tables], axis=0))

    def call(self, inputs, at=None, training=None):
        at = None if self.sets == 1 else at
        values = tf.cast(inputs, self.levels.dtype)
        thresholds, levels = pick(self.thresholds, at), pick(self.levels, at)
        return tf.cast(lq.place(values, thresholds, levels), inputs.dtype)


@tf.keras.saving.register_keras_serializable(package="quant")
class ActivationQuantizer(_LQLayer):
    """Quantizes activations to levels from 0 upwards, one basis per tensor.

    Args:
        bits: 1 to 8.
        settings: names of the settings the layer runs at, largest first; needed by `update` "largest" and "private".
        update: what a step that ran at several settings does to the basis. All solutions start from the basis of the
            step's start.
            "sequential": one moving-average update per setting, in the order of the passes (RS-Nets);
            "pooled": one update with the solution over all values of all settings;
            "largest": the largest setting's values only (RS-Nets' --fixed_qa);
            "private": every setting has a basis of its own.
        strict: the reference's handling of negative entries, and no proximal term.

    Call arguments: `inputs` (any shape), `at` (its setting), `training`. Output: like `inputs`.
    """

    signed = False

    def __init__(self, bits, settings=(), update="sequential", **kwargs):
        super().__init__(bits, **kwargs)
        if update not in BASIS_UPDATES:
            raise ValueError(f"`update` must be one of {', '.join(BASIS_UPDATES)}. Received: update={update!r}.")
        self.settings = [str(setting) for setting in settings]
        self.update = update
        if update in ("largest", "private") and not self.settings:
            raise ValueError(f"`settings` must name the settings when update={update!r}. Received: settings=().")

    def get_config(self):
        return {**super().get_config(), "settings": self.settings, "update": self.update}

    def build(self, input_shape):
        initial = lq.initial_activation_basis(self.bits)
        if self.update == "private":
            self._bases = {name: self._add_basis(initial, f"{name}_") for name in self.settings}
        else:
            self._bases = {"": self._add_basis(initial)}
        super().build(input_shape)

    @property
    def bases(self):
        """The `(K, 1)` basis variables: one per setting if private, else one."""
        return [basis for basis, _, _ in self._bases.values()]

    def variables_of(self, setting):
        """`(basis, basis_biased, basis_updates)` used at `setting`."""
        name = str(setting) if self.update == "private" else ""
        if name not in self._bases:
            raise ValueError(f"`setting` must be one of {', '.join(self._bases)}. Received: setting={name}.")
        return self._bases[name]

    def call(self, inputs, at=None, training=None):
        setting = checked_at(at).setting
        return self._quantize(inputs, self.variables_of(setting)[0], setting, training)

    def apply_statistics(self, records):
        """Update the basis or bases from one step's records by the rule `update`; returns the operation."""
        if self.update == "private":
            return tf.group(*(self._update(self.variables_of(setting), [entry]) for setting, entry in records))
        if self.update == "largest":
            records = [record for record in records if str(record[0]) == self.settings[0]]
        statistics = [entry for _, entry in records]
        if self.update == "pooled":
            statistics = [tf.nest.map_structure(lambda *sums: tf.add_n(sums), *statistics)]
        return self._update(self._bases[""], statistics) if statistics else tf.no_op()
