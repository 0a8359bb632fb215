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
from tfres.models.weights import fingerprint_of
from tfres.policies import Policy
from tfres.table import BudgetError

if TYPE_CHECKING:
    from tfres.evaluation.measuring import Form
    from tfres.evaluation.opened import OpenedRun
    from tfres.recipe import PolicyOptions

_BUDGETS = 10  # where none is asked for
# A policy for a time limit is planned for fewer late calls than the promised one in twenty and for calls that take a tenth
# longer than measured: neither shares nor times stay put.
_PROMISED, _PLANNED, _SLOWER = 0.05, 0.03, 1.1


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


def find_policies(opened: OpenedRun, options: PolicyOptions, repeats: int = 50, form: Form | None = None) -> Findings:
    """Search policies on the calibration pictures and judge them on the test pictures.

    Args:
        opened: a run of a network with exits.
        options: how.
        repeats: timed calls per exit; 0 for no times.
        form: of the network, whose answers are searched and judged; times are the network's.

    Raises:
        RecipeError: a budget below the first exit (the smallest is named), an accuracy that is out of reach, two budgets whose
            policies would have one name, or a run without calibration pictures. DataError: see `collect`.
    """
    network, task = opened.network, opened.task
    if options.split == "calibration" and opened.source.calibration is None:
        raise RecipeError(
            "`policies.split` must be test for a run without pictures held out from training (its data.holdout is 0): "
            "policies are then found on the pictures that they are tested on, which flatters them. Received: calibration."
        )
    counted = [network.costs_on_the_way(number) for number in network.exits]
    costs = {name: np.array([cost[name] for cost in counted]) for name in counted[0]}
    for name in ("macs", "operations"):  # before anything is run
        budgets = getattr(options, name)
        if budgets and name not in costs:
            raise RecipeError(f"`{name}` must be left out for a network that counts {', '.join(costs)}. Received: {budgets}.")
        if budgets and min(budgets) < costs[name][0]:
            raise RecipeError(
                f"`{name}` must be at least {costs[name][0] / 1e6:.4g} million, what exit {network.exits[0]} costs. "
                f"Received: {min(budgets) / 1e6:.4g} million."
            )
    if options.ms and not repeats:
        raise RecipeError(f"`ms` needs timed calls (evaluation.repeats). Received: ms={options.ms} with none.")
    splits = ["calibration", "validation"] if options.split == "calibration" else ["validation"]
    collected = collect(network, task, opened.source, *splits, form=form)
    found_on, test = collected[0], collected[-1]
    score = options.score or ("probability" if options.rule == "reference" else "margin")
    fitted = options.rule != "reference" if options.temperatures is None else options.temperatures
    exact = temperatures(found_on.outputs, found_on.targets)
    used = exact if fitted else (1.0,) * len(network.exits)
    mark = fingerprint_of(network, None if form is None else form.name)
    context = _Context(
        network=network,
        exits=network.exits,
        calibration=found_on,
        test=test,
        scores=found_on.scores(task, score, used),
        test_scores=test.scores(task, score, used),
        costs=costs,
        times=leaving_times(network, task, repeats=repeats) if repeats else None,
        describe={"score": score, "temperatures": used, "exits": network.exits, "network": mark},
        split=options.split,
        repeats=options.repeats,
        merit=task.score,
    )
    searched = _reference(context) if options.rule == "reference" else _joint(context, options)
    made = [context.row(name, thresholds, options.rule, wanted) for name, thresholds, wanted in searched]
    names = [row["setting"] for row, _, _ in made]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise RecipeError(f"Budgets must differ by more than what their names show. Received: several {', '.join(double)}.")
    report = {
        "split": options.split,
        "pictures": {"calibration": found_on.hits.shape[1], "test": test.hits.shape[1]},
        "exits": _quality(context, task, exact),
        "policies": [entry for _, entry, _ in made],
    }
    return Findings([row for row, _, _ in made], report, test, [policy for _, _, policy in made])


