"""Converted MutualNets and slimmable networks against the references: logits on the grid, training steps, calibration."""

import numpy as np
import pytest
import tensorflow as tf

from quant import At, StepScope
from tests.reference import fill, generator, observe, relative, standard_images
from tests.tasks.fakes import classification
from tfres.convert import from_reference
from tfres.convert.mutualnet import reference_name
from tfres.engines.optimizer import MomentumSGD
from tfres.evaluation.calibration import calibrate
from tfres.layers import MultiResolutionCrop
from tfres.objectives import MutualLearning
from tfres.settings import Setting

EVALUATIONS = [
    "mobilenet_v1", "mobilenet_v2", "resnet50", "wideresnet_10_2", "mobilenet_v1_scaled_1.6", "s_mobilenet_v2",
    "autoslim_mobilenet_v1",
]  # fmt: skip


@pytest.fixture
def converted(golden):
    """The golden, the reference's name of the network, and ours."""

    def convert(name, **overrides):
        reference = golden(f"mutualnet_{name}")
        settings, tensors = reference["settings"], fill(reference["tensors"])
        if "fill" in reference and "multiplied" in reference["fill"]:
            end, factor = ("body.7.weight", 0.25) if name == "resnet50" else ("conv2.weight", 0.5)
            tensors |= {key: value * np.float32(factor) for key, value in tensors.items() if key.endswith(end)}
        lists, widths = settings.get("channel_num_list"), settings["width_mult_list"]
        if lists:
            overrides |= {"channel_lists": lists, "widths": widths}
        else:
            overrides |= {"widths": widths, "width_range": settings.get("width_mult_range", [widths[0], widths[-1]])}
        arch = settings["app"].removesuffix("_train_val")
        return reference, arch, from_reference("mutualnet", arch, tensors, **overrides)

    return convert


@pytest.mark.parametrize("name", EVALUATIONS)
def test_logits_at_every_width_and_side(converted, name):
    reference, arch, model = converted(name)
    settings = reference["settings"]
    for output in reference["outputs"]:
        at = output["setting"]
        side, width = at.get("resolution", settings.get("image_size", 96)), at.get("width", at.get("switch"))
        if isinstance(reference["input"]["shape"], str):
            batch = int(reference["input"]["shape"].strip("[").split(",")[0])
        else:
            batch = reference["input"]["shape"][0]
        setting = Setting(side, subnet=str(width)) if settings.get("channel_num_list") else Setting(side, width)
        x = standard_images(batch, side)
        assert relative(model(x, setting=setting), output["logits"]) < 1e-4, setting
        if arch in ("mobilenet_v1", "mobilenet_v2"):
            stages = [model.backbone.stem[1], *model.backbone.blocks]
            for (_, shape, norm), found in zip(output["taps"][1:], observe(model, stages, x, setting)[1:], strict=False):
                assert list(found.shape) == [shape[0], *shape[2:], shape[1]]
                assert np.linalg.norm(found) == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("name", ["train_mobilenet_v1", "train_wideresnet_10_2"])
def test_training_steps_in_float64(converted, name):
    reference, arch, model = converted(name, dtype="float64")
    settings, sides = reference["settings"], reference["settings"]["resolution_list"]
    slots = {f"w{width:g}": i for i, width in enumerate(settings["width_mult_list"])}
    named = {reference_name(v.name.removesuffix(":0"), slots, arch): v for v in model.weights}
    trained = {key: v for key, v in named.items() if v.trainable}
    decay_on = "kernels" if settings["dataset"] == "imagenet1k" else "all"
    rows = {row[0]: row[1] for row in reference["param_groups"]["rows"]}
    decayed = {v.ref() for v in model.decayed_weights(decay_on)}
    assert {key: settings["weight_decay"] if v.ref() in decayed else 0 for key, v in trained.items()} == rows
    objective = MutualLearning(kd=True, weight_decay=settings["weight_decay"], decay_on=decay_on)
    optimizer = MomentumSGD(settings["lr"], settings["momentum"], nesterov=settings["nesterov"])
    pictures, answers = generator(2026), generator(2027)
    for number, figures in enumerate(reference["outputs"]):
        batch = settings["batch"]
        x = pictures.standard_normal((batch, 3, sides[0], sides[0])).astype("f").transpose(0, 2, 3, 1).astype("d")
        labels = tf.constant(answers.integers(0, settings["num_classes"], batch), tf.int32)
        subnets = {
            f"{i}": (At(Setting(width_mult=s["width"])), _resized(x, s["resolution"]))
            for i, s in enumerate(figures["subnets"])
        }
        del subnets["0"]
        before = {key: v.numpy() for key, v in trained.items()}
        with StepScope() as step, tf.GradientTape() as tape:
            outcome = objective.sandwich(model, tf.constant(x), labels, classification(settings["num_classes"]), subnets)
            loss = tf.add_n(list(outcome.terms.values()))
        terms = ["cross_entropy", *(f"distillation_{key}" for key in subnets)]
        np.testing.assert_allclose([outcome.terms[t] for t in terms], [s["loss"] for s in figures["subnets"]], rtol=1e-6)
        gradients = dict(zip(trained, tape.gradient(loss, list(trained.values())), strict=True))
        largest = max(figures["grad_norms"].values())
        for key, norm in figures["grad_norms"].items():
            ours = np.linalg.norm(gradients[key] - rows[key] * before[key])
            assert abs(ours - norm) <= 1e-6 * norm + 1e-7 * largest, key
        optimizer.learning_rate = settings["lr"] / 2 * (1 + np.cos(np.pi * number / settings["cosine_total_steps"]))
        optimizer.apply_gradients([(gradients[key], v) for key, v in trained.items()])
        step.apply()
        for key, norm in figures["update_norms"].items():
            assert np.linalg.norm(trained[key] - before[key]) == pytest.approx(norm, rel=1e-5), key
            assert np.linalg.norm(trained[key]) == pytest.approx(figures["param_norms_after"][key], rel=1e-6), key
        _compare_statistics(named, figures["bn_after_step"])
        for width in sorted(settings["width_mult_list"], reverse=True):  # the reference's log pass moves them again
            with StepScope() as step:
                model.run(tf.constant(x), At(Setting(width_mult=width)), training=True)
            step.apply()
        _compare_statistics(named, figures["bn_after_log_pass"])


