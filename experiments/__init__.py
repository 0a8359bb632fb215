"""Research code: recipes, benchmarks, result tables. The library never imports it."""

import tfres  # noqa: F401  (sets the Keras 2 switch before TensorFlow is imported)
