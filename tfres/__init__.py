"""tfres: vision networks whose cost is chosen at run time. One set of weights, many settings.

Importing the package is cheap (no TensorFlow); it only makes sure that TensorFlow will use Keras 2.
"""

from quant._legacy_keras import require_legacy_keras

require_legacy_keras()

__version__ = "0.1.0"
