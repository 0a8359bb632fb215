"""Policies of a run: found on pictures held out from training, judged on those that are tested on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.errors import RecipeError
from tfres.evaluation.early_exit import quality, reference
from tfres.evaluation.early_exit.collecting import Collected, collect
from tfres.evaluation.early_exit.outcomes import intervals, outcome
from tfres.evaluation.early_exit.solver import AccuracyError, Solver
from tfres.evaluation.early_exit.temperature import temperatures
from tfres.evaluation.early_exit.timing import leaving_times
from tfres.models.weights import fingerprint
from tfres.policies import Policy
from tfres.table import BudgetError

if TYPE_CHECKING:
    from tfres.evaluation.opened import OpenedRun
    from tfres.recipe import PolicyOptions

_BUDGETS = 10  # where none is asked for
# A policy for a time limit is planned for fewer late calls than the promised one in twenty: neither shares nor times stay put.
_PROMISED, _PLANNED = 0.05, 0.03
_REPEATS = 50


@dataclasses.dataclass(frozen=True, eq=False)
class Findings:
    """What is known of a run's exits.

    Args:
        rows: of the query table, one per policy.
        report: JSON-able: exits and policies with their figures on both splits.
        test: the answers to the pictures that are tested on.
        policies: in the order of the rows.
    """

    rows: list[dict[str, Any]]
    report: dict[str, Any]
    test: Collected
    policies: list[Policy]


def find_policies(opened: OpenedRun, options: PolicyOptions) -> Findings:
    """Search policies on the calibration pictures and judge them on the test pictures.

    Args:
        opened: a run of a network with exits.
        options: how.

    Raises:
        RecipeError: a budget below the first exit (the smallest is named), an accuracy that is out of reach, or a run without
            calibration pictures. DataError: see `collect`.
    """
    network, task = opened.network, opened.task
    if options.split == "calibration" and opened.source.calibration is None:
        raise RecipeError(
            "`policies.split` must be test for a run without pictures held out from training (its data.holdout is 0): "
            "policies are then found on the pictures that they are tested on, which flatters them. Received: calibration."
        )
    found_on, test = (collect(network, task, opened.source, split) for split in (_split(options), "validation"))
    score = options.score or ("probability" if options.rule == "reference" else "margin")
    fitted = options.rule != "reference" if options.temperatures is None else options.temperatures
    exact = temperatures(found_on.outputs, found_on.targets)
    used = exact if fitted else (1.0,) * len(network.exits)
    context = _Context(
        exits=network.exits,
        calibration=found_on,
        test=test,
        scores=found_on.scores(task, score, used),
        test_scores=test.scores(task, score, used),
        macs=np.array([network.more_costs(f"exit{number}")["macs_sequential"] for number in network.exits]),
        times=leaving_times(network, task, repeats=_REPEATS),
        describe={"score": score, "temperatures": used, "exits": network.exits, "network": fingerprint_of(network)},
        split=options.split,
        repeats=options.repeats,
        merit=task.score,
    )
    searched = _reference(context) if options.rule == "reference" else _joint(context, options)
    made = [context.row(name, thresholds, options.rule, wanted) for name, thresholds, wanted in searched]
    report = {
        "split": options.split,
        "pictures": {"calibration": found_on.hits.shape[1], "test": test.hits.shape[1]},
        "exits": _quality(context, task, exact),
        "policies": [entry for _, entry, _ in made],
    }
    return Findings([row for row, _, _ in made], report, test, [policy for _, _, policy in made])


def fingerprint_of(network: Any) -> str:
    """Digest of a network's weights, which policies carry."""
    from tfres.models.weights import weights_by_name

    return fingerprint(weights_by_name(network))


def _split(options: PolicyOptions) -> str:
    return "validation" if options.split == "test" else options.split


