"""The task's parts: one cut for evaluation and serving, losses, answers."""

import itertools
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.helpers import opened, options
from tfres.tasks.classification.losses import smoothed
from tfres.tasks.classification.task import Classification


@pytest.fixture
def photographs(tmp_path, rng):
    """Real JPEG files of several shapes, one of them as large as the side already."""
    for split, name in itertools.product(("train", "val"), ("a", "b")):
        folder = tmp_path / "photographs" / split / name
        folder.mkdir(parents=True)
        for number, (height, width) in enumerate(((24, 24), (40, 61), (70, 33))):
            image = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
            (folder / f"{number}.jpg").write_bytes(tf.io.encode_jpeg(image, quality=95).numpy())
    return tmp_path / "photographs"


_CUTS = list(itertools.product(("torchvision", "tensorpack"), (None, "each", "once"), ("area", "pad", "none")))


@pytest.mark.parametrize(("rules", "cut", "crop"), _CUTS)
def test_evaluation_and_serving_cut_alike(photographs, rules, cut, crop):
    """With data.side above the largest resolution; every picture of the pipeline equals the served one, to the last bit."""
    task, source = opened(photographs, rules=rules, evaluation_cut=cut, crop=crop, side=24)
    sizes = (20, 16)
    (batch,) = [b for b in task.evaluation_batches(source, sizes)][:1]
    for size, image in itertools.product(sizes, range(3)):
        encoded = pathlib.Path(source.validation.paths[image]).read_bytes()
        served = task.evaluation_picture(encoded, size).numpy()
        np.testing.assert_array_equal(batch["images"][size][image], served)
        assert served.shape[0] == (size if task.data.cuts_anew else 24)
        if image == 0 and crop != "area" and not task.data.cuts_anew:
            np.testing.assert_array_equal(served, tf.io.decode_jpeg(encoded, dct_method="INTEGER_ACCURATE"))
    ours = task.prepare(batch, sizes, training=False)[0]
    assert [ours[size].shape[1:] for size in sizes] == [(20, 20, 3), (16, 16, 3)]


@pytest.mark.parametrize("side", [16, 24])
@pytest.mark.parametrize("rules", ["torchvision", "tensorpack"])
def test_pictures_in_memory_are_served_as_they_are_evaluated(side, rules):
    """Whole where they have the right size, else cut; also as files."""
    task, _ = opened("fake", side=side, rules=rules)
    source = Classification.open(options("fake", side=16), 10)
    batch = next(iter(task.evaluation_batches(source, [12])))
    for number in range(4):
        image = tf.constant(source.validation.images[number])
        for picture in (image, tf.io.encode_png(image)):
            served = task.evaluation_picture(picture, 12).numpy()
            np.testing.assert_array_equal(batch["images"][12][number], served)
            assert served.shape == (side, side, 3) and (side > 16 or np.array_equal(served, image))


def test_the_cut_can_be_traced_and_mapped(photographs):
    task, source = opened(photographs)
    encoded = [pathlib.Path(path).read_bytes() for path in source.validation.paths[:2]]

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def cut(encoded):
        spec = tf.TensorSpec([16, 16, 3], tf.uint8)
        return tf.map_fn(lambda one: task.evaluation_picture(one, 16), encoded, fn_output_signature=spec)

    for ours, one in zip(cut(encoded), encoded, strict=True):
        np.testing.assert_array_equal(ours, task.evaluation_picture(one, 16))


def test_resolved_by_the_source():
    task, source = opened("fake", crop=None, mean=None, std=None)
    assert (task.data.crop, task.data.evaluation_cut, task.data.lighting) == ("pad", "once", 0.0)
    assert task.data.mean == list(source.mean) and not task.data.cuts_anew
    with pytest.raises(ValueError, match="`data` must be resolved. Received: data without crop"):
        Classification(options("fake", crop=None), ["a"])
    with pytest.raises(ValueError, match="`outputs` must be at least the 2 classes. Received: outputs=1"):
        Classification(options("fake"), ["a", "b"], 1)


@pytest.mark.parametrize("size", [(16, 12), (16,), (16, 16, 3)])
def test_sizes_must_be_square(size):
    with pytest.raises(ValueError, match="Sizes of classification must be square"):
        opened("fake")[0].evaluation_picture(tf.zeros([16, 16, 3], tf.uint8), size)


@pytest.mark.parametrize("dtype", [tf.bfloat16, tf.float16, tf.float32, tf.float64])
def test_losses(rng, dtype):
    task, _ = opened("fake")
    logits, teacher = (tf.cast(rng.standard_normal((6, 10)), dtype) for _ in range(2))
    labels = rng.integers(0, 10, 6)
    z, t = (np.asarray(tf.cast(x, tf.float64)) for x in (logits, teacher))
    log_q, log_p = (x - np.log(np.exp(x).sum(1, keepdims=True)) for x in (z, t))
    kept = tf.float64 if dtype == tf.float64 else tf.float32
    for value, expected in (
        (task.loss(logits, labels), -log_q[np.arange(6), labels].mean()),
        (
            task.loss(logits, smoothed(tf.constant(labels), 0.2, 10)),
            -(0.8 * log_q[np.arange(6), labels] + 0.02 * log_q.sum(1)).mean(),
        ),
        (task.divergence(teacher, logits), (np.exp(log_p) * (log_p - log_q)).sum(1).mean()),
        (task.divergence(teacher, logits, form="cross_entropy"), -(np.exp(log_p) * log_q).sum(1).mean()),
    ):
        assert value.dtype == kept
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`form` must be one of kl, cross_entropy. Received: form='l2'"):
        task.divergence(teacher, logits, form="l2")


def test_no_gradient_reaches_the_teacher(rng):
    task, _ = opened("fake")
    student, teacher = (tf.Variable(rng.standard_normal((3, 10))) for _ in range(2))
    for form in ("kl", "cross_entropy"):
        with tf.GradientTape() as tape:
            value = task.divergence(teacher, student, 2.0, form)
        gradients = tape.gradient(value, [student, teacher])
        assert gradients[0] is not None and gradients[1] is None


def test_label_smoothing_is_of_training_and_of_all_outputs():
    data = options("fake", label_smoothing=0.3)
    source = Classification.open(data, 10)
    task = Classification(data.resolved(source), source.classes, outputs=12)
    batch = next(iter(task.training_batches(source, [16], 0)))
    targets = task.prepare(batch, [16], training=True)[1].numpy()
    assert targets.shape == (4, 12)
    np.testing.assert_allclose(targets[np.arange(4), batch["targets"]], 0.7 + 0.3 / 12, rtol=1e-6)
    np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
    assert task.prepare(next(iter(task.evaluation_batches(source, [16]))), [16], training=False)[1].dtype == tf.int32


def test_answer():
    answer = opened("fake")[0].answer(tf.constant([[0.0, 2.0, 1.0]], tf.bfloat16))
    assert answer["class"].numpy().tolist() == [1] and answer["logits"].dtype == tf.float32
    np.testing.assert_allclose(tf.reduce_sum(answer["probabilities"]), 1, rtol=1e-6)
