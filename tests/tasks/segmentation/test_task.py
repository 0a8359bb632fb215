"""Options, batches, preparation, answers, drawings."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.segmentation.scenes import opened, own_folder
from tfres.errors import DataError, RecipeError
from tfres.tasks import Looks
from tfres.tasks.segmentation.options import SegmentationData
from tfres.tasks.segmentation.task import Segmentation

SIZES = [(16, 24), (8, 12)]


def take(task, source, count, **rest):
    """The first training batches as dicts of arrays."""
    batches = task.training_batches(source, SIZES, 0, **rest)
    return [{name: np.asarray(part) for name, part in batch.items()} for batch in itertools.islice(batches, count)]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"crop": "big"}, "`crop` must be a side or height x width"),
        ({"crop": [0, 4]}, "`crop` must be"),
        ({"crop": "9000x10"}, "`crop` must be"),
        ({"scales": [2, 1]}, "`scales` must be two ascending"),
        ({"scales": [0, 1]}, "`scales` must be"),
        ({"mirror": 1}, "`mirror` must be true or false"),
        ({"resize": "cubic"}, "`resize` must be one of"),
        ({"loss": None}, "`loss` must be one of"),
        ({"ohem_threshold": 2}, "`ohem_threshold` must be in"),
        ({"ohem_keep": 0}, "`ohem_keep` must be a whole number"),
        ({"loss": "cross_entropy", "ohem_keep": 5}, "`ohem_keep` must be left out unless `loss` is ohem"),
        ({"class_weights": [-1, 2]}, "`class_weights` must be zero or positive"),
        ({"std": [0, 1, 1]}, "`std` must be three positive"),
        ({"long_side": 0}, "`long_side` must be"),
        ({"source": "x", "crop": "4000x4000", "batch_size": 1000}, "`batch_size` must be so small"),
    ],
)
def test_out_of_range(fields, told):
    with pytest.raises(RecipeError) as caught:
        SegmentationData(**fields)
    assert told in str(caught.value)


def test_class_weights_are_one_per_class():
    with pytest.raises(RecipeError, match="`class_weights` must be 5 numbers, one per class"):
        opened("fake", 5, class_weights=[1.0])


def test_batches_do_not_depend_on_where_a_run_begins_or_on_replicas():
    task, source = opened("fake", 3)
    whole, later = take(task, source, 4), take(task, source, 2, first_step=2)
    for one, other in zip(whole[2:], later, strict=True):
        assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    halves = [take(task, source, 2, replicas=2, pipeline=(number, 2)) for number in range(2)]
    for one, *parts in zip(whole[:2], *halves, strict=True):
        assert all(np.array_equal(one[n], np.concatenate([part[n] for part in parts])) for n in ("images", "targets", "draws"))
    assert len({batch["images"].tobytes() for batch in whole}) == 4


def test_labels_move_with_pictures():
    """Every class has a shade of its own: what a window shows, mirrored or not, is what its labels say."""
    task, source = opened("fake", 3, scales=[1.0, 1.5], fake_size=8)
    shades, right, mirrored = (np.arange(3)[:, None] * [97, 59, 151] + 40) % 256 / 255, [], []
    for batch in take(task, source, 4):
        inputs, labels = task.prepare(batch, SIZES, training=True)
        pixels = inputs[16, 24].numpy() * task.data.std + task.data.mean
        nearest = np.abs(pixels[..., None, :] - shades).sum(-1).argmin(-1)
        counted = labels.numpy() != 255
        right.append((nearest == labels.numpy())[counted].mean())
        mirrored.append((nearest == labels.numpy()[:, :, ::-1])[counted].mean())
        small = tf.image.resize(inputs[16, 24], (8, 12), antialias=True).numpy()
        assert np.abs(small - inputs[8, 12].numpy()).mean() < 0.05
    assert min(right) > 0.8 and np.mean(right) > np.mean(mirrored) + 0.15
    assert {(batch["draws"][0, 3] < 0.5) for batch in take(task, source, 8)} == {True, False}


def test_pictures_of_several_sizes_are_evaluated_together(tmp_path):
    from tests.tasks.segmentation.scenes import write_pairs

    own_folder(tmp_path, val=2)
    write_pairs(tmp_path / "images" / "val" / "more", tmp_path / "labels" / "val" / "more", 1, seed=5, sides=(30, 20))
    task, source = opened(tmp_path, batch_size=3)
    (batch,) = task.evaluation_batches(source, [(16, 24), 8])
    assert batch["images"]["r16x24"].shape == (3, 16, 24, 3) and batch["images"]["r8"].shape == (3, 8, 8, 3)
    assert sorted(map(tuple, batch["targets"]["sides"].numpy().tolist())) == [(24, 32), (24, 32), (30, 20)]
    assert batch["targets"]["labels"].shape == (3, 30, 32)
    with pytest.raises(DataError, match="`holdout` must be above 0"):
        task.evaluation_batches(source, [8], "calibration")


def test_losses_and_divergences_are_what_options_and_callers_say():
    (hard, _), (plain, _) = opened("fake", 3), opened("fake", 3, loss="cross_entropy", class_weights=[1, 2, 0.5])
    rng = np.random.default_rng(0)
    outputs, labels = rng.normal(size=(2, 4, 6, 3)).astype("f"), rng.integers(0, 3, (2, 16, 24)).astype(np.uint8)
    assert float(hard.loss(outputs, labels)) != float(plain.loss(outputs, labels))
    teacher = rng.normal(size=(2, 8, 12, 3)).astype("f")
    for form in ("mse", "kl", "cross_entropy"):
        assert float(hard.divergence(teacher, outputs, 2.0, form)) > 0
    with pytest.raises(ValueError, match="`form` must be one of mse, kl, cross_entropy"):
        hard.divergence(teacher, outputs, form="cosine")
    assert [one.shape for one in hard.aligned([teacher, outputs])] == [(2, 8, 12, 3)] * 2


def test_answers_are_of_the_pictures_size():
    task, _ = opened("fake", 3)
    outputs = np.zeros((1, 2, 3, 3), "f")
    outputs[..., :2, 2] = 5
    answer = task.answer(outputs, tf.constant([16, 24]))
    assert answer["class_map"].shape == (1, 16, 24) and answer["class_map"].dtype == tf.uint8
    assert answer["probabilities"].shape == (1, 16, 24, 3) and set(np.unique(answer["class_map"])) == {0, 2}
    assert task.answer(outputs)["class_map"].shape == (1, 2, 3)


def test_looks_are_averaged():
    task, _ = opened("fake", 3)
    images = np.random.default_rng(0).normal(size=(1, 32, 64, 3)).astype("f")
    run = lambda x: x[:, ::4, ::4]  # noqa: E731
    once = task.looking(run, Looks())(images)
    np.testing.assert_allclose(np.exp(once).sum(-1), 1, rtol=1e-5)
    both = task.looking(run, Looks(mirror=True))
    np.testing.assert_allclose(both(images), both(images[:, :, ::-1])[:, :, ::-1], atol=1e-5)
    assert task.looking(run, Looks(True, (0.5, 1.0, 1.5), (32, 64)))(images).shape == (1, 32, 64, 3)


def test_drawings(tmp_path):
    task, source = opened(own_folder(tmp_path), batch_size=1)
    drawing, perfect = task.drawing(source), None
    for batch in itertools.islice(task.evaluation_batches(source, [(24, 32)]), 1):
        labels = batch["targets"]["labels"].numpy()
        perfect = 9 * np.eye(3, dtype="f")[labels]
        assert drawing.judge(perfect, batch["targets"]) == 1 > drawing.judge(np.roll(perfect, 1, -1), batch["targets"])
        picture = drawing.draw(batch["images"]["r24x32"].numpy(), perfect, batch["targets"])
        assert picture.shape == (24, 3 * 32 + 8, 3) and (picture[:, 36:68] == picture[:, 72:]).all()
        assert (tf.io.decode_png(drawing.encode(perfect, batch["targets"])).numpy()[..., 0] == labels[0]).all()
    assert perfect is not None and drawing.names == source.validation.pictures


def test_open_ends_are_refused():
    with pytest.raises(ValueError, match="`data` must be resolved. Received: data without crop"):
        Segmentation(SegmentationData(), ["a", "b"])
    with pytest.raises(ValueError, match="`outputs` must be at least the 5 classes"):
        task, _ = opened("fake", 5)
        Segmentation(task.data, task.classes, 3)
