"""Masks of ScaleNAS without a network: published ones, forms, sampling, costs, what is refused."""

import json

import pytest

from tfres.errors import RecipeError
from tfres.models.options import read_options
from tfres.models.scalenas import PRESETS, Mask
from tfres.models.scalenas.counting import Count
from tfres.models.scalenas.masks import Space
from tfres.models.scalenas.options import ScaleNASOptions
from tfres.models.scalenas.published import PUBLISHED
from tfres.models.scalenas.sampling import SEED_STEP, groups, sample

SPACE = Space((2, 3, 3, 3, 3, 4, 4, 4), 5)
SMALL = Space((2, 3), 2)
HEADS = {"seg": "concatenated", "pose": "finest"}


def _options(row):
    classes = {"seg": 19, "pose": 17}[row["task"]]
    return ScaleNASOptions(width=row["width"], head=HEADS[row["task"]], classes=classes)


def test_published_masks(golden):
    for name, row in golden("scalenas_masks")["networks"].items():
        mask, options = Mask.read(row["modules"], SPACE), _options(row)
        kinds = {"full": "full", "min": "smallest"}
        assert options.mask(kinds.get(name.split("_")[0], name)) == mask
        assert (sum(map(len, mask.paths)), sum(map(sum, mask.depths))) == (row["fusion_connections"], row["blocks"])
        for module, shown in zip(row["modules"], mask.to_json(), strict=True):
            assert {*shown["paths"]} == {*module["connections"]} and shown["depth"] == module["depth"]
        assert Mask.read(json.loads(json.dumps(mask.to_json())), SPACE) == mask == Mask.read(mask.code(SPACE), SPACE)
        assert mask.gathers or not options.gathered
        assert mask.vector(SPACE).sum() == row["fusion_connections"] + row["blocks"]
    assert {*PUBLISHED} < {*golden("scalenas_masks")["networks"]}


def test_costs(golden):
    supernets, networks = golden("scalenas_costs")["outputs"]
    masks = golden("scalenas_masks")["networks"]
    for row in networks["table"]:
        options, mask = _options(row), Mask.read(masks[row["name"]]["modules"], SPACE)
        count = Count(options, mask, row["input_hw"])
        assert (count.params, count.macs) == (row["params"], row["macs"])
        assert round(count.macs / 2**30, 4) == row["gimacs"]
        live = Count(options, mask.live() if options.gathered else mask, row["input_hw"])
        assert (live.params, live.macs) == (row["params_live"], row["macs_live"])
        stored = supernets["table"][f"{row['task']}_w{row['width']}"]["parameters_stored"]
        assert Count(options, options.built, (32, 32)).params == stored


def test_sampled_masks(golden):
    for row in golden("scalenas_sampling")["outputs"]:
        if row["what"] == "exact mask":
            drawn = sample(row["seed"], SPACE, row["fusion_percentage"], row["depth_list"], row["task"] == "pose")
            assert drawn == Mask.read(row["modules"], SPACE)


def test_schedule(golden):
    (schedule,) = [row for row in golden("scalenas_sampling")["outputs"] if "table" in row]
    known = groups([0.2, 0.5, 0.8], [[2, 3], [3, 4], [4, 5]], sandwich=True, gathered=False)
    assert len(known) == 11
    options = ScaleNASOptions(classes=19)
    for row in schedule["table"]:
        step = row["epoch"] * schedule["iterations_per_epoch"] + row["iteration"]
        fusion, depths = known[row["iteration"] % 11]
        assert (row["group"], row["fusion_percentage"], row["depth_list"]) == (row["iteration"] % 11, fusion, depths)
        mask = sample(step * SEED_STEP, SPACE, fusion, depths, gathered=False)
        assert [list(depth) for depth in mask.depths] == row["depths"]
        assert [len(paths) for paths in mask.paths] == row["fusions_on"]
        count = Count(options, mask, (1024, 2048))
        assert (count.params, count.macs) == (row["params"], row["macs"])


@pytest.mark.parametrize("task", ["seg", "pose"])
def test_distribution(golden, task):
    """Sizes of 300 masks of a group."""
    rows = [row for row in golden("scalenas_sampling")["outputs"] if row["what"] == "statistics" and row["task"] == task]
    for row in rows[:2]:
        options = _options(row)
        masks = [sample(s, SPACE, row["fusion_percentage"], row["depth_list"], task == "pose") for s in range(300)]
        sizes = [Count(options, mask, row["size"]).macs / 2**30 for mask in masks]
        assert sum(sizes) / len(sizes) == pytest.approx(row["gimacs"]["mean"], rel=1e-6)
        assert (min(sizes), max(sizes)) == pytest.approx((row["gimacs"]["min"], row["gimacs"]["max"]), rel=1e-6)


