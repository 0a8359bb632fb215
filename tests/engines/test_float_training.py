"""Float networks on picture files in both engines; mixed and smoothed labels."""

import numpy as np
import pytest

from tests.data.pictures import write_pictures
from tests.engines.plans import FLOAT, assert_alike, final, rows, train


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    write_pictures(root, {"train": {"a": 6, "b": 6}, "val": {"a": 3, "b": 2}}, side=24)
    return root


def test_engines_agree_on_a_float_network(folder, tmp_path):
    """Training, and validation with pictures resized anew for each resolution."""
    finals, written = [], []
    for engine in ("keras", "tensorpack"):
        model = {**FLOAT, "resolutions": [20, 16, 12], "classes": None}
        data = {"source": str(folder), "batch_size": 4, "side": 20, "lighting": None}
        run = train(tmp_path / engine, engine, model=model, data=data, epochs=1, saves_per_epoch=1, learning_rate=0.01)
        finals.append(final(run))
        written.append(rows(run)[-1])
    assert finals[0]["global_step"] == finals[1]["global_step"] == 3
    shared = set(finals[0]) & set(finals[1])
    assert len(shared) > 20
    assert_alike({n: finals[0][n] for n in shared}, {n: finals[1][n] for n in shared}, bound=1e-3, smallest=1e-4)
    shared = [name for name in written[0] if name.startswith(("train_", "validation_"))]
    assert "validation_top1_ensemble" in shared and len(shared) > 8
    for name in shared:
        assert float(written[0][name]) == pytest.approx(float(written[1][name]), rel=1e-3), name


@pytest.mark.parametrize("engine", ["keras", "tensorpack"])
def test_mixed_and_smoothed_labels(tmp_path, engine):
    """The cross entropy stays above the entropy of the smoothed labels."""
    data = {"label_smoothing": 0.5, "augment": [{"name": "MixUp"}]}
    run = train(tmp_path / "run", engine, data=data, epochs=1, saves_per_epoch=1)
    target = np.array([0.6, 0.1, 0.1, 0.1, 0.1])
    assert float(rows(run)[-1]["train_cross_entropy_r16"]) > -(target * np.log(target)).sum()
