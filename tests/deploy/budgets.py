"""An export that is small enough to make for every test, and a clock that says how long its calls take."""

import json

import numpy as np
import tensorflow as tf

from tests.deploy import fakes
from tfres.deploy.runtime.files import seal

SHAPE = (1, 16, 16)
PICTURES = np.zeros([*SHAPE, 3], np.uint8)


def make_export(folder, known, classes=None, sealed=True, value=1.0):
    """A SavedModel with a signature for each row of the table: the mean of the picture times a variable."""
    folder.mkdir(parents=True)
    root = tf.Module()
    root.scale = tf.Variable([value] * 5)

    def signature():
        @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")])
        def serve(images):
            logits = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2, 3])[:, None] * root.scale
            return {"logits": logits, "probabilities": tf.nn.softmax(logits), "class": tf.argmax(logits, -1)}

        return serve.get_concrete_function()

    signatures = {f"serve_{row['setting']}": signature() for row in (known or fakes.table("r16"))["rows"]}
    root.assets = []
    for name, content in (("table.json", known), ("classes.json", classes)):
        if content is not None:
            (folder / name).write_text(json.dumps(content))
            root.assets.append(tf.saved_model.Asset(str(folder / name)))
    tf.saved_model.save(root, str(folder / "1"), signatures)
    if sealed:
        seal(folder / "1")
    return folder / "1"


class Clock:
    """Calls take what it says: `ms` of the setting times `factor`, and `cold` before they are ready."""

    def __init__(self, model):
        self.ms, self.factor, self.cold, self.ran = {"r8": 10.0, "r12": 20.0, "r16": 30.0}, 1.0, 100.0, []
        self._backend, self._call, self.now = model._export.backend, model._export.backend.call, 0.0

    def __call__(self):
        return self.now

    def call(self, name, inputs):
        setting = name.removeprefix("serve_")
        ready = self._backend.ready(name, inputs["images"].shape)
        found = self._call(name, inputs)
        self.now += (self.ms[setting] * self.factor + (0 if ready else self.cold)) / 1000
        self.ran.append(setting)
        return found
