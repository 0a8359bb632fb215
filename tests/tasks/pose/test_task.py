"""The task: preparation, loss, distances, answers; a network that learns it, and its export."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests.reference import generator
from tests.tasks.pose.people import STILL, opened, take, write_folder
from tfres import AdaptiveModel, evaluate, export, train
from tfres.errors import RecipeError
from tfres.evaluation.opened import open_run
from tfres.families.networks import load_run
from tfres.tasks import Looks
from tfres.tasks.pose import frames, heatmaps

SIZES = [(64, 48), (32, 24)]


def test_prepared_sizes_have_the_joints_at_the_same_places():
    """A white spot of the cut is where the scaled coordinate says, at every size."""
    task, source = opened(mean=[0.0] * 3, std=[1.0] * 3)
    image = np.zeros((1, 64, 48, 3), np.uint8)
    image[0, 39:42, 19:22] = 255
    inputs, targets = task.prepare({"images": tf.constant(image)}, [(64, 48), (32, 24), (16, 12)], training=True)
    assert targets is None
    for (height, width), made in inputs.items():
        assert made.shape == (1, height, width, 3)
        rows, columns = np.mgrid[:height, :width]
        weight = made.numpy()[0, ..., 0]
        centre = np.array([(weight * rows).sum(), (weight * columns).sum()]) / weight.sum()
        np.testing.assert_allclose(centre, np.array([40, 20]) * height / 64, atol=0.1)
    with pytest.raises(ValueError, match="shape of `data.crop`, 64x48"):
        task.prepare({"images": tf.constant(image)}, [32], training=True)


def test_mirror_images_are_looked_at_too():
    """A network that finds the white spot in any picture finds it with mirror images where it is, a pixel's share off."""
    task, _ = opened(mean=[0.0] * 3, std=[1.0] * 3)
    image = np.zeros((1, 64, 48, 3), np.float32)
    image[0, 38:42, 18:22] = 1

    def run(images):
        return tf.repeat(tf.nn.avg_pool2d(images[..., :1], 4, 4, "SAME"), 17, 3)

    plain, both = run(image), task.looking(run, Looks(mirror=True))(tf.constant(image))
    assert np.abs(heatmaps.peaks(both)[0] - heatmaps.peaks(plain)[0]).max() <= 1
    np.testing.assert_array_equal(task.looking(run, Looks())(tf.constant(image)), plain)
    for wrong in (Looks(scales=(0.5, 1.0)), Looks(windows=(32, 32))):
        with pytest.raises(RecipeError, match="tasks of whole pictures"):
            task.looking(run, wrong)


def test_loss_of_every_size_is_of_its_own_targets():
    task, source = opened(batch_size=4, fake_size=8, **STILL)
    (batch,) = take(task, source, 1)
    for sides in ((16, 12), (8, 6)):
        wanted, weights = heatmaps.targets(batch["targets"], sides, (64, 48))
        assert float(task.loss(wanted, batch["targets"])) == 0
        by_hand = 0.5 * np.mean(np.square(wanted.numpy()))
        np.testing.assert_allclose(task.loss(tf.zeros_like(wanted), batch["targets"]), by_hand, rtol=1e-5)
        assert weights.numpy().all()
    hard, _ = opened(batch_size=4, fake_size=8, hardest=3, **STILL)
    assert float(hard.loss(tf.zeros_like(wanted), batch["targets"])) >= by_hand


def test_distances_and_means_of_heatmaps_of_several_sizes():
    task, _ = opened()
    joints = np.concatenate([generator(2).uniform(8, 40, (2, 17, 2)), np.ones((2, 17, 1))], -1).astype(np.float32)
    joints[..., :2] = 8 * np.round(joints[..., :2] / 8)
    large, small = (heatmaps.targets(joints, sides, (64, 48), 8.0)[0] for sides in ((32, 24), (16, 12)))
    assert float(task.divergence(large, small)) < 1e-12 < float(task.divergence(0 * large, small))
    both = task.aligned([small, large])
    assert {maps.shape for maps in both} == {large.shape}
    for maps in both:
        np.testing.assert_allclose(2 * heatmaps.peaks(maps)[0], joints[..., :2], atol=1e-5)
    with pytest.raises(ValueError, match="`temperature` must be 1"):
        task.divergence(large, small, temperature=2.0)
    with pytest.raises(ValueError, match="`form` must be"):
        task.divergence(large, small, form="l1")


