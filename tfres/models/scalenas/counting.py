"""Costs of masks, worked out from the options; no TensorFlow here.

`macs` are multiply-adds of convolutions for one picture, padding included; `params` numbers of kernels, biases and norms
(gamma and beta). Both are of what runs: published "GFLOPs" are these multiply-adds / 1024^3 at 1024 x 2048 pixels or at the
size of the network's crops of persons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfres.models.scalenas.masks import Mask
    from tfres.models.scalenas.options import ScaleNASOptions

LAYER1_BLOCKS = 4  # bottlenecks before the branches


class Count:
    """Adds up what a mask runs.

    Args:
        options: of the network.
        mask: what runs.
        size: height and width of the picture, multiples of 32.
    """

    def __init__(self, options: ScaleNASOptions, mask: Mask, size: tuple[int, int]) -> None:
        self.macs = self.params = 0
        self._pixels, self._channels = size[0] * size[1], options.channels
        self._trunk(options)
        count = 1
        for depth, paths in zip(mask.depths, mask.paths, strict=True):
            self._transition(options, count, len(depth))
            count = len(depth)
            for branch, blocks in enumerate(depth):
                for _ in range(2 * blocks):
                    self._conv(self._channels[branch], self._channels[branch], 3, branch)
            for _, source, target in paths:
                self._path(source, target)
        self._head(options, count)

    def _conv(self, inputs: int, outputs: int, kernel: int, branch: int, bias: bool = False, norm: bool = True) -> None:
        """A convolution whose outputs have the stride of a branch (-1 for stride 2)."""
        weights = inputs * outputs * kernel**2
        self.params += weights + outputs * (2 * norm + bias)
        self.macs += weights * self._pixels // 4 ** (branch + 2)

    def _trunk(self, options: ScaleNASOptions) -> None:
        inner = options.stem_width
        self._conv(3, inner, 3, -1)
        self._conv(inner, inner, 3, 0)
        inputs = inner
        for block in range(LAYER1_BLOCKS):
            if block == 0:
                self._conv(inputs, 4 * inner, 1, 0)
            self._conv(inputs, inner, 1, 0)
            self._conv(inner, inner, 3, 0)
            self._conv(inner, 4 * inner, 1, 0)
            inputs = 4 * inner

    def _transition(self, options: ScaleNASOptions, before: int, after: int) -> None:
        if before == 1:
            self._conv(4 * options.stem_width, self._channels[0], 3, 0)
            self._conv(4 * options.stem_width, self._channels[1], 3, 1)
            before = 2
        for branch in range(before, after):
            self._conv(self._channels[branch - 1], self._channels[branch], 3, branch)

    def _path(self, source: int, target: int) -> None:
        if source > target:
            self._conv(self._channels[source], self._channels[target], 1, source)
        for branch in range(source + 1, target + 1):
            outputs = self._channels[target if branch == target else source]
            self._conv(self._channels[source], outputs, 3, branch)

    def _head(self, options: ScaleNASOptions, count: int) -> None:
        inputs = self._channels[0]
        if options.head == "concatenated":
            inputs = sum(self._channels[:count])
            self._conv(inputs, inputs, 1, 0, bias=True)
        self._conv(inputs, options.classes, 1, 0, bias=True, norm=False)
