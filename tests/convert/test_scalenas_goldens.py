"""Converted ScaleNAS supernets against the reference: every listed mask, calibration, training steps."""

import re
import zlib

import numpy as np
import pytest
import tensorflow as tf

from quant import StepScope
from tests.reference import fill, generator, relative
from tfres.convert import from_reference
from tfres.convert.scalenas import reference_name
from tfres.engines.optimizer import MomentumSGD
from tfres.evaluation.calibration import calibrate
from tfres.layers import SharedBatchNorm
from tfres.models.layer_names import observed
from tfres.models.scalenas import Mask
from tfres.objectives import OneShot
from tfres.tasks.pose.losses import heatmap_loss, squared_distance
from tfres.tasks.segmentation.losses import hard_cross_entropy, squared_difference

CLOSING = [
    re.compile(pattern)
    for pattern in (
        r"layer1\.\d+\.bn3\.weight",
        r"stage\d\.\d+\.branches\.\d+\.\d+\.bn2\.weight",
        r"stage\d\.\d+\.fuse_layers_\d\.(?P<target>\d)\.(?P<source>\d)\.1\.weight",
        r"stage\d\.\d+\.fuse_layers_\d\.(?P<target>\d)\.(?P<source>\d)\.(?P<place>\d)\.1\.weight",
    )
]
MODULES = ["stage2_0", "stage3_0", "stage3_1", "stage3_2", "stage3_3", "stage4_0", "stage4_1", "stage4_2"]
ARCHS = {"seg": "superscalenet_seg", "pose": "superscalenet_pose"}


def _closes(name):
    match = next((found for pattern in CLOSING if (found := pattern.fullmatch(name))), None)
    if match is None or "target" not in match.groupdict():
        return match is not None
    target, source = int(match["target"]), int(match["source"])
    return source > target if "place" not in match.groupdict() else int(match["place"]) == target - source - 1


def _tensors(reference, prefix=""):
    """The standard fill with smaller gammas behind residual blocks and paths, as the files' `fill` says.

    Names are seeds with `prefix` before them.
    """
    values = fill([(prefix + name, shape) for name, shape in reference["tensors"]])
    values = {name.removeprefix(prefix): value for name, value in values.items()}
    for name in filter(_closes, values):
        scale = generator(zlib.crc32((prefix + name).encode("utf-8"))).uniform(0.5, 1.5, values[name].shape)
        values[name] = (0.1 * scale).astype(np.float32)
    return values


@pytest.fixture(scope="module")
def supernets():
    """Converted networks by task and width, made when they are first asked for."""
    made = {}

    def make(reference, task, prefix=""):
        key = task, reference["settings"]["width"], prefix
        if key not in made:
            with pytest.MonkeyPatch.context() as patch:  # zeros are drawn much quicker
                kind = tf.keras.initializers.RandomNormal
                patch.setattr(kind, "__call__", lambda self, shape, dtype=None, **_: tf.zeros(shape, dtype))
                made[key] = from_reference("scalenas", ARCHS[task], _tensors(reference, prefix))
        return made[key]

    return make


def _images(about):
    images = generator(about["seed"]).standard_normal(about["shape"]).astype(np.float32)
    return images.transpose(0, 2, 3, 1)


def _code(network, setting, masks):
    """The sub-network of a golden's setting: a name, or the code of its mask."""
    if setting.get("mask"):
        return setting["mask"]
    return Mask.read(setting["modules"], network.options.space).code(network.options.space)


def _alike(ours, theirs, values="values"):
    """Maps against norms and a coarse grid of the reference's."""
    ours = np.asarray(ours).transpose(0, 3, 1, 2)
    assert np.linalg.norm(ours) == pytest.approx(theirs["norm"], rel=1e-4)
    steps = [slice(*(int(n) if n else None for n in part.split(":"))) for part in re.findall(r"\d*::\d+", theirs["grid"])]
    assert relative(ours[:, :, steps[0], steps[1]], theirs[values]) < 1e-4
    return ours


