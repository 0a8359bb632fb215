"""What a user asks of a run, as lists of settings for `measure`."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfres.errors import RecipeError
from tfres.evaluation.calibration import BATCHES, Calibration
from tfres.evaluation.measuring import How, measure
from tfres.evaluation.opened import open_run
from tfres.evaluation.pictures import write_pictures
from tfres.evaluation.report import plot_lines, save_sweep, with_policies
from tfres.families.networks import load_run
from tfres.recipe import EvaluationOptions, PolicyOptions, check
from tfres.settings import Resolution, Setting
from tfres.tasks import Looks

if TYPE_CHECKING:
    from tfres.evaluation.opened import OpenedRun
    from tfres.models.network import Network


def evaluate_run(
    path: str,
    sizes: Sequence[Resolution] | None,
    widths: Sequence[float] | None,
    modes: Sequence[str] | None,
    calibrate: bool,
    options: EvaluationOptions,
    data: str | None = None,
    policies: PolicyOptions | None = None,
) -> dict[str, Any]:
    """The table of what is asked for; results on the run's own pictures go into its files.

    Of a network with exits also policies, found on pictures held out from training.

    Args:
        path: of the run.
        sizes: resolutions; None for the network's.
        widths: at every resolution, for networks of several widths; they are calibrated.
        modes: ways of inference at these resolutions, compared.
        calibrate: measure statistics anew and keep them in the run.
        options: how.
        data: other pictures.
        policies: how policies are found; None for the usual way, where there are pictures for it.

    Raises:
        RecipeError: options that do not go together, or settings that the run does not have.
    """
    calibrate = calibrate or bool(widths)
    _check(sizes, widths, modes, calibrate, options)
    opened = open_run(path, options.step, data, with_calibrated=not modes)
    how, current = _how(opened, options, calibrate), data is None and options.step is None
    _check_exits(opened, calibrate, policies, data)
    try:
        settings = chosen_settings(opened.network, sizes, widths, options.subnets)
        if modes and opened.network.exits:
            raise RecipeError("`inference` is for networks of several resolutions. Received: a network with exits.")
        if modes:
            settings = settings if sizes else chosen_settings(opened.network, _between(opened.network), None)
            return _swept(opened, settings, modes, options, keep=current)
        if calibrate:
            return _calibrated(opened, settings, how, options.repeats, keep=current)
        _check_known(opened, settings, how)
        if options.pictures or options.predictions is not None:
            write_pictures(opened, settings, how, options.pictures, options.predictions)
        exits = opened.network.exits
        table = measure(opened, settings, how, repeats=options.repeats if exits else 0)
        if exits and data is None:
            return with_policies(opened, table, policies, keep=current, repeats=options.repeats)
    except ValueError as error:
        raise error if isinstance(error, RecipeError) or type(error) is not ValueError else RecipeError(str(error)) from error
    if current and how == How():
        opened.run.add_to_table(table)
    return table


def chosen_settings(
    network: Network,
    sizes: Sequence[Resolution] | None,
    widths: Sequence[float] | None,
    subnets: Sequence[str] | None = None,
) -> list[Setting]:
    """The settings of some resolutions (None: the network's) and widths or sub-networks (None: those it has)."""
    if sizes is None and widths is None and subnets is None:
        return list(network.settings)
    sizes = sizes or network.options.sizes
    if subnets is not None and "subnet" not in network.axes:
        raise RecipeError(f"`subnets` are for networks of several sub-networks. Received: subnets={list(subnets)}.")
    if subnets is not None:
        names = [network.options.named(subnet) for subnet in subnets]
        return [network.resolve(Setting(size, subnet=name)) for size, name in itertools.product(sizes, names)]
    if "resolution" not in network.axes and sizes != network.options.sizes:
        known, axes = network.options.sizes[0], " and ".join(network.axes)
        raise RecipeError(f"`size` must be {known}: the settings of this network differ in {axes}. Received: size={sizes}.")
    if widths is None and "resolution" not in network.axes:
        return list(network.settings)
    if widths is None:
        own = [setting for setting in network.settings if setting.resolution in sizes]
        missing = [size for size in sizes if size not in {setting.resolution for setting in own}]
        return own + list({dataclasses.replace(s, resolution=size): s for size in missing for s in network.trained_settings})
    if "width_mult" not in network.axes:
        raise RecipeError(f"`width` is for networks of several widths. Received: width={' '.join(map(str, widths))}.")
    low, high = network.width_range
    wrong = [width for width in widths if not low <= width <= high]
    if wrong:
        raise RecipeError(f"`width` must be between {low:g} and {high:g}, the range of the training. Received: {wrong}.")
    return [Setting(size, width) for size, width in itertools.product(sizes, widths)]


def _check(
    sizes: Sequence[Resolution] | None, widths: Any, modes: Sequence[str] | None, calibrate: bool, options: EvaluationOptions
) -> None:
    anew = calibrate or any(mode.endswith("calibration") for mode in modes or ())
    for name in ("batches", "cut"):
        value = getattr(options, name)
        if value is not None and not anew:
            raise RecipeError(f"`{name}` needs something to calibrate. Received: {name}={value}.")
    further = {"mirror", "scales", "windows", "pictures", "predictions"}
    asked = sorted(name for name in further if getattr(options, name) != getattr(EvaluationOptions(), name))
    if asked and (modes or calibrate):
        raise RecipeError(f"`{asked[0]}` goes without inference and calibration. Received: both.")
    if modes and (calibrate or options.norms_of is not None):
        raise RecipeError("`inference` goes without calibrate, width and norms_of.")
    if options.encodings and not modes:
        raise RecipeError(f"`encodings` needs `inference`. Received: encodings={options.encodings}.")
    if options.norms_of is not None and not sizes:
        raise RecipeError(f"`norms_of` needs `size`. Received: norms_of={options.norms_of}.")
    if calibrate and options.step is not None:
        raise RecipeError(
            f"`step` goes without calibration, which belongs to the newest checkpoint. Received: {options.step}."
        )
    if calibrate and options.statistics_run is not None:
        raise RecipeError("`statistics_run` goes without calibration, which measures these statistics.")
    if options.statistics_run is not None and (options.norms_of is None or len(sizes or ()) != 1):
        raise RecipeError("`statistics_run` needs `norms_of` and one `size`.")


def _check_exits(opened: OpenedRun, calibrate: bool, policies: PolicyOptions | None, data: str | None) -> None:
    """Raises RecipeError for what networks with exits do not have, and for policies of networks without."""
    if calibrate and not opened.network.private_norms:
        raise RecipeError(
            "`calibrate` is for networks whose settings have norms of their own. Received: exits, which share them."
        )
    if policies is not None and not opened.network.exits:
        raise RecipeError("`policies` are for networks with exits. Received: a run of a network without.")
    if policies is not None and data is not None:
        raise RecipeError(f"`policies` are found on the run's own pictures, without `data`. Received: data={data}.")


def _how(opened: OpenedRun, options: EvaluationOptions, calibrate: bool) -> How:
    trained = opened.network.options.resolutions
    if options.norms_of is not None and options.norms_of not in trained:
        known = ", ".join(map(str, trained))
        raise RecipeError(f"`norms_of` must be one of {known}. Received: norms_of={options.norms_of}.")
    lender = None if options.statistics_run is None else load_run(options.statistics_run)
    if lender is not None and type(lender) is not type(opened.network):
        raise RecipeError("`statistics_run` must be of the same architecture.")
    looks = Looks(options.mirror, tuple(options.scales or [1.0]), options.window_sides)
    return How(
        calibration=_calibration(options) if calibrate else None,
        norms_of=options.norms_of,
        lender=lender,
        looks=None if looks == Looks() else looks,
    )


def _check_known(opened: OpenedRun, settings: list[Setting], how: How) -> None:
    """Raises RecipeError for resolutions without norms of their own, with the ways to get some."""
    network = opened.network
    wrong = [setting for setting in settings if setting not in network.settings] if how.norms_of is None else []
    if wrong and network.axes == ("resolution",):
        known, other = (", ".join(str(setting.resolution) for setting in group) for group in (network.settings, wrong))
        raise RecipeError(
            f"`size` must be a resolution the run was trained at (or calibrated for): {known}. Received: {other}. "
            "(--inference proxy evaluates other sizes with the norms of the next smaller one, --evaluation.norms_of R with "
            "those of R; tfres.calibrate gives them norms of their own.)"
        )


def _calibration(options: EvaluationOptions) -> Calibration:
    return Calibration(options.batches or BATCHES, options.cut or "training")


def _between(network: Network) -> list[int]:
    """Every eighth pixel between the smallest and the largest trained resolution.

    Raises:
        RecipeError: resolutions that are no squares.
    """
    trained = network.options.resolutions
    square = all(isinstance(resolution, int) for resolution in trained)
    check(square, "size", "given where resolutions are no squares", None)
    return sorted({*range(min(trained), max(trained), 8), max(trained)})


def _swept(
    opened: OpenedRun, settings: list[Setting], modes: Sequence[str], options: EvaluationOptions, keep: bool
) -> dict[str, Any]:
    """Rows of every way of inference; times do not depend on it."""
    table: dict[str, Any] = {"rows": []}
    unknown = set(options.encodings or {}) - {setting.resolution for setting in settings}
    trained = set(options.encodings or {}) & {setting.resolution for setting in opened.network.trained_settings}
    if unknown or trained:
        raise RecipeError(f"`encodings` must be of evaluated, untrained resolutions. Received: {sorted(unknown | trained)}.")
    for number, mode in enumerate(modes):
        how = How(mode, _calibration(options), options.encodings or {})
        found = measure(opened, settings, how, repeats=0 if number else options.repeats)
        table = {**found, "rows": [*table["rows"], *found["rows"]]}
    times = {row["setting"]: {k: row[k] for k in ("ms", "ms_p90") if k in row} for row in reversed(table["rows"])}
    table["rows"] = [{**times[row["setting"]], **row} for row in table["rows"]]
    if keep:
        save_sweep(table, opened)
    return table


def _calibrated(opened: OpenedRun, settings: list[Setting], how: How, repeats: int, keep: bool) -> dict[str, Any]:
    """Calibrated settings, kept in the run with their statistics; goes on where it was interrupted."""
    run, mark, names = opened.run, how.mark(opened), {str(setting) for setting in settings}
    rows = [row for row in run.read_table()["rows"] if row.get("calibrated") == mark]
    known = {row["setting"] for row in rows if not repeats or row.get("ms") is not None}
    known &= {str(setting) for setting in opened.network.calibrated_settings}
    missing = [setting for setting in settings if not keep or str(setting) not in known]
    if not keep:
        return measure(opened, missing, how, repeats)
    if missing:
        opened.run.add_to_table(
            measure(opened, missing, how, repeats, keep=True, done=lambda rows: run.add_to_table({"rows": rows}))
        )
    table = run.read_table()
    table = {**table, "rows": [row for row in table["rows"] if row["setting"] in names]}
    if len(table["rows"]) > 1:
        line = "resolution" if len(opened.network.axes) > 1 else "calibrated"
        costs = ("macs", "ms") if all(row.get("ms") is not None for row in table["rows"]) else ("macs",)
        plot_lines(table, run.path / "grid.png", run.name, costs, line, front=True)
    return table
