"""What the families on the shared backbones have in common: settings, norms, costs, the served form."""

import itertools
import math

import tensorflow as tf

from quant import WeightQuantizer
from tfres.layers import PackedBatchNorm, StackedBatchNorm, SwitchableBatchNorm, dtype_policy
from tfres.models.backbones import MobileNetV2, Parts, ResNet, VGGSmall
from tfres.models.backbones.mobilenet_v2 import make_divisible
from tfres.models.costs import count_cost
from tfres.settings import Branch, Setting, next_smaller

_BACKBONE = ("blocks", "kind", "mode", "stem", "quantize_first_shortcut", "groups", "base_width", "stride_in")


class SwitchableNetwork(tf.keras.Model):
    """A classifier with one set of weights whose batch norms are private to the resolution.

    A family hands its constructor's arguments over as `config` and makes the layers of the backbone in `_conv`,
    `_depthwise` and `_quantizer`; `_copy_served` fills its layers' served forms.

    Args:
        config: mapping of the constructor's arguments; here: kind, blocks, widths, width_mult, stem, resolutions,
            calibrated, classes, mode, groups, base_width, stride_in, synchronised, served; their
            meaning is told by `tfres.models.rsnet.RSNet`.

    Call arguments: `images` normalised float `(batch, side, side, 3)`, in the channel order of the training; `setting`
        (a `Setting`, its printed form or the resolution; default: the largest), `training`.
    Output: logits `(batch, classes)`.

    `settings` are all it can run at, `trained_settings` those of its training, `calibrated_settings` those with statistics
    from calibration.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**kwargs)
        lists = {name: list(config[name]) for name in ("blocks", "widths")}
        calibrated = [str(Setting.parse(setting)) for setting in config["calibrated"]]
        resolutions = check_resolutions(config["resolutions"])
        self._config = {**config, **lists, "resolutions": resolutions, "calibrated": calibrated}
        self.trained_settings = self._make_trained_settings()
        self.calibrated_settings = [Setting.parse(setting) for setting in calibrated]
        self.settings = sorted({*self.trained_settings, *self.calibrated_settings}, reverse=True)
        distinct = [*self.calibrated_settings, *([] if self._calibrates_trained else self.trained_settings)]
        if len({*distinct}) < len(distinct):
            raise ValueError(f"`calibrated` must be distinct and not trained. Received: calibrated={calibrated}.")
        with dtype_policy(self.dtype_policy):
            self._make_layers()

    def _make_trained_settings(self):
        return [Setting(resolution=resolution) for resolution in self._config["resolutions"]]

    @staticmethod
    def check(arguments):
        """Raises ValueError where constructor arguments do not go together, before anything is made."""

    def get_config(self):
        return {**super().get_config(), **self._config}

    def build(self, input_shape=None):
        """Create all variables; the input shape does not matter."""
        if self.built:
            return
        side = self.settings[0].resolution
        super().build((None, side, side, 3))

    def call(self, images, setting=None, training=None):
        setting = self.resolve(setting)
        return self.logits(images, self.settings.index(setting) if self._config["served"] else setting, training)

    def logits(self, images, setting, training=None):
        """`call` without checks; in the served form `setting` is its number in `settings` or a float tensor, see `shares`."""
        return self.classifier(self.backbone(images, setting=setting, training=training))

    def resolve(self, setting=None):
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

    def served_setting(self, setting):
        """What `logits` of the served form takes for a setting; a tensor of the same shape for all."""
        return tf.one_hot(self.settings.index(setting), len(self.settings))

    def shares(self, resolution):
        """What each of `settings` adds at a resolution (scalar tensor, pixels): 1 at its own, less and less towards those of
        its neighbours, beyond the ends all of the nearest. Float tensor `(settings,)`.
        """
        sides = [setting.resolution for setting in self.settings]
        resolution = tf.cast(resolution, tf.float32)
        steps = [tf.clip_by_value((high - resolution) / (high - low), 0, 1) for high, low in itertools.pairwise(sides)]
        return tf.stack([1.0, *steps]) - tf.stack([*steps, 0.0])

    def cost(self, setting=None):
        """Exact MACs, trainable parameters and stored bytes at a setting, counted from the graph; see `Cost`."""
        setting = self.resolve(setting)
        return count_cost(self, setting, (1, setting.resolution, setting.resolution, 3), self._counted_in_training)

    def to_served(self):
        """The same network in the form that is exported: the norms of all settings are stacked so that one graph serves them
        all, and quantizers are computed. Outputs are equal bit for bit.
        """
        served = type(self)(**{**self._config, "served": True, **self._served_config})
        served.build()
        layers = [layer for layer in self._flatten_layers() if not isinstance(layer, WeightQuantizer)]
        for layer, copy in zip(layers, served._flatten_layers(), strict=True):
            if isinstance(copy, (StackedBatchNorm, PackedBatchNorm)):
                copy.assign(layer)
            elif isinstance(copy, tf.keras.layers.Dense):
                copy.set_weights(layer.get_weights())
            else:
                self._copy_served(layer, copy)
        return served

    def materialize(self, setting=None):
        """The plain network at one setting, with the weights of that setting only. Outputs are equal."""
        setting = self.resolve(setting)
        plain = self._plain({**self._config, "resolutions": [setting.resolution], "calibrated": ()})
        plain.build()
        values = {variable.name: variable for variable in self.weights} | self._plain_values(setting)
        for variable in plain.weights:
            variable.assign(values[variable.name])
        return plain

    def extended(self, branches):
        """The network with norms for further settings.

        Args:
            branches: setting (or resolution) -> `Branch`.
        """
        further = {str(Setting.parse(setting)) for setting in branches}
        config = {**self._config, "calibrated": sorted({*self._config["calibrated"], *further})}
        wider = type(self)(**{**config, **self._extended_config(branches)}, dtype=self.dtype_policy)
        wider.build()
        values = {variable.name: variable for variable in self.weights}
        for branch in branches.values():
            values |= branch.norms
        for variable in wider.weights:
            if variable.name in values:  # statistics that a branch leaves out start at 0 and 1
                variable.assign(values[variable.name])
        return wider

    def branch(self, setting, target):
        """The norms of a setting (or resolution) as a `Branch` for the setting `target`."""
        norms, source, target = {}, str(Setting.parse(setting)), str(Setting.parse(target))
        for variable in self.weights:
            scope, slash, leaf = variable.name.rpartition("/")
            if leaf.startswith(f"{source}_"):
                norms[f"{scope}{slash}{leaf.replace(f'{source}_', f'{target}_', 1)}"] = variable.numpy()
        return Branch(norms)

    def interpolated_branch(self, target):
        """A `Branch` for `target` between its neighbours in `settings`: gamma, beta, mean and variance are (1 - a) those of
        the smaller and a those of the larger one, a = (target - smaller) / (larger - smaller); beyond the ends the nearest's.
        """
        known = [setting.resolution for setting in self.settings]
        smaller = next_smaller(known, target)
        larger = min((r for r in known if r >= target), default=max(known))
        share = (target - smaller) / (larger - smaller) if larger > smaller else 0.0
        low, high = self.branch(smaller, target).norms, self.branch(larger, target).norms
        return Branch({name: ((1 - share) * low[name] + share * high[name]).astype(low[name].dtype) for name in low})

    def _plain(self, config):
        """The network of `materialize` by this one's changed config, not built."""
        return type(self)(**config, dtype=self.dtype_policy)

    def _plain_values(self, setting):
        """Variables of it that have other values than this one's: name -> value."""
        return {}

    def _extended_config(self, branches):
        return {}

    def decayed_weights(self, decay_on="kernels"):
        """What weight decay applies to: "kernels" (of all convolutions and the final layer) or "all" trainable weights."""
        if decay_on == "all":
            return list(self.trainable_weights)
        kernels = [getattr(layer, "latent_kernel", None) for layer in self._flatten_layers(include_self=False)]
        return [*(kernel for kernel in kernels if kernel is not None), self.classifier.kernel]

    _counted_in_training = False
    _calibrates_trained = False  # whether a trained setting may have statistics from calibration beside its own
    _served_config = {}
    _final_layer = tf.keras.layers.Dense

    def _make_layers(self):
        parts = Parts(conv=self._conv, depthwise=self._depthwise, norm=self._norm, quantizer=self._quantizer)
        self.backbone = self._make_backbone(parts)
        kernel_initializer, bias_initializer = self._final_initializers()
        self.classifier = self._final_layer(
            self._config["classes"],
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            dtype="float32" if self.compute_dtype in ("float16", "bfloat16") else None,
            name="linear",
        )

    def _make_backbone(self, parts):
        config = self._config
        kind, widths = config["kind"], config["widths"]
        if config["width_mult"] != 1:
            widths = [make_divisible(width * config["width_mult"]) for width in widths]
        if kind == "mobilenet_v2":
            return MobileNetV2(parts, config["width_mult"], name="backbone")
        if kind == "vgg_small":
            return VGGSmall(parts, widths, side=-(-config["resolutions"][0] // 8), name="backbone")
        options = {name: config[name] for name in _BACKBONE if name in config}
        return ResNet(parts, widths=widths, **options, name="backbone")

    def _final_initializers(self):
        """Of the final layer's kernel and bias: PyTorch's, MobileNetV2's, or the quantized half's of RS-Nets."""
        initializers = tf.keras.initializers
        if self._config["mode"] != "float" or self._config["kind"] == "vgg_small":
            return initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal"), "zeros"
        if self._config["kind"] == "mobilenet_v2":
            return initializers.RandomNormal(stddev=0.01), "zeros"
        limit = 1 / math.sqrt(self.backbone.channels)
        return initializers.RandomUniform(-limit, limit), initializers.RandomUniform(-limit, limit)

    def _norm(self, name, gamma_initializer="ones"):
        if self._config["served"]:
            return StackedBatchNorm(len(self.settings), name=name)
        synchronised = self._config["synchronised"]
        return SwitchableBatchNorm(self.settings, gamma_initializer=gamma_initializer, synchronised=synchronised, name=name)

    def _conv(self, filters, kernel_size, strides, name, quantized=True, groups=1, ratio=1):
        raise NotImplementedError

    def _depthwise(self, kernel_size, strides, name):
        raise NotImplementedError

    def _quantizer(self, name):
        """None: activations stay float."""

    def _copy_served(self, layer, copy):
        """Give the served form `copy` the values of `layer`, where the family made it."""


def check_resolutions(resolutions):
    """Distinct positive integers as a list in descending order.

    Raises:
        ValueError: anything else.
    """
    resolutions = list(resolutions)
    whole = all(isinstance(r, int) and not isinstance(r, bool) and r > 0 for r in resolutions)
    if not resolutions or not whole or len(set(resolutions)) < len(resolutions):
        raise ValueError(f"`resolutions` must be distinct positive integers. Received: resolutions={resolutions}.")
    return sorted(resolutions, reverse=True)
