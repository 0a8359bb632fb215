"""One evaluator for both engines: traced once, with the figures of the task."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from tests.engines.plans import make_plan
from tests.models.test_rsnet import tiny
from tests.tasks.fakes import classification
from tfres.engines.plan import Plan
from tfres.errors import DataError
from tfres.evaluation.evaluator import Evaluator, metric_names, trained_evaluator
from tfres.objectives import EnsembleDistillation


@pytest.fixture(scope="module")
def task():
    return classification(5, fake_size=20)


@pytest.fixture(scope="module")
def source(task):
    return type(task).open(task.data, 5)


def test_traced_once(task, source):
    """However often it is called and whatever the last batch holds; weights that change in between are seen."""
    network, traces = tiny(weight_bits=32, activation_bits=32), []
    call = network.run

    def counted(images, at, training=None):
        traces.append(str(at.setting))
        return call(images, at, training)

    network.run = counted
    evaluator = trained_evaluator(network, task, source, EnsembleDistillation(kd=True))
    first = evaluator()
    once = len(traces)
    assert set(traces) == {"r16", "r12"} and set(first) == {"r16", "r12", "ensemble"}
    assert evaluator() == first and len(traces) == once
    network.classifier.kernel.assign(tf.random.normal(network.classifier.kernel.shape, stddev=10.0))
    network.classifier.bias.assign([0, 0, 0, 0, 1e3])
    labels = source.validation.labels
    assert evaluator()["r16"]["top1"] == pytest.approx(np.mean(labels == 4)) and len(traces) == once


def test_engine_keeps_its_evaluator(tmp_path, monkeypatch):
    """Validations of a training share one, in both engines."""
    made = []
    evaluator = Plan.evaluator
    monkeypatch.setattr(Plan, "evaluator", lambda plan, network: made.append(evaluator(plan, network)) or made[-1])
    monkeypatch.setattr(Evaluator, "__call__", lambda self: {"r16": {"top1": 0.5}})
    for engine in ("keras", "tensorpack"):
        plan = make_plan(tmp_path, engine, epochs=3, steps_per_epoch=1)
        importlib.import_module(f"tfres.engines.{engine}_engine").run(plan)
        assert len(made) == 1
        made.clear()


def test_figures(task, source):
    """Top-1 and top-5 of answers that are known, and names for logs."""
    labels, size = source.validation.labels, task.data.batch_size
    batches = iter(np.eye(5, dtype=np.float32)[labels[start : start + size]] for start in range(0, len(labels), size))

    def knowing(images):
        return tf.ensure_shape(tf.numpy_function(lambda _: next(batches), [images], tf.float32), [None, 5])

    def answers(inputs):
        return {"r16": knowing(inputs[16]), "r12": tf.zeros([tf.shape(inputs[12])[0], 5])}

    results = Evaluator(task, source, [16, 12], answers)()
    assert results["r16"] == {"top1": 1.0, "top5": 1.0}
    assert results["r12"]["top1"] == pytest.approx(np.mean(labels == 0))  # ties: the first
    assert metric_names({"r16": {"top1": 0.25}}) == {"validation_top1_r16": 0.25}


def test_outputs_that_are_no_numbers(task, source):
    with pytest.raises(DataError, match="finite"):
        Evaluator(task, source, [16], lambda inputs: {"r16": tf.fill([tf.shape(inputs[16])[0], 5], float("nan"))})()
