"""Layers of a network by their path, and what they computed."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import tensorflow as tf


def named_layers(root: tf.keras.layers.Layer) -> dict[str, tf.keras.layers.Layer]:
    """All layers inside `root` by path: "backbone/group0/block1/conv2"."""
    found: dict[str, tf.keras.layers.Layer] = {}

    def walk(layer: tf.keras.layers.Layer, path: str) -> None:
        for inner in layer._flatten_layers(recursive=False, include_self=False):
            name = f"{path}{inner.name}"
            if name not in found:
                found[name] = inner
                walk(inner, f"{name}/")

    walk(root, "")
    return found


def observed(root: tf.keras.layers.Layer, names: list[str], run: Callable[[], Any]) -> dict[str, tf.Tensor]:
    """Outputs of the named layers while `run` is called.

    Raises:
        ValueError: an unknown layer (the nearest is named), or one that did not run.
    """
    layers, seen = named_layers(root), {}
    for name in names:
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"`names` must be names of layers. Received: {name!r}.{hint}")

    def watched(name: str, call: Callable) -> Callable:
        def watch(*args: Any, **kwargs: Any) -> Any:
            seen[name] = call(*args, **kwargs)
            return seen[name]

        return watch

    chosen = {name: layers[name] for name in names}
    calls = {name: layer.call for name, layer in chosen.items()}
    try:
        for name, layer in chosen.items():
            layer.call = watched(name, calls[name])
        run()
    finally:
        for name, layer in chosen.items():
            layer.call = calls[name]
    missing = [name for name in names if name not in seen]
    if missing:
        raise ValueError(f"`names` must be layers that run at this setting. Received: {', '.join(missing)}.")
    return {name: seen[name] for name in names}
