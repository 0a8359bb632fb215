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
        arch: a network of `tfres.models.presets`: RS-Nets (resnet18, ...), SAN (meta_resnet18, ...), MutualNet
            (mutual_mobilenet_v1, ...).
        mode: float (PyTorch's layout), or an arrangement of the quantized half: resnet (float activations), preact or
            preact_typeA. Null: float without bits, else preact. It also decides the defaults of other fields, see
            `CONVENTIONS`.
        weight_bits: 1 to 8, 32 for float.
        activation_bits: 1 to 8, 32 for float.
        resolutions: sides in pixels, distinct and positive, in any order; null for the preset's.
        classes: number of classes; null for the data's.
        basis_update: activation bases over several resolutions: sequential, pooled, largest or private.
        quantize_first_shortcut: quantize the input of the first projection too.
        width_mult: multiplies all channels, rounded to multiples of 8.
        encodings: of SAN: resolution to number where it is not resolution / 320; null for none.
        initial_kernels: of SAN: generated (the reference's initial values) or plain (an RS-Net's, the same at every
            resolution; for short trainings).
        stride_in: convolution of a bottleneck that has the stride, 3x3 or 1x1; null for 3x3, or what `init` needs.
        width_range: of MutualNet: smallest and largest width; null for the preset's.
        width_mults: of MutualNet: widths trained in every step, with statistics of their own; null for both ends of the range.
        private: of MutualNet: gamma and beta belong to the width (slimmable networks with switches); null for the preset's.
        divisor: of MutualNet: channels are multiples of it.
        channel_lists: of MutualNet: names of sub-networks to lists of channels (AutoSlim); null for none.
        dropout: of wide residual networks.
    """

    arch: str = "resnet20"
    mode: Literal["float", "resnet", "preact", "preact_typeA"] | None = None
    weight_bits: int = 32
    activation_bits: int = 32
    resolutions: list[int] | None = None
    classes: int | None = None
    basis_update: Literal["sequential", "pooled", "largest", "private"] = "sequential"
    quantize_first_shortcut: bool = False
    width_mult: float = 1.0
    encodings: dict[int, float] | None = None
    initial_kernels: Literal["generated", "plain"] = "generated"
    stride_in: Literal["3x3", "1x1"] | None = None
    width_range: list[float] | None = None
    width_mults: list[float] | None = None
    private: bool | None = None
    divisor: int = 8
    channel_lists: dict[str, list[int]] | None = None
    dropout: float = 0.0

    def __post_init__(self):
        _require(self.width_range is None or len(self.width_range) == 2, "width_range", "two widths", self.width_range)
        _require(self.divisor > 0, "divisor", "positive", self.divisor)
        _require(0 <= self.dropout < 1, "dropout", "in [0, 1)", self.dropout)
        for name in ("weight_bits", "activation_bits"):
            value = getattr(self, name)
            _require(1 <= value <= 8 or value == 32, name, "an integer from 1 to 8, or 32 for float", value)
        _require(self.width_mult > 0, "width_mult", "positive", self.width_mult)
        if self.resolutions is not None:
            sizes = self.resolutions
            distinct = bool(sizes) and len(set(sizes)) == len(sizes) and min(sizes) > 0
            _require(distinct, "resolutions", "distinct positive integers", sizes)
            self.resolutions = sorted(sizes, reverse=True)
        _require(self.classes is None or self.classes > 1, "classes", "at least 2", self.classes)

    @property
    def arrangement(self):
        """The mode, or what it becomes when it is left out."""
        return self.mode or ("float" if self.weight_bits == self.activation_bits == 32 else "preact")


@dataclasses.dataclass
class DataRecipe:
    """Where pictures come from and what happens to them.

    Args:
        source: cifar10, fake (random pictures), a folder with train/ and val/, or a pattern or folder of TFRecord files.
        batch_size: images per step over all devices.
        side: pixels of the one crop per picture from which the step makes all resolutions; null for the larger of the
            preset's and the model's largest resolution.
        crop: random crop in training: pad (by an eighth on every side, then crop), reflect (the same with the picture's
            mirror image around it), area (8-100 % of the area, aspect 3/4 to 4/3, resized) or none; null for pad on cifar10,
            area otherwise.
        smallest_area: share of the picture that crop area takes at least.
        rules: whose cutting and host-side resizing: torchvision (antialiased bilinear) or tensorpack (cubic).
        evaluation_cut: each (evaluation resizes every picture anew for each resolution) or once (it makes all resolutions
            from one crop); null for each with rules torchvision, once with tensorpack and in MutualNet.
        antialias: with rules torchvision; false resizes the training crop by plain bilinear also where it shrinks: faster to
            feed, but not the reference's pictures.
        resize: how the step makes the smaller resolutions: nearest, bilinear (antialiased) or align_corners.
        flip: mirror half of the training pictures: shared (one draw for all resolutions), independent (one draw each) or none.
        lighting: standard deviation of PCA lighting noise; null for 0 on cifar10 and in mode float, else 0.1.
        augment: keras-cv layers applied to training batches in [0, 255], each a mapping with `name` and arguments. MixUp and
            CutMix mix the labels too.
        mean: per channel of [0, 1] RGB pictures; null for 0 in mode float, else the source's (CIFAR-10's or ImageNet's).
        std: like mean; null for 1 in mode float.
        channel_order: rgb or bgr, what the network sees; null for rgb, or what `init` needs.
        label_offset: subtracted from the labels of TFRecord files; null for 1 in the classic ImageNet schema, else 0.
        fake_size: number of pictures of the fake source.
        limit: use only this many training pictures; null for all.
        in_memory: read the encoded pictures of folders and TFRecord files once and keep them in memory.
        service: address of a tf.data service dispatcher (grpc://host:port) whose workers prepare the training pictures.
        cache: folder of downloads; null for `$TFRES_DATA` or `~/.cache/tfres`.
    """

    source: str = "cifar10"
    batch_size: int = 128
    side: int | None = None
    crop: Literal["pad", "reflect", "area", "none"] | None = None
    smallest_area: float = 0.08
    rules: Literal["torchvision", "tensorpack"] | None = None
    evaluation_cut: Literal["each", "once"] | None = None
    antialias: bool = True
    resize: Literal["nearest", "bilinear", "align_corners"] | None = None
    flip: Literal["shared", "independent", "none"] | None = None
    lighting: float | None = None
    augment: list[dict] = dataclasses.field(default_factory=list)
    mean: list[float] | None = None
    std: list[float] | None = None
    channel_order: Literal["rgb", "bgr"] | None = None
    label_offset: int | None = None
    fake_size: int = 512
    limit: int | None = None
    in_memory: bool = False
    service: str | None = None
    cache: str | None = None

    @property
    def cuts_anew(self):
        """Whether evaluation cuts every picture anew for each resolution."""
        return (self.evaluation_cut or ("each" if self.rules == "torchvision" else "once")) == "each"

    def __post_init__(self):
        _require(self.batch_size > 0, "batch_size", "positive", self.batch_size)
        _require(self.side is None or self.side > 0, "side", "positive", self.side)
        _require(0 < self.smallest_area <= 1, "smallest_area", "in (0, 1]", self.smallest_area)
        _require(self.fake_size > 0, "fake_size", "positive", self.fake_size)
        _require(self.limit is None or self.limit > 0, "limit", "positive", self.limit)
        _require(self.lighting is None or self.lighting >= 0, "lighting", "zero or positive", self.lighting)
        _require(self.antialias or self.rules != "tensorpack", "antialias", "true with rules tensorpack", self.antialias)
        for name in ("mean", "std"):
            value = getattr(self, name)
            _require(value is None or len(value) == 3, name, "three numbers", value)
        for layer in self.augment:
            _require("name" in layer, "augment", "a list of mappings with a `name`", layer)


@dataclasses.dataclass
class TrainingRecipe:
    """How the network learns.

    Args:
        engine: tensorpack or keras; null for keras in mode float, else tensorpack.
        strategy: of the keras engine: single, mirrored (all GPUs, or the processors) or multiworker (from TF_CONFIG).
        epochs: passes over the data.
        steps_per_epoch: null for one pass over the data.
        saves_per_epoch: checkpoints per epoch; an interrupted run goes on from the last one.
        keep_checkpoints: newest checkpoints that are kept.
        learning_rate: base rate; null for 0.1 in mode float, else 0.05.
        schedule: cos (to 0 over the run), linear (to 0), step (times `decay` every `step_epochs`), schedule (times `decay`
            at every milestone) or constant; cos and linear change with every step.
        milestones: epochs of `schedule`; null for the reference's 30, 60, 85, 95, 105 of 120 epochs, as shares of the run.
        step_epochs: of `step`.
        decay: factor of `step` and `schedule`.
        warmup_epochs: linear rise from 0.
        momentum: of SGD.
        nesterov: Nesterov's form of momentum; null for plain in mode float, else Nesterov's.
        weight_decay: factor of the L2 term; null for 1e-4 in mode float, else 5e-5.
        decay_on: kernels (of convolutions and the final layer) or all (norms, biases and alpha too); null for all in mode
            float, else kernels.
        kd: distillation; in RS-Nets from an ensemble and from larger resolutions, in SAN from larger resolutions, in MutualNet
            from the full network (without it the others learn from the labels).
        kd_type: of RS-Nets: ens_topdown (larger resolutions teach smaller ones too) or ens. Of SAN: topdown, or
            topdown_normalised (its weight does not grow with the number of resolutions). Null for the first.
        temperature: of RS-Nets' distillation.
        random_widths: of MutualNet: sub-networks of random width in every step; null for 2, or 0 where norms are private.
        random_sides: of MutualNet: sub-networks see the pictures at a random resolution; false: at the largest; null for
            true, or false where norms are private.
        label_smoothing: share of the label's weight spread over all classes.
        precision: float32, mixed_bfloat16 or mixed_float16 (with loss scaling); keras engine.
        accumulate: parts that a step's batch is cut into, run one after another as so many replicas would; keras engine.
        low_memory: run one resolution at a time: same gradients, memory of about one resolution, a second forward pass.
            keras engine.
        ema: decay of an exponential moving average of the weights, which is what is evaluated and exported; null for none.
            keras engine.
        synchronised_norms: under a strategy, norms take the statistics of the whole batch, not of each replica's part.
        devices: numbers of the GPUs of the tensorpack engine; two or more train data-parallel.
        load: checkpoint (a run folder or checkpoint prefix) to start from.
        init: pretrained weights to start from: keras_resnet50 (ImageNet, arch resnet50).
        seed: of initial values, order and augmentation.
    """

    engine: Literal["tensorpack", "keras"] | None = None
    strategy: Literal["single", "mirrored", "multiworker"] = "single"
    epochs: int = 1
    steps_per_epoch: int | None = None
    saves_per_epoch: int = 5
    keep_checkpoints: int = 10
    learning_rate: float | None = None
    schedule: Literal["cos", "linear", "step", "schedule", "constant"] = "cos"
    milestones: list[float] | None = None
    step_epochs: float = 30.0
    decay: float = 0.1
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool | None = None
    weight_decay: float | None = None
    decay_on: Literal["kernels", "all"] | None = None
    kd: bool = False
    kd_type: Literal["ens_topdown", "ens", "topdown", "topdown_normalised"] | None = None
    temperature: float = 1.0
    random_widths: int | None = None
    random_sides: bool | None = None
    label_smoothing: float = 0.0
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    accumulate: int = 1
    low_memory: bool = False
    ema: float | None = None
    synchronised_norms: bool = False
    devices: list[int] = dataclasses.field(default_factory=list)
    load: str | None = None
    init: Literal["keras_resnet50"] | None = None
    seed: int = 0

    def __post_init__(self):
        for name in ("epochs", "saves_per_epoch", "keep_checkpoints", "learning_rate", "temperature", "step_epochs"):
            value = getattr(self, name)
            _require(value is None or value > 0, name, "positive", value)
        for name in ("warmup_epochs", "momentum", "weight_decay", "decay"):
            value = getattr(self, name)
            _require(value is None or value >= 0, name, "zero or positive", value)
        _require(self.steps_per_epoch is None or self.steps_per_epoch > 0, "steps_per_epoch", "positive", self.steps_per_epoch)
        _require((self.random_widths or 0) >= 0, "random_widths", "zero or positive", self.random_widths)
        _require(0 <= self.label_smoothing < 1, "label_smoothing", "in [0, 1)", self.label_smoothing)
        _require(self.ema is None or 0 < self.ema < 1, "ema", "between 0 and 1", self.ema)
        _require(self.accumulate > 0, "accumulate", "positive", self.accumulate)
        marks = self.milestones or []
        ascending = all(a < b for a, b in zip([0, *marks], marks, strict=False))
        _require(ascending, "milestones", "ascending epochs", self.milestones)
        _require(len(set(self.devices)) == len(self.devices), "devices", "distinct", self.devices)
        _require(not (self.load and self.init), "init", "left out when `load` is given", self.init)


# What a field that is left out (null) becomes, by group: in mode float as the float half of RS-Nets, otherwise as the
# quantized half; in MutualNet as its reference. The user's value always wins.
CONVENTIONS = {
    "float": {
        "data": {"rules": "torchvision", "resize": "bilinear", "flip": "independent", "lighting": 0.0,
                 "mean": [0.0] * 3, "std": [1.0] * 3, "channel_order": "rgb"},
        "training": {"engine": "keras", "learning_rate": 0.1, "nesterov": False, "weight_decay": 1e-4, "decay_on": "all"},
    },
    "quantized": {
        "data": {"rules": "tensorpack", "resize": "nearest", "flip": "shared", "channel_order": "rgb"},
        "training": {"engine": "tensorpack", "learning_rate": 0.05, "nesterov": True, "weight_decay": 5e-5,
                     "decay_on": "kernels"},
    },
    "mutualnet": {
        "data": {"rules": "torchvision", "evaluation_cut": "once", "resize": "align_corners", "flip": "shared",
                 "lighting": 0.0, "channel_order": "rgb"},
        "training": {"engine": "keras", "learning_rate": 0.1, "nesterov": True, "weight_decay": 1e-4, "decay_on": "kernels"},
    },
}  # fmt: skip
# Fields of the training that only the keras engine honours, with the values that ask for nothing.
_KERAS_ONLY = {
    "strategy": "single", "precision": "float32", "accumulate": 1, "low_memory": False, "ema": None,
    "synchronised_norms": False,
}  # fmt: skip


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

    def with_conventions(self, name=None):
        """The recipe with fields that are left out filled in from `CONVENTIONS`.

        Args:
            name: key of `CONVENTIONS`; None for the one of the mode.

        Raises:
            RecipeError: options that the engine does not have.
        """
        mode = self.model.arrangement
        convention = CONVENTIONS[name or ("float" if mode == "float" else "quantized")]
        data, training = (_filled(getattr(self, group), convention[group]) for group in ("data", "training"))
        model = dataclasses.replace(self.model, mode=mode, stride_in=self.model.stride_in or "3x3")
        return Recipe(model, data, training)

    def __post_init__(self):
        training, batch = self.training, self.data.batch_size
        parts = max(1, len(training.devices)) * training.accumulate
        _require(batch % parts == 0, "batch_size", f"a multiple of the {parts} parts it is cut into", batch)
        if training.engine == "keras":
            _require(not training.devices, "devices", "empty with the keras engine (use `strategy`)", training.devices)
        elif training.engine == "tensorpack":
            for name, neutral in _KERAS_ONLY.items():
                value = getattr(training, name)
                _require(value == neutral, name, f"{neutral} with the tensorpack engine (use engine keras)", value)

    def to_dict(self):
        return dataclasses.asdict(self)


def learning_rate(training, step, steps_per_epoch):
    """Rate of a step (counted from 0) of a `TrainingRecipe`.

    The rules of RS-Nets' float half, but for `step`: there it never decays (its exponent is always 0).
    """
    total, warmup = training.epochs * steps_per_epoch, training.warmup_epochs * steps_per_epoch
    if step < warmup:
        return training.learning_rate * step / warmup
    progress = (step - warmup) / max(total - warmup, 1)
    epoch = step // steps_per_epoch
    if training.schedule == "cos":
        return training.learning_rate * (1 + math.cos(math.pi * progress)) / 2
    if training.schedule == "linear":
        return training.learning_rate * (1 - progress)
    if training.schedule == "step":
        return training.learning_rate * training.decay ** int(epoch / training.step_epochs)
    if training.schedule == "schedule":
        marks = training.milestones or [share * training.epochs / 120 for share in (30, 60, 85, 95, 105)]
        return training.learning_rate * training.decay ** sum(mark * steps_per_epoch <= step for mark in marks)
    return training.learning_rate


def _filled(group, defaults):
    missing = {name: value for name, value in defaults.items() if getattr(group, name) is None}
    return dataclasses.replace(group, **missing)


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
