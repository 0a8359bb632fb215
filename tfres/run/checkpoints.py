"""Checkpoints: TensorFlow's name-based files, the same for both engines. TensorFlow is loaded when one is read or written.

A checkpoint `model-<step>` holds every variable of the model, the optimizer's buffers as `<variable>/Momentum` (of Adam
`/Adam` and `/Adam_1`), moving averages of weights as `<variable>/ExponentialMovingAverage` where they are kept, the loss
scale of mixed_float16 as `loss_scale/*`, and `global_step`. TensorFlow's saver writes data and index under temporary names,
renames them and then rewrites the file `checkpoint` that names the newest, so a killed run leaves the previous checkpoint in
force.
"""

from __future__ import annotations

import logging
import os
import pathlib
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.errors import CheckpointError
from tfres.files import write_bytes, write_text
from tfres.run import checkpoint_files
from tfres.run.checkpoint_files import LIST, PREFIX, found, is_ours, remove_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import tensorflow as tf

__all__ = [
    "ADAM_SLOTS", "ADAM_STEP", "AVERAGE", "LOSS_SCALE", "PREFIX", "SLOT", "CheckpointError", "clean", "find_checkpoint",
    "found", "is_ours", "is_training_state", "keep_only", "latest_checkpoint", "make_saver", "of_step", "read_checkpoint",
    "remove_parts", "save",
]  # fmt: skip

logger = logging.getLogger(__name__)
SLOT = "/Momentum"
ADAM_SLOTS = ("/Adam", "/Adam_1")
ADAM_STEP = "adam_step"  # counts an optimizer's steps where its graph does not
AVERAGE = "/ExponentialMovingAverage"
LOSS_SCALE = "loss_scale/"


def is_training_state(name: str) -> bool:
    """Whether a tensor of a checkpoint belongs to the training, not to the network."""
    counters = ("global_step", "learning_rate", ADAM_STEP)
    return name.endswith((SLOT, *ADAM_SLOTS)) or name.startswith(LOSS_SCALE) or name in counters


def latest_checkpoint(folder: str | os.PathLike) -> str | None:
    """Prefix of the newest complete checkpoint in a folder, or None where there is none.

    The file `checkpoint` says which is the newest; where it is missing, the one of the highest step is.

    Raises:
        CheckpointError: that file is damaged, or none of the checkpoints that it names is there.
    """
    folder = pathlib.Path(folder)
    listed = checkpoint_files.listed(folder)
    if listed is None:
        there = [prefix for prefix in found(folder).values() if checkpoint_files.has_all_files(prefix)]
        return str(there[-1]) if there else None
    there = [prefix for prefix in listed if checkpoint_files.has_all_files(prefix)]
    if not there:
        raise CheckpointError(
            f"{folder / LIST} names {listed[-1].name}, but there are no complete files of it. Put them back, or remove that "
            "file to use what else is there."
        )
    if there[-1] != listed[-1]:
        logger.warning("%s is not complete: %s is used.", listed[-1], there[-1].name)
    return str(there[-1])


def find_checkpoint(path: str | os.PathLike) -> str:
    """Prefix meant by a run folder, a checkpoint folder or a prefix.

    Raises:
        CheckpointError: there is none, or a damaged list of checkpoints.
    """
    text = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if text.strip() and "\0" not in text and len(text) < 4096:
        path = pathlib.Path(text)
        for folder in (path / "checkpoints", path):
            newest = latest_checkpoint(folder) if folder.is_dir() else None
            if newest:
                return newest
        if path.name and path.with_name(path.name + ".index").exists():
            return str(path)
    raise CheckpointError(
        "`load` must be a run folder, a folder of checkpoints or a prefix (without .index). "
        f"Received: load={text[:200] if text.strip() else repr(path)}."
    )


def of_step(folder: str | os.PathLike, step: int) -> str:
    """Prefix of the checkpoint of a step.

    Raises:
        CheckpointError: there is none of that step (those that are there are named).
    """
    kept = found(folder)
    if step not in kept:
        raise CheckpointError(f"{folder} has no checkpoint of step {step}; it has {list(kept)}.")
    return str(kept[step])


def read_checkpoint(prefix: str | os.PathLike) -> dict[str, np.ndarray]:
    """All tensors of a checkpoint by name.

    Raises:
        CheckpointError: unreadable, cut or damaged, or a tensor with values that are not finite (it is named).
    """
    import tensorflow as tf

    checkpoint_files.check_files(prefix)
    tensors, name = {}, None
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            tensors[name] = reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, RuntimeError, TypeError, LookupError, SystemError, OSError, MemoryError) as error:
        where = f" (tensor {name})" if name else ""
        raise CheckpointError(f"Checkpoint {prefix} cannot be read{where}: {_reason(error)}.") from error
    for name, value in tensors.items():
        if np.asarray(value).dtype.kind not in "OSUb" and not np.isfinite(value).all():
            raise CheckpointError(f"Checkpoint {prefix} cannot be used: the tensor {name} holds values that are not finite.")
    return tensors


