"""A network as a TF Serving model: one signature per setting, weights once, the table as an asset."""

import json
import os
import pathlib
import tempfile

import tensorflow as tf

from tfres.data.transforms import centre_crop, decode
from tfres.settings import Setting

FORMS = ("shared", "separate")


def export_savedmodel(model, crop, out, name, classes, table=None, rules="tensorpack", settings=None, form="shared"):
    """Write `out/<name>/<version>/`, the next free version, whole or not at all.

    Signatures, each returning `logits` and `probabilities` `(batch, classes)` and `class` int64 `(batch,)`:
    `serve_<setting>`: uint8 RGB `(batch, height, width, 3)` pictures that are brought to the setting's resolution by the run's
        resizing rule.
    `serve_any`: the same, but square and of any side from the smallest to the largest setting's; run at their own side with
        norms (and a SAN's kernels) between those of the neighbouring settings. There with form "shared" and all of several
        settings.
    `serve_encoded`: `(batch,)` JPEG or PNG bytes, cut as in evaluation and run at the largest setting.
    `serving_default`: as the largest setting's.

    Assets: `table.json`, `classes.json`.

    Args:
        model: built.
        crop: `MultiResolutionCrop` of its training.
        out: folder.
        name: of the model.
        classes: names of the classes.
        table: query table or None.
        rules: how `serve_encoded` cuts pictures, see `tfres.data.transforms.centre_crop`.
        settings: those that are exported; None for all.
        form: "shared", one network that serves all settings (a SAN generates its kernels per call), or "separate", a plain
            network per setting with fixed kernels (see `materialize`), which stores kernels once per setting.

    Returns:
        path of the version.

    Raises:
        ValueError: unknown setting or form, or a network that has no plain form.
    """
    if form not in FORMS:
        raise ValueError(f"`form` must be one of {', '.join(FORMS)}. Received: form={form!r}.")
    parent = pathlib.Path(out) / name
    chosen = sorted({model.resolve(setting) for setting in settings or model.settings}, reverse=True)
    if form == "shared":
        served = model.to_served()
        networks = {setting: (served, setting) for setting in chosen}
    else:
        plain = {setting: model.materialize(setting).to_served() for setting in chosen}
        networks = {setting: (network, network.settings[0]) for setting, network in plain.items()}
    by_resolution = all(setting == Setting(setting.resolution) for setting in chosen)
    any_size = form == "shared" and not settings and len(chosen) > 1 and by_resolution
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=parent) as folder:
        folder = pathlib.Path(folder)
        root, signatures = _served(networks, crop, rules, any_size)
        root.assets = []
        for asset, content in (("table.json", table), ("classes.json", list(classes))):
            if content is not None:
                (folder / asset).write_text(json.dumps(content, indent=1) + "\n")
                root.assets.append(tf.saved_model.Asset(str(folder / asset)))
        tf.saved_model.save(root, str(folder / "model"), signatures)
        versions = [int(path.name) for path in parent.iterdir() if path.name.isdigit()]
        target = parent / str(max(versions, default=0) + 1)
        os.rename(folder / "model", target)
    return target


def _served(networks, crop, rules, any_size):
    """What is saved and its signatures.

    Args:
        networks: setting -> `(served network, its setting there)`, the largest setting first.
        crop, rules: as above.
        any_size: with `serve_any`.
    """
    root = tf.Module()
    models = {id(model): model for model, _ in networks.values()}
    root.model_variables = [variable for model in models.values() for variable in model.weights]
    traced = {key: _network(model) for key, model in models.items()}
    (largest, (model, inner)), *_ = networks.items()

    def classify(model, images, setting):
        logits = traced[id(model)](images, setting)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class": tf.argmax(logits, axis=-1)}

    def serve(setting, model, inner):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
        def signature(images):
            return classify(model, crop.at(images, setting.resolution), model.served_setting(inner))

        return signature.get_concrete_function()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")])
    def encoded(encoded):
        side = largest.resolution
        cut = lambda picture: centre_crop(decode(picture), side, rules)  # noqa: E731
        images = tf.map_fn(cut, encoded, fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8))
        return classify(model, crop.at(images, side), model.served_setting(inner))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
    def any_side(images):
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        low, high = model.settings[-1].resolution, model.settings[0].resolution
        fits = (height == width) & (height >= low) & (height <= high)
        wanted = f"`images` must be square with a side from {low} to {high} pixels. Received (height, width):"
        with tf.control_dependencies([tf.debugging.Assert(fits, [wanted, height, width])]):
            images = tf.identity(images)
        return classify(model, crop.normalised(images), model.shares(height))

    signatures = {f"serve_{setting}": serve(setting, *network) for setting, network in networks.items()}
    if any_size:
        signatures["serve_any"] = any_side.get_concrete_function()
    signatures["serve_encoded"] = encoded.get_concrete_function()
    signatures["serving_default"] = signatures[f"serve_{largest}"]
    return root, signatures


def _network(model):
    """The served network as one traced function of images and setting."""
    images = tf.TensorSpec([None, None, None, 3], model.compute_dtype)

    @tf.function(input_signature=[images, tf.TensorSpec.from_tensor(model.served_setting(model.settings[0]))])
    def network(images, setting):
        return tf.cast(model.logits(images, setting, training=False), tf.float32)

    return network
