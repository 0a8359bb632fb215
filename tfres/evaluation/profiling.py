"""Costs and latency of a network's settings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.errors import RecipeError
from tfres.evaluation.latency import cost_of, forms, measure_latency, served_calls
from tfres.families.networks import build_network, load_network, read_run_recipe
from tfres.families.recipes import read_recipe, resolve
from tfres.machine import machine, threads
from tfres.run import Run
from tfres.tasks import find_task

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.settings import Resolution
    from tfres.tasks import Task


def profile_architecture(
    arch: str, resolutions: list[Resolution] | None, batch: int, repeats: int, task: str | None = None
) -> dict[str, Any]:
    """The table of a network with random weights; see `profile`."""
    model = {"arch": arch, **({} if resolutions is None else {"resolutions": resolutions})}
    data = {"source": "fake", "fake_size": 1, "batch_size": 1, "holdout": 0}
    recipe, made, _ = resolve(read_recipe({"task": task, "model": model, "data": data}))
    return profile(build_network(recipe.replace(model={"classes": None})), made, batch, repeats)


def profile_run(path: str, batch: int, repeats: int) -> dict[str, Any]:
    """The table of a run; it goes into the run's where a call is one picture."""
    run = Run(path)
    recipe, network = read_run_recipe(run), load_network(run)
    task = find_task(recipe.task).task(recipe.data, run.facts()["classes"], recipe.model.classes)
    table = profile(network, task, batch, repeats)
    if batch == 1:  # what policies took was measured then
        untimed = [
            {"setting": row["setting"], "ms": None, "ms_p90": None} for row in run.read_table()["rows"] if "policy" in row
        ]
        run.add_to_table({**table, "rows": [*table["rows"], *untimed]})
    return table


def profile(network: Network, task: Task, batch: int, repeats: int) -> dict[str, Any]:
    """Costs of every setting counted, latency of its served form measured here.

    Args:
        network: built.
        task: prepares pictures and makes answers.
        batch: images per timed call.
        repeats: timed calls per setting.
    """
    made = forms(network, network.settings, {})
    times = measure_latency(served_calls(made, task, batch), repeats)
    rows = [
        {
            "setting": str(setting),
            **{name: value for name, value in dataclasses.asdict(setting).items() if value is not None},
            **cost_of(network, setting, form),
            **times[str(setting)],
        }
        for setting, form in made.items()
    ]
    return {"machine": machine(), "batch": batch, "threads": threads(), "score": task.score, "rows": rows}


def set_threads(count: int | None) -> None:
    """How many threads one operation may use; None for all cores.

    Raises:
        RecipeError: TensorFlow is already running with another number.
    """
    if count is None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(count)
    except RuntimeError as error:
        raise RecipeError(f"`threads` must be given before TensorFlow runs. Received: threads={count}.") from error
