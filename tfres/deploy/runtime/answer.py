"""What a call of an exported network gives."""

from __future__ import annotations

import dataclasses
import keyword
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """The outputs of one call, and what it took.

    Every output is an attribute too, by its name; the output `class`, a word that Python keeps for itself, is `classes`.

    Args:
        setting: printed form of the setting that ran, or name of the policy.
        ms: milliseconds that the call took.
        outputs: name of the task's output -> array with one entry per picture. Of a classifier: `class` int64 `(batch,)`,
            `probabilities` and `logits` float32 `(batch, classes)`; by a policy also `exit` int32 and `score` float32, both
            `(batch,)`: where each picture left, and how sure the answer was there.

    Example:
        >>> answer = Answer("r32", 1.5, {"class": [3], "logits": [[0.1, 0.2]]})
        >>> answer.classes, answer.logits
        ([3], [[0.1, 0.2]])
    """

    setting: str
    ms: float
    outputs: Mapping[str, np.ndarray]

    def __getattr__(self, name: str) -> np.ndarray:
        if name == "outputs" or name.startswith("__"):  # while a copy is made
            raise AttributeError(name)
        known = {f"{output}es" if keyword.iskeyword(output) else output: output for output in self.outputs}
        if name not in known:
            raise AttributeError(f"An answer has setting, ms, outputs and {', '.join(known)}. Received: {name}.")
        return self.outputs[known[name]]
