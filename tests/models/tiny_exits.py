"""A tiny network with exits at three resolutions, parts without weights, what is expected when pictures leave."""

import numpy as np
import tensorflow as tf

from tfres.families import from_preset
from tfres.models.backbones import Parts
from tfres.models.ranet.network import RANetTrunk

# Exits 1 and 2 | 3 | 4, the bars at the borders of sub-networks.
TINY = {
    "scales": [1, 2, 3],
    "channel_factors": [4, 2, 1],
    "bottleneck_factors": [4, 2, 1],
    "channels": 2,
    "growth": 4,
    "blocks": 2,
    "block_step": 1,
    "step": 1,
    "step_mode": "even",
    "classes": 5,
}


def tiny(seed=0, dtype=None, **more):
    """The built network; statistics, gammas and betas are random. ImageNet's stem, whose heads have few channels."""
    network = from_preset("ranet_imagenet", dtype=dtype, **{**TINY, "resolutions": [32], **more})
    rng = np.random.default_rng(seed)
    for variable in network.weights:
        if "/norm/" in variable.name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return network


def pictures(count, side=32, seed=1, dtype="float32"):
    """Random pictures of different contrast."""
    rng = np.random.default_rng(seed)
    return tf.constant(rng.standard_normal((count, side, side, 3)) * rng.uniform(0.2, 3, (count, 1, 1, 1)), dtype)


def weightless(options):
    """The trunk of a network, all of whose convolutions give zeros of the right shape."""

    def conv(channels, kernel_size, strides, **others):
        def run(x, at=None, training=None):
            height, width = (-(-side // strides) for side in x.shape[1:3])
            return tf.zeros([x.shape[0], height, width, channels])

        return run

    def norm(channels, name):
        return lambda x, at=None, training=None: x

    parts = Parts(lambda count, place, ratio=1: count, conv, None, norm, lambda name: None)
    return RANetTrunk(parts, options, name="backbone")


def stages(trunk, images):
    """`(exit, features, state)` behind every stage."""
    state = trunk.begin(images)
    for number in trunk.exits:
        features, state = trunk.advance(state, number)
        yield number, features, state


def margin(place, outputs):
    """Confidence: difference of the two largest log-probabilities."""
    best = tf.math.top_k(tf.nn.log_softmax(outputs), 2).values
    return best[:, 0] - best[:, 1]


def answers(network, images):
    """Outputs and scores of all exits, from one full pass."""
    outputs = [z for _, z in network.ways.each(images, network.exits)]
    return np.stack(outputs), np.stack([margin(place, z) for place, z in enumerate(outputs)])


def expected(network, found, thresholds):
    """What `answers` gave, at the exit where every picture leaves by the rule itself: exits, outputs, scores."""
    outputs, scores = found
    leaves = np.concatenate([scores[:-1] >= np.asarray(thresholds)[:, None], np.ones_like(scores[:1], bool)])
    places, rows = leaves.argmax(0), np.arange(scores.shape[1])
    return np.asarray(network.exits)[places], outputs[places, rows], scores[places, rows]