@pytest.mark.parametrize("name", ["scalenas_seg_w32", "scalenas_seg_w48", "scalenas_pose_w32"])
def test_every_mask(golden, supernets, name):
    """Outputs and the maps behind every module, the supernet itself and the extracted network of one mask."""
    reference = golden(name)
    network = supernets(reference, name.split("_")[1])
    assert network.options.width == reference["settings"]["width"]
    images = _images(reference["input"])
    for output in reference["outputs"]:
        subnet = _code(network, output["setting"], reference)
        setting = network.resolve(f"r{images.shape[1]}x{images.shape[2]}-net{subnet}")
        found = {}
        layers = ["backbone/layer1_block3", *(f"backbone/{module}" for module in MODULES)]
        seen = observed(network, layers, lambda s=setting, f=found: f.update(logits=network(images, setting=s)))
        logits = _alike(found["logits"], output)
        norms = [np.linalg.norm(channel) for channel in logits[0]]
        np.testing.assert_allclose(norms, output["per_channel_norm"][0], rtol=2e-4)
        if "max" in output:
            assert [int(np.argmax(heatmap)) for heatmap in logits[0]] == output["argmax_index"][0]
        if "upsampled" in output:
            _alike(tf.image.resize(found["logits"], output["upsampled"]["size"]), output["upsampled"])
        for ours, (module, theirs) in zip(seen.values(), output["features"].items(), strict=True):
            maps = ours if isinstance(ours, list) else [ours]
            for one, other in zip(maps, theirs, strict=True):
                assert [one.shape[axis] for axis in (0, 3, 1, 2)] == other["shape"], module
                assert np.linalg.norm(one) == pytest.approx(other["norm"], rel=1e-4), module
                assert np.mean(one) == pytest.approx(other["mean"], rel=1e-4), module
        if output["setting"] == {"mask": "P1"}:  # it has parts that cannot reach the answer
            whole, live = network.materialize(setting), network.materialize(setting, drop_dead=True)
            assert whole.cost().params == 28483633 and live.cost().params == 28393137
            for plain in (whole, live):
                assert plain.cost().params == sum(np.prod(variable.shape) for variable in plain.trainable_weights)
                np.testing.assert_array_equal(plain(images), found["logits"])


def test_calibration(golden, supernets):
    reference = golden("scalenas_bn_calib")
    network, figures = supernets(reference, "seg"), reference["outputs"][0]
    batches = [_images(about) for about in reference["input"]["calibration_batches"]]
    height, width = batches[0].shape[1:3]
    plain = network.materialize(f"r{height}x{width}-netS1")
    assert calibrate(plain, map(tf.constant, batches)) == sum(map(len, batches))
    ours = {reference_name(v.name.removesuffix(":0"), "concatenated"): v.numpy() for v in plain.weights}
    norms = figures["layers_[name,norm of running_mean,norm of running_var]"]
    assert len(norms) == len([name for name in ours if name.endswith("running_mean")])
    for name, mean, variance in norms:
        assert np.linalg.norm(ours[f"{name}.running_mean"]) == pytest.approx(mean, rel=1e-4, abs=1e-6), name
        assert np.linalg.norm(ours[f"{name}.running_var"]) == pytest.approx(variance, rel=1e-4), name
    for name, values in figures["full_statistics"].items():
        for key, value in values.items():
            assert relative(ours[f"{name}.{key}"], value) < 1e-4, name
    _alike(plain(_images(reference["input"]["test"])), figures["output_after"])


class _Classes:
    """The reference's loss of maps of classes, by the task's functions."""

    loss_name = "cross_entropy"

    def __init__(self, settings):
        self._hard = (settings["ohem"]["thres"], settings["ohem"]["min_kept"], 255, settings["class_weights"])

    def loss(self, outputs, targets):
        return hard_cross_entropy(targets, outputs, *self._hard)

    def divergence(self, teacher, student):
        return squared_difference(teacher, student)


class _Joints:
    """The same of heatmaps."""

    loss_name = "heatmaps"

    def __init__(self, settings):
        assert settings["target_weight"]

    def loss(self, outputs, targets):
        return heatmap_loss(outputs, *targets)

    def divergence(self, teacher, student):
        return squared_distance(teacher, student)


def _targets(task, shape):
    if task == "pose":
        maps = generator(2027).random((2, 17, 32, 24)).astype(np.float32).transpose(0, 2, 3, 1)
        weights = (generator(2028).random((2, 17, 1)) < 0.8).astype(np.float32)[:, :, 0]
        return tf.constant(maps), tf.constant(weights)
    labels = generator(2027).integers(0, 19, shape)
    return tf.constant(np.where(generator(2028).random(shape) < 0.1, 255, labels))