def clean(folder: str | os.PathLike) -> None:
    """Remove what a killed run left half-written: temporary files, and a checkpoint newer than the list that is not whole.

    Where the list is missing (a partial copy), it is made of the checkpoints that can be read. Whole checkpoints stay.

    Raises:
        CheckpointError: the list is damaged; nothing is removed.
    """
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        return
    listed = checkpoint_files.listed(folder)
    checkpoint_files.remove_temporaries(folder)
    if listed is None:
        whole = [prefix for prefix in found(folder).values() if _is_whole(prefix)]
        if whole:
            logger.warning("%s was missing and is made anew from %s.", folder / LIST, ", ".join(path.name for path in whole))
            write_text(folder / LIST, checkpoint_files.list_of([path.name for path in whole]))
        return
    newest = max((step for step in map(checkpoint_files.step_of, listed) if step is not None), default=None)
    for step, prefix in checkpoint_files.begun(folder).items():
        if newest is not None and step > newest and not _is_whole(prefix):
            checkpoint_files.remove(prefix)


def make_saver(
    variables: Sequence[tf.Variable] | Mapping[str, Any], folder: str | os.PathLike, keep: int
) -> tf.compat.v1.train.Saver:
    """A saver for `folder` that goes on counting the checkpoints already there.

    Args:
        variables: list of variables, or mapping of name to variable (of mirrored ones the first copy is saved).
        folder: of the checkpoints.
        keep: how many newest ones are kept.
    """
    import tensorflow as tf

    if isinstance(variables, dict):
        variables = {name: _plain(variable) for name, variable in variables.items()}
    tensorflow_log = tf.get_logger()
    level = tensorflow_log.level
    tensorflow_log.setLevel("ERROR")  # it advises object-based checkpoints; these names are stable by design
    try:
        saver = tf.compat.v1.train.Saver(variables, max_to_keep=keep, save_relative_paths=True)
    finally:
        tensorflow_log.setLevel(level)
    listed = checkpoint_files.listed(pathlib.Path(folder))
    if listed:
        saver.recover_last_checkpoints([str(prefix) for prefix in listed])
    return saver


def save(saver: tf.compat.v1.train.Saver, session: Any, folder: str | os.PathLike, step: int) -> str:
    """Write one checkpoint.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the previous checkpoint stays in force.
    """
    import tensorflow as tf

    try:
        return saver.save(session, str(pathlib.Path(folder) / PREFIX), global_step=step, write_meta_graph=False)
    except (tf.errors.OpError, OSError, ValueError) as error:
        try:
            newest = latest_checkpoint(folder)
        except CheckpointError:
            newest = None
        raise CheckpointError(
            f"The checkpoint of step {step} could not be saved in {folder}: {_reason(error)}. "
            f"The last complete one is {newest}; the same command goes on from there."
        ) from error


def keep_only(folder: pathlib.Path, prefix: str) -> None:
    """Copy a checkpoint into a folder, whole or not at all, and remove the others that are there.

    Raises:
        OSError: no room, or the like; what was there stays.
    """
    source = pathlib.Path(prefix)
    folder.mkdir(exist_ok=True)
    files = sorted(source.parent.glob(f"{source.name}.*"), key=lambda path: path.suffix == ".index")  # the index comes last
    for path in files:
        write_bytes(folder / path.name, path.read_bytes())
    for other in checkpoint_files.begun(folder).values():
        if other.name != source.name:
            checkpoint_files.remove(other)


def _plain(variable: Any) -> Any:
    """The TensorFlow variable inside Keras' autocasting and a strategy's mirroring."""
    import tensorflow as tf

    variable = getattr(variable, "_variable", variable)
    return variable.values[0] if isinstance(variable, tf.distribute.DistributedValues) else variable


def _is_whole(prefix: pathlib.Path) -> bool:
    try:
        read_checkpoint(prefix)
    except CheckpointError as error:
        return "not finite" in str(error)  # whole, though of no use
    return True


def _reason(error: Exception) -> str:
    """The line of a TensorFlow error that holds the system's own words ("path; No space left on device")."""
    lines = [re.sub(r"\{\{.*?\}\} ?", "", line).strip() for line in str(error).splitlines() if line.strip()]
    line = next((line for line in lines if ";" in line), lines[0] if lines else type(error).__name__)
    return (line if len(line) <= 300 else f"{line[:300]}...").rstrip(".")
