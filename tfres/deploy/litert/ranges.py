"""Pictures by which the converter finds the ranges of a fully quantized file: of every signature its own."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tfres.deploy.litert.signatures import STAGE
from tfres.errors import ExportError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from tfres.deploy.litert.graphs import Graph

    Batch = np.ndarray | Mapping[Hashable, np.ndarray]
    Fed = Iterator[tuple[str, dict[str, np.ndarray]]]


def checked_calibration(calibration: object, sizes: Iterable[Hashable]) -> list[Batch]:
    """The batches of `calibration`, see `export_litert`.

    Args:
        calibration: what a caller gave.
        sizes: that a mapping must have.

    Raises:
        ExportError: no batch, or what is none.
    """
    batches = [*calibration] if isinstance(calibration, Iterable) and not isinstance(calibration, (str, Mapping)) else []
    sizes = [*sizes]
    if batches and all(_fits(batch, sizes) for batch in batches):
        return batches
    raise ExportError(
        "`calibration` must give batches of pictures, uint8 (batch, height, width, 3) or a mapping of the sizes "
        f"{', '.join(map(str, sizes))} to such, for precision int8-full. Received: {reprlib.repr(calibration)}."
    )


def feed(
    graphs: Sequence[Graph], batches: Sequence[Batch], sizes: Mapping[str, Hashable], functions: Mapping[str, Callable]
) -> Fed:
    """Inputs of every signature for every batch; those of a stage are what the stage before gives.

    Args:
        graphs: of the signatures, stages in their order.
        batches: of `checked_calibration`.
        sizes: signature -> size of its pictures.
        functions: signature -> its function.
    """
    for batch in batches:
        behind: Any = {}
        for graph in graphs:
            pictures = batch[sizes[graph.name]] if isinstance(batch, Mapping) else batch
            given = {name: np.asarray(pictures) if name == "images" else behind[name] for name in graph.specs}
            yield graph.name, given
            if graph.name.startswith(STAGE):
                found = functions[graph.name](**given)
                behind = {name: value.numpy() for name, value in found.items()}


def prove(content: bytes, inputs: Fed) -> None:
    """Run signatures of a file once.

    Raises:
        ExportError: one does not run. A tensor that is 0 for all pictures has a range of nothing, which kernels refuse.
    """
    net = Interpreter(model_content=content)
    for name, given in inputs:
        try:
            net.get_signature_runner(name)(**given)
        except RuntimeError as error:
            raise ExportError(
                f"`calibration` must have pictures for which every layer gives something, else {name} does not run. "
                f"Received: {first_line(error)[:80]}."
            ) from None


def _fits(batch: object, sizes: Sequence[Hashable]) -> bool:
    if isinstance(batch, Mapping):
        return all(size in batch and _fits(batch[size], []) for size in sizes)
    array = np.asarray(batch)
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3 and 0 not in array.shape
