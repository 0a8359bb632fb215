"""Options of RS-Nets; no TensorFlow here."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

from tfres.errors import RecipeError
from tfres.models.options import FLOAT_BITS, ResidualOptions, check_bits
from tfres.recipe import check


@dataclasses.dataclass(frozen=True)
class RSNetOptions(ResidualOptions):
    """The network.

    Args:
        kind: basic or bottleneck (residual networks), mobilenet_v2 or vgg_small.
        mode: float (PyTorch's layout, padding and initial values), or an arrangement of the quantized half: resnet (float
            activations), preact or preact_typeA; null for float without bits, else preact. It also decides the defaults of
            other fields.
        weight_bits: 1 to 8, 32 for float.
        activation_bits: 1 to 8, 32 for float.
        basis_update: activation bases over several resolutions: sequential, pooled, largest or private.
        quantize_first_shortcut: quantize the input of the first projection too.
        feature_side: of vgg_small: side of the features that the final layer takes; null for that at the largest resolution.
    """

    mode: Literal["float", "resnet", "preact", "preact_typeA"] | None = None
    weight_bits: int = FLOAT_BITS
    activation_bits: int = FLOAT_BITS
    basis_update: Literal["sequential", "pooled", "largest", "private"] = "sequential"
    quantize_first_shortcut: bool = False
    feature_side: int | None = None

    kinds: ClassVar[tuple[str, ...]] = ("basic", "bottleneck", "mobilenet_v2", "vgg_small")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("weight_bits", "activation_bits"):
            check_bits(name, getattr(self, name))
        low_bit = self.weight_bits < FLOAT_BITS or self.activation_bits < FLOAT_BITS
        if low_bit and (self.kind == "mobilenet_v2" or self.mode == "float"):
            raise RecipeError(
                "`weight_bits` and `activation_bits` must be 32 in mode float and for mobilenet_v2. "
                f"Received: weight_bits={self.weight_bits}, activation_bits={self.activation_bits}."
            )
        if self.kind == "mobilenet_v2" and self.mode not in (None, "float"):
            raise RecipeError(f"`mode` must be float for mobilenet_v2. Received: mode={self.mode!r}.")
        if self.mode == "resnet" and self.kind != "vgg_small" and self.activation_bits < FLOAT_BITS:
            raise RecipeError(
                "`activation_bits` must be 32 in mode 'resnet', which has no activation quantizer; use mode 'preact'. "
                f"Received: activation_bits={self.activation_bits}."
            )
        side = self.feature_side
        check(side is None or 0 < side <= 1024, "feature_side", "from 1 to 1024", side)
        if self.kind == "vgg_small":
            square = isinstance(self.resolutions[0], int)
            check(square or side is not None, "feature_side", "given where pictures are no squares", side)
            self._set(feature_side=side or -(-self.resolutions[0] // 2 ** len(self.widths)))
        self._set(mode=self.mode or ("preact" if low_bit else "float"))
