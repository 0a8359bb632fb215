"""The learned quantizer inside tensorflow-model-optimization."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_optimization as tfmot

from quant import LQQuantizeConfig, tfmot_objects

keras_quantization = tfmot.quantization.keras


def _model():
    annotate = keras_quantization.quantize_annotate_layer
    model = tf.keras.Sequential(
        [
            annotate(
                tf.keras.layers.Conv2D(8, 3, activation="relu", input_shape=(8, 8, 2)),
                LQQuantizeConfig(weight_bits=2, activation_bits=2),
            ),
            annotate(tf.keras.layers.DepthwiseConv2D(3, activation="relu"), LQQuantizeConfig(weight_bits=3)),
            tf.keras.layers.Flatten(),
            annotate(tf.keras.layers.Dense(2), LQQuantizeConfig(weight_bits=2)),
        ]
    )
    with keras_quantization.quantize_scope(tfmot_objects()):
        return keras_quantization.quantize_apply(model)


def test_stock_model_becomes_low_bit_and_learns(rng, tmp_path):
    model = _model()
    labels = rng.integers(0, 2, 64)
    images = (rng.standard_normal((64, 8, 8, 2)) + labels[:, None, None, None]).astype(np.float32)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    bases = {w.name: w.numpy() for w in model.weights if "basis" in w.name}
    assert len(bases) == 3 * 4
    model.fit(images, labels, batch_size=16, epochs=20, verbose=0)
    assert model.evaluate(images, labels, verbose=0)[1] > 0.9
    assert all(not np.array_equal(w, bases[w.name]) for w in model.weights if w.name in bases)
    convolution = next(layer for layer in model.layers if "conv2d" in layer.name)
    hidden = tf.keras.Model(model.input, convolution.output)(images[:4]).numpy()
    assert len(np.unique(hidden)) <= 4
    model.save_weights(tmp_path / "weights.h5")
    other = _model()
    other.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(other(images), model(images))


def test_layer_without_kernel():
    with pytest.raises(ValueError, match="needs a layer with a kernel. Received: ReLU"):
        LQQuantizeConfig(2).get_weights_and_quantizers(tf.keras.layers.ReLU())
