"""SAN: counts, generated kernels, saving, the served form, the plain network at one setting."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At, StepScope
from tests.models.test_rsnet import randomise
from tests.models.test_rsnet_float import COUNTS
from tfres.families import find, from_preset
from tfres.layers import MetaConv2D, MetaDepthwiseConv2D

# Live parameters at n = 5, generated kernel weights, parameters of the norms per resolution.
LIVE = {
    "meta_resnet18": (22_885_416, 11_157_504, 9_600),
    "meta_resnet34": (43_124_008, 21_258_240, 17_024),
    "meta_resnet50": (49_215_016, 23_445_504, 53_120),
    "meta_resnet101": (87_355_944, 42_385_408, 105_344),
    "meta_resnet152": (118_781_480, 57_982_976, 151_424),
    "meta_resnext50_32x4d": (48_204_072, 22_902_272, 68_224),
    "meta_resnext101_32x8d": (176_132_904, 86_530_048, 202_880),
    "meta_mobilenetv2": (5_831_080, 2_189_760, 34_112),
}


def tiny(arch="meta_resnet20", **overrides):
    model = from_preset(arch, **{"width_mult": 0.25, "resolutions": (32, 24), "classes": 5, **overrides})
    model.build()
    return model


def _metas(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, (MetaConv2D, MetaDepthwiseConv2D))]


@pytest.mark.usefixtures("unfilled")
@pytest.mark.parametrize("arch", LIVE)
def test_counts_of_the_specification(arch):
    live, generated, norms = LIVE[arch]
    model = from_preset(arch)
    model.build()
    assert sum(w.shape.num_elements() for w in model.trainable_weights) == live
    assert sum(layer.slope.shape.num_elements() for layer in _metas(model)) == generated
    assert sum(w.shape.num_elements() for w in model.trainable_weights if "/r96_" in w.name) == norms
    macs = COUNTS[arch.removeprefix("meta_")][1]
    for side, index in ((224, 0), (96, -1)):
        assert model.cost(side).macs / 1e6 == pytest.approx(macs[index], abs=0.0051)


@pytest.mark.parametrize("arch", ["meta_resnet20", "meta_mobilenetv2"])
def test_saving_served_and_plain_forms_at_every_setting(rng, tmp_path, arch):
    model = tiny(arch, resolutions=(64, 48), calibrated=(56,))
    randomise(model, rng)
    model.save(tmp_path / "model.keras")
    loaded, served = tf.keras.models.load_model(tmp_path / "model.keras"), model.served()
    assert loaded.get_config() == model.get_config()
    for setting in model.settings:
        x = tf.constant(rng.standard_normal((2, setting.resolution, setting.resolution, 3)), tf.float32)
        expected = model(x, setting=setting)
        for other in (loaded(x, setting=setting), served.run(x, served.at(setting)), model.materialize(setting)(x)):
            np.testing.assert_allclose(other, expected, rtol=1e-5, atol=1e-5)


def test_kernels_lie_on_a_line(rng):
    """K(e) is the interpolation of the kernels at any two encodings; the stem is not generated."""
    layer = _metas(tiny())[0]
    low, high = (layer.slope * e + layer.latent_kernel for e in (0.075, 0.1))
    np.testing.assert_allclose(layer.generated_kernel(At("r24")), low, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(layer.generated_kernel(At("r32")), high, rtol=1e-6, atol=1e-7)
    between = layer.generated_kernel(At(shares=tf.constant([0.25, 0.75])))
    np.testing.assert_allclose(between, 0.75 * low + 0.25 * high, rtol=1e-5, atol=1e-6)
    assert not any(layer.name == "conv0" for layer in _metas(tiny()))
    assert any(layer.name == "conv0" for layer in _metas(tiny("meta_mobilenetv2")))


def test_a_kernel_is_generated_once_per_setting_and_step(monkeypatch):
    model, calls = tiny(), []
    layer = _metas(model)[0]
    generate = layer.generated_kernel
    monkeypatch.setattr(layer, "generated_kernel", lambda at=None: calls.append(str(at.setting)) or generate(at))
    x = tf.zeros([1, 24, 24, 3])
    with StepScope():
        for setting in ("r24", "r24", "r32", "r24"):
            model(x, setting=setting)
    assert calls == ["r24", "r32"]


def test_zero_slope_is_the_plain_convolution(rng):
    layer = MetaConv2D(4, 3, encodings={"r32": 0.1}, padding="symmetric", use_bias=False)
    plain = tf.keras.layers.Conv2D(4, 3, padding="same", use_bias=False)
    x = tf.constant(rng.standard_normal((2, 8, 8, 3)), tf.float32)
    layer(x, at=At("r32"))
    plain.build(x.shape)
    plain.set_weights([layer.kernel])
    np.testing.assert_array_equal(layer(x, at=At("r32")), plain(x))


def test_encodings_and_errors():
    model = tiny(encodings={24: 0.6})
    assert [model.encoding(r) for r in (32, 24, 16)] == [0.1, 0.6, 0.05]
    with pytest.raises(ValueError, match="`mode` must be one of float"):
        tiny(mode="preact")
    with pytest.raises(ValueError, match="Did you mean 'meta_resnet18'"):
        find("meta_resnet19")
