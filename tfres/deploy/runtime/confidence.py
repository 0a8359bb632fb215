"""How sure an answer is, from its logits: the scores of `tfres.policies.SCORES`, as exported networks compute them."""

from __future__ import annotations

import numpy as np


def confidence(logits: np.ndarray, score: str, temperature: float) -> np.ndarray:
    """How sure answers are, the larger the surer, with p the softmax of logits / temperature.

    Args:
        logits: `(batch, classes)`.
        score: "margin" (ln of the largest p less ln of the second largest), "probability" (the largest p) or "entropy"
            (sum p ln p).
        temperature: positive.

    Returns:
        float32 `(batch,)`; not a number where a logit is not finite.
    """
    logits, temperature = np.asarray(logits, np.float32), np.float32(temperature)
    finite = np.isfinite(logits).all(-1)
    logits = np.where(finite[:, None], logits, 0)
    if score == "margin":
        values = margin(logits) / temperature
    else:
        logs = log_softmax(logits / temperature)
        p = np.exp(logs)
        values = p.max(-1) if score == "probability" else np.where(p > 0, p * logs, 0).sum(-1)
    return np.where(finite, values, np.nan).astype(np.float32)


def margin(logits: np.ndarray) -> np.ndarray:
    """Difference of the two largest logits, which is that of their log-probabilities."""
    best = np.sort(logits, -1)[..., -2:]
    return best[..., -1] - best[..., 0]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
