"""The pipeline of both engines."""

import itertools

import numpy as np
import pytest
from tfres.data.errors import DataError, SourceError
from tfres.data.faults import find_faults
from tfres.data.pipeline import training_batches, validation_batches
from tfres.data.prepare import prepare
from tfres.data.sources import open_source

from tfres.recipe import DataRecipe


def _take(source, recipe, count, first_step=0, seed=0):
    batches = itertools.islice(training_batches(source, recipe, seed, first_step, draws=2), count)
    return [[np.asarray(part) for part in batch] for batch in batches]


def _recipe(source, **fields):
    crop = "pad" if source == "fake" else "area"
    fixed = {"source": str(source), "batch_size": 4, "side": 16, "fake_size": 18, "crop": crop, "rules": "torchvision"}
    return DataRecipe(**{**fixed, **fields})


@pytest.fixture(params=["fake", "folder", "folder tensorpack", "records", "records in memory"])
def opened(request, pictures, tmp_path):
    name, *options = request.param.split(" ", 1)
    if name == "records":
        prepare(pictures, tmp_path / "records", per_shard=4)
    fields = {"rules": "tensorpack"} if options == ["tensorpack"] else {"in_memory": options == ["in memory"]}
    recipe = _recipe({"fake": "fake", "folder": pictures, "records": tmp_path / "records"}[name], **fields)
    return open_source(recipe), recipe


def test_resumed_stream_is_the_same(opened):
    source, recipe = opened
    whole = _take(source, recipe, 7)
    for first in (1, 3, 5):
        for ours, theirs in zip(_take(source, recipe, 7 - first, first), whole[first:], strict=True):
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(a, b)
    images, labels, draws = whole[0]
    assert images.shape == (4, 16, 16, 3) and images.dtype == np.uint8
    assert labels.dtype == np.int32 and draws.shape == (4, 2)
    assert draws.min() >= 0 and draws.max() < 1 and not np.array_equal(draws, whole[1][2])


@pytest.mark.parametrize(("replicas", "pipelines"), [(2, 1), (2, 2), (4, 2)])
def test_replicas_share_the_batch(opened, replicas, pipelines):
    """However the replicas are fed, together they see the batches of one."""
    source, recipe = opened
    whole = _take(source, recipe, 3)
    each = replicas // pipelines
    fed = []
    for number in range(pipelines):
        batches = training_batches(source, recipe, 0, 0, 2, replicas, (number, pipelines))
        fed.append([[np.asarray(part) for part in batch] for batch in itertools.islice(batches, 3 * each)])
    for step, expected in enumerate(whole):
        parts = [part for stream in fed for part in stream[step * each : (step + 1) * each]]
        for i, value in enumerate(expected):
            np.testing.assert_array_equal(np.concatenate([part[i] for part in parts]), value)
    with pytest.raises(DataError, match="`batch_size` must be a multiple of the 3 replicas"):
        training_batches(source, recipe, 0, replicas=3)


def test_seed_changes_order(opened):
    source, recipe = opened
    one, other = (np.concatenate([b[1] for b in _take(source, recipe, 4, seed=s)]) for s in (0, 1))
    images, others = (_take(source, recipe, 1, seed=s)[0][0] for s in (0, 1))
    assert not np.array_equal(one, other) or not np.array_equal(images, others)


def test_validation_is_everything_in_order(opened):
    source, recipe = opened
    batches = list(validation_batches(source, recipe, [16, 12]))
    labels = np.concatenate([labels for _, labels in batches])
    assert len(labels) == source.validation.size
    small = 12 if recipe.rules == "torchvision" and recipe.source != "fake" else 16
    for images, _ in batches:
        assert images[16].shape[1:] == (16, 16, 3) and images[12].shape[1:] == (small, small, 3)


def test_folder_and_its_records_hold_the_same(pictures, tmp_path):
    counts, skipped = prepare(pictures, tmp_path / "records", per_shard=4)
    assert (counts, skipped) == ({"train": 10, "validation": 5}, [])
    folder, records = (open_source(_recipe(path)) for path in (pictures, tmp_path / "records"))
    assert folder.classes == records.classes == ["a", "b"]
    pairs = []
    for source in (folder, records):
        recipe = _recipe("")
        found = [
            (int(label), int(image[8, 8, 0]))
            for i, ls in validation_batches(source, recipe, [16])
            for image, label in zip(i[16], ls, strict=True)
        ]
        pairs.append(sorted(found))
    assert pairs[0] == pairs[1]


def test_one_pass_sees_every_picture_once(pictures):
    source, recipe = open_source(_recipe(pictures, crop="none", batch_size=5)), _recipe(pictures, crop="none", batch_size=5)
    seen = [
        (int(label), int(image[8, 8, 0]))
        for batch in _take(source, recipe, 2)
        for image, label in zip(*batch[:2], strict=True)
    ]
    assert len(set(seen)) == 10


