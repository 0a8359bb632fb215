"""The typed recipe of a run. Importing it does not load TensorFlow."""

import dataclasses
import difflib
import math
from typing import Literal


class RecipeError(ValueError):
    """A recipe or an option that cannot be honoured."""


def _require(condition, name, allowed, value):
    if not condition:
        raise RecipeError(f"`{name}` must be {allowed}. Received: {name}={value!r}.")


@dataclasses.dataclass
class ModelRecipe:
    """The network.

    Args:
        arch: a preset of `tfres.models.rsnet`.
        mode: arrangement of the residual network: resnet (float activations), preact or preact_typeA.
        weight_bits: 1 to 8, 32 for float.
        activation_bits: 1 to 8, 32 for float.
        resolutions: sides in pixels, distinct and positive, in any order; null for the preset's.
        classes: number of classes; null for the data's.
        basis_update: activation bases over several resolutions: sequential, pooled, largest or private.
        quantize_first_shortcut: quantize the input of the first projection too.
    """

    arch: str = "resnet20"
    mode: Literal["resnet", "preact", "preact_typeA"] = "preact"
    weight_bits: int = 32
    activation_bits: int = 32
    resolutions: list[int] | None = None
    classes: int | None = None
    basis_update: Literal["sequential", "pooled", "largest", "private"] = "sequential"
    quantize_first_shortcut: bool = False

    def __post_init__(self):
        for name in ("weight_bits", "activation_bits"):
            value = getattr(self, name)
            _require(1 <= value <= 8 or value == 32, name, "an integer from 1 to 8, or 32 for float", value)
        if self.mode == "resnet" and self.arch != "vgg_small":
            _require(self.activation_bits == 32, "activation_bits", "32 in mode resnet (use preact)", self.activation_bits)
        if self.resolutions is not None:
            sizes = self.resolutions
            distinct = bool(sizes) and len(set(sizes)) == len(sizes) and min(sizes) > 0
            _require(distinct, "resolutions", "distinct positive integers", sizes)
            self.resolutions = sorted(sizes, reverse=True)
        _require(self.classes is None or self.classes > 1, "classes", "at least 2", self.classes)


@dataclasses.dataclass
class DataRecipe:
    """Where pictures come from and what happens to them.

    Args:
        source: cifar10, fake (random pictures), a folder with train/ and val/, or a pattern or folder of TFRecord files.
        batch_size: images per step over all devices.
        side: pixels of the one crop per picture from which the step makes all resolutions; null for the larger of the
            preset's and the model's largest resolution.
        crop: random crop in training: pad (by an eighth on every side, then crop), area (8-100 % of the area, aspect
            3/4 to 4/3, resized) or none; null for pad on cifar10, area otherwise.
        resize: how the step makes the smaller resolutions: nearest, bilinear or align_corners.
        flip: mirror half of the training pictures.
        lighting: standard deviation of PCA lighting noise; null for 0 on cifar10, 0.1 otherwise.
        augment: keras-cv layers applied to training batches in [0, 255], each a mapping with `name` and arguments.
        mean: per channel of [0, 1] RGB pictures; null for the source's (CIFAR-10's or ImageNet's).
        std: like mean.
        channel_order: rgb or bgr, what the network sees.
        label_offset: subtracted from the labels of TFRecord files; null for 1 in the classic ImageNet schema, else 0.
        fake_size: number of pictures of the fake source.
        limit: use only this many training pictures; null for all.
        cache: folder of downloads; null for `$TFRES_DATA` or `~/.cache/tfres`.
    """

    source: str = "cifar10"
    batch_size: int = 128
    side: int | None = None
    crop: Literal["pad", "area", "none"] | None = None
    resize: Literal["nearest", "bilinear", "align_corners"] = "nearest"
    flip: bool = True
    lighting: float | None = None
    augment: list[dict] = dataclasses.field(default_factory=list)
    mean: list[float] | None = None
    std: list[float] | None = None
    channel_order: Literal["rgb", "bgr"] = "rgb"
    label_offset: int | None = None
    fake_size: int = 512
    limit: int | None = None
    cache: str | None = None

    def __post_init__(self):
        _require(self.batch_size > 0, "batch_size", "positive", self.batch_size)
        _require(self.side is None or self.side > 0, "side", "positive", self.side)
        _require(self.fake_size > 0, "fake_size", "positive", self.fake_size)
        _require(self.limit is None or self.limit > 0, "limit", "positive", self.limit)
        _require(self.lighting is None or self.lighting >= 0, "lighting", "zero or positive", self.lighting)
        for name in ("mean", "std"):
            value = getattr(self, name)
            _require(value is None or len(value) == 3, name, "three numbers", value)
        for layer in self.augment:
            _require("name" in layer, "augment", "a list of mappings with a `name`", layer)