@dataclasses.dataclass(frozen=True, eq=False)
class _Context:
    """What all policies of one search have in common."""

    exits: tuple[int, ...]
    calibration: Collected
    test: Collected
    scores: np.ndarray
    test_scores: np.ndarray
    macs: np.ndarray
    times: np.ndarray
    describe: dict[str, Any]
    split: str
    repeats: int
    merit: str

    def row(
        self, name: str, thresholds: Sequence[float | None], rule: str, wanted: dict[str, float]
    ) -> tuple[dict[str, Any], dict[str, Any], Policy]:
        """The row of the table, the entry of the report and the policy of thresholds."""
        before = outcome(self.scores, self.calibration.hits, self.macs, thresholds)
        after = outcome(self.test_scores, self.test.hits, self.macs, thresholds)
        spread = intervals(self.test_scores, self.test.hits, self.macs, thresholds, repeats=self.repeats)
        known = {"split": self.split, "pictures": self.calibration.hits.shape[1], **wanted}
        policy = Policy(thresholds=thresholds, shares=before.shares, calibration=known, rule=rule, **self.describe)
        spans = {f"{self.merit}_low": spread["accuracy"][0], f"{self.merit}_high": spread["accuracy"][1]}
        times = self._times(after.shares)
        row = {"setting": name, self.merit: after.accuracy, **spans, "macs": after.cost, **times, "policy": policy.to_dict()}
        entry = {
            "setting": name,
            **wanted,
            "calibration": {self.merit: before.accuracy, "macs": before.cost, "shares": list(before.shares)},
            "test": {self.merit: after.accuracy, "macs": after.cost, "shares": list(after.shares)},
            "intervals": {self.merit: list(spread["accuracy"]), "macs": list(spread["cost"])},
        }
        return row, entry, policy

    def _times(self, shares: Sequence[float]) -> dict[str, float]:
        """Mean and 90th percentile of the times of one picture per call."""
        weights = np.repeat(np.asarray(shares) / self.times.shape[1], self.times.shape[1])
        order = np.argsort(self.times, axis=None)
        p90 = self.times.ravel()[order][np.searchsorted(np.cumsum(weights[order]), 0.9 - 1e-9)]
        return {"ms": float(np.median(self.times, axis=1) @ np.asarray(shares)), "ms_p90": float(p90)}


_Searched = Iterator[tuple[str, tuple[float | None, ...], dict[str, float]]]


def _reference(context: _Context) -> _Searched:
    for q, thresholds in reference.reference_family(context.scores).items():
        yield f"policy-q{q:g}", reference.policy_thresholds(thresholds), {"q": q}


def _joint(context: _Context, options: PolicyOptions) -> _Searched:
    macs, hits = context.macs, context.calibration.hits
    solver = Solver(context.scores, hits, macs, context.exits, lambda cost: f"{cost / 1e6:.4g} million MACs")
    usual = options.ms is None and options.accuracy is None
    budgets = np.linspace(macs[0], macs[-1], _BUDGETS + 1)[1:].tolist() if usual else []
    known = set()
    for budget in budgets if options.macs is None else options.macs:
        found = _asked("macs", budget, solver.for_budget)
        if options.macs is not None or found.thresholds not in known:  # what was not asked for by name is not repeated
            yield f"policy-{budget / 1e6:.4g}M", found.thresholds, {"budget_macs": budget}
        known.add(found.thresholds)
    for accuracy in options.accuracy or []:
        found = _asked("accuracy", accuracy, solver.for_accuracy)
        yield f"policy-{100 * accuracy:g}percent", found.thresholds, {"accuracy": accuracy}
    for budget in options.ms or []:
        late, usual_late = (context.times > budget).mean(1), np.quantile(context.times, 1 - _PLANNED, axis=1)
        if late.min() > _PLANNED:
            place = int(np.argmin(usual_late))
            raise RecipeError(
                f"`ms` must be at least {usual_late[place]:.3g} ms, what exit {context.exits[place]} takes. "
                f"Received: {budget:g} ms."
            )
        found = Solver(context.scores, hits, late, context.exits).for_budget(_PLANNED)
        yield f"policy-{budget:g}ms", found.thresholds, {"budget_ms": budget, "kept": 1 - _PROMISED}


def _asked(name: str, value: float, search: Callable[[float], Any]) -> Any:
    try:
        return search(value)
    except (BudgetError, AccuracyError) as error:
        raise RecipeError(f"`{name}`: {error}") from error


def _quality(context: _Context, task: Any, exact: Sequence[float]) -> list[dict[str, Any]]:
    """Of every exit: how often it is right, what it costs in sequence, and how well its confidence fits (on the test)."""
    plain = context.test.scores(task, "probability", [1.0] * len(exact))
    scaled = context.test.scores(task, "probability", exact)
    entries = []
    for place, number in enumerate(context.exits):
        hits = context.test.hits[place]
        entries.append(
            {
                "setting": f"exit{number}",
                context.merit: float(hits.mean()),
                "macs_sequential": int(context.macs[place]),
                "ms_sequential": float(np.median(context.times[place])),
                "temperature": float(exact[place]),
                "calibration_error": quality.calibration_error(plain[place], hits),
                "calibration_error_scaled": quality.calibration_error(scaled[place], hits),
                "auroc": quality.auroc(context.test_scores[place], hits),
            }
        )
    return entries
