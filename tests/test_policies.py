"""Policies of early exit: fields, files, the network they are for."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from tfres.errors import UsageError
from tfres.policies import Policy, PolicyError

NETWORK = "0123456789abcdef" * 4
FIELDS = {
    "score": "margin",
    "thresholds": [0.5, None],
    "temperatures": [1.0, 1.5, 2.0],
    "exits": [1, 2, 4],
    "network": NETWORK,
    "shares": [0.25, 0.0, 0.75],
    "calibration": {"split": "calibration", "pictures": 5000, "budget_macs": 20.5e6, "interval": [0.1, 0.2]},
    "rule": "joint",
}


def _policy(**changes):
    return Policy.from_dict({**FIELDS, **changes})


def test_a_policy_is_read_as_it_was_written(tmp_path):
    policy = _policy()
    policy.write(tmp_path / "policy.json")
    assert Policy.read(tmp_path / "policy.json") == policy
    assert policy.to_dict() == FIELDS
    assert json.loads((tmp_path / "policy.json").read_text()) == FIELDS
    assert [path.name for path in tmp_path.iterdir()] == ["policy.json"]


def test_what_may_be_left_out():
    policy = Policy("entropy", (), (1,), (3,))
    assert (policy.network, policy.shares, policy.calibration, policy.rule) == (None, None, {}, "joint")
    assert Policy.from_dict(policy.to_dict()) == policy
    assert {policy: 1}[Policy("entropy", [], [1.0], [3])] == 1


def test_numbers_of_numpy_become_plain_ones():
    policy = Policy(
        "margin", np.float32([0.1, 0.2]), np.ones(3, np.float32), np.array([1, 2, 3]), shares=np.float32([1, 0, 0])
    )
    assert json.loads(json.dumps(policy.to_dict())) == policy.to_dict()
    assert policy.thresholds == (float(np.float32(0.1)), float(np.float32(0.2)))
    mixed = Policy("margin", [np.float32(0.5), None], [np.float64(1)] * 3, [np.int64(1), 2, 3])
    assert mixed.thresholds == (0.5, None)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("score", "max", "one of margin, probability, entropy"),
        ("score", None, "one of margin"),
        ("rule", "best", "one of joint, reference, given"),
        ("thresholds", [0.5], "a list of 2 finite numbers or null, one per exit but the last"),
        ("thresholds", [0.5, math.nan], "finite numbers or null"),
        ("thresholds", [0.5, math.inf], "finite numbers or null"),
        ("thresholds", [0.5, 1e39], "finite numbers or null"),
        ("thresholds", [0.5, 10**400], "finite numbers or null"),
        ("thresholds", [0.5, True], "finite numbers or null"),
        ("thresholds", [0.5, "1"], "finite numbers or null"),
        ("thresholds", "ab", "a list of 2"),
        ("thresholds", {"1": 0.5}, "a list of 2"),
        ("thresholds", None, "a list of 2"),
        ("temperatures", [1.0, 1.0], "a list of 3 finite numbers, one per exit"),
        ("temperatures", [1.0, None, 1.0], "a list of 3 finite numbers, one per exit"),
        ("temperatures", [1.0, 0, 1.0], "positive"),
        ("temperatures", [1.0, -1, 1.0], "positive"),
        ("exits", [], "a list of ascending whole numbers from 1 to 999"),
        ("exits", [1, 3, 2], "ascending"),
        ("exits", [1, 1, 2], "ascending"),
        ("exits", [0, 1, 2], "from 1 to 999"),
        ("exits", [1, 2, 1000], "from 1 to 999"),
        ("exits", [1, 2, 3.0], "whole numbers"),
        ("exits", [True, 2, 3], "whole numbers"),
        ("exits", 3, "a list of"),
        ("network", "xyz", "hex digits"),
        ("network", 12345678, "hex digits"),
        ("network", NETWORK[:7], "hex digits"),
        ("shares", [0.5, 0.5], "a list of 3 finite numbers"),
        ("shares", [0.5, -0.5, 1], "from 0 to 1 with sum 1"),
        ("shares", [0.5, 0.1, 0.1], "from 0 to 1 with sum 1"),
        ("calibration", None, "a mapping"),
        ("calibration", {1: 2}, "a mapping"),
        ("calibration", {"ms": math.nan}, "finite numbers"),
        ("calibration", {"set": {1, 2}}, "what JSON holds"),
    ],
)
def test_wrong_fields(field, value, words):
    with pytest.raises(PolicyError, match=f"row policy-1M: `{field}` must be .*{words}.*Received: {field}="):
        Policy.from_dict({**FIELDS, field: value}, "row policy-1M")


def test_facts_of_calibration_that_are_known():
    with pytest.raises(PolicyError, match="`calibration.split` must be text. Received: calibration.split=3"):
        _policy(calibration={"split": 3})
    for value in (0, -1, 2.5, "many", None, True):
        with pytest.raises(PolicyError, match="`calibration.pictures` must be a positive whole number"):
            _policy(calibration={"pictures": value})


def test_what_is_no_policy(tmp_path):
    with pytest.raises(PolicyError, match="the policy must be a mapping of fields to values. Received: list"):
        Policy.from_dict([])
    with pytest.raises(PolicyError, match="the policy has an unknown field 'threshold'. Known: score, thresholds"):
        _policy(threshold=1)
    for name in ("score", "thresholds", "temperatures", "exits"):
        with pytest.raises(PolicyError, match=f"row 3 must have the field `{name}`"):
            Policy.from_dict({key: value for key, value in FIELDS.items() if key != name}, "row 3")
    path = tmp_path / "policy.json"
    with pytest.raises(UsageError, match="policy.json"):
        Policy.read(path)
    path.write_text('{"score": "margin", "thresholds": [NaN]}')
    with pytest.raises(PolicyError, match="policy.json must be a JSON document: NaN is not a finite number"):
        Policy.read(path)
    path.write_text(json.dumps({**FIELDS, "exits": [1, 2]}))
    with pytest.raises(PolicyError, match="policy.json: `thresholds` must be a list of 1"):
        Policy.read(path)


def test_the_mapping_that_came_is_not_kept():
    facts = {"split": "calibration"}
    policy = _policy(calibration=facts)
    facts["split"] = "test"
    assert policy.calibration["split"] == "calibration"


def test_the_network_it_is_for():
    policy = _policy()
    policy.check_for((1, 2, 4), NETWORK)
    policy.check_for(np.array([1, 2, 4]), NETWORK.upper())
    policy.check_for([1, 2, 4])
    _policy(network=None).check_for([1, 2, 4], "f" * 64)
    with pytest.raises(PolicyError, match="must be for the 2 exits 1, 2 of this network.*a policy for the 3 exits 1, 2, 4"):
        policy.check_for([1, 2], NETWORK)
    with pytest.raises(PolicyError, match="for the 3 exits 1, 2, 3 of this network"):
        policy.check_for([1, 2, 3], NETWORK)
    with pytest.raises(PolicyError, match="the weights of this network, ffffffffffff. .*a policy for 0123456789ab; calibrate"):
        policy.check_for([1, 2, 4], "f" * 64)


def test_importing_loads_no_tensorflow():
    names = ["cuts", "outcomes", "quality", "reference", "solver", "temperature"]
    modules = ["tfres.policies", *(f"tfres.evaluation.early_exit.{name}" for name in names)]
    code = f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
    code += "assert not {'tensorflow', 'tf_keras', 'keras'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
