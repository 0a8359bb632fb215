"""Signatures of a network with exits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres import table as tables
from tfres.deploy.signatures import PICTURES, asserted, of_encoded, some, some_pictures
from tfres.errors import ExportError
from tfres.models.weights import fingerprint_of
from tfres.policies import SCORES, Policy, PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tfres.deploy.signatures import Signatures
    from tfres.models.exits import ExitNetwork, ServedExits
    from tfres.settings import Setting
    from tfres.tasks import Task

Answer = dict[str, tf.Tensor]


def signatures(
    network: ExitNetwork, task: Task, chosen: Sequence[Setting], shared: bool, default: Policy | None, compact: str
) -> Signatures:
    """Name -> traced function.

    Args:
        network, task: see `export_savedmodel`.
        chosen: the exits to serve, the last one first.
        shared: one network serves all, otherwise a plain one each.
        default: policy of `serve_adaptive`; None for neither that nor stages.
        compact: see `export_savedmodel`.
    """
    if shared:
        bodies = dict.fromkeys(chosen, _Body(network.served(), task))
    else:
        bodies = {setting: _Body(network.materialize(setting).served(), task) for setting in chosen}
    last = bodies[chosen[0]]
    made = {f"serve_{setting}": _of_exits(body, [setting]) for setting, body in bodies.items()}
    made["serving_default"] = largest = made[f"serve_{chosen[0]}"]
    made["serve_encoded"] = of_encoded(task, last.size, lambda images: largest(images=images))
    if shared and len(chosen) > 1:
        made["serve_all"] = _of_exits(last, chosen)
    if default is not None:
        made["serve_adaptive"] = _adaptive(last, default, compact)
        made |= {f"serve_stage{number}": _stage(last, number) for number in last.exits}
    return made


def default_policy(network: ExitNetwork, table: Mapping[str, Any] | None, form: str | None = None) -> Policy:
    """The policy with the best score in a table, of equally good ones the cheapest; without one nobody leaves early.

    Those that were found on the pictures that they are tested on come last.

    Args:
        network: that is exported.
        table: query table.
        form: of the network, see `fingerprint_of`.

    Raises:
        ExportError: a policy of the table is for other exits or other weights.
    """
    exits, weights = network.exits, fingerprint_of(network, form)
    found = []
    for row in tables.settings(table or {"rows": []}):
        if "policy" in row:
            policy = Policy.from_dict(row["policy"])
            try:
                policy.check_for(exits, weights)
            except PolicyError as error:
                text = f"The row {row['setting']} of the table is of another network, evaluate again: {error}"
                raise ExportError(text) from None
            found.append((row.get(tables.score(table)), row.get("macs"), policy))
    rated = [
        (policy.calibration.get("split") != "test", score, -macs, policy)
        for score, macs, policy in found
        if None not in (score, macs)
    ]
    if rated:
        return dataclasses.replace(max(rated, key=lambda one: one[:3])[3], network=weights)
    return Policy("margin", [None] * (len(exits) - 1), [1.0] * len(exits), exits, weights, rule="given")


def completed(table: Mapping[str, Any] | None, network: ExitNetwork) -> dict[str, Any] | None:
    """The table, its rows of exits with the resolution that they run at."""
    sides = {str(setting): network.size(setting) for setting in network.settings}
    if table is None:
        return None
    rows = [{**({"resolution": sides[row["setting"]]} if row["setting"] in sides else {}), **row} for row in table["rows"]]
    return {**table, "rows": rows}


class _Body:
    """What the signatures have in common."""

    def __init__(self, served: ServedExits, task: Task) -> None:
        self.task, self.size = task, served.input_size(served.settings[0])
        self.served, self.exits, self.ways = served.frozen(), served.exits, served.frozen().ways
        self.prepared = tf.function(self._prepared, input_signature=[PICTURES], autograph=False)
        self.answer = tf.function(task.answer, autograph=False)

    def _prepared(self, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The pictures as the network takes them, at least one, and how many there are."""
        images, count = some_pictures(images)
        return self.served.prepared(self.task, images), count


