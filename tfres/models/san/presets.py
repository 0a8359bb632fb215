"""Architectures of SAN by name: those of float RS-Nets with generated kernels."""

from tfres.models.rsnet.presets import PRESETS as RESIDUAL

_SAME = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "mobilenetv2")

PRESETS = {f"meta_{name}": RESIDUAL[name] for name in (*_SAME, "resnet20")}
