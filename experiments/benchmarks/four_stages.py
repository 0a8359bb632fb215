"""A plain network with four exits, for what early exit costs: stages of equal work, so that time and multiply-adds compare."""

import dataclasses

import tensorflow as tf

from quant import QuantConv2D
from tfres.layers import SwitchableBatchNorm
from tfres.models.backbones import Parts
from tfres.models.exit_ways import Heads, Trunk
from tfres.models.exits import ExitNetwork
from tfres.models.options import NetworkOptions

STAGES = (1, 2, 3, 4)


@dataclasses.dataclass(frozen=True)
class FourStagesOptions(NetworkOptions):
    """The network.

    Args:
        resolutions: side in pixels, one.
        channels: of all convolutions.
        convolutions: of a stage.
        exits: their numbers.
    """

    resolutions: list[int] = dataclasses.field(default_factory=lambda: [56])
    channels: int = 128
    convolutions: int = 4
    exits: list[int] = dataclasses.field(default_factory=lambda: [*STAGES])


class FourStages(ExitNetwork):
    """3x3 convolutions at half the side, a head behind every stage: the mean over the map and a final layer."""

    Options = FourStagesOptions

    def costs_on_the_way(self, number, skipped=()):
        options = self.options
        pixels = (-(-options.resolutions[0] // 2)) ** 2
        heads = [one for one in STAGES[:number] if one == number or one not in skipped]
        convolutions = 3 + options.channels * options.convolutions * number
        return {"macs": 9 * pixels * options.channels * convolutions + len(heads) * options.channels * options.classes}

    def make_backbone(self, parts):
        return _Stages(parts, self.options, name="backbone")

    def make_heads(self, parts):
        heads = {number: _Head(self.options.classes, name=f"exit{number}") for number in STAGES}
        return Heads(heads, [self.options.classes], cascade=False)

    def parts(self):
        return Parts(
            channels=lambda count, place, ratio=1: count,
            conv=lambda channels, kernel_size, strides, name: QuantConv2D(
                channels, kernel_size, strides=strides, padding="same", use_bias=False, name=name
            ),
            depthwise=None,
            norm=lambda channels, name: SwitchableBatchNorm(["all"], name=name),
            quantizer=lambda name: None,
        )


class _Stages(Trunk):
    def __init__(self, parts, options, name):
        super().__init__(name=name)
        self.exits, self.borders = STAGES, frozenset()
        self.channels = options.channels
        count = 1 + len(STAGES) * options.convolutions
        self.convs = [parts.conv(options.channels, 3, 1 if place else 2, f"conv{place}") for place in range(count)]
        self.norms = [parts.norm(options.channels, f"norm{place}") for place in range(count)]
        self._per_stage = options.convolutions

    def begin(self, images, training=None):
        return self._unit(images, 0, training)

    def advance(self, state, number, training=None):
        for place in range((number - 1) * self._per_stage + 1, number * self._per_stage + 1):
            state = self._unit(state, place, training)
        return state, state

    def _unit(self, x, place, training):
        with tf.name_scope(f"{self.name}/"):
            return tf.nn.relu(self.norms[place](self.convs[place](x), training=training))


class _Head(tf.keras.layers.Layer):
    def __init__(self, classes, name):
        super().__init__(name=name)
        self.linear = tf.keras.layers.Dense(classes, name="linear")

    def call(self, x, before=None, training=None):
        return self.linear(tf.reduce_mean(x, [1, 2]))
