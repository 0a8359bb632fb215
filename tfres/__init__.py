"""tfres: vision networks whose cost is chosen at run time. One set of weights, many settings.

Importing the package is cheap (no TensorFlow until a name is used); it makes sure that TensorFlow will use Keras 2.

Example:
    network = tfres.from_preset("resnet50")
    network(images, setting="r160")  # images in [0, 1], (batch, 160, 160, 3) -> logits
"""

from quant._legacy_keras import require_legacy_keras
from tfres.lazy import lazily

require_legacy_keras()

__version__ = "0.1.0"

_PLACES = {
    "AdaptiveModel": "tfres.deploy.runtime",
    "Run": "tfres.run",
    "Setting": "tfres.settings",
    "export_litert": "tfres.deploy.litert",
    "export_savedmodel": "tfres.deploy.savedmodel",
    "from_preset": "tfres.families",
    "from_reference": "tfres.convert",
    "load_run": "tfres.families.networks",
    "measure": "tfres.evaluation.measuring",
    "read_recipe": "tfres.families.recipes",
    "table": "tfres.table",
    "training_step": "tfres.engines.steps",
}
__all__ = list(_PLACES)
__getattr__ = lazily(__name__, _PLACES)
