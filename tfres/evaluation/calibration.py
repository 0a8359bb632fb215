"""Calibration: statistics of a plain network's norms, measured anew."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from quant import StepScope
from tfres.layers import SwitchableBatchNorm

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.tasks import Source, Task

BATCHES = 16


def calibrate(network: Network, batches: Iterable[tf.Tensor]) -> int:
    """Set the moving means and variances of a network's norms to what they are on the given pictures.

    Both become the mean over batches, weighted by batch size, of the batch means and the batch variances (unbiased, but where
    a norm says otherwise); gamma, beta and quantizers' bases stay.

    Args:
        network: built, of one setting (see `Network.materialize`).
        batches: iterable of float images `(batch, height, width, 3)` as the network wants them.

    Returns:
        number of pictures used.

    Raises:
        ValueError: a network of several settings, or no batch.
    """
    if len(network.settings) != 1:
        known = ", ".join(map(str, network.settings))
        raise ValueError(f"`network` must be a plain one (see `materialize`). Received: a network of the settings {known}.")
    setting, layers = network.settings[0], []

    def measured(images: tf.Tensor) -> list[Any]:
        with StepScope() as scope:
            network(images, setting=setting, training=True)
        norms = [(layer, records) for layer, records in scope.records() if isinstance(layer, SwitchableBatchNorm)]
        layers[:] = [layer for layer, _ in norms]
        return [layer.calibrated(records[0].statistics) for layer, records in norms]

    sums, seen, traced = None, 0, None
    for images in batches:
        size = images.shape[0]
        if traced is None:
            spec = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
            traced = tf.function(measured, autograph=False).get_concrete_function(spec)
        weighted = [[size * value for value in pair] for pair in traced(images)]
        sums = weighted if sums is None else tf.nest.map_structure(tf.add, sums, weighted)
        seen += size
    if not seen:
        raise ValueError("`batches` must hold at least one batch. Received: none.")
    for layer, (mean, variance) in zip(layers, sums, strict=True):
        own = layer.variables_of(setting)
        own["moving_mean"].assign(mean / seen)
        own["moving_variance"].assign(variance / seen)
    return seen


def calibration_pictures(
    task: Task, source: Source, batches: int, cut: str, sizes: list[Any], seed: int
) -> Callable[[Any], Iterator[tf.Tensor]]:
    """Training pictures for calibration, the same for every size.

    Args:
        task, source: whose pictures.
        batches: how many batches.
        cut: "training" (random crops, flips and augmentations) or "evaluation".
        sizes: of the training, which decide the random numbers of a picture.
        seed: of order and crops.

    Returns:
        function of a size giving batches as the network wants them.
    """
    kept: list[Any] = []

    def pictures(size: Any) -> Iterator[tf.Tensor]:
        if cut == "evaluation":
            found = task.evaluation_batches(source, [size], split="train", seed=seed)
            for batch in itertools.islice(found, batches):
                yield task.prepare(batch, [size], training=False)[0][size]
            return
        if not kept:
            kept.extend(itertools.islice(task.training_batches(source, sizes, seed), batches))
        for batch in kept:
            yield task.prepare(batch, [size], training=True)[0][size]

    return pictures


@dataclasses.dataclass(frozen=True)
class Calibration:
    """How a setting is calibrated.

    Args:
        batches: training batches per setting.
        cut: "training" or "evaluation".
    """

    batches: int = BATCHES
    cut: str = "training"

    def __str__(self) -> str:
        return f"{self.batches} batches cut as in {self.cut}"
