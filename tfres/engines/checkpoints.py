"""Checkpoints: TensorFlow's name-based files, the same for both engines.

A checkpoint `model-<step>` holds every variable of the model, the optimizer's buffers as `<variable>/Momentum`, moving
averages of weights as `<variable>/ExponentialMovingAverage` where they are kept, the loss scale of mixed_float16 as
`loss_scale/*`, and `global_step`. TensorFlow's saver writes data and index under temporary names, renames them and then
rewrites the file `checkpoint` that names the newest, so a killed run leaves the previous checkpoint in force.
"""

import pathlib

import tensorflow as tf

PREFIX = "model"
SLOT = "/Momentum"
AVERAGE = "/ExponentialMovingAverage"
LOSS_SCALE = "loss_scale/"


class CheckpointError(ValueError):
    """A checkpoint that does not fit or cannot be read."""


def is_training_state(name):
    """Whether a tensor of a checkpoint belongs to the training, not to the network."""
    return name.endswith(SLOT) or name.startswith(LOSS_SCALE) or name in ("global_step", "learning_rate")


def latest_checkpoint(folder):
    """Prefix of the newest complete checkpoint in a folder, or None."""
    return tf.train.latest_checkpoint(str(folder))


def find_checkpoint(path):
    """Prefix meant by a run folder, a checkpoint folder or a prefix.

    Raises:
        CheckpointError: there is none.
    """
    path = pathlib.Path(path)
    for folder in (path / "checkpoints", path):
        if folder.is_dir() and latest_checkpoint(folder):
            return latest_checkpoint(folder)
    if path.with_name(path.name + ".index").exists():
        return str(path)
    raise CheckpointError(f"`load` must be a run folder, a folder of checkpoints or a prefix. Received: load={path}.")


def read_checkpoint(prefix):
    """All tensors of a checkpoint by name.

    Raises:
        CheckpointError: unreadable.
    """
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"Checkpoint {prefix} cannot be read: {error}") from error


def clean(folder):
    """Remove what a killed run left half-written: temporary files and checkpoints that are not listed."""
    folder = pathlib.Path(folder)
    state = tf.train.get_checkpoint_state(str(folder)) if folder.is_dir() else None
    listed = {pathlib.Path(path).name for path in state.all_model_checkpoint_paths} if state else set()
    for path in folder.glob(f"{PREFIX}-*"):
        if path.name.split(".")[0] not in listed:
            if path.is_dir():
                for part in path.iterdir():
                    part.unlink()
                path.rmdir()
            else:
                path.unlink()
    for path in [*folder.glob("*.tmp*"), *folder.glob("*.tempstate*")]:
        path.unlink(missing_ok=True)


def make_saver(variables, folder, keep):
    """A saver for `folder` that goes on counting the checkpoints already there.

    Args:
        variables: list of variables, or mapping of name to variable (of mirrored ones the first copy is saved).
        folder: of the checkpoints.
        keep: how many newest ones are kept.
    """
    if isinstance(variables, dict):
        variables = {name: _plain(variable) for name, variable in variables.items()}
    tensorflow_log = tf.get_logger()
    level = tensorflow_log.level
    tensorflow_log.setLevel("ERROR")  # it advises object-based checkpoints; these names are stable by design
    try:
        saver = tf.compat.v1.train.Saver(variables, max_to_keep=keep, save_relative_paths=True)
    finally:
        tensorflow_log.setLevel(level)
    state = tf.train.get_checkpoint_state(str(folder))
    if state:
        saver.recover_last_checkpoints(state.all_model_checkpoint_paths)
    return saver


def _plain(variable):
    """The TensorFlow variable inside Keras' autocasting and a strategy's mirroring."""
    variable = getattr(variable, "_variable", variable)
    return variable.values[0] if isinstance(variable, tf.distribute.DistributedValues) else variable


def _reason(error):
    """The line of a TensorFlow error that holds the system's own words ("path; No space left on device")."""
    lines = str(error).splitlines()
    return next((line.strip() for line in lines if ";" in line), lines[0])


def save(saver, session, folder, step):
    """Write one checkpoint.

    Raises:
        CheckpointError: the disk is full or the folder cannot be written; the previous checkpoint stays in force.
    """
    try:
        return saver.save(session, str(pathlib.Path(folder) / PREFIX), global_step=step, write_meta_graph=False)
    except (tf.errors.OpError, OSError) as error:
        newest = latest_checkpoint(folder)
        raise CheckpointError(
            f"The checkpoint of step {step} could not be saved in {folder}: {_reason(error)}. "
            f"The last complete one is {newest}; the same command goes on from there."
        ) from error