def _of_exits(body: _Body, settings: Sequence[Setting]) -> Callable[..., dict]:
    """The answer of an exit, or those of several side by side."""
    numbers = sorted(setting.exit for setting in settings)

    def serve(images: tf.Tensor) -> Answer:
        images, count = body.prepared(images)
        answers = [body.answer(outputs) for _, outputs in body.ways.each(images, numbers)]
        if len(answers) > 1:
            answers = [{name: tf.stack([answer[name] for answer in answers], 1) for name in answers[0]}]
        return _first(answers[0], count)

    return tf.function(serve, input_signature=[PICTURES], autograph=False).get_concrete_function()


def _adaptive(body: _Body, policy: Policy, compact: str) -> Callable[..., dict]:
    """`serve_adaptive`; TF Serving fills in what a request leaves out of `policy`."""
    count = len(body.exits)
    never = [float("inf") if value is None else value for value in policy.thresholds]
    defaults = tf.constant(never), tf.constant(policy.temperatures), tf.constant(policy.score)
    numbers = [tf.TensorSpec([None], tf.float32, name) for name in ("thresholds", "temperatures")]

    @tf.function(input_signature=[PICTURES, *numbers, tf.TensorSpec([], tf.string, "score")], autograph=False)
    def adaptive(
        images: tf.Tensor,
        thresholds: tf.Tensor = defaults[0],
        temperatures: tf.Tensor = defaults[1],
        score: tf.Tensor = defaults[2],
    ) -> Answer:
        fits = (tf.size(thresholds) == count - 1) & ~tf.reduce_any(tf.math.is_nan(thresholds))
        wanted = f"`thresholds` must be {count - 1} numbers, one per exit but the last, not NaN. Received:"
        checks = [asserted(fits, wanted, thresholds)]
        good = tf.reduce_all((temperatures > 0) & tf.math.is_finite(temperatures))
        wanted = f"`temperatures` must be {count} positive numbers, one per exit. Received:"
        checks.append(asserted((tf.size(temperatures) == count) & good, wanted, temperatures))
        known = score == tf.constant(SCORES)
        wanted = f"`score` must be one of {', '.join(SCORES)}. Received:"
        checks.append(asserted(tf.reduce_any(known), wanted, score))
        with tf.control_dependencies(checks):
            images, pictures = body.prepared(tf.identity(images))
        policy = _sized(thresholds, count - 1), _sized(temperatures, count), tf.argmax(known, output_type=tf.int32)
        decision = body.served.leaving(images, body.task, *policy, compact)
        return _first({**body.answer(decision.outputs), "exit": decision.exit, "score": decision.score}, pictures)

    return adaptive


def _sized(values: tf.Tensor, count: int) -> tf.Tensor:
    """The values as a vector of so many, whatever their number: so that no step but the check fails."""
    return tf.ensure_shape(tf.concat([values, tf.zeros([count])], 0)[:count], [count])


def _stage(body: _Body, number: int) -> Callable[..., dict]:
    """`serve_stage<number>`: from pictures or the state behind the stage before to the answer and the state."""
    trunk, heads, place = body.ways.trunk, body.ways.heads, body.exits.index(number)

    def answered(state: Any, before: list[tf.Tensor], count: tf.Tensor) -> Answer:
        features, state = trunk.advance(state, number)
        outputs = heads.answer(number, features, *before)
        carried = [] if number == body.exits[-1] else tf.nest.flatten((state, [outputs] if heads.cascade else []))
        return _first({**body.answer(outputs), **named_states(carried)}, count)

    def first(images: tf.Tensor) -> Answer:
        images, count = body.prepared(images)
        return answered(images, [], count)

    def further(**states: tf.Tensor) -> Answer:
        (state, before), count = some(tf.nest.pack_sequence_as(like, [states[name] for name in specs]))
        return answered(state, before, count)

    if place == 0:
        return tf.function(first, input_signature=[PICTURES], autograph=False).get_concrete_function()
    earlier = body.exits[place - 1]
    like = (trunk.frozen[earlier].outputs[1], [heads.frozen[earlier].outputs] if heads.cascade else [])
    specs = {
        name: tf.TensorSpec([None, *one.shape[1:]], one.dtype) for name, one in named_states(tf.nest.flatten(like)).items()
    }
    return tf.function(further, autograph=False).get_concrete_function(**specs)


def named_states(states: Sequence[Any]) -> dict[str, Any]:
    """What goes from one stage to the next, by the names that signatures have for it."""
    return {f"state_{place}": state for place, state in enumerate(states)}


def _first(answer: Answer, count: tf.Tensor) -> Answer:
    return {name: output[:count] for name, output in answer.items()}
