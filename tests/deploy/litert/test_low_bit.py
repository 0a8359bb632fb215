"""Low-bit networks in int8: the snapped network is exported, and the table is its own."""

import numpy as np
import pytest
import tensorflow as tf

from tests.deploy import exits, fakes
from tests.deploy.litert.files import pictures
from tests.models.test_rsnet import randomise
from tests.tasks.fakes import classification
from tfres import table as tables
from tfres.deploy import AdaptiveModel, export_litert, export_savedmodel
from tfres.deploy.exits import default_policy
from tfres.deploy.snap import measure_snapped, snap
from tfres.errors import ExportError
from tfres.evaluation.opened import OpenedRun
from tfres.families import from_preset
from tfres.families.networks import build_network
from tfres.families.recipes import family_of, read_recipe, resolve
from tfres.models.weights import fingerprint_of

TASK = classification(5, side=16, rules="tensorpack", resize="nearest")
SNAPPED = fakes.table("r16", "r12")
SNAPPED["rows"] = [{**row, "form": "snapped"} for row in SNAPPED["rows"]]


@pytest.fixture(scope="module")
def network():
    options = {"blocks": (1, 1), "stem": "cifar", "classes": 5, "widths": (32, 48), "resolutions": (16, 12)}
    tf.keras.utils.set_random_seed(4)  # its activations reach their top level, from which LiteRT takes the range of a call
    made = from_preset("resnet20", **options, weight_bits=2, activation_bits=2)
    randomise(made, np.random.default_rng(0))
    return made


def test_the_file_is_of_the_snapped_network(network, tmp_path, rng):
    path = export_litert(network, TASK, tmp_path, "net", table=SNAPPED, precision="int8")
    model, images = AdaptiveModel(path, cache=tmp_path), pictures(rng, 128, 16, 16)
    assert {row["form"] for row in model.rows} == {"snapped"}
    for setting in network.settings:
        inputs, served = TASK.resized(images, network.size(setting)), snap(network.materialize(setting))
        snapped = served.run(inputs, served.at(served.settings[0])).numpy()
        found = np.concatenate([model.predict(image[None], setting=setting).logits for image in images])
        mean, away = snapped.mean(0), np.abs(found - snapped).max(1) / snapped.std()  # a random network prefers a class
        assert ((found - mean).argmax(1) == (snapped - mean).argmax(1)).mean() >= 0.98
        assert (away <= 1e-3).mean() >= 0.9
        assert (np.abs(found - network(inputs, setting=setting)).max(1) / snapped.std() <= 1e-3).mean() <= 0.1


@pytest.mark.parametrize(
    ("table", "options", "message"),
    [
        (
            fakes.table("r16", "r12"),
            {"precision": "int8"},
            "must have the top1 of the snapped network, .*: that of the network",
        ),
        (
            SNAPPED,
            {"precision": "float"},
            "must have the top1 of the network itself, .*: that of the snapped network in the row",
        ),
        (SNAPPED, {}, "must have the top1 of the network itself"),
    ],
)
def test_tables_of_another_form_are_refused(table, options, message, network, tmp_path):
    export = export_litert if options else export_savedmodel
    with pytest.raises(ValueError, match=message):
        export(network, TASK, tmp_path, "net", table=table, **options)
    assert list(tmp_path.iterdir()) == []


def test_rows_without_a_score_are_of_any_form():
    tables.check_form({"rows": [{"setting": "r16", "macs": 100}, *SNAPPED["rows"][:1]]}, "snapped")


@pytest.fixture(scope="module")
def run():
    """As of a low-bit run with exits and random weights."""
    data = {"source": "fake", "fake_size": 40, "batch_size": 8, "holdout": 0.5}
    model = {"arch": "ranet_cifar", "weight_bits": 2, "activation_bits": 2, "resolutions": [16], "blocks": 1, **exits.SMALL}
    recipe, task, source = resolve(read_recipe({"model": model, "data": data}))
    network = build_network(recipe)
    randomise(network, np.random.default_rng(0))
    return OpenedRun(None, recipe, "none", network, task, source, family_of(recipe).objective(recipe))


def test_policies_are_those_of_the_snapped_network(run):
    table, network = measure_snapped(run), run.network
    policies = [row for row in table["rows"] if "policy" in row]
    assert policies and all(row["form"] == "snapped" for row in table["rows"])
    assert {row["policy"]["network"] for row in policies} == {fingerprint_of(network, "snapped")} != {fingerprint_of(network)}
    assert default_policy(network, table, "snapped").network == fingerprint_of(network, "snapped")
    with pytest.raises(ExportError, match="is of another network, evaluate again"):
        default_policy(network, table)


def test_ranges_of_a_file_are_not_for_levels(network, tmp_path, rng):
    with pytest.raises(ExportError, match="`precision` must be int8 for a low-bit network in integers.*: precision=int8-full"):
        export_litert(network, TASK, tmp_path, "net", precision="int8-full", calibration=[pictures(rng, 1, 16, 16)])
    assert list(tmp_path.iterdir()) == []