@dataclasses.dataclass
class TrainingRecipe:
    """How the network learns.

    Args:
        engine: tensorpack or keras.
        epochs: passes over the data.
        steps_per_epoch: null for one pass over the data.
        saves_per_epoch: checkpoints per epoch; an interrupted run goes on from the last one.
        keep_checkpoints: newest checkpoints that are kept.
        learning_rate: base rate.
        schedule: cosine (to 0 over the run), step (times `decay` at every milestone) or constant; by step.
        milestones: of `step`, as fractions of the run; the default is the reference's 30, 60, 85, 95, 105 of 120 epochs.
        decay: factor of `step`.
        warmup_epochs: linear rise from 0.
        momentum: of SGD.
        nesterov: Nesterov's form of momentum.
        weight_decay: on kernels of convolutions and the final layer.
        kd: ensemble and distillation.
        kd_type: topdown (larger resolutions teach smaller ones too) or direct.
        temperature: of the distillation.
        devices: numbers of the GPUs of the tensorpack engine; two or more train data-parallel.
        load: checkpoint (a run folder or checkpoint prefix) to start from.
        seed: of initial values, order and augmentation.
    """

    engine: Literal["tensorpack", "keras"] = "tensorpack"
    epochs: int = 1
    steps_per_epoch: int | None = None
    saves_per_epoch: int = 5
    keep_checkpoints: int = 10
    learning_rate: float = 0.05
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    milestones: list[float] = dataclasses.field(default_factory=lambda: [30 / 120, 60 / 120, 85 / 120, 95 / 120, 105 / 120])
    decay: float = 0.1
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-5
    kd: bool = False
    kd_type: Literal["topdown", "direct"] = "topdown"
    temperature: float = 1.0
    devices: list[int] = dataclasses.field(default_factory=list)
    load: str | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "saves_per_epoch", "keep_checkpoints", "learning_rate", "temperature"):
            _require(getattr(self, name) > 0, name, "positive", getattr(self, name))
        for name in ("warmup_epochs", "momentum", "weight_decay", "decay"):
            _require(getattr(self, name) >= 0, name, "zero or positive", getattr(self, name))
        _require(self.steps_per_epoch is None or self.steps_per_epoch > 0, "steps_per_epoch", "positive", self.steps_per_epoch)
        ascending = all(0 < a < b for a, b in zip(self.milestones, self.milestones[1:], strict=False))
        _require(ascending, "milestones", "ascending fractions of the run", self.milestones)
        one_engine = self.engine == "tensorpack" or not self.devices
        _require(one_engine, "devices", "empty with the keras engine", self.devices)
        _require(len(set(self.devices)) == len(self.devices), "devices", "distinct", self.devices)


@dataclasses.dataclass
class Recipe:
    """Everything that determines a run."""

    model: ModelRecipe = dataclasses.field(default_factory=ModelRecipe)
    data: DataRecipe = dataclasses.field(default_factory=DataRecipe)
    training: TrainingRecipe = dataclasses.field(default_factory=TrainingRecipe)

    @classmethod
    def from_dict(cls, values):
        """A recipe from nested mappings.

        Raises:
            RecipeError: an unknown key (the nearest is named) or a value out of range.
        """
        return _build(cls, values, "")

    def __post_init__(self):
        devices = max(1, len(self.training.devices))
        divisible = self.data.batch_size % devices == 0
        _require(divisible, "batch_size", f"a multiple of the {devices} devices", self.data.batch_size)

    def to_dict(self):
        return dataclasses.asdict(self)


def learning_rate(training, step, steps_per_epoch):
    """Rate of a step (counted from 0) of a `TrainingRecipe`."""
    total, warmup = training.epochs * steps_per_epoch, training.warmup_epochs * steps_per_epoch
    if step < warmup:
        return training.learning_rate * step / warmup
    if training.schedule == "cosine":
        return training.learning_rate * (1 + math.cos(math.pi * (step - warmup) / max(total - warmup, 1))) / 2
    if training.schedule == "step":
        passed = sum(step >= milestone * total for milestone in training.milestones)
        return training.learning_rate * training.decay**passed
    return training.learning_rate


def _build(cls, values, path):
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f" Did you mean `{path}{near[0]}`?" if near else f" Known: {', '.join(fields)}."
            raise RecipeError(f"Unknown recipe key `{path}{key}`.{hint}")
    return cls(
        **{
            key: _build(fields[key].type, value, f"{path}{key}.") if dataclasses.is_dataclass(fields[key].type) else value
            for key, value in values.items()
        }
    )