@dataclasses.dataclass(frozen=True, eq=False)
class _Context:
    """What all policies of one search have in common."""

    network: Any
    exits: tuple[int, ...]
    calibration: Collected
    test: Collected
    scores: np.ndarray
    test_scores: np.ndarray
    costs: dict[str, np.ndarray]
    times: np.ndarray | None
    describe: dict[str, Any]
    split: str
    repeats: int
    merit: str

    def row(
        self, name: str, thresholds: Sequence[float | None], rule: str, wanted: dict[str, float]
    ) -> tuple[dict[str, Any], dict[str, Any], Policy]:
        """The row of the table, the entry of the report and the policy of thresholds.

        Heads of exits where nobody leaves are not charged: they do not run.
        """
        skipped = [number for number, value in zip(self.exits, thresholds, strict=False) if value is None]
        costs = [self.network.costs_on_the_way(number, skipped) for number in self.exits]
        macs = [cost.pop("macs") for cost in costs]
        before = outcome(self.scores, self.calibration.hits, macs, thresholds)
        after = outcome(self.test_scores, self.test.hits, macs, thresholds)
        spread = intervals(self.test_scores, self.test.hits, macs, thresholds, repeats=self.repeats)
        further = {name: float(np.dot(after.shares, [cost[name] for cost in costs])) for name in costs[0]}
        split = {} if self.split == "calibration" else {"split": self.split}
        cost = next((unit for unit in ("operations", "ms") if f"budget_{unit}" in wanted), "macs") + "_sequential"
        name += f"-{self.split}" if split else ""
        known = {"split": self.split, "pictures": self.calibration.hits.shape[1], "cost": cost, **wanted}
        policy = Policy(thresholds=thresholds, shares=before.shares, calibration=known, rule=rule, **self.describe)
        spans = {f"{self.merit}_low": spread["accuracy"][0], f"{self.merit}_high": spread["accuracy"][1]}
        times = {} if self.times is None else _times(self.times, after.shares)
        figures = {self.merit: after.accuracy, **spans, "macs": after.cost, **further, **times}
        row = {"setting": name, **split, **figures, "policy": policy.to_dict()}
        entry = {
            "setting": name,
            **wanted,
            "calibration": {self.merit: before.accuracy, "macs": before.cost, "shares": list(before.shares)},
            "test": {self.merit: after.accuracy, "macs": after.cost, **further, "shares": list(after.shares)},
            "intervals": {self.merit: list(spread["accuracy"]), "macs": list(spread["cost"])},
        }
        return row, entry, policy


def _times(times: np.ndarray, shares: Sequence[float]) -> dict[str, float]:
    """Mean (of the exits' medians) and 90th percentile of one picture per call, by where the test pictures leave."""
    weights = np.repeat(np.asarray(shares) / times.shape[1], times.shape[1])
    order = np.argsort(times, axis=None)
    p90 = times.ravel()[order][np.searchsorted(np.cumsum(weights[order]), 0.9 - 1e-9)]
    return {"ms": float(np.median(times, axis=1) @ np.asarray(shares)), "ms_p90": float(p90)}


_Searched = Iterator[tuple[str, tuple[float | None, ...], dict[str, float]]]


def _reference(context: _Context) -> _Searched:
    for q, thresholds in reference.reference_family(context.scores).items():
        yield f"policy-q{q:g}{_score(context)}", reference.policy_thresholds(thresholds), {"q": q}


def _joint(context: _Context, options: PolicyOptions) -> _Searched:
    macs, hits = context.costs["macs"], context.calibration.hits
    usual = options.operations is None and options.ms is None and options.accuracy is None
    budgets = np.linspace(macs[0], macs[-1], _BUDGETS + 1)[1:].tolist() if usual else []
    solver, known = _solver(context, "macs", "MACs"), set()
    for budget in budgets if options.macs is None else options.macs:
        found = _asked("macs", budget, solver.for_budget)
        if options.macs is not None or found.thresholds not in known:  # what was not asked for by name is not repeated
            yield f"policy-{budget / 1e6:.4g}M{_score(context)}", found.thresholds, {"budget_macs": budget}
        known.add(found.thresholds)
    for budget in options.operations or []:
        found = _asked("operations", budget, _solver(context, "operations", "operations").for_budget)
        yield f"policy-{budget / 1e6:.4g}Mops{_score(context)}", found.thresholds, {"budget_operations": budget}
    for accuracy in options.accuracy or []:
        found = _asked("accuracy", accuracy, solver.for_accuracy)
        yield f"policy-{100 * accuracy:g}percent{_score(context)}", found.thresholds, {"accuracy": accuracy}
    for budget in options.ms or []:
        times = _SLOWER * context.times
        late, usual_late = (times > budget).mean(1), np.quantile(times, 1 - _PLANNED, axis=1)
        if late.min() > _PLANNED:
            place = int(np.argmin(usual_late))
            raise RecipeError(
                f"`ms` must be at least {usual_late[place]:.3g} ms, a tenth above what exit {context.exits[place]} takes. "
                f"Received: {budget:g} ms."
            )
        found = Solver(context.scores, hits, late, context.exits).for_budget(_PLANNED)
        yield f"policy-{budget:g}ms{_score(context)}", found.thresholds, {"budget_ms": budget, "kept": 1 - _PROMISED}


def _solver(context: _Context, cost: str, unit: str) -> Solver:
    """The search at a cost that is counted."""
    show = f"{{:.4g}} million {unit}".format
    hits, costs = context.calibration.hits, context.costs[cost]
    return Solver(context.scores, hits, costs, context.exits, lambda value: show(value / 1e6))


def _score(context: _Context) -> str:
    """What the name of a policy tells of its score, where that is not the usual one."""
    usual, score = "margin", context.describe["score"]
    return "" if score == usual else f"-{score}"


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
                "macs_sequential": int(context.costs["macs"][place]),
                **({} if context.times is None else {"ms_sequential": float(np.median(context.times[place]))}),
                "temperature": float(exact[place]),
                "calibration_error": quality.calibration_error(plain[place], hits),
                "calibration_error_scaled": quality.calibration_error(scaled[place], hits),
                "auroc": quality.auroc(context.test_scores[place], hits),
            }
        )
    return entries
