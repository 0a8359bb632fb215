"""`measure`: a row of the query table for every setting; grids, sweeps and searches are lists of settings handed to it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import tensorflow as tf
import tqdm

from tfres.evaluation.calibration import Calibration, calibrate
from tfres.evaluation.evaluator import Evaluator
from tfres.evaluation.latency import cost_of, forms, measure_latency, served_calls
from tfres.machine import machine, threads
from tfres.settings import INFERENCE, Private, Setting

if TYPE_CHECKING:
    from tfres.evaluation.opened import OpenedRun
    from tfres.models.network import Network
    from tfres.models.served import ServedNetwork
    from tfres.tasks import Looks, Run, Task

_AT_ONCE = 4  # settings that one pass over the pictures evaluates


@dataclasses.dataclass(frozen=True)
class How:
    """How settings are run that have no statistics of their own, or shall not use them.

    Args:
        inference: one of `INFERENCE`, for resolutions that were not trained; "...+calibration" calibrates every setting.
        calibration: calibrates every setting; with `inference` how, where that says so.
        encodings: resolution -> number in place of the way's own, for networks that generate kernels.
        norms_of: trained resolution whose norms are used.
        lender: network trained at the one resolution wanted, which lends its means and variances to these.
        looks: several looks at every picture, where the task has such.
    """

    inference: str | None = None
    calibration: Calibration | None = None
    encodings: dict[int, float] = dataclasses.field(default_factory=dict)
    norms_of: int | None = None
    lender: Network | None = None
    looks: Looks | None = None

    def __post_init__(self) -> None:
        if self.inference is not None and self.inference not in INFERENCE:
            raise ValueError(f"`inference` must be one of {', '.join(INFERENCE)}. Received: inference={self.inference!r}.")

    @property
    def anew(self) -> bool:
        """Whether settings are calibrated."""
        return self.calibration is not None if self.inference is None else self.inference.endswith("calibration")

    def private(self, network: Network, setting: Setting) -> Private | None:
        """What belongs to the setting, in place of the network's own; None for these."""
        if self.norms_of is not None:
            private = network.uncalibrated(setting, self.norms_of)
            return private if self.lender is None else self._lent(private, setting)
        if setting in network.settings:
            return None
        if self.inference is not None:
            options = {"encoding": self.encodings[setting.resolution]} if setting.resolution in self.encodings else {}
            return network.unseen(setting, self.inference, **options)
        return network.uncalibrated(setting) if self.anew else None

    def _lent(self, private: Private, setting: Setting) -> Private:
        """The values with the lender's means and variances."""
        lent = self.lender.private_values(setting, setting).values
        moving = {name: value for name, value in private.values.items() if "_moving_" in name}
        if any(name not in lent or lent[name].shape != value.shape for name, value in moving.items()):
            raise ValueError(
                f"`statistics_run` must be a run of the same architecture that has {setting}. Received: another one."
            )
        return Private({**private.values, **{name: lent[name] for name in moving}}, private.options)

    def looking(self, task: Task, run: Run) -> Run:
        """A network's run with all looks."""
        return run if self.looks is None else task.looking(run, self.looks)

    def mark(self, opened: OpenedRun) -> str:
        """What tells calibrated rows apart: checkpoint, pictures, and whose norms they start from."""
        own = "" if self.norms_of is None else f", norms of {self.norms_of}"
        return f"{opened.checkpoint_name}, {self.calibration or Calibration()}, {opened.task.data.source}{own}"


@dataclasses.dataclass(frozen=True)
class Form:
    """What is evaluated in place of the plain networks.

    Args:
        name: goes into the rows, as `form`.
        of: makes it from a network.
    """

    name: str
    of: Callable[[Network], ServedNetwork]


