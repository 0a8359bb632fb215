"""A network as a TF Serving model: one signature per setting, weights once, the table as an asset."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING, NamedTuple

import tensorflow as tf

from tfres import table as tables
from tfres.deploy.runtime.files import CLASSES, TABLE, check_classes, seal
from tfres.deploy.versions import add_version
from tfres.errors import ExportError
from tfres.files import checked_name, write_json

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from quant.at import At
    from tfres.models.network import Network, ServedNetwork
    from tfres.settings import Setting
    from tfres.tasks import Task

FORMS = ("shared", "separate")


def export_savedmodel(
    network: Network,
    task: Task,
    out: str | os.PathLike,
    name: str,
    classes: Sequence[str] | None = None,
    table: dict | None = None,
    settings: Sequence[Setting | str | int] | None = None,
    form: str = "shared",
) -> pathlib.Path:
    """Write `out/<name>/<version>/`, the next free version, whole or not at all.

    Signatures; each returns what the task answers (a classifier `logits` and `probabilities` `(batch, classes)` and `class`
    int64 `(batch,)`), one entry per picture, none for an empty batch:
    `serve_<setting>`: uint8 RGB `(batch, height, width, 3)` pictures that are brought to the setting's resolution by the run's
        resizing rule.
    `serve_any`: the same, but square and of any side from the smallest to the largest setting's; run at their own side with
        norms (and a SAN's kernels) between those of the neighbouring settings. There with form "shared" and all of several
        settings that differ in nothing but the resolution.
    `serve_encoded`: `(batch,)` JPEG or PNG bytes, cut as in evaluation and run at the largest setting.
    `serving_default`: as the largest setting's.

    Pictures without a pixel and those that `serve_any` does not take are an `InvalidArgumentError` that says what is allowed;
    arrays of another type or rank are refused by TensorFlow.

    Assets: `table.json`, `classes.json`. `assets.extra/files.json` has the digests of all files.

    Args:
        network: built.
        task: what its outputs mean: cuts, resizes and normalises pictures, makes the answer.
        out: folder.
        name: of the model, one component of a path.
        classes: names of the classes, or None.
        table: query table, or None.
        settings: those that are exported; None for all.
        form: "shared", one network that serves all settings (a SAN generates its kernels per call), or "separate", a plain
            network per setting with fixed kernels (see `Network.materialize`), which stores kernels once per setting.

    Returns:
        path of the version.

    Raises:
        ExportError: a form, name, folder, table or classes that cannot be used. ValueError: unknown setting, or a network
            that has no plain form. OSError: no room, or the like; nothing is left then.
    """
    if form not in FORMS:
        raise ExportError(f"`form` must be one of {', '.join(FORMS)}. Received: form={form!r}.")
    checked_name("name", name)
    if settings is not None and not [*settings]:
        raise ExportError(f"`settings` must name a setting, or be None for all. Received: settings={settings!r}.")
    if table is not None:
        tables.check(table)
    assets = {TABLE: table, CLASSES: None if classes is None else check_classes(classes)}
    chosen = sorted({network.resolve(setting) for setting in settings or network.settings}, reverse=True)
    if form == "shared":
        served = _Served(network.served(), task)
        points = {setting: _Point(served, setting) for setting in chosen}
    else:
        plain = {setting: _Served(network.materialize(setting).served(), task) for setting in chosen}
        points = {setting: _Point(served, served.network.settings[0]) for setting, served in plain.items()}
    only_resolutions = all(str(setting) == f"r{setting.resolution}" for setting in chosen)  # of one side
    any_side = form == "shared" and settings is None and len(chosen) > 1 and only_resolutions
    parent, root = pathlib.Path(out) / name, tf.Module()
    signatures = _signatures(points, task, any_side and points[chosen[0]].served.network.continuous)
    root.networks = [list(served.network.weights) for served in dict.fromkeys(point.served for point in points.values())]

    def write(folder: pathlib.Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent) as beside:
            root.assets = []
            for asset, content in assets.items():
                if content is not None:
                    place = pathlib.Path(beside) / pathlib.Path(asset).name
                    write_json(place, content)
                    root.assets.append(tf.saved_model.Asset(str(place)))
            try:
                tf.saved_model.save(root, str(folder), signatures)
            except tf.errors.OpError as error:
                raise OSError(error.message.splitlines()[0]) from None
        seal(folder)

    return add_version(parent, write)


class _Served:
    """A served network whose body is traced once for all signatures that call it in the same way.

    Args:
        network: served form.
        task: makes the answer.
    """

    def __init__(self, network: ServedNetwork, task: Task) -> None:
        self.network = network
        self._task = task
        self._bodies = {}

    def answer(self, images: tf.Tensor, at: At, count: tf.Tensor) -> dict[str, tf.Tensor]:
        """What the task answers for the first `count` of normalised images at `at`, whose given fields are tensors."""
        given = {field.name: getattr(at, field.name) for field in dataclasses.fields(at)}
        given = {name: tf.convert_to_tensor(value) for name, value in given.items() if value is not None}
        kind = tuple((name, value.dtype, *value.shape) for name, value in given.items())
        if kind not in self._bodies:
            pictures = tf.TensorSpec([None, None, None, 3], self.network.compute_dtype)
            specs = {name: tf.TensorSpec.from_tensor(value, name) for name, value in given.items()}

            @tf.function(input_signature=[pictures, specs, tf.TensorSpec([], tf.int32)])
            def body(images: tf.Tensor, given: dict[str, tf.Tensor], count: tf.Tensor) -> dict[str, tf.Tensor]:
                outputs = self.network.run(images, dataclasses.replace(at, **given))
                outputs = tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)
                return {name: output[:count] for name, output in self._task.answer(outputs).items()}

            self._bodies[kind] = body
        return self._bodies[kind](tf.cast(images, self.network.compute_dtype), given, count)


class _Point(NamedTuple):
    """A setting of a served network."""

    served: _Served
    setting: Setting

    @property
    def size(self) -> tuple[int, int]:
        return self.served.network.input_size(self.setting)


def _signatures(points: dict[Setting, _Point], task: Task, any_side: bool) -> dict[str, Callable[..., dict]]:
    """Name -> traced function.

    Args:
        points: of the exported settings, the largest first.
        task: see `export_savedmodel`.
        any_side: with `serve_any`.
    """
    pictures = tf.TensorSpec([None, None, None, 3], tf.uint8, "images")
    largest, smallest = next(iter(points.values())), [*points.values()][-1]

    some = tf.function(_some, input_signature=[pictures])  # traced once for all

    def at_setting(point: _Point, images: tf.Tensor) -> dict[str, tf.Tensor]:
        images, count = some(images)
        resized = task.resized(images, point.size)
        network = point.served.network
        # A setting's own side has its shares alone: so that one body serves `serve_any` and the others.
        at = network.shares(tf.constant(point.setting.resolution)) if any_side else network.at(point.setting)
        return point.served.answer(resized, at, count)

    def of_setting(point: _Point) -> Callable[..., dict]:
        signature = tf.function(lambda images: at_setting(point, images), input_signature=[pictures])
        return signature.get_concrete_function()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")])
    def encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = tf.TensorSpec([None, None, 3], tf.uint8)
        cut = tf.map_fn(lambda one: task.evaluation_picture(one, largest.size), encoded, fn_output_signature=spec)
        return at_setting(largest, cut)

    @tf.function(input_signature=[pictures])
    def of_any_side(images: tf.Tensor) -> dict[str, tf.Tensor]:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        low, high = smallest.setting.resolution, largest.setting.resolution
        fits = (height == width) & (height >= low) & (height <= high)
        wanted = f"`images` must be square with a side from {low} to {high} pixels. Received (height, width):"
        with tf.control_dependencies([tf.debugging.Assert(fits, [wanted, height, width])]):
            images, count = some(tf.identity(images))
        return largest.served.answer(task.normalised(images), largest.served.network.shares(height), count)

    signatures = {f"serve_{setting}": of_setting(point) for setting, point in points.items()}
    signatures["serving_default"] = next(iter(signatures.values()))
    if any_side:
        signatures["serve_any"] = of_any_side.get_concrete_function()
    signatures["serve_encoded"] = encoded.get_concrete_function()
    return signatures


def _some(images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The pictures, one black one for none (TensorFlow's convolutions fail there), and how many they are."""
    count, height, width, _ = tf.unstack(tf.shape(images))
    wanted = "`images` must be at least one pixel high and wide. Received (height, width):"
    with tf.control_dependencies([tf.debugging.Assert((height > 0) & (width > 0), [wanted, height, width])]):
        some = tf.cond(count > 0, lambda: images, lambda: tf.zeros([1, height, width, 3], images.dtype))
    return tf.ensure_shape(some, [None, None, None, 3]), count
