"""What runs the signatures of an export: TensorFlow or LiteRT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np


class Backend(Protocol):
    """Runs the signatures of one export. Several threads may call it at the same time.

    `signatures` are their names.
    """

    signatures: Sequence[str]

    def takes_pictures(self, name: str) -> bool:
        """Whether a signature's only input is `images` of uint8."""

    def outputs(self, name: str) -> list[str]:
        """Names of a signature's outputs."""

    def call(self, name: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The outputs of a signature by name.

        Args:
            name: of the signature.
            inputs: name -> array, or a text or tuple of numbers.
        """

    def ready(self, name: str, shape: Sequence[int]) -> bool:
        """Whether the next call of a signature need not make things ready for its first input first.

        A first call takes longer than those that follow: such as for another shape, or in another thread.

        Args:
            name: of the signature.
            shape: of its pictures.
        """

    def host(self) -> dict[str, Any]:
        """What its times depend on, JSON-able: `machine` (one line), `devices`, `threads`."""
