"""Graphs to the bytes of a LiteRT file."""

from __future__ import annotations

import functools
import itertools
import pathlib
import re
import tempfile
import warnings
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.deploy.litert.norms import find_norms, kernels_to_fold, lower_norms
from tfres.deploy.litert.ranges import prove
from tfres.deploy.litert.sharing import share_kernels
from tfres.errors import ExportError, first_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tfres.deploy.litert.graphs import Constants, Graph
    from tfres.deploy.litert.ranges import Fed

FULL = "int8-full"


def convert(
    graphs: Sequence[Graph], constants: Constants, precision: str, fed: Callable[[Mapping[str, Callable]], Fed]
) -> bytes:
    """One signature per graph, all kernels once.

    Args:
        graphs: are changed.
        constants: that they share.
        precision: see `export_litert`.
        fed: signature -> its function, to inputs of signatures by which ranges are found; for precision "int8-full".

    Raises:
        ExportError: an operation that LiteRT does not have, or ranges of nothing. OSError: no room for temporary files.
    """
    quantized = precision in ("int8", FULL)
    norms = [find_norms(graph) for graph in graphs]
    every = [norm for found in norms for norm in found]
    # (full: ranges between a convolution and a norm of its own would cost accuracy)
    folded = {norm.kernel for norm in every} if precision == FULL else kernels_to_fold(every, constants.bytes, quantized)
    for graph, found in zip(graphs, norms, strict=True):
        lower_norms(graph, found, folded)
    root = tf.Module()
    root.constants = {key: tf.Variable(array, trainable=False) for key, array in constants.arrays.items()}
    made = {graph.name: graph.function(root.constants) for graph in graphs}
    with tempfile.TemporaryDirectory() as folder:
        saved = str(pathlib.Path(folder) / "saved")
        try:
            tf.saved_model.save(root, saved, made)
        except tf.errors.OpError as error:
            raise OSError(f"{folder}, for a while, cannot be written: {first_line(error)}.") from None
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[*made])
        if precision != "float":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == FULL:
            converter.representative_dataset = functools.partial(fed, made)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)  # the converter's own
                content = converter.convert()
        except Exception as error:  # the converter has errors of several kinds, of many lines
            raise ExportError(f"LiteRT must have all operations of the network. Received: {_fault(error)}.") from None
    content = share_kernels(content) if quantized else content
    if precision == FULL:
        prove(content, itertools.islice(fed(made), len(graphs)))
    return content


def _fault(error: Exception) -> str:
    """The operations that are missing, else the first line."""
    missing = re.search(r"^(?:TF Select|Custom) ops: (.*)$", str(error), re.MULTILINE)
    return missing[1] if missing else first_line(error).rstrip(".")
