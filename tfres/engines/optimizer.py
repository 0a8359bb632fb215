"""SGD with momentum and Adam as the reference implementations compute them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from tfres.run import checkpoints

BETA, EPSILON = 0.999, 1e-8  # of Adam: of the mean of squares, and below the root


class _Optimizer(tf.keras.optimizers.Optimizer):
    """What both have: buffers by the end of their names in checkpoints, and weights that move only sometimes."""

    ends: tuple[str, ...] = ()

    def __init__(self, learning_rate: float, momentum: float, name: str, **kwargs: Any) -> None:
        # Keras' own decay of 0 would be computed for every weight of every step.
        super().__init__(name=name, **{"jit_compile": False, "weight_decay": None, **kwargs})
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.momentum = momentum
        self._running: dict[Any, tf.Tensor] = {}

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        super().build(var_list)
        if not getattr(self, "_built", False):
            self.slots = {
                end: [self.add_variable_from_reference(v, end.removeprefix("/")) for v in var_list] for end in self.ends
            }
            self._built = True  # what Keras asks for before it makes variables again

    @property
    def buffers(self) -> list[tf.Variable]:
        """All of its variables that belong to weights."""
        return [buffer for buffers in self.slots.values() for buffer in buffers]

    @contextlib.contextmanager
    def only(self, running: Mapping[Any, tf.Tensor]) -> Iterator[None]:
        """Inside the block weights whose `ref()` is in `running` move only where that (scalar bool) is true."""
        self._running = {self._var_key(key.deref()): on for key, on in running.items()}
        try:
            yield
        finally:
            self._running = {}

    def get_config(self) -> dict[str, Any]:
        rate = self._serialize_hyperparameter(self._learning_rate)
        return {**super().get_config(), "learning_rate": rate, "momentum": self.momentum}


@tf.keras.saving.register_keras_serializable(package="tfres")
class MomentumSGD(_Optimizer):
    """SGD whose momentum buffer holds gradients, not learning-rate-scaled steps.

        m <- momentum m + g;   w <- w - rate m                        (plain)
                               w <- w - rate (g + momentum m)         (Nesterov)

    This is TensorFlow 1's and PyTorch's form. Keras' own SGD keeps the rate inside the buffer and differs when the rate
    changes from step to step.

    Args:
        learning_rate: the rate.
        momentum: 0 for none.
        nesterov: see above.
    """

    ends = (checkpoints.SLOT,)

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = True,
        name: str = "MomentumSGD",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate, momentum, name, **kwargs)
        self.nesterov = nesterov

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        key = self._var_key(variable)
        buffer, on = self.slots[checkpoints.SLOT][self._index_dict[key]], self._running.get(key)
        rate, momentum = tf.cast(self.learning_rate, variable.dtype), tf.cast(self.momentum, variable.dtype)
        if on is not None:  # the gradient of what did not run is 0
            rate, momentum = tf.where(on, rate, 0), tf.where(on, momentum, 1)
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=buffer.handle,
            lr=rate,
            grad=gradient,
            momentum=momentum,
            use_nesterov=self.nesterov,
        )

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "nesterov": self.nesterov}


@tf.keras.saving.register_keras_serializable(package="tfres")
class Adam(_Optimizer):
    """Adam in PyTorch's form, with EPSILON outside of the root; t counts steps from 1.

        m <- momentum m + (1 - momentum) g;   v <- BETA v + (1 - BETA) g^2
        w <- w - rate m / (1 - momentum^t) / (sqrt(v / (1 - BETA^t)) + EPSILON)

    Args:
        learning_rate: the rate.
        momentum: see above.

    Reference: Kingma and Ba, arXiv 1412.6980.
    """

    ends = checkpoints.ADAM_SLOTS

    def __init__(self, learning_rate: float = 0.001, momentum: float = 0.9, name: str = "Adam", **kwargs: Any) -> None:
        super().__init__(learning_rate, momentum, name, **kwargs)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        key = self._var_key(variable)
        mean, square = (self.slots[end][self._index_dict[key]] for end in self.ends)
        step = tf.cast(self.iterations + 1, variable.dtype)
        updates = adam_values(variable, mean, square, gradient, self.learning_rate, self.momentum, step)
        on = self._running.get(key)
        for target, value in updates:
            target.assign(value if on is None else tf.where(on, value, target.value()))


def adam_values(
    variable: Any, mean: Any, square: Any, gradient: tf.Tensor, rate: Any, momentum: float, step: tf.Tensor
) -> list[tuple[Any, tf.Tensor]]:
    """What the variable and its two buffers become after a step (counted from 1), see `Adam`."""
    kind = variable.dtype.base_dtype
    rate = tf.cast(rate, kind)
    m = momentum * mean.value() + (1 - momentum) * gradient
    v = BETA * square.value() + (1 - BETA) * tf.square(gradient)
    change = rate * (m / (1 - momentum**step)) / (tf.sqrt(v / (1 - BETA**step)) + EPSILON)
    return [(variable, variable.value() - change), (mean, m), (square, v)]


def make_optimizer(training: Any, rate: float, first_step: int) -> MomentumSGD | Adam:
    """The optimizer of a recipe's `TrainingOptions`, after so many steps."""
    if training.optimizer == "sgd":
        return MomentumSGD(rate, training.momentum, training.nesterov)
    made = Adam(rate, training.momentum)
    made.iterations.assign(first_step)
    return made
