"""How many channels a place of a network has at every width."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from quant import At, checks
from quant.at import checked_at
from tfres.settings import Setting


def slim_channels(
    base: int, width_mult: float | tf.Tensor, ratio: float = 1, divisor: int = 8, minimum: int = 1
) -> int | tf.Tensor:
    """Channels of a layer at a width: `int(r * ratio)` with r = base * width_mult / ratio rounded to a multiple of `divisor`,
    at least `minimum` and not below 90 % of it.

    Args:
        base: channels at width 1.
        width_mult: a number, or a scalar tensor (computed in float64, then int32).
        ratio: of these channels to the rounded ones: 6 for an expansion (the input is what is rounded), 1/4 for a bottleneck.
        divisor: 8; 1 for none.
        minimum: 1 as in the reference, which makes 9 of values between 1.1 and 4; `divisor` is what others take.

    Example:
        >>> slim_channels(64, 0.35), slim_channels(64, 0.85, ratio=0.25), slim_channels(144, 0.7, ratio=6)
        (24, 54, 96)

    Reference: MutualNet's and slimmable networks' code.
    """
    if not tf.is_tensor(width_mult):
        value = base * width_mult / ratio
        rounded = max(minimum, int(value + divisor / 2) // divisor * divisor)
        rounded += divisor if rounded < 0.9 * value else 0
        return int(rounded * ratio)
    value = base * tf.cast(width_mult, tf.float64) / ratio
    rounded = tf.maximum(tf.cast(minimum, tf.float64), tf.floor((value + divisor / 2) / divisor) * divisor)
    rounded += tf.where(rounded < 0.9 * value, tf.cast(divisor, tf.float64), 0)
    return tf.cast(rounded * ratio, tf.int32)


@tf.keras.saving.register_keras_serializable(package="tfres")
@dataclasses.dataclass(frozen=True)
class SlimChannels:
    """How many channels one place of a network has at every setting.

    Args:
        base: channels at width 1.
        upper: the largest width; variables have the channels of that.
        fixed: the count is `base` at every width.
        counts: mapping of the name of a sub-network to channels, which takes the place of the rule (AutoSlim's lists).
        ratio, divisor, minimum: see `slim_channels`.
        settings: those that a served network knows by number; see `serving`.
    """

    base: int
    upper: float = 1.0
    fixed: bool = False
    counts: Mapping[str, int] | None = None
    ratio: float = 1
    divisor: int = 8
    minimum: int = 1
    settings: Sequence[Setting] = ()

    def __post_init__(self) -> None:
        for name in ("base", "divisor", "minimum"):
            object.__setattr__(self, name, checks.whole(name, getattr(self, name)))
        for name in ("upper", "ratio"):
            checks.number(name, getattr(self, name), "a positive number", lambda value: value > 0)
        checks.flag("fixed", self.fixed)
        if not isinstance(self.counts or {}, Mapping):
            raise checks.wrong("counts", "a mapping of names to positive integers", self.counts)
        counts = {str(name): checks.whole("counts", count) for name, count in (self.counts or {}).items()}
        object.__setattr__(self, "counts", counts)
        settings = checks.names("settings", self.settings, least=0)
        object.__setattr__(self, "settings", tuple(Setting.parse(setting) for setting in settings))

    def get_config(self) -> dict:
        """The fields as plain values."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "counts": dict(self.counts), "settings": [str(setting) for setting in self.settings]}

    @classmethod
    def from_config(cls, config: dict) -> SlimChannels:
        """The value with these fields."""
        return cls(**config)

    @classmethod
    def of(cls, value: Any) -> SlimChannels:
        """`value`, a `SlimChannels` or what `tf.keras.saving.serialize_keras_object` makes of one.

        Raises:
            ValueError: anything else.
        """
        made = tf.keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
        if not isinstance(made, cls):
            raise checks.wrong("channels", "a SlimChannels", value)
        return made

    def serving(self, settings: Sequence) -> SlimChannels:
        """The value for a served network that knows `settings` by number."""
        return dataclasses.replace(self, settings=tuple(settings))

    @property
    def built(self) -> int:
        """Channels of the variables."""
        return max(self.counts.values()) if self.counts else self.at_width(self.upper)

    def at_width(self, width_mult: float | tf.Tensor) -> int | tf.Tensor:
        """Channels at a width, a number or a scalar tensor."""
        if self.fixed:
            return self.base
        return slim_channels(self.base, width_mult, self.ratio, self.divisor, self.minimum)

    def at_setting(self, setting: Any) -> int:
        """Channels at a `Setting` or its printed form.

        Raises:
            ValueError: its sub-network is not known, or its width is above the largest.
        """
        setting = Setting.parse(setting)
        if self.counts:
            if setting.subnet not in self.counts:
                known = ", ".join(self.counts)
                raise ValueError(f"`setting` must name one of the sub-networks {known}. Received: setting={setting}.")
            return self.counts[setting.subnet]
        width_mult = setting.width_mult or self.upper
        if width_mult > self.upper:
            raise ValueError(f"`setting` must have a width of at most {self.upper:g}. Received: setting={setting}.")
        return self.at_width(width_mult)

    def __call__(self, at: At | None = None) -> int | tf.Tensor:
        """Channels of a call: a number, or a scalar tensor for a width or an index that is one. Without either they are those
        of the variables.
        """
        at = checked_at(at)
        if at.width_mult is not None:
            return self.at_width(at.width_mult)
        if at.index is not None:
            if not self.settings:
                raise ValueError(
                    f"`at` must have a setting or a width, not an index, outside of served networks. Received: {at}."
                )
            return tf.gather(tf.constant([self.at_setting(known) for known in self.settings]), at.index)
        return self.built if at.setting is None else self.at_setting(at.setting)
