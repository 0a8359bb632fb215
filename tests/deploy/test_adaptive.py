"""The query table and the model that meets a budget."""

import json
import subprocess
import sys

import numpy as np
import pytest
from tfres.evaluation.table import profile
from tfres.models.presets import from_preset

from tests.models.test_mutualnet import small
from tfres import adapt, table
from tfres.deploy import AdaptiveModel, export_savedmodel
from tfres.layers import MultiResolutionCrop
from tfres.recipe import RecipeError

ROWS = [
    {"setting": "a", "top1": 0.5, "macs": 10, "ms": 1.0},
    {"setting": "b", "top1": 0.7, "macs": 20, "ms": 3.0},
    {"setting": "c", "top1": 0.6, "macs": 30, "ms": 2.0},
    {"setting": "d", "top1": 0.7, "macs": 40, "ms": 4.0},
    {"setting": "e", "macs": 5, "ms": 0.5},
    {"setting": "ensemble", "top1": 0.9, "macs": 1},
]


def test_best_and_pareto():
    known = {"rows": ROWS}
    assert [row["setting"] for row in table.pareto(known)] == ["a", "b"]
    assert [row["setting"] for row in table.pareto(known, "ms")] == ["a", "c", "b"]
    assert table.best(known, budget_macs=35)["setting"] == "b"
    assert table.best(known, budget_ms=2.5)["setting"] == "c"
    with pytest.raises(table.BudgetError, match="must be at least 1 ms, what a costs. Received: 0.4 ms"):
        table.best(known, budget_ms=0.4)
    with pytest.raises(ValueError, match="Give `budget_macs` or `budget_ms`"):
        table.best(known)
    with pytest.raises(ValueError, match="no setting with both"):
        table.best({"rows": ROWS[-1:]}, budget_ms=1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A MutualNet with two calibrated settings more, with accuracies that grow with the cost."""
    folder = tmp_path_factory.mktemp("exported")
    model = small(calibrated=("r12-w0.5", "r12-w1"))
    known = profile(model, repeats=2)
    for place, row in enumerate(sorted(known["rows"], key=lambda row: row["macs"])):
        row["top1"] = 0.5 + place / 10
    crop = MultiResolutionCrop((16, 12), "align_corners")
    return model, crop, export_savedmodel(model, crop, folder, "net", list("abcde"), known, "torchvision")


def test_one_file_serves_every_setting(exported, rng):
    model, crop, path = exported
    adaptive = AdaptiveModel(path)
    assert adaptive.names == list("abcde") and len(adaptive.rows) == 4
    pictures = rng.integers(0, 256, (2, 20, 18, 3)).astype(np.uint8)
    for setting in model.settings:
        answer = adaptive.predict(pictures, setting=setting)
        expected = model(crop.at(pictures, setting.resolution), setting=setting)
        np.testing.assert_allclose(answer.logits, expected, rtol=1e-4, atol=1e-5)
        assert answer.setting == str(setting) and answer.ms > 0


def test_budgets(exported, tmp_path, monkeypatch):
    _, _, path = exported
    adaptive = AdaptiveModel(path, cache=tmp_path)
    pictures = np.zeros([1, 16, 16, 3], np.uint8)
    times = adaptive.calibrate((1, 16, 16))
    (kept,) = (tmp_path / "latency").iterdir()
    assert json.loads(kept.read_text())["ms"] == times and set(times) == {row["setting"] for row in adaptive.rows}
    monkeypatch.setattr(AdaptiveModel, "_run", lambda *_: pytest.fail("measured again"))
    assert AdaptiveModel(path, cache=tmp_path).calibrate((1, 16, 16)) == times
    monkeypatch.undo()
    accurate = max(adaptive.rows, key=lambda row: row["top1"])["setting"]
    assert adaptive.predict(pictures, budget_ms=1e6).setting == adaptive.predict(pictures).setting == accurate
    fastest = min(times, key=times.get)
    assert adaptive.choose(times[fastest], (1, 16, 16))["setting"] == fastest
    with pytest.raises(table.BudgetError, match=f"what {fastest} costs. Received: 1e-06 ms"):
        adaptive.predict(pictures, budget_ms=1e-6)
    with pytest.raises(ValueError, match=r"`images` must be uint8 \(batch, height, width, 3\). Received: float32"):
        adaptive.predict(pictures.astype("f"))
    with pytest.raises(ValueError, match="`setting` must be one of"):
        adaptive.predict(pictures, setting="r99")
    with pytest.raises(FileNotFoundError, match="`path` must be the folder of an export"):
        AdaptiveModel(tmp_path)


def test_serving_needs_no_more_than_tensorflow(exported):
    code = """
import sys
import numpy as np
from tfres.deploy import AdaptiveModel
print(AdaptiveModel(sys.argv[1]).predict(np.zeros([1, 16, 16, 3], np.uint8)).setting)
loaded = {name.split(".")[0] for name in sys.modules}
assert not loaded & {"keras_cv", "cv2", "tensorpack", "tensorflow_model_optimization"}, loaded
assert "tfres.models" not in sys.modules
"""
    command = [sys.executable, "-c", code, str(exported[2])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_demo(exported, tmp_path, capsys):
    out = tmp_path / "demo"
    assert adapt.main([str(exported[2]), "--calls", "12", "--out", str(out), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "demo.json").read_text())
    assert printed["calls"] == len(written["rows"]) == 12 and 0 <= printed["within_budget"] <= 1
    assert (tmp_path / "demo.png").stat().st_size > 1000
    assert adapt.main([str(exported[2]), "--calls", "3", "--out", str(out)]) == 0
    assert "of 3 calls within budget" in capsys.readouterr().out
    with pytest.raises(RecipeError, match="`calls` must be positive"):
        adapt.main([str(exported[2]), "--calls", "0"])
    with pytest.raises(RecipeError, match="must be the folder of an export"):
        adapt.main([str(tmp_path)])


def test_exports_of_other_families(tmp_path):
    model = from_preset("resnet20", resolutions=(16, 12), width_mult=0.25)
    model.build()
    known = profile(model, repeats=1)
    for row in known["rows"]:
        row["top1"] = row["resolution"] / 20
    path = export_savedmodel(model, MultiResolutionCrop((16, 12)), tmp_path, "rs", ["x"] * 10, known)
    adaptive = AdaptiveModel(path, cache=tmp_path / "cache")
    assert adaptive.predict(np.zeros([1, 16, 16, 3], np.uint8), budget_ms=1e6).setting == "r16"
    without = export_savedmodel(
        model, MultiResolutionCrop((16, 12)), tmp_path, "without", ["x"] * 10, profile(model, repeats=1)
    )
    with pytest.raises(ValueError, match="evaluate before export"):
        AdaptiveModel(without)