def test_groups_follow_from_the_options():
    known = groups([0.3, 0.6], [[1, 2]], sandwich=True, gathered=False)
    assert known == [(0.15, [1]), (0.6, [1, 2]), (0.3, [1, 2]), (1.0, [2])]
    assert groups([0.3, 0.6], [[1, 2]], sandwich=False, gathered=False) == [(0.3, [1, 2]), (0.6, [1, 2])]
    assert groups([0.5], [[2, 3], [4]], sandwich=True, gathered=True)[0] == (0.0, [2])


def test_what_is_never_read_does_not_matter():
    fuse = [[[1, 1], [0, 1]], [[0, 1], [1, 1]]]
    mask = Mask.read([{"depth": [1, 1], "fuse": fuse}, {"depth": [2, 1, 0], "paths": []}], SMALL)
    assert mask.paths == (frozenset({(0, 1, 0)}), frozenset())
    assert mask | Mask.smallest(SMALL, 1) == mask | mask.live() | Mask.smallest(SMALL, 1)
    assert Mask.smallest(SMALL, 1) <= Mask.full(SMALL) and not Mask.full(SMALL) <= mask


def test_live_parts():
    modules = [{"depth": [2, 2], "paths": ["0:1>0", "1:0>1"]}, {"depth": [1, 2, 2], "paths": ["0:1>0", "0:2>1", "1:1>2"]}]
    live = Mask.read(modules, SMALL).live()
    assert live.depths == ((2, 2), (1, 1, 0)) and live.paths == (frozenset({(0, 1, 0), (1, 0, 1)}), frozenset({(0, 1, 0)}))


MODULE = {"depth": [2, 2], "paths": []}
BAD = [
    ([MODULE], "2 modules"),
    ([MODULE, MODULE], "`depth` of module 1 is 3 whole numbers"),
    ([{"depth": [2, 2]}, MODULE], "mapping with `depth` and `paths`"),
    ([{"depth": [2, 6], "paths": []}, MODULE], "up to 2"),
    ([{"depth": [2, True], "paths": []}, MODULE], "whole numbers"),
    ([{"depth": [2, 2], "paths": ["2:0>1"]}, MODULE], "steps below 2"),
    ([{"depth": [2, 2], "paths": ["0:0>0"]}, MODULE], "step:source>target"),
    ([{"depth": [2, 2], "paths": "0:0>1"}, MODULE], "texts"),
    ([{"depth": [2, 2], "fuse": [[[1]], [[1, 0]]]}, MODULE], "of 0 and 1"),
    ([{"depth": [2, 2], "fuse": [[[1, 2]], [[1, 0]]]}, MODULE], "of 0 and 1"),
    ("mffffffffffffffffffff", "hexadecimal"),
    (3, "2 modules"),
]


@pytest.mark.parametrize(("value", "words"), BAD)
def test_bad_masks(value, words):
    with pytest.raises(ValueError, match=words):
        Mask.read(value, SMALL)


def test_codes_have_one_form():
    code = Mask.full(SPACE).code(SPACE)
    assert len(code) == 98
    tiny = Space((2, 3, 4), 1)
    small = Mask.full(tiny).code(tiny)  # no shorter, so that it is no name that somebody may give
    assert len(small) == 17 and Mask.read(small, tiny) == Mask.full(tiny)
    with pytest.raises(ValueError, match="`depth` in the code"):
        Mask.read("m" + "f" * 97, SPACE)
    with pytest.raises(ValueError, match="say nothing"):
        Mask.read(Mask.smallest(SPACE, 2).code(SPACE)[:-1] + "8", SPACE)  # a path at a step that is not made


def test_own_masks_are_kept_in_plain_form(tmp_path):
    (tmp_path / "mine.json").write_text(json.dumps({"modules": Mask.read(PUBLISHED["S1"], SPACE).to_json()}))
    options = ScaleNASOptions(masks={"mine": str(tmp_path / "mine.json"), "other": PUBLISHED["S2"]}, subnets=["mine", "S3"])
    again = read_options(ScaleNASOptions, json.loads(json.dumps(options.to_dict())))
    assert again == options and again.mask("mine") == options.mask("S1") and again.mask("other") == options.mask("S2")
    with pytest.raises(RecipeError, match="none.json is missing"):
        ScaleNASOptions(masks={"mine": str(tmp_path / "none.json")})


def test_masks_of_the_finest_head_gather():
    with pytest.warns(UserWarning, match="S1 lacks paths into branch 0"):
        ScaleNASOptions(head="finest", subnets=["S1"])
    ScaleNASOptions(head="finest", subnets=["P1", "P2", "P3", "P4"])


def test_sizes_are_sides_or_pairs():
    options = ScaleNASOptions(resolutions=["256x512", 512, "512x1024"])
    assert options.resolutions == options.sizes == [(512, 1024), 512, (256, 512)]
    for arch, preset in PRESETS.items():
        assert ScaleNASOptions(**preset).sizes[0][1] == 2 * ScaleNASOptions(**preset).sizes[0][0], arch
