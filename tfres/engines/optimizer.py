"""SGD with momentum as the reference implementations compute it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf


@tf.keras.saving.register_keras_serializable(package="tfres")
class MomentumSGD(tf.keras.optimizers.Optimizer):
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

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = True,
        name: str = "MomentumSGD",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, jit_compile=False, **kwargs)
        self._learning_rate = self._build_learning_rate(learning_rate)
        self.momentum = momentum
        self.nesterov = nesterov
        self._running: dict[Any, tf.Tensor] = {}

    @contextlib.contextmanager
    def only(self, running: Mapping[Any, tf.Tensor]) -> Iterator[None]:
        """Inside the block weights whose `ref()` is in `running` move only where that (scalar bool) is true."""
        self._running = {self._var_key(key.deref()): on for key, on in running.items()}
        try:
            yield
        finally:
            self._running = {}

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        super().build(var_list)
        if not getattr(self, "_built", False):
            self.buffers = [self.add_variable_from_reference(v, "Momentum") for v in var_list]
            self._built = True  # what Keras asks for before it makes variables again

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable) -> None:
        key = self._var_key(variable)
        buffer, on = self.buffers[self._index_dict[key]], self._running.get(key)
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
        return {
            **super().get_config(),
            "learning_rate": self._serialize_hyperparameter(self._learning_rate),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
        }
