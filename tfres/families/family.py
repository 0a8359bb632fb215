"""What ties a network to how it learns, its presets, defaults, engines and tasks."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from tfres.errors import RecipeError

if TYPE_CHECKING:
    from tfres.models.network import Network
    from tfres.objectives import Objective
    from tfres.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Family:
    """One family of networks.

    Args:
        name: of the family, in `network.json` of its runs.
        network: where its class is, "package.module:Class"; loaded when it is used.
        presets: name of an architecture -> constructor arguments.
        model_options: dataclass of the constructor's arguments.
        objective_options: dataclass of how it learns.
        objective: function of a resolved recipe giving the objective.
        defaults: function of the network's options giving what fields that are left out become: group -> field -> value.
        engines: names, the default first.
        tasks: the only tasks its networks can be trained for, and the constructor's arguments that each decides; empty for
            every task.
        check: function of a resolved recipe that raises RecipeError where its groups do not go together.
        pretrained: name for `training.init` -> where its functions are, "package.module"; these have `prepare(recipe)` and
            `load(network, cache)`.
    """

    name: str
    network: str
    presets: Mapping[str, Mapping[str, Any]]
    model_options: type
    objective_options: type
    objective: Callable[[Recipe], Objective]
    defaults: Callable[[Any], Mapping[str, Mapping[str, Any]]]
    engines: tuple[str, ...] = ("keras", "tensorpack")
    tasks: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    check: Callable[[Recipe], None] = lambda recipe: None
    pretrained: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def network_class(self) -> type[Network]:
        """The class of the networks."""
        module, _, name = self.network.partition(":")
        return getattr(importlib.import_module(module), name)

    def pretrained_module(self, name: str) -> Any:
        """The functions of a `training.init`.

        Raises:
            RecipeError: unknown.
        """
        if name not in self.pretrained:
            known = ", ".join(self.pretrained) or "null"
            raise RecipeError(f"`init` must be one of {known} for {self.name}. Received: init={name!r}.")
        return importlib.import_module(self.pretrained[name])
