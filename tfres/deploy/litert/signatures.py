"""The signatures of a network's file, each a graph of its own."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from tfres.deploy.exits import named_states
from tfres.deploy.litert.graphs import Graph
from tfres.deploy.signatures import KERNEL_SECOND, PICTURES
from tfres.deploy.snap import snap
from tfres.layers.serving import arithmetic_form

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tfres.deploy.litert.graphs import Constants
    from tfres.models.exits import ExitNetwork, ServedExits
    from tfres.models.network import Network, ServedNetwork
    from tfres.settings import Setting
    from tfres.tasks import Task

    Answer = dict[str, tf.Tensor]


STAGE, PASS = "serve_stage", "serve_pass"


def _served(network: Network, snapped: bool) -> ServedNetwork:
    return snap(network, arithmetic_form) if snapped else network.served(arithmetic_form)


def graphs_of_settings(
    network: Network, task: Task, chosen: Sequence[Setting], any_side: bool, constants: Constants, snapped: bool
) -> list[Graph]:
    """`serve_<setting>` of plain networks, whose common kernels are equal constants, and `serve_any`.

    Args:
        network, task: see `export_litert`.
        chosen: the settings, the largest first.
        any_side: whether there may be `serve_any`: there is if one and the same kernels serve all sides.
        constants: takes those of the graphs.
        snapped: whether networks are snapped, see `tfres.deploy.snap`.
    """
    found = []
    for setting in chosen:
        plain = _served(network.materialize(setting), snapped)
        run = functools.partial(plain.run, at=plain.at(plain.settings[0]))
        size = plain.input_size(plain.settings[0])
        found.append(_graph(f"serve_{setting}", _answer_of(task, size, run), constants))
    if any_side:
        whole = _served(network, snapped)

        def of_any_side(images: tf.Tensor) -> Answer:
            pictures = task.normalised(tf.cast(images, tf.float32))
            return _answer(task, whole.run(pictures, whole.shares(tf.shape(images)[1])), images)

        graph = _graph("serve_any", of_any_side, constants)
        if all(graph.is_fixed(node.input[1]) for node in graph.nodes.values() if node.op in KERNEL_SECOND):
            found.append(graph)
    return found


def graphs_of_exits(
    network: ExitNetwork, task: Task, chosen: Sequence[Setting], stages: bool, constants: Constants, snapped: bool
) -> list[Graph]:
    """`serve_exit<k>`; `serve_stage<k>` from pictures or the `state_<n>` behind the stage before to answer and state, and
    `serve_pass<k>` to the state alone.

    Args:
        network, task, chosen, constants, snapped: see above.
        stages: whether there are stages.
    """
    whole, found = _served(network, snapped), []
    size = whole.input_size(whole.settings[0])
    for setting in chosen:
        run = functools.partial(whole.run, at=whole.at(setting))
        found.append(_graph(f"serve_{setting}", _answer_of(task, size, run), constants))
    return found + (_stages(whole, task, size, constants) if stages else [])


def _stages(whole: ServedExits, task: Task, size: tuple[int, int], constants: Constants) -> list[Graph]:
    trunk, heads, found = whole.ways.trunk, whole.ways.heads, []
    carried: Any = None  # between two stages: the state and, in a cascade, the outputs of the head before

    for number in whole.exits:
        before, specs = carried, {"images": PICTURES}
        if before is not None:
            flat = named_states(tf.nest.flatten(before))
            specs = {name: tf.TensorSpec([None, *one.shape[1:]], one.dtype) for name, one in flat.items()}

        def stage(answers: bool = True, number: int = number, before: Any = before, **given: tf.Tensor) -> Answer:
            nonlocal carried
            if before is None:
                state, outputs = trunk.begin(_prepared(task, given["images"], size), training=False), []
            else:
                states = [given[name] for name in named_states(tf.nest.flatten(before))]
                state, outputs = tf.nest.pack_sequence_as(before, states)
            features, state = trunk.advance(state, number, training=False)
            answered = heads.answer(number, features, *outputs, training=False)
            carried = (state, [answered] if heads.cascade else [])
            states = {} if number == whole.exits[-1] else named_states(tf.nest.flatten(carried))
            return {**_answer(task, answered), **states} if answers else states

        if number != whole.exits[-1]:
            found.append(_graph(f"{PASS}{number}", functools.partial(stage, False), constants, specs))
        found.append(_graph(f"{STAGE}{number}", stage, constants, specs))
    return found


def _answer_of(task: Task, size: tuple[int, int], run: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], Answer]:
    return lambda images: _answer(task, run(_prepared(task, images, size)), images)


def _prepared(task: Task, images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Pictures as the network takes them; LiteRT resizes no integers."""
    return tf.ensure_shape(task.resized(tf.cast(images, tf.float32), size), [None, *size, 3])


def _answer(task: Task, outputs: Any, images: tf.Tensor | None = None) -> Answer:
    """Of pictures as they came, where these are known."""
    sides = None if images is None else tf.shape(images)[1:3]
    return task.answer(tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs), sides)


def _graph(name: str, function: Callable[..., Answer], constants: Constants, specs: Any = None) -> Graph:
    return Graph(name, function, specs or {"images": PICTURES}, constants)
