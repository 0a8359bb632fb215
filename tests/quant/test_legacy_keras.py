"""The Keras 2 switch."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("package", ["tfres", "quant"])
@pytest.mark.parametrize(
    ("code", "switch", "message"),
    [
        ("import tensorflow as tf; tf.keras.__version__; import {}", None, "must be imported before tensorflow"),
        ("import {}", "0", "Received: TF_USE_LEGACY_KERAS=0"),
        ("import {}; import tensorflow as tf; assert tf.keras.Model.__module__.startswith('tf_keras')", None, None),
    ],
)
def test_switch(package, code, switch, message):
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    if switch is not None:
        environment["TF_USE_LEGACY_KERAS"] = switch
    done = subprocess.run([sys.executable, "-c", code.format(package)], env=environment, capture_output=True, text=True)
    assert (done.returncode == 0) == (message is None)
    if message:
        assert message in done.stderr


def test_import_and_help_do_not_load_tensorflow():
    code = "import sys, tfres, quant, tfres.recipe; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
