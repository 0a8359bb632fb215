"""How many channels a place of a network has at every width."""

import tensorflow as tf

from quant.at import checked_at
from tfres.settings import Setting


def slim_channels(base, width_mult, ratio=1, divisor=8, minimum=1):
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


class SlimChannels:
    """How many channels one place of a network has at every setting.

    Args:
        base: channels at width 1.
        upper: the largest width; variables have the channels of that.
        settings: those that a served network knows by number.
        fixed: the count is `base` at every width.
        counts: mapping of the name of a sub-network to channels, which takes the place of the rule (AutoSlim's lists).
        ratio, divisor, minimum: see `slim_channels`.
    """

    def __init__(self, base, upper=1.0, settings=(), fixed=False, counts=None, **rule):
        self.base = base
        self.upper = upper
        self.settings = [Setting.parse(setting) for setting in settings]
        self.fixed = fixed
        self.counts = counts
        self.rule = rule

    @property
    def built(self):
        """Channels of the variables."""
        return max(self.counts.values()) if self.counts else self.at_width(self.upper)

    def at_width(self, width_mult):
        """Channels at a width, a number or a scalar tensor."""
        return self.base if self.fixed else slim_channels(self.base, width_mult, **self.rule)

    def at_setting(self, setting):
        """Channels at a `Setting` or its printed form."""
        setting = Setting.parse(setting)
        return self.counts[setting.subnet] if self.counts else self.at_width(setting.width_mult or self.upper)

    def __call__(self, at=None):
        """Channels of a call: a number, or a scalar tensor for a width or an index that is one. Without either they are those
        of the variables.
        """
        at = checked_at(at)
        if at.width_mult is not None:
            return self.at_width(at.width_mult)
        if at.index is not None:
            return tf.gather(tf.constant([self.at_setting(known) for known in self.settings]), at.index)
        return self.built if at.setting is None else self.at_setting(at.setting)
