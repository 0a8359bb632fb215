"""Graphs to the bytes of a LiteRT file."""

from __future__ import annotations

import pathlib
import re
import tempfile
from typing import TYPE_CHECKING

import tensorflow as tf

from tfres.deploy.litert.norms import find_norms, kernels_to_fold, lower_norms
from tfres.deploy.litert.sharing import share_kernels
from tfres.errors import ExportError, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tfres.deploy.litert.graphs import Constants, Graph

PRECISIONS = ("float", "float16", "int8")


def convert(graphs: Sequence[Graph], constants: Constants, precision: str) -> bytes:
    """One signature per graph, all kernels once.

    Args:
        graphs: are changed.
        constants: that they share.
        precision: "float" (float32), "float16" (weights, which are widened when the file is loaded) or "int8" (weights;
            activations are quantized at run time by their own ranges).

    Raises:
        ExportError: an operation that LiteRT does not have.
    """
    quantized = precision == "int8"
    norms = [find_norms(graph) for graph in graphs]
    folded = kernels_to_fold([norm for found in norms for norm in found], constants.bytes, quantized)
    for graph, found in zip(graphs, norms, strict=True):
        lower_norms(graph, found, folded)
    root = tf.Module()
    root.constants = {key: tf.Variable(array, trainable=False) for key, array in constants.arrays.items()}
    made = {graph.name: graph.function(root.constants) for graph in graphs}
    with tempfile.TemporaryDirectory() as folder:
        saved = str(pathlib.Path(folder) / "saved")
        tf.saved_model.save(root, saved, made)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=[*made])
        if precision != "float":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        try:
            content = converter.convert()
        except Exception as error:  # the converter has errors of several kinds, of many lines
            raise ExportError(f"LiteRT must have all operations of the network. Received: {_fault(error)}.") from None
    return share_kernels(content) if quantized else content


def _fault(error: Exception) -> str:
    """The operations that are missing, else the first line."""
    missing = re.search(r"^(?:TF Select|Custom) ops: (.*)$", str(error), re.MULTILINE)
    return missing[1] if missing else first_line(error).rstrip(".")
