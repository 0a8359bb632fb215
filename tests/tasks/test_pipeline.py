"""The pipeline of all engines."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.helpers import opened, take
from tfres.errors import DataError
from tfres.tasks.classification.prepare import prepare


@pytest.fixture(params=["fake", "folder", "folder tensorpack", "records", "records in memory"])
def feed(request, pictures, tmp_path):
    name, *more = request.param.split(" ", 1)
    if name == "records":
        prepare(pictures, tmp_path / "records", per_shard=4)
    fields = {"rules": "tensorpack"} if more == ["tensorpack"] else {"in_memory": more == ["in memory"]}
    return opened({"fake": "fake", "folder": pictures, "records": tmp_path / "records"}[name], **fields)


def _same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name])


def test_resumed_stream_is_the_same(feed):
    whole = take(*feed, 6, shared=1)
    for first in (1, 4):
        _same(take(*feed, 6 - first, first, shared=1), whole[first:])
    batch = whole[0]
    assert batch["images"].shape == (4, 16, 16, 3) and batch["images"].dtype == np.uint8
    assert batch["targets"].dtype == np.int32 and batch["draws"].shape == (4, 5) and batch["shared"].shape == (1,)
    assert batch["draws"].min() >= 0 and batch["draws"].max() < 1
    assert not np.array_equal(batch["draws"], whole[1]["draws"]) and batch["shared"] != whole[1]["shared"]


@pytest.mark.parametrize(("replicas", "pipelines"), [(2, 1), (4, 2)])
def test_replicas_share_the_batch(feed, replicas, pipelines):
    """However the replicas are fed, together they see the batches of one, and all the same shared numbers."""
    whole = take(*feed, 3, shared=2)
    each = replicas // pipelines
    fed = [take(*feed, 3 * each, shared=2, replicas=replicas, pipeline=(n, pipelines)) for n in range(pipelines)]
    for step, expected in enumerate(whole):
        parts = [part for stream in fed for part in stream[step * each : (step + 1) * each]]
        for name in ("images", "targets", "draws"):
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), expected[name])
        for part in parts:
            np.testing.assert_array_equal(part["shared"], expected["shared"])


def test_batches_that_cannot_be_spread(pictures):
    with pytest.raises(DataError, match="`batch_size` must be a multiple of the 3 replicas"):
        take(*opened("fake"), 1, replicas=3)
    with pytest.raises(DataError, match="`batch_size` must be at most the number of training pictures, 10"):
        take(*opened(pictures, batch_size=11), 1)
    with pytest.raises(DataError, match="`crop` must be pad or none for decoded pictures"):
        take(*opened("fake", crop="area"), 1)


def test_seed_changes_everything(feed):
    one, other = (take(*feed, 4, seed=seed) for seed in (0, 1))
    assert not np.array_equal(np.concatenate([b["draws"] for b in one]), np.concatenate([b["draws"] for b in other]))
    assert any(not np.array_equal(a["images"], b["images"]) for a, b in zip(one, other, strict=True))


def test_validation_is_everything_in_order(feed):
    task, source = feed
    batches = list(task.evaluation_batches(source, [16, 12]))
    assert sum(len(batch["targets"]) for batch in batches) == source.validation.size
    small = 12 if task.data.rules == "torchvision" and task.data.source != "fake" else 16
    for batch in batches:
        assert batch["images"][16].shape[1:] == (16, 16, 3) and batch["images"][12].shape[1:] == (small, small, 3)
        assert batch["targets"].dtype == tf.int32


def test_training_pictures_as_in_evaluation(feed):
    """For calibration: every training picture once, in a random order of the seed."""
    task, source = feed
    labels = [
        np.concatenate([b["targets"] for b in task.evaluation_batches(source, [16], "train", seed)]) for seed in (None, 3, 3)
    ]
    assert len(labels[0]) == source.train.size and sorted(labels[0]) == sorted(labels[1])
    np.testing.assert_array_equal(labels[1], labels[2])
    with pytest.raises(ValueError, match="`split` must be train, validation or calibration. Received: split='test'"):
        task.evaluation_batches(source, [16], "test")


def test_one_pass_sees_every_picture_once(pictures):
    batches = take(*opened(pictures, crop="none", batch_size=5), 2)
    seen = {
        (int(label), int(image[8, 8, 0]))
        for batch in batches
        for image, label in zip(batch["images"], batch["targets"], strict=True)
    }
    assert len(seen) == 10


@pytest.mark.parametrize("sizes", [[16, 12], [(16, 16), (12, 12)]], ids=["sides", "heights and widths"])
def test_prepare_makes_every_size(feed, sizes):
    task, source = feed
    (batch,) = take(task, source, 1, sizes=sizes)
    images, targets = task.prepare(batch, sizes, training=True)
    assert list(images) == sizes and [image.shape[1] for image in images.values()] == [16, 12]
    assert targets.shape == (4,) and images[sizes[0]].dtype == tf.float32
    batch = next(iter(task.evaluation_batches(source, sizes)))
    images, targets = task.prepare(batch, sizes, training=False)
    assert list(images) == sizes and [image.shape[1] for image in images.values()] == [16, 12]


def test_keras_cv_augmentations():
    task, source = opened("fake", augment=[{"name": "RandomCutout", "height_factor": 0.5, "width_factor": 0.5}])
    images = take(task, source, 1)[0]["images"]
    assert max((images == value).mean() for value in (0, 127, 128)) > 0.05
    for layer, words in (
        ({"name": "Nothing"}, "`augment` must name layers of keras_cv.layers. Received: name='Nothing'"),
        ({"name": "RandomCutout", "size": 3}, "`augment` arguments of RandomCutout are wrong"),
    ):
        with pytest.raises(DataError, match=words):
            take(*opened("fake", augment=[layer]), 1)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixing_augmentations_mix_the_labels(name):
    task, source = opened("fake", augment=[{"name": name}, {"name": "RandAugment"}], label_smoothing=0.1)
    (batch,) = take(task, source, 1)
    assert batch["images"].dtype == np.uint8 and batch["images"].shape == (4, 16, 16, 3)
    assert batch["targets"].shape == (4, 10) and batch["targets"].dtype == np.float32
    np.testing.assert_allclose(batch["targets"].sum(1), 1, rtol=1e-5)
    smooth = task.prepare(batch, [16], training=True)[1]
    np.testing.assert_allclose(smooth, 0.9 * batch["targets"] + 0.01, rtol=1e-5)


def test_data_service(pictures):
    """A dispatcher and a worker on loopback prepare the same stream."""
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=dispatcher.target.split("://")[1]))
    expected = take(*opened(pictures), 4, shared=1)
    _same(take(*opened(pictures, service=dispatcher.target), 4, shared=1), expected)
    assert worker is not None
    with pytest.raises(DataError, match="`service` needs picture files"):
        take(*opened("fake", service=dispatcher.target), 1)
