"""Early exit by the signatures of stages: after each it is decided here who leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.deploy.runtime.confidence import confidence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Outputs = dict[str, np.ndarray]
    Call = Callable[[str, Mapping[str, Any]], Outputs]  # of a signature by its name and inputs

_STATE = "state_"


def stage(call: Call, number: int, inputs: Mapping[str, np.ndarray]) -> tuple[Outputs, Outputs]:
    """The outputs of a stage: the answer at its exit, and the inputs of the next stage.

    Args:
        call: of signatures.
        number: of the exit.
        inputs: `images`, or what the stage before gave.
    """
    found = call(f"serve_stage{number}", inputs)
    return found, {name: found.pop(name) for name in [*found] if name.startswith(_STATE)}


def leave_by_stages(
    call: Call,
    exits: Sequence[int],
    images: np.ndarray,
    thresholds: Sequence[float],
    temperatures: Sequence[float],
    score: str,
) -> Outputs:
    """What `serve_adaptive` of a SavedModel gives: a picture leaves at the first exit whose score reaches the threshold.

    Args:
        call: of signatures.
        exits: numbers of all exits, ascending.
        images: uint8, at least one.
        thresholds: of all exits but the last; infinite where nobody leaves, and the head does not run (but in a cascade).
        temperatures, score: see `tfres.policies.Policy`.
    """
    rows, inputs, left, parts = np.arange(len(images)), {"images": images}, [], []
    for place, number in enumerate(exits):
        if place < len(thresholds) and thresholds[place] == np.inf:
            inputs = call(f"serve_pass{number}", inputs)
            continue
        answer, states = stage(call, number, inputs)
        sure = confidence(answer["logits"], score, temperatures[place])
        leaves = sure >= (thresholds[place] if place < len(thresholds) else -np.inf)
        if number == exits[-1]:
            leaves[:] = True  # also what is not a number
        answer |= {"exit": np.full(len(rows), number, np.int32), "score": sure}
        left.append(rows[leaves])
        parts.append({name: output[leaves] for name, output in answer.items()})
        if leaves.all():
            break
        rows = rows[~leaves]
        inputs = {name: state[~leaves] for name, state in states.items()} if leaves.any() else states
    order = np.argsort(np.concatenate(left))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}
