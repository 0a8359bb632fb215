"""Low-bit arithmetic for Keras: learned quantizers (LQ-Nets), layers on them, a tfmot bridge, bit packing.

Importing this package is cheap: TensorFlow is loaded on first use of a public name.
"""

import importlib
from typing import Any

from quant._legacy_keras import require_legacy_keras

require_legacy_keras()

_PUBLIC = {
    "At": "at",
    "LQStatistics": "lq",
    "LevelTable": "lq",
    "debiased_average": "lq",
    "initial_activation_basis": "lq",
    "initial_weight_basis": "lq",
    "kernel_on_grid": "grid",
    "levels_on_grid": "grid",
    "level_table": "lq",
    "quantize": "lq",
    "quantize_with_statistics": "lq",
    "solve_basis": "lq",
    "sorted_levels": "lq",
    "ArithmeticLevels": "quantizers",
    "QuantConv2D": "layers",
    "QuantDense": "layers",
    "QuantDepthwiseConv2D": "layers",
    "ActivationQuantizer": "quantizers",
    "FixedLevels": "quantizers",
    "WeightQuantizer": "quantizers",
    "StepScope": "scope",
    "LQActivationQuantizer": "tfmot_bridge",
    "LQQuantizeConfig": "tfmot_bridge",
    "LQWeightQuantizer": "tfmot_bridge",
    "PackedKernel": "packing",
    "pack_kernel": "packing",
    "tfmot_objects": "tfmot_bridge",
    "unpack_kernel": "packing",
    "unpacking": "packing",
}

__all__ = [
    "ActivationQuantizer",
    "ArithmeticLevels",
    "At",
    "FixedLevels",
    "LQActivationQuantizer",
    "LQQuantizeConfig",
    "LQStatistics",
    "LQWeightQuantizer",
    "LevelTable",
    "PackedKernel",
    "QuantConv2D",
    "QuantDense",
    "QuantDepthwiseConv2D",
    "StepScope",
    "WeightQuantizer",
    "debiased_average",
    "initial_activation_basis",
    "initial_weight_basis",
    "kernel_on_grid",
    "level_table",
    "levels_on_grid",
    "pack_kernel",
    "quantize",
    "quantize_with_statistics",
    "solve_basis",
    "sorted_levels",
    "tfmot_objects",
    "unpack_kernel",
    "unpacking",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'quant' has no attribute {name!r}")
    return getattr(importlib.import_module(f"quant.{_PUBLIC[name]}"), name)