@pytest.mark.parametrize("task", ["seg", "pose"])
def test_training_step(golden, supernets, task):
    """Losses, gradients, statistics and the first step, by the extracted network of the mask.

    Single ReLUs decide otherwise from run to run, and the gradients of their tensors follow, so that single updates may be off
    by as much as single gradients; all together are not.
    """
    reference = golden(f"scalenas_train_step_{task}")
    settings, figures = reference["settings"], reference["outputs"][0]
    network, teacher = (supernets(reference, task, prefix) for prefix in ("", "teacher."))
    images = tf.constant(_images(reference["input"]["image"]))
    height, width = images.shape[1:3]
    plain = network.materialize(f"r{height}x{width}-net{settings['student_mask']}")
    kind = {"seg": _Classes, "pose": _Joints}[task](settings)
    objective = OneShot(kd=True, ratio=settings["kd_ratio"], teacher=teacher, weight_decay=5e-4, decay_on="all")
    named = {reference_name(v.name.removesuffix(":0"), plain.options.head): v for v in plain.weights}
    trained = {name: variable for name, variable in named.items() if variable.trainable}
    before = {name: variable.numpy() for name, variable in trained.items()}
    targets = _targets(task, (2, height, width))

    with StepScope() as step, tf.GradientTape() as tape:
        outcome = objective(plain, {plain.size(): images}, targets, kind)
        terms = dict(outcome.terms)
        del terms["weight_decay"]
        loss = tf.add_n(list(terms.values()))
    (student,) = outcome.outputs.values()
    assert float(terms[kind.loss_name]) == pytest.approx(figures["task_loss"], rel=1e-4)
    assert float(terms["distillation"]) / settings["kd_ratio"] == pytest.approx(figures["kd_loss"], rel=1e-4)
    assert float(loss) == pytest.approx(figures["total"], rel=1e-4)
    assert np.linalg.norm(student) == pytest.approx(figures["output_norm"], rel=1e-4)
    found = zip(trained, tape.gradient(loss, list(trained.values())), strict=True)
    gradients = {name: gradient for name, gradient in found if gradient is not None}  # dead parts have none
    assert len(gradients) == figures["parameters_with_gradient"]
    total = np.sqrt(sum(np.sum(np.square(gradient)) for gradient in gradients.values()))
    assert total == pytest.approx(figures["global_grad_norm"], rel=1e-3)
    for name, norm in figures["gradient_norms"].items():
        assert np.linalg.norm(gradients[name]) == pytest.approx(norm, rel=1e-2, abs=1e-6), name

    rule, optimizer = figures["sgd_step"], MomentumSGD(0.001, 0.9, nesterov=False)
    assert (rule["lr"], rule["momentum"], rule["weight_decay"]) == (0.001, 0.9, 5e-4)
    optimizer.apply_gradients([(gradient + 5e-4 * before[name], trained[name]) for name, gradient in gradients.items()])
    away = {name: np.linalg.norm(trained[name] - before[name]) / norm - 1 for name, norm in rule["update_norms"].items()}
    assert max(map(abs, away.values())) < 1e-2, away
    updates = [np.linalg.norm(trained[name] - before[name]) for name in away]
    assert np.linalg.norm(updates) == pytest.approx(np.linalg.norm([*rule["update_norms"].values()]), rel=1e-3)
    moved = {id(layer) for layer, _ in step.records()}
    step.apply()
    assert (len(moved), figures["batch_norms_total"]) == (figures["batch_norms_updated"], len(_norms(network)))
    for name, after in figures["running_statistics_after"].items():
        mean, variance = named[f"{name}.running_mean"], named[f"{name}.running_var"]
        assert np.linalg.norm(mean) == pytest.approx(after["mean_norm"], rel=1e-4), name
        assert np.linalg.norm(variance) == pytest.approx(after["var_norm"], rel=1e-4), name
        np.testing.assert_allclose(mean[:4], after["first4_mean"], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(variance[:4], after["first4_var"], rtol=1e-3, atol=1e-4)


def _norms(network):
    return [layer for layer in network._flatten_layers() if isinstance(layer, SharedBatchNorm)]
