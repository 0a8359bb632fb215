"""Keras layers of the learned quantizer: of kernels, of activations, and its served form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import checks, lq
from quant.at import At, checked_at
from quant.bases import LQLayer, by_setting, checked_level_bits
from quant.grid import levels_on_grid
from quant.scope import Record, Same, once
from quant.stacked import pick

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

BASIS_UPDATES = ("sequential", "pooled", "largest", "private")


@tf.keras.saving.register_keras_serializable(package="quant")
class WeightQuantizer(LQLayer):
    """Quantizes a kernel, one basis per channel of its last axis, levels of both signs.

    In training every step records one least-squares solution per kernel, also when a `StepScope` calls the layer at several
    settings: the same kernel is quantized once.

    Args:
        bits: 1 to 8.
        fan_out: h*w*out of the kernel, for the initial basis; default: size of the kernel without its input axis.
        strict: the reference's handling of negative basis entries.

    Call arguments: `inputs`, the kernel, `(h, w, in, out)` or `(in, out)`; or any other whose last axes together are the
    channels it was built for (a depthwise one). `at`: a setting if the kernel is its own. `training`. `kernel_key`: hashable,
    tells what kernel this is where the same one may come as different tensors; default: the tensor itself.
    Output: like `inputs`.
    """

    signed = True

    def __init__(self, bits: int, fan_out: int | None = None, **kwargs: object) -> None:
        fan_out = None if fan_out is None else checks.whole("fan_out", fan_out)
        super().__init__(bits, **kwargs)
        self.fan_out = fan_out

    def get_config(self) -> dict:
        return {**super().get_config(), "fan_out": self.fan_out}

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        fan_out = self.fan_out or tf.TensorShape(input_shape[:-2]).num_elements() * channels
        self._state = self._add_basis(lq.initial_weight_basis(self.bits, fan_out, channels))
        self.basis = self._state[0]
        super().build(input_shape)

    def call(
        self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None, kernel_key: Hashable = None
    ) -> tf.Tensor:
        setting = checked_at(at).setting
        key = (self, Same(inputs) if kernel_key is None else kernel_key, str(setting))

        def quantized() -> tf.Tensor:
            kernel = tf.convert_to_tensor(inputs)
            channels = self.basis.shape[1]
            flat = kernel if kernel.shape[-1] == channels else tf.reshape(kernel, [-1, channels])
            return tf.reshape(self._quantize(flat, self.basis, setting, training, key), kernel.shape)

        return once((key, bool(training)), quantized)

    def apply_statistics(self, records: Sequence[Record]) -> tf.Operation | None:
        """Average the step's solutions into the basis; returns the update operation."""
        return self._update(self._state, records)


