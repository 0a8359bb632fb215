"""The Keras 2 switch that both packages need before TensorFlow is imported."""

import os
import sys

_SWITCH = "TF_USE_LEGACY_KERAS"


def require_legacy_keras() -> None:
    """Make `tf.keras` Keras 2 (tf-keras), or say why that is no longer possible.

    tensorflow-model-optimization, keras-cv and TensorFlow 1 graphs need it. TensorFlow reads the switch once,
    when it is imported.

    Raises:
        ImportError: the user switched it off, or TensorFlow with Keras 3 is already loaded.
    """
    value = os.environ.setdefault(_SWITCH, "1")
    if value.lower() not in ("1", "true"):
        raise ImportError(f"tfres and quant need {_SWITCH}=1 (Keras 2). Received: {_SWITCH}={value}. Unset it.")
    tensorflow = sys.modules.get("tensorflow")
    version = getattr(getattr(tensorflow, "keras", None), "__version__", "2")
    if not version.startswith("2"):
        raise ImportError(
            f"tfres and quant must be imported before tensorflow, or {_SWITCH}=1 be set in the environment: "
            f"TensorFlow is already running with Keras {version}, and Keras 2 is needed."
        )
