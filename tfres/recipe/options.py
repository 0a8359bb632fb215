"""Options of every run that belong to no family and no task: how steps are made, how settings are evaluated."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from tfres.recipe.values import check
from tfres.settings import Setting

ENGINES = ("tensorpack", "keras")
POWER = 0.9  # of schedule poly
# Fields that only the keras engine honours, with the values that ask for nothing.
_KERAS_ONLY = {"strategy": "single", "precision": "float32", "accumulate": 1, "low_memory": False, "ema": None}


@dataclasses.dataclass(frozen=True)
class TrainingOptions:
    """How steps are made.

    Args:
        engine: tensorpack or keras; null for the family's.
        strategy: of the keras engine: single, mirrored (all GPUs, or the processors) or multiworker (from TF_CONFIG).
        epochs: passes over the data.
        steps_per_epoch: null for one pass over the data.
        saves_per_epoch: checkpoints per epoch; an interrupted run goes on from the last one.
        keep_checkpoints: newest checkpoints that are kept.
        select: checkpoint that is measured, exported and served: last, or best (the one with the best score in validation, the
            mean over the settings; it is kept in best/).
        learning_rate: base rate; null for the family's, or 0.001 with adam.
        schedule: cos (to 0 over the run), linear (to 0), poly (to 0, times (1 - progress)^0.9), step (times `decay` every
            `step_epochs`), schedule (times `decay` at every milestone) or constant; the first three change with every step.
        milestones: epochs of `schedule`; null for the reference's 30, 60, 85, 95, 105 of 120 epochs, as shares of the run.
        step_epochs: of `step`.
        decay: factor of `step` and `schedule`.
        warmup_epochs: linear rise from 0.
        optimizer: sgd or adam (with 0.999 for the mean of squares and 1e-8 below the root).
        momentum: of SGD; of Adam the share of the mean gradient that stays. Below 1.
        nesterov: Nesterov's form of SGD's momentum; null for the family's.
        weight_decay: factor of the L2 term; null for the family's.
        decay_on: kernels (of convolutions and the final layer) or all (norms, biases and the ensemble's weights too); null for
            the family's.
        precision: float32, mixed_bfloat16 or mixed_float16 (with loss scaling); keras engine.
        accumulate: parts that a step's batch is cut into, run one after another as so many replicas would; keras engine.
        low_memory: run one setting at a time: same gradients, memory of about one setting, a second forward pass.
            keras engine.
        ema: decay of an exponential moving average of weights and norms' statistics, which is what is evaluated and exported;
            null for none. keras engine.
        devices: numbers of the GPUs of the tensorpack engine; two or more train data-parallel.
        load: checkpoint (a run folder or checkpoint prefix) to start from.
        init: pretrained weights to start from; null for none, see the family.
        seed: of initial values, order and augmentation, 0 to 2147483647.
    """

    engine: Literal["tensorpack", "keras"] | None = None
    strategy: Literal["single", "mirrored", "multiworker"] = "single"
    epochs: int = 1
    steps_per_epoch: int | None = None
    saves_per_epoch: int = 5
    keep_checkpoints: int = 10
    select: Literal["last", "best"] = "last"
    learning_rate: float | None = None
    schedule: Literal["cos", "linear", "poly", "step", "schedule", "constant"] = "cos"
    milestones: list[float] | None = None
    step_epochs: float = 30.0
    decay: float = 0.1
    warmup_epochs: float = 0.0
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    nesterov: bool | None = None
    weight_decay: float | None = None
    decay_on: Literal["kernels", "all"] | None = None
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    accumulate: int = 1
    low_memory: bool = False
    ema: float | None = None
    devices: list[int] = dataclasses.field(default_factory=list)
    load: str | None = None
    init: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (
            "epochs", "steps_per_epoch", "saves_per_epoch", "keep_checkpoints", "learning_rate", "step_epochs", "accumulate"
        ):  # fmt: skip
            value = getattr(self, name)
            check(value is None or value > 0, name, "positive", value)
        for name in ("warmup_epochs", "weight_decay", "decay"):
            value = getattr(self, name)
            check(value is None or value >= 0, name, "zero or positive", value)
        check(0 <= self.momentum < 1, "momentum", "in [0, 1)", self.momentum)
        plain = self.optimizer == "sgd" or self.nesterov is None
        check(plain, "nesterov", "left out with optimizer adam", self.nesterov)
        check(self.ema is None or 0 < self.ema < 1, "ema", "between 0 and 1", self.ema)
        check(0 <= self.seed < 2**31, "seed", "from 0 to 2147483647", self.seed)
        marks = self.milestones or []
        ascending = all(a < b for a, b in zip([0, *marks], marks, strict=False))
        check(ascending, "milestones", "ascending positive epochs", self.milestones)
        distinct = len(set(self.devices)) == len(self.devices) and min(self.devices or [0]) >= 0
        check(distinct, "devices", "distinct numbers of GPUs", self.devices)
        check(self.load is None or bool(self.load.strip()), "load", "a run folder or a checkpoint's prefix", self.load)
        check(not (self.load and self.init), "init", "left out when `load` is given", self.init)
        if self.engine == "keras":
            check(not self.devices, "devices", "empty with the keras engine (use `strategy`)", self.devices)
        if self.engine == "tensorpack":
            for name, neutral in _KERAS_ONLY.items():
                value = getattr(self, name)
                check(value == neutral, name, f"{neutral} with the tensorpack engine (use engine keras)", value)


@dataclasses.dataclass(frozen=True)
class EvaluationOptions:
    """How settings are measured.

    Args:
        batches: of calibration: training batches per setting; null for 16.
        cut: of calibration: pictures cut as in training (random crops, flips; null) or as in evaluation.
        encodings: with `inference`: resolution to encoding, in networks whose kernels are generated from one.
        subnets: sub-networks of networks that have some, by name, by the code of a mask or as its file (.json); null for the
            run's.
        norms_of: trained resolution whose batch norms are used at the resolutions given; null for their own.
        statistics_run: with `norms_of`: folder of a run trained at the one resolution given, which lends its means and
            variances.
        repeats: timed calls per setting; 0 for no timing.
        step: checkpoint's step; null for the newest.
        mirror: tasks that tell something of every pixel: average with the answer to the mirrored picture.
        scales: the same with answers at several scales of the picture's size; null for 1 alone.
        windows: the same: height x width of windows into which larger pictures are cut, such as 512x1024; null for none.
        pictures: how many of the worst answers of each setting are drawn into the run's folder pictures/, with a sheet.
        predictions: folder that gets all answers as files, in a folder per setting.
    """

    batches: int | None = None
    cut: Literal["training", "evaluation"] | None = None
    encodings: dict[int, float] | None = None
    subnets: list[str] | None = None
    norms_of: int | None = None
    statistics_run: str | None = None
    repeats: int = 30
    step: int | None = None
    mirror: bool = False
    scales: list[float] | None = None
    windows: str | None = None
    pictures: int = 0
    predictions: str | None = None

    def __post_init__(self) -> None:
        check(self.batches is None or 0 < self.batches <= 10**6, "batches", "positive", self.batches)
        check(self.norms_of is None or self.norms_of > 0, "norms_of", "a resolution in pixels", self.norms_of)
        check(0 <= self.repeats <= 10**5, "repeats", "zero or positive, at most 100000", self.repeats)
        check(self.step is None or self.step >= 0, "step", "zero or positive", self.step)
        scales = self.scales
        good = scales is None or (bool(scales) and len({*scales}) == len(scales) and 0 < min(scales) <= max(scales) <= 16)
        check(good, "scales", "distinct factors above 0, at most 16", scales)
        check(self.windows is None or self.window_sides is not None, "windows", "height x width, as 512x1024", self.windows)
        check(0 <= self.pictures <= 1000, "pictures", "from 0 to 1000", self.pictures)
        named = self.predictions is None or bool(self.predictions.strip())
        check(named, "predictions", "a folder", self.predictions)
        check(min(self.encodings or [1]) > 0, "encodings", "a mapping of resolutions in pixels to numbers", self.encodings)

    @property
    def window_sides(self) -> tuple[int, int] | None:
        """Height and width of `windows`."""
        try:
            return None if self.windows is None else Setting.parse(self.windows).sides
        except ValueError:
            return None


def learning_rate(training: TrainingOptions, step: int, steps_per_epoch: int) -> float:  # noqa: PLR0911
    """Rate of a step (counted from 0).

    The rules of RS-Nets' float half, but for `step`: there it never decays (its exponent is always 0). The first two steps
    of poly have the base rate, as in its reference, which sets the rate after a step.
    """
    base = training.learning_rate
    total, warmup = training.epochs * steps_per_epoch, training.warmup_epochs * steps_per_epoch
    if step < warmup:
        return base * step / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    epoch = step // steps_per_epoch
    if training.schedule == "cos":
        return base * (1 + math.cos(math.pi * progress)) / 2
    if training.schedule == "linear":
        return base * (1 - progress)
    if training.schedule == "poly":
        behind = max(step - warmup - 1, 0) / max(total - warmup, 1)
        return base * max(1 - behind, 0.0) ** POWER
    if training.schedule == "step":
        return base * training.decay ** int(epoch / training.step_epochs)
    if training.schedule == "schedule":
        marks = training.milestones or [share * training.epochs / 120 for share in (30, 60, 85, 95, 105)]
        return base * training.decay ** sum(mark * steps_per_epoch <= step for mark in marks)
    return base


@dataclasses.dataclass(frozen=True)
class PolicyOptions:
    """When pictures leave a network with exits.

    Args:
        macs: budgets, multiply-adds per picture on average with all heads on the way; null for ten between the first and the
            last exit, unless others are given.
        operations: the same in the operations that the network's reference counts.
        ms: budgets for one picture per call, in milliseconds on this machine, which 95 % of the calls keep.
        accuracy: wanted shares of right answers, between 0 and 1, each for the least multiply-adds.
        rule: joint (thresholds searched together for a budget) or reference (the published rule: a geometric share of the
            pictures per exit, 39 policies).
        score: how sure an answer is: margin (difference of the two largest log-probabilities; null), probability (the largest;
            null with rule reference) or entropy.
        temperatures: logits are first divided by one number per exit that makes probabilities fit the calibration pictures;
            null for true, but false with rule reference.
        split: calibration (pictures held out from training, see data.holdout) or test (those that are tested on: too good
            results).
        repeats: resamples of the test pictures for the intervals.
    """

    macs: list[float] | None = None
    operations: list[float] | None = None
    ms: list[float] | None = None
    accuracy: list[float] | None = None
    rule: Literal["joint", "reference"] = "joint"
    score: Literal["margin", "probability", "entropy"] | None = None
    temperatures: bool | None = None
    split: Literal["calibration", "test"] = "calibration"
    repeats: int = 2000

    def __post_init__(self) -> None:
        for name in ("macs", "operations", "ms", "accuracy"):
            values = getattr(self, name)
            good = values is None or (
                bool(values) and len({*values}) == len(values) <= 100 and 0 < min(values) <= max(values) < 1e18
            )
            check(good, name, "at most 100 distinct positive, finite numbers", values)
            alone = values is None or self.rule == "joint"
            check(alone, name, "left out with rule reference, whose policies are for no budget", values)
        check(max(self.accuracy or [0]) < 1, "accuracy", "between 0 and 1", self.accuracy)
        check(0 < self.repeats <= 10**6, "repeats", "from 1 to 1000000", self.repeats)