@tf.keras.saving.register_keras_serializable(package="quant")
class FixedLevels(tf.keras.layers.Layer):
    """The served form of `ActivationQuantizer`: levels and thresholds computed once, outputs equal bit for bit.

    Args:
        bits: 1 to 8.
        settings: names of the settings that have a set of levels of their own, in the order of their numbers; none: one set
            for all.

    Variables `levels` `(sets, 2**bits)` and `thresholds` `(sets, 2**bits - 1)`; `at` tells the set, see
    `quant.stacked.pick`, and is not needed for one set.
    """

    def __init__(self, bits: int, settings: Sequence = (), **kwargs: object) -> None:
        bits, settings = checked_level_bits(bits), checks.names("settings", settings, least=0)
        super().__init__(**kwargs)
        self.bits = bits
        self.settings = settings
        self._autocast = False

    def get_config(self) -> dict:
        return {**super().get_config(), "bits": self.bits, "settings": list(self.settings)}

    def build(self, input_shape: Any) -> None:
        sets = max(1, len(self.settings))

        def add(name: str, count: int) -> tf.Variable:
            return self.add_weight(name=name, shape=(sets, count), initializer="zeros", trainable=False)

        self.levels, self.thresholds = add("levels", 2**self.bits), add("thresholds", 2**self.bits - 1)
        super().build(input_shape)

    def assign(self, quantizer: ActivationQuantizer) -> None:
        """Take the levels of an `ActivationQuantizer`."""
        bases = [quantizer.variables_of(setting)[0] for setting in self.settings or [None]]
        tables = [lq.level_table(tf.convert_to_tensor(basis), False, quantizer.strict) for basis in bases]
        self.levels.assign(tf.concat([table.levels for table in tables], axis=0))
        self.thresholds.assign(tf.concat([table.thresholds for table in tables], axis=0))

    def snap(self, quantizer: ActivationQuantizer) -> bool:
        """Move the levels to the uint8 grid (see `quant.grid`), always; thresholds stay."""
        self.levels.assign(levels_on_grid(self.levels))
        return True

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        at = None if len(self.settings) <= 1 else at
        values = tf.cast(inputs, self.levels.dtype)
        thresholds, levels = pick(self.thresholds, at), pick(self.levels, at)
        return tf.cast(self._placed(values, thresholds, levels), inputs.dtype)

    def _placed(self, values: tf.Tensor, thresholds: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        return lq.place(values, thresholds, levels)

    def arithmetic_form(self) -> ArithmeticLevels:
        """The layer for engines that are quick at sums and products only."""
        return ArithmeticLevels.from_config(self.get_config())


@tf.keras.saving.register_keras_serializable(package="quant")
class ArithmeticLevels(FixedLevels):
    """`FixedLevels` by sums and products only, see `quant.lq.climb`; outputs are equal but for rounding.

    Arguments as there.
    """

    def _placed(self, values: tf.Tensor, thresholds: tf.Tensor, levels: tf.Tensor) -> tf.Tensor:
        return lq.climb(values, thresholds, levels)


@tf.keras.saving.register_keras_serializable(package="quant")
class ActivationQuantizer(LQLayer):
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

    def __init__(self, bits: int, settings: Sequence = (), update: str = "sequential", **kwargs: object) -> None:
        update = checks.choice("update", update, BASIS_UPDATES)
        settings = checks.names("settings", settings, least=0)
        if update in ("largest", "private") and not settings:
            raise ValueError(f"`settings` must name the settings when update={update!r}. Received: settings=().")
        super().__init__(bits, **kwargs)
        self.settings = settings
        self.update = update

    def get_config(self) -> dict:
        return {**super().get_config(), "settings": list(self.settings), "update": self.update}

    def build(self, input_shape: Any) -> None:
        initial = lq.initial_activation_basis(self.bits)
        if self.update == "private":
            self._bases = {name: self._add_basis(initial, f"{name}_") for name in self.settings}
        else:
            self._bases = {"": self._add_basis(initial)}
        super().build(input_shape)

    @property
    def bases(self) -> list[tf.Variable]:
        """The `(K, 1)` basis variables: one per setting if private, else one."""
        return [basis for basis, _, _ in self._bases.values()]

    def variables_of(self, setting: object = None) -> tuple[tf.Variable, ...]:
        """`(basis, basis_biased, basis_updates)` used at `setting`."""
        if self.update != "private":
            return self._bases[""]
        name = self.settings[0] if setting is None and len(self.settings) == 1 else str(setting)
        if name not in self._bases:
            raise ValueError(f"`setting` must be one of {', '.join(self._bases)}. Received: setting={name}.")
        return self._bases[name]

    def call(self, inputs: tf.Tensor, at: At | None = None, training: bool | None = None) -> tf.Tensor:
        setting = checked_at(at).setting
        return self._quantize(inputs, self.variables_of(setting)[0], setting, training, None)

    def apply_statistics(self, records: Sequence[Record]) -> tf.Operation | None:
        """Update the basis or bases from one step's records by the rule `update`; returns the operation."""
        if self.update == "private":
            return tf.group(*(self._update(self.variables_of(name), own) for name, own in by_setting(records).items()))
        if self.update == "largest":
            records = [entry for entry in records if str(entry.setting) == self.settings[0]]
        if self.update == "pooled":
            statistics = tf.nest.map_structure(lambda *sums: tf.add_n(sums), *(entry.statistics for entry in records))
            records = [Record(None, statistics, sum(entry.count for entry in records))]
        return self._update(self._bases[""], records) if records else tf.no_op()

    def served_form(self, settings: Sequence) -> FixedLevels:
        """The layer of a served network that knows `settings` by number."""
        return FixedLevels(self.bits, settings if self.update == "private" else (), name=self.name, dtype=self.dtype_policy)
