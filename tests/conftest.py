"""Shared fixtures: seeded generators, golden files, one trained run."""

import gc
import gzip
import json
import pathlib

import tfres  # isort: skip  (sets the Keras 2 switch before TensorFlow is imported)
import numpy as np
import pytest
import tensorflow as tf

# Files that take longest; with two workers these begin first, so that neither waits for one of them at the end.
_LONG = [
    "test_scalenas_commands.py",
    "convert/test_scalenas_goldens.py",
    "models/test_mutualnet.py",
    "test_commands.py",
    "models/test_scalenas.py",
    "test_segmentation_commands.py",
    "deploy/litert/test_families.py",
    "deploy/test_savedmodel.py",
    "models/test_all_networks.py",
    "test_mutualnet_commands.py",
    "engines/test_training.py",
    "engines/test_parity.py",
    "engines/test_multiworker.py",
    "models/test_rsnet.py",
    "models/test_san.py",
    "models/test_rsnet_float.py",
    "toy/test_toy.py",
    "test_exit_commands.py",
]

DATA = pathlib.Path(__file__).parent / "goldens"

assert tfres.__version__
gc.freeze()  # what is imported stays: no collection needs to look at it
# Two logical devices, so that replicas can be tested on one processor.
_CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


def pytest_collection_modifyitems(items):
    places = {pathlib.Path(__file__).parent / name: place for place, name in enumerate(_LONG)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture
def golden():
    """Load a golden file by name."""

    def load(name):
        with gzip.open(DATA / f"{name}.json.gz") as file:
            return json.load(file)

    return load


@pytest.fixture
def rng():
    return np.random.Generator(np.random.PCG64(0))


@pytest.fixture(autouse=True)
def _seed():
    tf.keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _memory():
    """What a file of tests traced does not stay for the next; what stays all the same is looked at once only."""
    yield
    tf.keras.backend.clear_session()
    gc.collect()
    gc.freeze()
