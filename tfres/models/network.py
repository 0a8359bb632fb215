"""The contract of all networks: settings, the forward pass, costs, plain and served forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from quant import At
from tfres.layers import dtype_policy
from tfres.layers.serving import served_form
from tfres.models.backbones import Parts
from tfres.models.backbones.parts import Channels
from tfres.models.costs import Cost, count_cost
from tfres.models.layer_names import named_layers, observed
from tfres.models.options import MAPS, NetworkOptions, read_options
from tfres.models.pixel_features import PixelFeatures
from tfres.models.served import ServedNetwork
from tfres.settings import Private, Setting, mean_side, next_smaller

# Nothing here is a condition or loop over tensors in Python's words, and looking for some takes most of the time of tracing.
_as_it_is = tf.autograph.experimental.do_not_convert


class Network(tf.keras.Model):
    """One set of weights that runs at many settings.

    A family gives `Options`, the `parts` that its layers are made of, the backbone and the classifier. Constructor arguments
    are the fields of `Options`; `get_config` gives them back. Where `Options` have a `head`, the final layer may see features
    of every pixel.

    Call arguments: `images` normalised float `(batch, height, width, 3)`, in the channel order of the training; `setting`
        (a `Setting`, its printed form or the resolution; default: the first of `settings`), `training`.
    Output: logits `(batch, classes)`, or `(batch, height, width, classes)` with head "maps".

    `settings` are all it can run at, largest first, `trained_settings` those of its training, `calibrated_settings` those
    with statistics from calibration; `axes` are the fields of a `Setting` in which they differ.

    Raises:
        RecipeError (a ValueError): arguments that are unknown, of another type, out of range or in conflict.
    """

    Options: type = NetworkOptions
    axes: tuple[str, ...] = ("resolution",)
    exits: tuple[int, ...] = ()  # numbers of the exits, ascending, where the settings are exits
    continuous = True  # whether it runs at resolutions between its settings', with what is private to these mixed by `shares`
    calibrates_trained = False  # whether a trained setting may have statistics from calibration beside its own
    joint = False  # whether one pass gives the outputs of several settings
    private_norms = True  # whether settings have norms of their own, which calibration can measure

    def __init__(self, name: str | None = None, dtype: Any = None, trainable: bool = True, **options: Any) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        self.options = read_options(self.Options, options)
        self.trained_settings = self.make_trained_settings()
        self.calibrated_settings = [Setting.parse(setting) for setting in self.options.calibrated]
        both = [] if self.calibrates_trained else {*self.trained_settings} & {*self.calibrated_settings}
        if both:
            raise ValueError(f"`calibrated` must be settings that are not trained. Received: {', '.join(map(str, both))}.")
        self.settings = self.largest_first({*self.trained_settings, *self.calibrated_settings})
        with dtype_policy(self.dtype_policy):
            parts = self.parts()
            self.backbone = self.make_backbone(parts)
            self.neck = self.make_neck(parts)
            self.classifier = self.make_classifier()

    # What a family gives.

    def make_trained_settings(self) -> list[Setting]:
        """Settings that a step of training runs, largest first."""
        return [Setting(resolution=size) for size in self.options.sizes]

    def largest_first(self, settings: Iterable[Setting]) -> list[Setting]:
        """Settings from the costliest to the cheapest."""
        return sorted(settings, reverse=True)

    def parts(self) -> Parts:
        """Factories of the backbone's layers."""
        raise NotImplementedError

    def make_backbone(self, parts: Parts) -> tf.keras.layers.Layer:
        """The backbone named "backbone"."""
        raise NotImplementedError

    def make_neck(self, parts: Parts) -> tf.keras.layers.Layer | None:
        """What makes features of every pixel of the backbone's maps, named "neck"; None where pictures have features as a
        whole.
        """
        if self.options.head != MAPS:
            return None
        return PixelFeatures(parts, self.options.head_channels, self.options.head_strides, name="neck")

    @property
    def feature_channels(self) -> Channels:
        """Number of features that the final layer sees, as `Parts.channels` made it."""
        return (self.neck or self.backbone).channels

    def make_classifier(self) -> tf.keras.layers.Layer:
        """The final layer, named "linear"."""
        raise NotImplementedError

    def served_classifier(self, parts: Parts) -> tf.keras.layers.Layer:
        """The final layer of the served form, whose backbone is made of `parts`."""
        return served_form(self.classifier, self.settings)

    def plain_values(self, setting: Setting, plain: Network) -> dict[str, Any]:
        """Weights of `materialize` that are not this network's weights of the same name: name -> value."""
        return {}

    def plain_network(self, setting: Setting) -> Network:
        """The network of `materialize`, not built."""
        options = {**self.options.to_dict(), "resolutions": [setting.resolution], "calibrated": []}
        return type(self)(**options, dtype=self.dtype_policy)

    def unseen(self, setting: Setting, inference: str, **options: Any) -> Private:
        """What a setting that was not trained runs with, by a way of inference (see `tfres.evaluation.measuring`).

        Raises:
            ValueError: a way or an option that the family does not have.
        """
        if options:
            raise ValueError(f"`{next(iter(options))}` is no option of {type(self).__name__}. Received: {options}.")
        if inference.startswith("data-free"):
            return self.interpolated_values(setting)
        return self.private_values(Setting(next_smaller([s.resolution for s in self.settings], setting.resolution)), setting)

    def uncalibrated(self, setting: Setting, norms_of: int | None = None) -> Private:
        """What the calibration of a setting without statistics starts from: the norms of a trained resolution.

        Args:
            setting: which.
            norms_of: the resolution; None for the next smaller one.
        """
        donor = norms_of or next_smaller([s.resolution for s in self.trained_settings], setting.resolution)
        return self.private_values(self.resolve(donor), setting)

    def leaves_out(self, name: str) -> bool:
        """Whether a network of which this one is a part may have a weight of this name, which this one does without."""
        return False

    # What all have.

    def get_config(self) -> dict[str, Any]:
        own = {"name": self.name, "dtype": self.dtype_policy.name, "trainable": self.trainable}
        return {**super().get_config(), **own, **self.options.to_dict()}

    @_as_it_is
    def build(self, input_shape: Any = None) -> None:
        """Create all variables; the input shape does not matter."""
        if self.built:
            return
        super().build((None, *self.input_size(self.settings[0]), 3))

    @_as_it_is
    def __call__(self, images: Any, *args: Any, **kwargs: Any) -> Any:
        return super().__call__(checked_images(images), *args, **kwargs)

    def call(self, images: tf.Tensor, setting: Any = None, training: bool | None = None) -> tf.Tensor:
        return self.run(images, At(self.resolve(setting)), training)

    @_as_it_is
    def run(self, images: tf.Tensor, at: At | None, training: bool | None = None) -> tf.Tensor:
        """`call` without checks, at whatever `At` the layers can run."""
        maps = self.backbone(images, at=at, training=training)
        features = self.backbone.pool(maps) if self.neck is None else self.neck(maps, at=at, training=training)
        return self.classifier(features)

    def forward(
        self, inputs: Mapping[Any, tf.Tensor], settings: Iterable[Any], training: bool | None = None
    ) -> dict[Setting, tf.Tensor]:
        """Outputs at several settings.

        Args:
            inputs: resolution -> normalised images.
            settings: which.
            training: as in `call`.
        """
        resolved = [self.resolve(setting) for setting in settings]
        return {setting: self(inputs[self.size(setting)], setting=setting, training=training) for setting in resolved}

    def features(
        self, images: Any, setting: Any = None, training: bool | None = None, names: Iterable[str] | None = None
    ) -> dict[Any, tf.Tensor]:
        """Intermediate results of one forward pass.

        Args:
            images, setting, training: as in `call`.
            names: of layers, such as "backbone/group0/block1/conv2" (see `layer_names`).

        Returns:
            without `names` the backbone's feature maps by stride (input pixels per feature pixel), else name -> output.

        Raises:
            ValueError: an unknown layer, or one that did not run.
        """
        if names is None:
            return self.backbone(checked_images(images), at=At(self.resolve(setting)), training=training)
        return observed(self, list(names), lambda: self(images, setting=setting, training=training))

    def layer_names(self) -> list[str]:
        """Names of all layers, as `features` takes them."""
        return list(named_layers(self))

    def resolve(self, setting: Any = None) -> Setting:
        """The `Setting` meant by a setting, its printed form or a resolution; the largest for None.

        Raises:
            ValueError: not one of `settings`.
        """
        if setting is None:
            return self.settings[0]
        setting = Setting.parse(setting)
        if setting not in self.settings:
            known = ", ".join(map(str, self.settings))
            raise ValueError(f"`setting` must be one of {known}. Received: setting={setting}.")
        return setting

    def input_size(self, setting: Any = None) -> tuple[int, int]:
        """Height and width of the pictures at a setting, in pixels."""
        size = self.size(setting)
        return size if isinstance(size, tuple) else (size, size)

    def size(self, setting: Any = None) -> int | tuple[int, int]:
        """What the task calls the size of the pictures at a setting: a side in pixels or (height, width)."""
        return self.size_of(self.resolve(setting))

    def size_of(self, setting: Setting) -> int | tuple[int, int]:
        """The same of any `Setting`, also one that is none of `settings`."""
        return setting.resolution or self.options.sizes[0]

    def more_costs(self, setting: Any = None) -> dict[str, float]:
        """Further costs of a setting that the family counts, by name."""
        return {}

    def cost(self, setting: Any = None) -> Cost:
        """Exact MACs, trainable parameters and stored bytes at a setting, counted from the graph."""
        setting = self.resolve(setting)
        return count_cost(self, setting, (1, *self.input_size(setting), 3))

    def served(self, form: Callable[..., tf.keras.layers.Layer] = served_form) -> ServedNetwork:
        """The form that is exported: one graph serves all settings, quantizers are computed. Outputs are equal bit for bit.

        Args:
            form: of the layers, see `tfres.layers.serving`.
        """
        return ServedNetwork(self, form)

    def materialize(self, setting: Any = None, private: Private | None = None) -> Network:
        """The plain network at one setting, with the weights of that setting only. Outputs are equal.

        Args:
            setting: which; with `private` also one that is none of `settings`.
            private: what belongs to the setting, in place of the network's own.
        """
        if private is not None:
            return self.extended({setting: private}).materialize(setting)
        setting = self.resolve(setting)
        plain = self.plain_network(setting)
        plain.build()
        values = {variable.name: variable for variable in self.weights} | self.plain_values(setting, plain)
        for variable in plain.weights:
            variable.assign(values[variable.name])
        return plain

    def extended(self, privates: Mapping[Any, Private]) -> Network:
        """The network with what belongs to further settings (or in place of its own calibrated ones); itself for none.

        Args:
            privates: setting (or resolution) -> `Private`.
        """
        privates = {Setting.parse(setting): private for setting, private in privates.items()}
        if not privates:
            return self
        further = {str(setting) for setting in privates if setting not in self.trained_settings or self.calibrates_trained}
        options = {**self.options.to_dict(), "calibrated": sorted({*self.options.calibrated, *further})}
        for private in privates.values():
            for name, change in private.options.items():
                options[name] = {**options[name], **change}
        wider = type(self)(**options, dtype=self.dtype_policy)
        wider.build()
        values = {variable.name: variable for variable in self.weights}
        for private in privates.values():
            values |= private.values
        for variable in wider.weights:
            if variable.name in values:  # statistics that are left out start at 0 and 1
                variable.assign(values[variable.name])
        return wider

    def private_values(self, setting: Any, target: Any) -> Private:
        """What belongs to a setting alone (its norms), as that of the setting `target`."""
        values, source, target = {}, str(Setting.parse(setting)), str(Setting.parse(target))
        for variable in self.weights:
            scope, slash, leaf = variable.name.rpartition("/")
            if leaf.startswith(f"{source}_"):
                values[f"{scope}{slash}{leaf.replace(f'{source}_', f'{target}_', 1)}"] = variable.numpy()
        return Private(values)

    def interpolated_values(self, target: Any) -> Private:
        """What `target` runs with between its neighbours in `settings`: gamma, beta, mean and variance are (1 - a) those of
        the smaller and a those of the larger one, a = (target - smaller) / (larger - smaller); beyond the ends the nearest's.
        """
        target = Setting.parse(target)
        known = [setting.resolution for setting in self.settings]
        smaller, side = next_smaller(known, target.resolution), mean_side(target.resolution)
        larger = min((r for r in known if mean_side(r) >= side), default=max(known, key=mean_side), key=mean_side)
        low, high = mean_side(smaller), mean_side(larger)
        share = (side - low) / (high - low) if high > low else 0.0
        low, high = self.private_values(smaller, target).values, self.private_values(larger, target).values
        return Private({name: ((1 - share) * low[name] + share * high[name]).astype(low[name].dtype) for name in low})

    def shares(self, resolution: tf.Tensor) -> tf.Tensor:
        """How much of each of `settings` a resolution (scalar tensor, pixels) takes: 1 at its own, less and less towards those
        of its neighbours, beyond the ends all of the nearest. Float tensor `(settings,)`.
        """
        sides = [mean_side(setting.resolution) for setting in self.settings]
        resolution = tf.cast(resolution, tf.float32)
        steps = [tf.clip_by_value((high - resolution) / (high - low), 0, 1) for high, low in itertools.pairwise(sides)]
        return tf.stack([1.0, *steps]) - tf.stack([*steps, 0.0])

    def decayed_weights(self, decay_on: str = "kernels") -> list[tf.Variable]:
        """What weight decay applies to: "kernels" (of all convolutions and the final layer) or "all" trainable weights."""
        if decay_on == "all":
            return list(self.trainable_weights)
        kernels = [getattr(layer, "latent_kernel", None) for layer in self._flatten_layers(include_self=False)]
        return [*(kernel for kernel in kernels if kernel is not None), self.classifier.kernel]


def checked_images(images: Any) -> tf.Tensor:
    """The images as a tensor.

    Raises:
        ValueError: they are no float `(batch, height, width, 3)` with at least one picture of at least one pixel.
    """
    wanted = "`images` must be float (batch, height, width, 3), normalised, not empty. Received: "
    if not tf.is_tensor(images) and not isinstance(images, (np.ndarray, tf.Variable)):
        try:
            images = np.asarray(images)
        except ValueError as error:
            raise ValueError(f"{wanted}a ragged {type(images).__name__}.") from error
        if images.dtype == object:
            raise ValueError(f"{wanted}{'None' if images.shape == () and images.item() is None else 'something else'}.")
    kind, shape = tf.dtypes.as_dtype(images.dtype), images.shape
    fits = len(shape) == 4 if not isinstance(shape, tf.TensorShape) or shape.rank is not None else True
    if not fits or not kind.is_floating or shape[-1] != 3 or 0 in tuple(shape):
        raise ValueError(f"{wanted}{kind.name} {tuple(shape)}.")
    return images
