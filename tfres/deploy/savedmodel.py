"""A network as a TF Serving model: one signature per setting, weights once, the table as an asset."""

import json
import os
import pathlib
import tempfile

import tensorflow as tf

from tfres.data.transforms import centre_crop, decode


def export_savedmodel(model, crop, out, name, classes, table=None, rules="tensorpack"):
    """Write `out/<name>/<version>/`, the next free version, whole or not at all.

    Signatures: `serve_<setting>` for every setting, uint8 RGB `(batch, height, width, 3)` pictures that are brought to the
    setting's resolution by the run's resizing rule; `serve_encoded`, `(batch,)` JPEG or PNG bytes, cut as in evaluation and
    run at the largest setting; `serving_default`, the largest setting. Each returns `logits` and `probabilities`
    `(batch, classes)` and `class` int64 `(batch,)`. Assets: `table.json`, `classes.json`.

    Args:
        model: built.
        crop: `MultiResolutionCrop` of its training.
        out: folder.
        name: of the model.
        classes: names of the classes.
        table: query table or None.
        rules: how `serve_encoded` cuts pictures, see `tfres.data.transforms.centre_crop`.

    Returns:
        path of the version.
    """
    parent = pathlib.Path(out) / name
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=parent) as folder:
        folder = pathlib.Path(folder)
        root, signatures = _served(model.to_served(), crop, rules)
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


def _served(model, crop, rules):
    """What is saved and its signatures. The network is traced once; a signature only adds the number of its setting."""
    root = tf.Module()
    root.model_variables = list(model.weights)

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], model.compute_dtype), tf.TensorSpec([], tf.int32)])
    def network(images, number):
        return tf.cast(model.logits(images, number, training=False), tf.float32)

    def classify(images, number, resolution):
        logits = network(crop.at(images, resolution), number)
        return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class": tf.argmax(logits, axis=-1)}

    def serve(number, resolution):
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
        def signature(images):
            return classify(images, number, resolution)

        return signature.get_concrete_function()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "encoded")])
    def encoded(encoded):
        side = model.settings[0].resolution
        cut = lambda picture: centre_crop(decode(picture), side, rules)  # noqa: E731
        images = tf.map_fn(cut, encoded, fn_output_signature=tf.TensorSpec([side, side, 3], tf.uint8))
        return classify(images, 0, side)

    signatures = {f"serve_{setting}": serve(i, setting.resolution) for i, setting in enumerate(model.settings)}
    signatures["serve_encoded"] = encoded.get_concrete_function()
    signatures["serving_default"] = signatures[f"serve_{model.settings[0]}"]
    return root, signatures
