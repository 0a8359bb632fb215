"""Batch normalisation with private statistics, gamma and beta per setting."""

import tensorflow as tf

from quant.at import checked_at
from quant.stacked import pick
from quant.step import record


@tf.keras.saving.register_keras_serializable(package="tfres")
class SwitchableBatchNorm(tf.keras.layers.Layer):
    """One batch norm per setting behind one layer: y = gamma_s (x - mean) / sqrt(var + epsilon) + beta_s.

    Training normalises with the batch's mean and biased variance; the moving variance takes the unbiased one,
    N/(N-1) with N = batch*height*width, as PyTorch and fused TensorFlow kernels do. Statistics are float32 under mixed
    precision. Under replicas every replica normalises with its own batch and the moving averages take the mean over
    replicas. Inside a `quant.StepScope` they are updated when the scope is applied, else at once.

    Args:
        settings: names of the settings, each gets its own variables `<setting>_gamma`, `_beta`, `_moving_mean`,
            `_moving_variance` of shape `(channels,)`.
        momentum: moving = momentum * moving + (1 - momentum) * batch.
        epsilon: added to the variance (1e-5 as in the reference implementations; Keras' own default is 1e-3).
        gamma_initializer: initial gamma; "zeros" for the last norm of a residual branch in some recipes.
        synchronised: under replicas of `tf.distribute`, normalise with the statistics of the whole batch.

    Call arguments: `inputs` `(batch, height, width, channels)`, `at` (its setting; may be left out when there is
    one), `training`. Output: like `inputs`.

    Raises:
        ValueError: unknown setting; duplicate or no settings.
    """

    def __init__(self, settings, momentum=0.9, epsilon=1e-5, gamma_initializer="ones", synchronised=False, **kwargs):
        super().__init__(**kwargs)
        self.settings = [str(setting) for setting in settings]
        if not self.settings or len(set(self.settings)) < len(self.settings):
            raise ValueError(f"`settings` must be distinct and at least one. Received: settings={self.settings}.")
        self.momentum = momentum
        self.epsilon = epsilon
        self.gamma_initializer = tf.keras.initializers.get(gamma_initializer)
        self.synchronised = synchronised

    def get_config(self):
        return {
            **super().get_config(),
            "settings": self.settings,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "gamma_initializer": tf.keras.initializers.serialize(self.gamma_initializer),
            "synchronised": self.synchronised,
        }

    def build(self, input_shape):
        channels = input_shape[-1]
        self._variables_of = {
            setting: {
                "gamma": self._add(f"{setting}_gamma", channels, self.gamma_initializer, True),
                "beta": self._add(f"{setting}_beta", channels, "zeros", True),
                "moving_mean": self._add(f"{setting}_moving_mean", channels, "zeros", False),
                "moving_variance": self._add(f"{setting}_moving_variance", channels, "ones", False),
            }
            for setting in self.settings
        }
        super().build(input_shape)

    def _add(self, name, channels, initializer, trainable):
        return self.add_weight(
            name=name,
            shape=(channels,),
            initializer=initializer,
            trainable=trainable,
            experimental_autocast=False,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def variables_of(self, setting=None):
        """The four variables used at `setting`, by name."""
        name = self.settings[0] if setting is None and len(self.settings) == 1 else str(setting)
        if name not in self._variables_of:
            raise ValueError(f"`setting` must be one of {', '.join(self.settings)}. Received: setting={name}.")
        return self._variables_of[name]

    def affine(self, at=None):
        """Gamma and beta used there."""
        variables = self.variables_of(checked_at(at).setting)
        return variables["gamma"], variables["beta"]

    def statistics_name(self, at=None):
        """Name of the statistics that training there moves, or None."""
        setting = checked_at(at).setting
        return self.settings[0] if setting is None else str(setting)

    def call(self, inputs, at=None, training=None):
        gamma, beta = self.affine(at)
        if not training:
            own = self.variables_of(checked_at(at).setting)
            outputs, _, _ = normalise(inputs, gamma, beta, self.epsilon, own["moving_mean"], own["moving_variance"])
            return outputs
        if self.synchronised:
            outputs, mean, variance = normalise_synchronised(inputs, gamma, beta, self.epsilon)
        else:
            outputs, mean, variance = normalise(inputs, gamma, beta, self.epsilon)
        name = self.statistics_name(at)
        if name is not None:
            statistics = (tf.stop_gradient(mean), tf.stop_gradient(variance), tf.ones([], mean.dtype))
            record(self, name, statistics)
        return outputs

    def apply_statistics(self, records):
        """Move the averages by the recorded `(mean, unbiased variance, replicas)` sums; returns the operation."""
        updates = []
        for setting, (mean, variance, replicas) in records:
            own = self.variables_of(setting)
            for name, value in (("moving_mean", mean / replicas), ("moving_variance", variance / replicas)):
                moved = self.momentum * own[name] + (1 - self.momentum) * value
                updates.append(own[name].assign(moved))
        return tf.group(*updates)


@tf.keras.saving.register_keras_serializable(package="tfres")
class StackedBatchNorm(tf.keras.layers.Layer):
    """The served form of `SwitchableBatchNorm`: one variable `values` `(settings, 4, channels)`, inference only.

    `at` has the number of the setting or shares of the settings (see `quant.stacked.pick`; gamma, beta, mean and variance are
    mixed), so that one graph serves them all. Outputs are equal to those of `SwitchableBatchNorm` bit for bit.

    Args:
        count: number of settings.
        epsilon: as there.
    """

    def __init__(self, count, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.count = count
        self.epsilon = epsilon

    def get_config(self):
        return {**super().get_config(), "count": self.count, "epsilon": self.epsilon}

    def build(self, input_shape):
        self.values = self.add_weight(
            name="values",
            shape=(self.count, 4, input_shape[-1]),
            initializer="ones",
            trainable=False,
            experimental_autocast=False,
        )
        super().build(input_shape)

    def assign(self, norm):
        """Take the values of a `SwitchableBatchNorm`."""
        names = ("gamma", "beta", "moving_mean", "moving_variance")
        own = [norm.variables_of(setting) for setting in norm.settings]
        self.values.assign(tf.stack([tf.stack([variables[name] for name in names]) for variables in own]))

    def call(self, inputs, at=None, training=None):
        gamma, beta, mean, variance = tf.unstack(pick(self.values, at))
        return normalise(inputs, gamma, beta, self.epsilon, mean, variance)[0]


def normalise(inputs, gamma, beta, epsilon, mean=None, variance=None):
    """Normalised inputs and the statistics used; with no `mean` those of the batch (variance unbiased)."""
    training = mean is None
    if inputs.dtype != tf.float64:
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=tf.zeros([0]) if training else mean,
            variance=tf.zeros([0]) if training else variance,
            epsilon=epsilon,
            exponential_avg_factor=1.0,
            is_training=training,
        )
        return outputs, mean, variance
    if not training:
        return tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon), mean, variance
    mean, variance = tf.nn.moments(inputs, [0, 1, 2])
    outputs = tf.nn.batch_normalization(inputs, mean, variance, beta, gamma, epsilon)
    size = tf.cast(tf.size(inputs) // tf.size(mean), variance.dtype)
    return outputs, mean, variance * size / tf.maximum(size - 1, 1)


def normalise_synchronised(inputs, gamma, beta, epsilon):
    """As `normalise` in training, with the moments of the batch over all replicas (differentiable)."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return normalise(inputs, gamma, beta, epsilon)
    x = tf.cast(inputs, gamma.dtype)
    count = tf.cast(tf.size(x) // x.shape[-1], x.dtype)
    sums = [tf.reduce_sum(x, [0, 1, 2]), tf.reduce_sum(tf.square(x), [0, 1, 2]), count]
    total, total_square, count = context.all_reduce(tf.distribute.ReduceOp.SUM, sums)
    mean = total / count
    variance = total_square / count - tf.square(mean)
    outputs = tf.nn.batch_normalization(x, mean, variance, beta, gamma, epsilon)
    return tf.cast(outputs, inputs.dtype), mean, variance * count / tf.maximum(count - 1, 1)