@pytest.mark.parametrize("sides", [(64, 48), (100, 50), (40, 90)])
def test_answers_are_in_the_pixels_of_whole_pictures(sides):
    """The frame of a whole picture is cut out as OpenCV does it, and joints of the cut come back to where they were."""
    task, _ = opened(mean=[0.0] * 3, std=[1.0] * 3)
    picture = cv2.GaussianBlur(generator(3).integers(0, 256, (*sides, 3), np.uint8), (9, 9), 3)
    centre, extent = frames.whole(np.array(sides), 0.75)
    into = frames.into_cut(centre, extent, (64, 48)).numpy()
    expected = cv2.warpAffine(picture, into, (48, 64), flags=cv2.INTER_LINEAR)
    assert np.abs(255 * task.resized(picture[None], (64, 48))[0] - expected).max() <= 0.51
    np.testing.assert_array_equal(task.evaluation_picture(picture, (64, 48)), expected)
    joints = np.concatenate([generator(4).uniform(0.2, 0.8, (1, 17, 2)) * sides[::-1], np.ones((1, 17, 1))], -1)
    moved = frames.moved(joints[..., :2], into[None])
    maps, _ = heatmaps.targets(tf.cast(tf.concat([moved, joints[..., 2:]], -1), tf.float32), (64, 48), (64, 48))
    answer = task.answer(maps, tf.constant(sides))
    assert np.abs(answer["keypoints"] - joints[..., :2]).max() <= float(extent[0]) / 48 and np.all(answer["scores"] == 1)


ARCH = ["--task", "pose", "--arch", "resnet20", "--mode", "float"]
ARCH += ["--model.blocks=[1,1,1]", "--model.widths=[16,32,64]", "--model.head_channels=32"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on generated people that has learned where most joints are."""
    run = tmp_path_factory.mktemp("pose") / "run"
    argv = [*ARCH, "--fake", "--data.fake_size", "24", "--sizes", "48x36", "32x24", "--batch-size", "8", "--epochs", "1"]
    argv += ["--lr", "0.005", "--training.optimizer", "adam", "--training.steps_per_epoch", "80", "--run", str(run)]
    argv += ["--training.saves_per_epoch", "1", "--data.rotation", "0", "--data.half_body", "0", "--data.scale", "0.1"]
    assert train.main(argv) == 0
    return run


def test_a_network_learns(trained):
    table = json.loads((trained / "table.json").read_text())
    rows = {row["setting"]: row for row in table["rows"]}
    assert table["score"] == "ap" and {*rows} == {"r48x36", "r32x24", "ensemble"}
    assert rows["r48x36"]["ap50"] > 0.05


def test_an_export_answers_as_the_network(trained, tmp_path, capsys):
    assert export.main(["--run", str(trained), "--out", str(tmp_path), "--name", "net"]) == 0
    model = AdaptiveModel(capsys.readouterr().out.strip(), cache=tmp_path / "cache", measure_seconds=0.1)
    assert model.score == "ap" and model.settings == ["r48x36", "r32x24"]
    network, task = load_run(trained), open_run(trained).task
    pictures = generator(5).integers(0, 256, (3, 90, 50, 3), np.uint8)
    for setting in model.settings:
        answer = model.predict(pictures, setting=setting)
        inputs = task.resized(pictures, network.input_size(setting))
        expected = task.answer(network(inputs, setting=setting, training=False), tf.constant([90, 50]))
        np.testing.assert_allclose(answer.keypoints, expected["keypoints"], atol=1e-3)
        np.testing.assert_allclose(answer.scores, expected["scores"], atol=1e-5)


def test_evaluation_on_other_people_with_pictures(trained, tmp_path, capsys):
    root = write_folder(tmp_path / "people")
    argv = ["--run", str(trained), "--data", str(root), "--size", "48x36", "--json", "--evaluation.mirror", "true"]
    argv += ["--evaluation.pictures", "2", "--evaluation.predictions", str(tmp_path / "answers")]
    assert evaluate.main(argv) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert 0 <= row["ap"] <= 1
    names = sorted(path.name for path in (tmp_path / "answers/r48x36").iterdir())
    assert names == [f"{name}.json" for name in ("000000000003-000000", "000000000003-000001", "000000000007-000002")]
    answer = json.loads((tmp_path / "answers/r48x36" / names[2]).read_text())
    assert answer["image_id"] == 7 and len(answer["keypoints"]) == 51
    drawn = sorted(path.name for path in (trained / "pictures").iterdir())
    assert "r48x36-worst.png" in drawn and len(drawn) == 3
    assert cv2.imread(str(trained / "pictures" / drawn[1])).shape == (48, 72, 3)


def test_boxes_that_were_detected_are_judged(tmp_path):
    root = write_folder(tmp_path / "people")
    boxes = [{"image_id": 3, "category_id": 1, "bbox": [26, 36, 80, 110], "score": 0.9}]
    (root / "boxes.json").write_text(json.dumps(boxes))
    task, source = opened(root, boxes=str(root / "boxes.json"))
    judged = task.metrics(source)
    for batch in task.evaluation_batches(source, [(64, 48)]):
        judged.update(tf.zeros([1, 16, 12, 17]), batch["targets"])
        assert task.drawing(source).judge(tf.zeros([1, 16, 12, 17]), batch["targets"]) == 1
    assert judged.result()["ap"] == 0
