"""Which value of a label picture means which class; `classes.json`. No TensorFlow here."""

from __future__ import annotations

import colorsys
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from tfres.errors import SourceError
from tfres.files import read_json

IGNORED, UNKNOWN = 255, -1  # in `LabelSet.table`
MOST_CLASSES = 255
_VALUES = 256

Colour = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class LabelSet:
    """The classes of label pictures of 8 bits.

    Args:
        names: of the classes.
        values: the value in the files of each class.
        ignored: values that do not count.
        palette: red, green and blue of each class, 0 to 255.
    """

    names: list[str]
    values: list[int]
    ignored: list[int]
    palette: list[Colour]

    @property
    def table(self) -> list[int]:
        """What every value of a file means: a class, `IGNORED` or `UNKNOWN`."""
        table = [UNKNOWN] * _VALUES
        for value in self.ignored:
            table[value] = IGNORED
        for place, value in enumerate(self.values):
            table[value] = place
        return table

    def to_dict(self) -> dict[str, Any]:
        """The content of `classes.json`."""
        return {"classes": self.names, "values": self.values, "ignore": self.ignored, "palette": self.palette}


def read_labels(path: pathlib.Path) -> LabelSet:
    """The classes of a `classes.json`, or of a `meta.json` as CamVid has it.

    `classes`: distinct names, counted from 0 where there are no `values`; `ignore` (or `ignore_label`): a value or a list of
    values that do not count, 255 by default, also the place of a name in `classes`, which is then none of them; `palette` (or
    `palette_rgb`): a colour per name.

    Raises:
        SourceError: no such file, damaged, or something else in it.
    """
    found = read_json(path, SourceError)
    names = found.get("classes")
    listed = isinstance(names, list) and names and all(isinstance(name, str) and name for name in names)
    if not listed or len(set(names)) != len(names):
        raise _wrong(path, "a list of distinct names as `classes`", names)
    ignored = found.get("ignore", found.get("ignore_label", IGNORED))
    ignored = ignored if isinstance(ignored, list) else [ignored]
    values = found.get("values", list(range(len(names))))
    for name, given in (("ignore", ignored), ("values", values)):
        if not isinstance(given, list) or not all(_is_value(value) for value in given) or len(set(given)) != len(given):
            raise _wrong(path, f"distinct whole numbers from 0 to 255 as `{name}`", given)
    palette = found.get("palette", found.get("palette_rgb"))
    palette = colours(len(names)) if palette is None else palette
    colourful = isinstance(palette, list) and all(
        isinstance(colour, (list, tuple)) and len(colour) == 3 and all(map(_is_value, colour)) for colour in palette
    )
    if not colourful:
        raise _wrong(path, "a list of [red, green, blue] as `palette`", palette)
    if not len(names) == len(values) == len(palette):
        raise _wrong(path, f"{len(names)} `values` and colours, one per class", f"{len(values)} and {len(palette)}")
    kept = [place for place, value in enumerate(values) if value not in ignored]
    if not 2 <= len(kept) <= MOST_CLASSES:
        raise _wrong(path, f"2 to {MOST_CLASSES} `classes` that are not ignored", len(kept))
    return LabelSet(
        [names[place] for place in kept], [values[place] for place in kept], ignored, [tuple(palette[place]) for place in kept]
    )


def colours(count: int) -> list[Colour]:
    """Colours that are well apart."""
    golden = 0.618034
    return [
        tuple(int(255 * part) for part in colorsys.hsv_to_rgb(place * golden % 1, 0.85, 1 - 0.35 * (place % 3) / 2))
        for place in range(count)
    ]


def _is_value(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _VALUES


def _wrong(path: pathlib.Path, allowed: str, received: Any) -> SourceError:
    return SourceError(f"{path} must hold {allowed}. Received: {str(received)[:100]}.")


_CITYSCAPES: Sequence[tuple[int, str, Colour]] = (
    (7, "road", (128, 64, 128)),
    (8, "sidewalk", (244, 35, 232)),
    (11, "building", (70, 70, 70)),
    (12, "wall", (102, 102, 156)),
    (13, "fence", (190, 153, 153)),
    (17, "pole", (153, 153, 153)),
    (19, "traffic light", (250, 170, 30)),
    (20, "traffic sign", (220, 220, 0)),
    (21, "vegetation", (107, 142, 35)),
    (22, "terrain", (152, 251, 152)),
    (23, "sky", (70, 130, 180)),
    (24, "person", (220, 20, 60)),
    (25, "rider", (255, 0, 0)),
    (26, "car", (0, 0, 142)),
    (27, "truck", (0, 0, 70)),
    (28, "bus", (0, 60, 100)),
    (31, "train", (0, 80, 100)),
    (32, "motorcycle", (0, 0, 230)),
    (33, "bicycle", (119, 11, 32)),
)
CITYSCAPES = LabelSet(
    [name for _, name, _ in _CITYSCAPES],
    [value for value, _, _ in _CITYSCAPES],
    [value for value in (*range(34), IGNORED) if value not in {value for value, _, _ in _CITYSCAPES}],
    [colour for _, _, colour in _CITYSCAPES],
)
