"""A small network with exits, its task and policies."""

import numpy as np
import tensorflow as tf

from tests.tasks.fakes import classification
from tfres.families import from_preset
from tfres.models.weights import fingerprint, weights_by_name
from tfres.policies import Policy

TASK = classification(10)
EXITS = (1, 2, 3, 4)
SMALL = {"scales": [1, 2], "channel_factors": [2, 1], "bottleneck_factors": [2, 1], "channels": 4, "growth": 4, "step": 1}


def network(seed=0, **options):
    tf.keras.utils.set_random_seed(seed)
    made = from_preset("ranet_cifar", **SMALL, resolutions=[16], **options)
    made.build()
    return made


def pictures(rng, *shape):
    return rng.integers(0, 256, (*shape, 3)).astype(np.uint8)


def policy(of=None, **changes):
    """A policy for the network; without one for any weights."""
    known = None if of is None else fingerprint(weights_by_name(of))
    given = {"score": "margin", "thresholds": [0.0, None, None], "temperatures": [1.0] * 4, "exits": EXITS, "network": known}
    return Policy(**{**given, **changes})


def mixed(network, images, score="margin", temperatures=(0.5, 1.0, 2.0, 1.0)):
    """A policy by which some pictures leave at every exit: half of those that are left, where they have the choice."""
    outputs = network.forward({16: TASK.resized(images, 16)}, network.settings, training=False)
    left, thresholds = np.ones(len(images), bool), []
    for setting, temperature in zip(network.settings[:0:-1], temperatures, strict=False):
        scores = TASK.confidence(outputs[setting], score, temperature).numpy()
        thresholds.append(float(np.median(scores[left])))
        left &= scores < thresholds[-1]
    return policy(network, score=score, thresholds=thresholds, temperatures=temperatures, shares=[0.5, 0.25, 0.125, 0.125])


def table(network, *policies):
    """Exits and policies; the score grows with the cost."""
    rows = [{"setting": f"exit{k}", "exit": k, "top1": k / 10, "macs": 100 * k} for k in EXITS]
    for place, one in enumerate(policies):
        rows.append(
            {"setting": f"policy-{place}", "policy": one.to_dict(), "top1": 0.15 + place / 10, "macs": 150 + 100 * place}
        )
    return {"rows": rows}
