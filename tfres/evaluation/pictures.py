"""Answers as files: the worst ones drawn, all of them as the task writes them."""

from __future__ import annotations

import heapq
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfres.errors import RecipeError
from tfres.evaluation.latency import forms
from tfres.files import write_bytes
from tfres.plots import plotted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tfres.evaluation.measuring import How
    from tfres.evaluation.opened import OpenedRun
    from tfres.settings import Setting
    from tfres.tasks import Drawing

_MOST_ON_SHEET = 16


def write_pictures(opened: OpenedRun, settings: Iterable[Setting], how: How, worst: int, predictions: str | None) -> None:
    """Draws the worst answers of every setting into the run's folder of pictures, with a sheet of them; writes all answers.

    Args:
        opened: the run.
        settings: which.
        how: they are run.
        worst: how many of each are drawn; 0 for none.
        predictions: folder of all answers, `<setting>/<name of the picture>`; None for none.

    Raises:
        RecipeError: a task whose answers are not drawn, or settings that would be calibrated for it.
    """
    drawing = opened.task.drawing(opened.source)
    if drawing is None:
        raise RecipeError("`pictures` and `predictions` are for tasks whose answers are pictures. Received: another task.")
    if how.anew:
        raise RecipeError("`pictures` and `predictions` go without calibration: calibrate first, then evaluate again.")
    for setting in settings:
        folder = None if predictions is None else pathlib.Path(predictions) / str(setting)
        _write(opened, drawing, setting, how, worst, folder)


def _write(opened: OpenedRun, drawing: Drawing, setting: Setting, how: How, worst: int, folder: pathlib.Path | None) -> None:
    kept: list[tuple[float, int, np.ndarray]] = []
    for number, (images, outputs, targets) in enumerate(_answered(opened, setting, how)):
        name = pathlib.Path(drawing.names[number]).stem
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            write_bytes(folder / f"{name}{drawing.ending}", drawing.encode(outputs, targets))
        if worst:
            entry = (-drawing.judge(outputs, targets), -number)
            if len(kept) < worst or entry > kept[0][:2]:
                entry = (*entry, drawing.draw(images, outputs, targets))
                (heapq.heappush if len(kept) < worst else heapq.heapreplace)(kept, entry)
    if not kept:
        return
    place = opened.run.pictures
    place.mkdir(exist_ok=True)
    kept.sort(key=lambda entry: entry[:2], reverse=True)
    for rank, (_, number, picture) in enumerate(kept, 1):
        name = pathlib.Path(drawing.names[-number]).stem
        write_bytes(place / f"{setting}-worst{rank:03d}-{name}.png", tf.io.encode_png(picture).numpy())
    _sheet(place / f"{setting}-worst.png", kept[:_MOST_ON_SHEET], drawing.names)


def _answered(opened: OpenedRun, setting: Setting, how: How) -> Iterator[tuple[np.ndarray, tf.Tensor, Any]]:
    """Picture, outputs and targets of every validation picture, as batches of one."""
    size, private = opened.network.size_of(setting), how.private(opened.network, setting)
    plain = forms(opened.network, [setting], {setting: private})[setting]
    own = setting if len(plain.settings) > 1 else plain.settings[0]
    run = how.looking(opened.task, lambda images: plain(images, setting=own, training=False))

    @tf.function(reduce_retracing=True, autograph=False)
    def answer(batch: Any) -> tf.Tensor:
        return run(opened.task.prepare(batch, [size], training=False)[0][size])

    with opened.task.explained(opened.source):
        for batch in opened.task.evaluation_batches(opened.source, [size]):
            outputs, (images,) = answer(batch), batch["images"].values()
            for place in range(len(outputs)):
                one = tf.nest.map_structure(lambda part, place=place: part[place : place + 1], batch["targets"])
                yield images[place : place + 1].numpy(), outputs[place : place + 1], one


def _sheet(path: pathlib.Path, kept: list[tuple[float, int, np.ndarray]], names: list[str]) -> None:
    shape = kept[0][2].shape
    figsize = (8, len(kept) * (8 * shape[0] / shape[1] + 0.3))
    with plotted(path, len(kept), 1, figsize=figsize, squeeze=False) as axes:
        for (score, number, picture), one in zip(kept, axes[:, 0], strict=True):
            one.imshow(picture)
            one.set_title(f"{pathlib.Path(names[-number]).stem}: {-score:.3f}", fontsize=8)
            one.axis("off")
