"""Generated exits: scores, hits and costs, by the rule of the golden of thresholds."""

import numpy as np

# Cumulative operations of the golden's plain case.
COSTS = (8360714.0, 21765140.0, 32844062.0, 41523752.0, 53225778.0, 58921020.0)


def probabilities(exits, number, classes, seed, label_seed, temperature=1.0):
    """`(probabilities (exits, number, classes) float32, labels)`; field `recipe` of the golden."""
    rng = np.random.Generator(np.random.PCG64(seed))
    ease = rng.standard_normal(number)
    noise = rng.standard_normal((exits, number, classes))
    labels = np.random.Generator(np.random.PCG64(label_seed)).integers(0, classes, number)
    right = np.arange(classes) == labels[:, None]
    logits = temperature * (noise + right * (1 + 0.5 * np.arange(exits)[:, None] + ease)[..., None])
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return (powers / powers.sum(-1, keepdims=True)).astype(np.float32), labels


def pictures(exits=6, number=994, seed=2026, temperature=1.0):
    """`(scores, hits)`: the largest probability, and whether its class is right."""
    found, labels = probabilities(exits, number, 10, seed, seed + 1, temperature)
    return found.max(-1), found.argmax(-1) == labels
