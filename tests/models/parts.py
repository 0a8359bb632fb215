"""Layers of Keras for the backbones, and a classifier around one, to compare the families' networks with."""

from __future__ import annotations

import tensorflow as tf

from quant import At
from tfres.layers import SlimChannels, SlimmableBatchNorm, SlimmableConv2D, SlimmableDense, SlimmableDepthwiseConv2D
from tfres.models.backbones import Parts
from tfres.settings import Setting


class Conv(tf.keras.layers.Conv2D):
    def call(self, inputs, at=None, training=None):
        return tf.nn.conv2d(inputs, self.kernel, self.strides, "SAME")  # Keras puts grouped ones into a function of its own


class Depthwise(tf.keras.layers.DepthwiseConv2D):
    def call(self, inputs, at=None, training=None):
        return super().call(inputs)


class Norm(tf.keras.layers.BatchNormalization):
    def call(self, inputs, at=None, training=None):
        return super().call(inputs, training=training)


class Quantizer(tf.keras.layers.Layer):
    def build(self, input_shape):
        self.basis = self.add_weight(name="basis", shape=())
        super().build(input_shape)

    def call(self, inputs, at=None, training=None):
        return tf.round(inputs * self.basis)


class Places(list):
    """`Parts.channels` that notes the count of every place and the name of the convolution that has it."""

    class Count(int):
        pass

    def __call__(self, count, place, ratio=1):
        assert place == len(self), "places are asked for in their order"
        self.append([count, ratio, None])
        number = self.Count(count)
        number.place = place
        return number

    def named(self, channels, name):
        assert self[channels.place][2] is None, "a place belongs to one convolution"
        self[channels.place][2] = name


def plain_parts(quantized=False, places=None):
    """Stock Keras layers. `places`, if given, is filled in the order of the convolutions."""
    places = Places() if places is None else places
    options = {"padding": "same", "use_bias": False}

    def conv(channels, kernel_size, strides, name, quantized=True, groups=1):
        places.named(channels, name)
        return Conv(int(channels), kernel_size, strides, groups=groups, name=name, **options)

    return Parts(
        channels=places,
        conv=conv,
        depthwise=lambda channels, kernel_size, strides, name: Depthwise(kernel_size, strides, name=name, **options),
        norm=lambda channels, name, gamma_initializer="ones": Norm(name=name, gamma_initializer=gamma_initializer),
        quantizer=lambda name: Quantizer(name=name) if quantized else None,
    )


def slim_parts(settings, upper=1.0, lists=None):
    """Slimmable layers with private norms; `lists` as AutoSlim's."""

    def channels(count, place, ratio=1):
        counts = {name: listed[place] for name, listed in (lists or {}).items()}
        return SlimChannels(count, upper, ratio is None and not counts, counts, ratio or 1)

    slots = [Setting.parse(setting) for setting in settings]
    options = {"padding": "symmetric"}
    return Parts(
        channels=channels,
        conv=lambda channels, kernel_size, strides, name, quantized=True, groups=1: SlimmableConv2D(
            channels, kernel_size, strides=strides, groups=groups, name=name, **options
        ),
        depthwise=lambda channels, kernel_size, strides, name: SlimmableDepthwiseConv2D(
            kernel_size, strides=strides, name=name, **options
        ),
        norm=lambda channels, name, gamma_initializer="ones": SlimmableBatchNorm(channels, slots, private=True, name=name),
        quantizer=lambda name: None,
    )


class Classifier(tf.keras.Model):
    """A backbone, its pooling and a dense layer."""

    def __init__(self, backbone, classes=1000):
        super().__init__()
        self.backbone = backbone
        slim = isinstance(backbone.channels, SlimChannels)
        self.classifier = SlimmableDense(classes) if slim else tf.keras.layers.Dense(classes)

    def call(self, images, setting=None, training=None):
        features = self.backbone.pool(self.backbone(images, at=At(setting), training=training))
        return self.classifier(features)
