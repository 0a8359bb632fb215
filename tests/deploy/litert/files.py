"""`.tflite` files looked into."""

import collections

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from tfres.deploy.runtime.attached import read_attached


def opened(path):
    """Name of a signature -> its runner."""
    interpreter = Interpreter(str(path), num_threads=1)
    _KEPT.append(interpreter)
    return {name: interpreter.get_signature_runner(name) for name in interpreter.get_signature_list()}


_KEPT = []


def _model(path):
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(read_attached(path).model, 0))


def stored(path, kind=None):
    """Bytes of all constants; of one type only."""
    model = _model(path)
    used = {t.buffer for graph in model.subgraphs for t in graph.tensors if kind is None or t.type == kind}
    return sum(len(model.buffers[number].data) for number in used if model.buffers[number].data is not None)


def operations(path):
    """Operation -> how often it occurs."""
    model = _model(path)
    names = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return collections.Counter(codes[one.opcodeIndex] for graph in model.subgraphs for one in graph.operators)


def pictures(rng, count, *shape):
    return rng.integers(0, 256, (count, *shape, 3)).astype(np.uint8)
