"""Shared fixtures: seeded generators and the golden files of the reference implementations."""

import gzip
import json
import pathlib

import numpy as np
import pytest

import tfres  # noqa: F401  (sets the Keras 2 switch before TensorFlow is imported)

DATA = pathlib.Path(__file__).parent / "data"


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
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
