"""BN calibration: statistics of the norms at a setting, measured anew."""

import tensorflow as tf

from quant import StepScope
from tfres.layers import SwitchableBatchNorm


def calibrate(model, setting, batches):
    """Set the moving means and variances of one setting's norms to what they are on the given pictures.

    Both become the mean over batches, weighted by batch size, of the batch means and the unbiased batch variances; gamma,
    beta, all other settings and quantizers' bases stay. (SAN's and MutualNet's rule.)

    Args:
        model: built; has `SwitchableBatchNorm` layers.
        setting: one of `model.settings`.
        batches: iterable of float images `(batch, side, side, 3)` as the network wants them.

    Returns:
        number of pictures used.
    """
    setting = model.resolve(setting)

    def measure(images):
        with StepScope() as scope:
            model(images, setting=setting, training=True)
        norms = [(layer, records) for layer, records in scope.records() if isinstance(layer, SwitchableBatchNorm)]
        layers[:] = [layer for layer, _ in norms]
        return [records[0][1][:2] for _, records in norms]

    layers, sums, seen, traced = [], None, 0, None
    for images in batches:
        size = images.shape[0]
        if traced is None:
            spec = tf.TensorSpec([None, *images.shape[1:]], images.dtype)
            traced = tf.function(measure).get_concrete_function(spec)
        measured = [[size * value for value in pair] for pair in traced(images)]
        sums = measured if sums is None else tf.nest.map_structure(tf.add, sums, measured)
        seen += size
    for layer, (mean, variance) in zip(layers, sums, strict=True):
        branch = layer.branch(setting)
        branch["moving_mean"].assign(mean / seen)
        branch["moving_variance"].assign(variance / seen)
    return seen
