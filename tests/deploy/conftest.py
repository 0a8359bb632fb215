"""One export of a small network with exits for all tests here that only read it."""

import pytest

from tests.deploy import exits
from tfres.deploy import export_savedmodel
from tfres.deploy.runtime.running import Runner


@pytest.fixture(scope="session")
def exit_network():
    return exits.network()


@pytest.fixture(scope="session")
def exit_policies(exit_network):
    """Those in the table of `exit_export`, the best last."""
    worse = exits.policy(exit_network, shares=[0.97, 0.03, 0.0, 0.0])
    other = {"thresholds": [0.25, None, 3.0], "temperatures": [1.0, 2.0, 1.0, 1.0], "score": "entropy"}
    return [worse, exits.policy(exit_network, **other)]


@pytest.fixture(scope="session")
def exit_export(exit_network, exit_policies, tmp_path_factory):
    folder, table = tmp_path_factory.mktemp("exports"), exits.table(exit_network, *exit_policies)
    return export_savedmodel(exit_network, exits.TASK, folder, "net", list("abcdefghij"), table)


@pytest.fixture
def settings_alone(monkeypatch):
    """Times without what calls with a budget take beside their setting."""
    monkeypatch.setattr(Runner, "knows_besides", True)
    monkeypatch.setattr(Runner, "judge", lambda *_: None)