def measure(
    opened: OpenedRun,
    settings: Iterable[Any] | None = None,
    how: How | None = None,
    repeats: int = 0,
    keep: bool = False,
    done: Callable[[list[dict[str, Any]]], None] = lambda rows: None,
    accuracy: bool = True,
    form: Form | None = None,
) -> dict[str, Any]:
    """Make every setting's plain network, calibrate it if asked, evaluate, count and time it.

    Args:
        opened: of `open_run`.
        settings: which; None for all of the network's.
        how: `How`; None for the statistics that settings have.
        repeats: timed calls of the served form, one picture per call, the settings of a group (all trained ones, or four)
            interleaved; 0 for none.
        keep: keep calibrated statistics in the run.
        done: called with the rows of every group of settings as soon as it is finished.
        accuracy: evaluate.
        form: evaluate this form of the plain networks; costs and times are theirs.

    Returns:
        table: rows, and where they are timed the machine.

    Raises:
        ValueError: unknown settings, or options that the network does not have.
    """
    how, network = how or How(), opened.network
    wanted = network.largest_first({_whole(network, setting) for setting in settings or network.settings})
    calibration = how.calibration or Calibration()
    pictures = opened.pictures(calibration) if how.anew else None
    rows: list[dict[str, Any]] = []
    with tqdm.tqdm(total=len(wanted), desc="measuring", unit=" settings", disable=len(wanted) <= 2 * _AT_ONCE) as bar:
        for group in _groups(network, wanted, how):
            privates = {setting: how.private(network, setting) for setting in group}
            plain = forms(network, group, privates)
            made = {setting: _row(network, setting, one, how) for setting, one in plain.items()}
            if how.anew:
                for setting, one in plain.items():
                    with opened.task.explained(opened.source):
                        made[setting]["pictures"] = calibrate(one, pictures(network.size_of(setting)))
                    made[setting]["calibrated"] = how.mark(opened)
            if keep:
                opened.run.add_calibrated(opened.checkpoint_name, _calibrated(plain, privates))
            found = [*made.values(), *_evaluated(opened, plain, made, how, form)] if accuracy else [*made.values()]
            if repeats:
                times = measure_latency(served_calls(plain, opened.task), repeats)
                found = [{**row, **times.get(row["setting"], {})} for row in found]
            rows += found
            done(found)
            bar.update(len(group))
    places = {str(setting): place for place, setting in enumerate(wanted)}
    rows.sort(key=lambda row: places.get(row["setting"], len(places)))
    timed = {"machine": machine(), "batch": 1, "threads": threads()} if repeats else {}
    return {**timed, "score": opened.task.score, "rows": rows}


def _whole(network: Network, setting: Any) -> Setting:
    """The setting with what is left out; it may be one without statistics."""
    setting = Setting.parse(setting)
    whole = "resolution" in network.axes and len(network.axes) == 1 and setting.resolution is not None
    return setting if whole and setting == Setting(setting.resolution) else network.resolve(setting)


def _groups(network: Network, settings: Sequence[Setting], how: How) -> list[list[Setting]]:
    """Settings that are evaluated together: all trained ones, whose answers may be combined, the others by fours."""
    everything = how == How() and set(network.trained_settings) <= set(settings)
    together = [setting for setting in settings if everything and setting in network.trained_settings]
    others = [setting for setting in settings if setting not in together]
    groups = [others[start : start + _AT_ONCE] for start in range(0, len(others), _AT_ONCE)]
    return [together, *groups] if together else groups


def _row(network: Network, setting: Setting, plain: Network, how: How) -> dict[str, Any]:
    axes = {name: value for name, value in dataclasses.asdict(setting).items() if value is not None}
    way = {} if how.inference is None else {"inference": how.inference}
    return {"setting": str(setting), **axes, **way, **cost_of(network, setting, plain)}


def _evaluated(
    opened: OpenedRun,
    plain: dict[Setting, Network],
    made: dict[Setting, dict[str, Any]],
    how: How,
    form: Form | None,
) -> list[dict[str, Any]]:
    """Adds metrics to the rows; returns the rows of what the settings give together."""
    network, own = opened.network, how == How()
    served = None if form is None else _served(plain, form)
    mark = {} if form is None else {"form": form.name}

    def answers(inputs: Mapping[Any, Any]) -> dict[str, Any]:
        if served is not None:
            outputs = {setting: run(inputs[network.size_of(setting)]) for setting, run in served.items()}
        elif own and network.joint:
            outputs = network.forward(inputs, plain, training=False)
        else:
            outputs = {
                setting: how.looking(opened.task, functools.partial(one, training=False))(inputs[network.size_of(setting)])
                for setting, one in plain.items()
            }
        further = opened.objective.combined(network, outputs, opened.task) if own else {}
        return {str(setting): z for setting, z in outputs.items()} | further

    results = Evaluator(opened.task, opened.source, map(network.size_of, plain), answers)()
    for setting, row in made.items():
        row |= {**mark, **results.pop(str(setting))}
    macs = sum(row["macs"] for row in made.values())
    return [{"setting": name, **mark, **result, "macs": macs} for name, result in results.items()]


def _served(plain: dict[Setting, Network], form: Form) -> dict[Setting, Callable[[tf.Tensor], tf.Tensor]]:
    """Setting -> function of normalised images giving the outputs of its network's form."""
    made = {id(one): form.of(one) for one in plain.values()}  # what runs several settings is made once

    def of(setting: Setting, network: Network) -> Callable[[tf.Tensor], tf.Tensor]:
        served = made[id(network)]
        at = served.at(setting if len(served.settings) > 1 else served.settings[0])
        return lambda images: served.run(tf.cast(images, served.compute_dtype), at)

    return {setting: of(setting, network) for setting, network in plain.items()}


def _calibrated(plain: dict[Setting, Network], privates: dict[Setting, Private | None]) -> dict[Setting, Private]:
    """What the calibrated plain networks add to the network as further settings."""
    kept = {}
    for setting, one in plain.items():
        options = {} if privates[setting] is None else privates[setting].options
        kept[setting] = Private(one.private_values(one.settings[0], setting).values, options)
    return kept