def _compare_statistics(named, figures):
    for key, value in figures.items():
        assert np.linalg.norm(named[key]) == pytest.approx(value["norm"], rel=1e-6), key
        np.testing.assert_allclose(named[key][:5], value["first5"], rtol=2e-6, atol=1e-7, err_msg=key)


def _resized(x, side):
    """Bilinear with aligned corners, in float64."""
    positions = np.linspace(0, x.shape[1] - 1, side)
    low = np.minimum(positions.astype(int), x.shape[1] - 2)
    share = positions - low
    rows = x[:, low] * (1 - share)[:, None, None] + x[:, low + 1] * share[:, None, None]
    return tf.constant(rows[:, :, low] * (1 - share)[:, None] + rows[:, :, low + 1] * share[:, None])


@pytest.mark.parametrize("name", ["bn_calibration_mobilenet_v1", "bn_calibration_wideresnet_10_2"])
def test_calibration(converted, name):
    reference, arch, model = converted(name)
    for figures in reference["outputs"]:
        at = figures["setting"]
        setting = Setting(at["resolution"], at["width"])
        plain = model.materialize(setting, model.uncalibrated(setting))
        pictures = generator(2026)
        crop = _plain_crop(at["resolution"])
        batches = []
        for _ in range(at["batches_consumed"]):
            x = pictures.standard_normal((8, 3, at["image"], at["image"])).astype("f").transpose(0, 2, 3, 1)
            batches.append(crop.at(tf.constant(x), at["resolution"]))
        calibrate(plain, batches)
        wider = model.extended({setting: plain.private_values(setting, setting)})
        slots = {str(setting): reference["settings"]["width_mult_list"].index(at["width"])}
        named = {
            reference_name(v.name.removesuffix(":0"), slots, arch): v.numpy()
            for v in wider.weights
            if v.name.rpartition("/")[2].startswith(f"{setting}_")
        }
        assert set(named) == set(figures["stats_norms"])
        for key, norm in figures["stats_norms"].items():
            assert np.linalg.norm(named[key]) == pytest.approx(norm, rel=1e-4), key
        for key, values in figures.get("stats_full", {}).items():
            assert relative(named[key], values) < 1e-4, key
        x = standard_images(len(figures["logits"]), at["resolution"], seed=2028)
        assert relative(wider(x, setting=setting), figures["logits"]) < 1e-4


def _plain_crop(side):
    """Resizes and leaves the values."""
    return MultiResolutionCrop([side], "align_corners", std=(1 / 255,) * 3)


def test_resize(golden):
    reference = golden("mutualnet_resize")
    for output in reference["outputs"]:
        start, end = output["setting"]["from_side"], output["setting"]["to_side"]
        x = tf.constant(generator(2026).standard_normal((3, start, start)).astype("f").transpose(1, 2, 0)[None])
        y = _plain_crop(end).at(x, end).numpy()[0]
        assert np.linalg.norm(y) == pytest.approx(output["norm"], rel=1e-5)
        first, last = output["row0"], output["last_row"]  # the start of the first channel, the end of the last one
        np.testing.assert_allclose(y[0, : len(first), 0], first, atol=1e-5)
        np.testing.assert_allclose(y[-1, -len(last) :, -1], last, atol=1e-5)