def test_keras_cv_augmentations(pictures):
    recipe = _recipe("fake", augment=[{"name": "RandomCutout", "height_factor": 0.5, "width_factor": 0.5}])
    images = _take(open_source(recipe), recipe, 1)[0][0]
    assert (images == 127).mean() > 0.05 or (images == 128).mean() > 0.05 or (images == 0).mean() > 0.05
    with pytest.raises(DataError, match="`augment` must name layers of keras_cv.layers. Received: name='Nothing'"):
        recipe = _recipe("fake", augment=[{"name": "Nothing"}])
        training_batches(open_source(recipe), recipe, 0)
    with pytest.raises(DataError, match="`augment` arguments of RandomCutout are wrong"):
        recipe = _recipe("fake", augment=[{"name": "RandomCutout", "size": 3}])
        training_batches(open_source(recipe), recipe, 0)


@pytest.mark.parametrize("name", ["MixUp", "CutMix"])
def test_mixing_augmentations_mix_the_labels(name):
    recipe = _recipe("fake", augment=[{"name": name}, {"name": "RandAugment"}])
    images, labels, _ = _take(open_source(recipe), recipe, 1)[0]
    assert images.dtype == np.uint8 and images.shape == (4, 16, 16, 3)
    assert labels.shape == (4, 10) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-5)


def test_data_service(pictures):
    """A dispatcher and a worker on loopback prepare the same stream."""
    import tensorflow as tf

    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=dispatcher.target.split("://")[1]))
    source = open_source(_recipe(pictures))
    expected = _take(source, _recipe(pictures), 4)
    for ours, theirs in zip(_take(source, _recipe(pictures, service=dispatcher.target), 4), expected, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    assert worker is not None
    with pytest.raises(DataError, match="`service` needs picture files"):
        recipe = _recipe("fake", service=dispatcher.target)
        training_batches(open_source(recipe), recipe, 0)


def test_limit(pictures):
    source = open_source(_recipe(pictures, limit=4))
    assert source.train.size == 4 and set(source.train.labels) == {0, 1}


def test_truncated_picture_in_a_folder(pictures):
    path = pictures / "train" / "b" / "1.jpg"
    path.write_bytes(path.read_bytes()[:200])
    source = open_source(_recipe(pictures))
    (fault,) = find_faults(source, source.train)
    assert str(path) in fault and "not a readable picture" in fault


def test_truncated_picture_and_wrong_label_in_records(pictures, tmp_path):
    import tensorflow as tf

    prepare(pictures, tmp_path / "records", per_shard=100)
    path = tmp_path / "records" / "train-00000-of-00001"
    examples = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(path))]
    jpeg = next(i for i, e in enumerate(examples) if e.features.feature["image/format"].bytes_list.value[0] == b"JPEG")
    value = examples[jpeg].features.feature["image/encoded"].bytes_list.value
    value[0] = value[0][:200]
    wrong = (jpeg + 1) % len(examples)
    examples[wrong].features.feature["image/class/label"].int64_list.value[0] = 3
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    source = open_source(_recipe(tmp_path / "records"))
    faults = sorted(find_faults(source, source.train), key=lambda fault: "label" in fault)
    assert f"record {jpeg}: not a readable picture" in faults[0]
    assert f"record {wrong}: label 3 is out of range (2 classes)" in faults[1]
    with pytest.raises(tf.errors.InvalidArgumentError):
        _take(source, _recipe(""), 3)


def test_cut_off_record_file(pictures, tmp_path):
    prepare(pictures, tmp_path / "records")
    path = tmp_path / "records" / "train-00000-of-00001"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match="is cut off inside record 9"):
        open_source(_recipe(tmp_path / "records"))


def test_sources_that_are_none(tmp_path, pictures):
    with pytest.raises(SourceError, match="`data` must be cifar10, fake, a folder.*nowhere"):
        open_source(_recipe(tmp_path / "nowhere"))
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(SourceError, match="must hold train/ and val/"):
        open_source(_recipe(tmp_path / "empty"))
    (tmp_path / "empty" / "val").mkdir()
    with pytest.raises(SourceError, match="No pictures"):
        open_source(_recipe(tmp_path / "empty"))
    (pictures / "val" / "c").mkdir()
    with pytest.raises(SourceError, match="has classes that .* lacks: c"):
        open_source(_recipe(pictures))


def test_prepare_goes_on_after_the_last_shard(pictures, tmp_path, monkeypatch):
    from tfres.data import prepare as module

    out, write = tmp_path / "records", module._write
    written = []

    def stop_at_the_second(path, *rest):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(path.name)
        return write(path, *rest)

    monkeypatch.setattr(module, "_write", stop_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        prepare(pictures, out, per_shard=4)
    assert [p.name for p in out.glob("*-of-*")] == ["train-00000-of-00003"]
    monkeypatch.setattr(module, "_write", lambda path, *rest: written.append(path.name) or write(path, *rest))
    assert prepare(pictures, out, per_shard=4)[0] == {"train": 10, "validation": 5}
    assert written == ["train-00000-of-00003", "train-00001-of-00003", "train-00002-of-00003"] + [
        "validation-00000-of-00002", "validation-00001-of-00002"
    ]  # fmt: skip
    with pytest.raises(DataError, match="holds shards of other pictures"):
        prepare(pictures, out, per_shard=5)


def test_prepare_skips_and_lists_bad_pictures(pictures, tmp_path):
    bad = pictures / "train" / "a" / "3.jpg"
    bad.write_bytes(bad.read_bytes()[:100])
    counts, skipped = prepare(pictures, tmp_path / "records")
    assert counts == {"train": 9, "validation": 5}
    assert [path for path, _ in skipped] == [str(bad)]
