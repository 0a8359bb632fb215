"""ScaleNAS of its authors' release (PyTorch variable names), and their mask files."""

from __future__ import annotations

import io
import pathlib
import pickle
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tfres.convert.pytorch import BATCH_NORM, first_size, laid_out, read_torch, without_prefix
from tfres.data.options import IMAGENET_MEAN, IMAGENET_STD
from tfres.errors import CheckpointError
from tfres.models.scalenas import PRESETS, Mask, ScaleNAS
from tfres.models.scalenas.options import ScaleNASOptions
from tfres.models.weights import assign_exactly, variable_name
from tfres.recipe.values import fields_of, read_text, shown, unknown

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

FAMILY = "scalenas"
REFERENCES = {"superscalenet_seg": "concatenated", "superscalenet_pose": "finest"}
OPTIONS = tuple(name for name in fields_of(ScaleNASOptions) if name not in ("masks", "extracted"))
_WRAPPED = "model."  # in files that segmentation training wrote, beside the loss's class weights
_LARGEST_MASK = 2**20  # bytes of a mask file


def convert(arch: str, tensors: Mapping[str, Any], dtype: Any = None, **options: Any) -> ScaleNAS:
    """The reference's supernet as a `ScaleNAS`, for normalised RGB images.

    Args:
        arch: "superscalenet_seg" or "superscalenet_pose", whose widths are read off the tensors, or one of our architectures,
            whose head is read off them too.
        tensors: names of the state dict (with or without the prefixes "module." and "model.") to arrays in PyTorch's layout.
        dtype: a Keras dtype policy.
        options: arguments of `ScaleNAS`, which win over what is read.

    Raises:
        ValueError: see `tfres.convert.from_reference`.
    """
    tensors = _unwrapped(without_prefix(tensors))
    head = "finest" if "final_layer.weight" in tensors else "concatenated"
    final = "final_layer.bias" if head == "finest" else "last_layer.3.bias"
    seen = {"head": REFERENCES.get(arch, head), "classes": first_size(tensors, final, 19)}
    if arch in REFERENCES:
        seen |= {
            "width": first_size(tensors, "transition1.0.0.weight", 32),
            "stem_width": first_size(tensors, "conv1.weight", 64),
        }
    model = _network(arch, {**seen, **options}, dtype)
    pairs = {reference_name(variable_name(variable), model.options.head): variable for variable in model.weights}
    values = {name: laid_out(value) for name, value in tensors.items()}
    assign_exactly(pairs, values, ignore=lambda name: name.endswith("num_batches_tracked"))
    return model


def names(arch: str, **options: Any) -> dict[str, str]:
    """Our variables' names -> the reference's; see `tfres.convert.names` and, for arguments, `convert`."""
    head = {"head": REFERENCES[arch]} if arch in REFERENCES else {}
    model = _network(arch, {**head, **options})
    return {ours: reference_name(ours, model.options.head) for ours in map(variable_name, model.weights)}


def reference_name(name: str, head: str) -> str:
    """Name in the reference of our variable `name`."""
    part, *scope, leaf = name.split("/")
    leaf = {"kernel": "weight", "bias": "bias"}.get(leaf) or BATCH_NORM[leaf.removeprefix("all_")]
    norm = scope[-1] == "norm"
    if part == "head":
        return f"final_layer.{leaf}" if head == "finest" else f"last_layer.{3 if scope[0] == 'final' else int(norm)}.{leaf}"
    kind, numbers = scope[0], re.findall(r"\d+", scope[0])
    if kind.startswith("stem"):
        return f"{'bn' if norm else 'conv'}{int(numbers[0]) + 1}.{leaf}"
    if kind.startswith("layer1"):
        return f"layer1.{numbers[1]}.{_of_block(scope[1], norm)}.{leaf}"
    if kind.startswith("transition"):
        stage, branch = numbers
        return f"transition{stage}.{branch}.{'' if branch == '0' else '0.'}{int(norm)}.{leaf}"
    stage, module = numbers
    first, second, *target = re.findall(r"\d+", scope[1])
    if scope[1].startswith("branch"):
        return f"stage{stage}.{module}.branches.{first}.{second}.{_of_block(scope[2], norm)}.{leaf}"
    place = "" if second > target[0] else f"{scope[2].removeprefix('unit')}."
    return f"stage{stage}.{module}.fuse_layers_{int(first) + 1}.{target[0]}.{second}.{place}{int(norm)}.{leaf}"


def _of_block(unit: str, norm: bool) -> str:
    return f"downsample.{int(norm)}" if unit == "shortcut" else f"{'bn' if norm else 'conv'}{unit.removeprefix('unit')}"


def read(path: str | os.PathLike, arch: str) -> dict[str, np.ndarray]:
    """Tensors of the reference's `.pth` checkpoint; see `tfres.convert.pytorch.read_torch`."""
    return read_torch(path)[0]


def recipe(arch: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The network as a recipe: its own sizes, pixels of ImageNet's mean and deviation."""
    widths = {preset["width"]: name for name, preset in PRESETS.items()}
    name = arch if arch in PRESETS else widths.get(config["width"], "scalenas_w32")
    return {
        "task": "pose" if config["head"] == "finest" else "segmentation",
        "model": {"arch": name, **{field: config[field] for field in fields_of(ScaleNASOptions)}},
        "data": {"mean": list(IMAGENET_MEAN), "std": list(IMAGENET_STD)},
    }


def read_mask(path: str | os.PathLike, options: ScaleNASOptions, unpickle: bool = False) -> Mask:
    """A mask file of the authors (`.npy`, an array of pickled objects).

    Args:
        path: file.
        options: of the network that the mask is for.
        unpickle: read the pickle in it, but of that only arrays, lists and numbers: nothing in the file can run.

    Raises:
        CheckpointError: without `unpickle`; not such a file, one whose pickle wants anything else, or no mask of this network.
    """
    path = pathlib.Path(path)
    if not unpickle:
        raise CheckpointError(f"{path} holds a pickle; read it with `unpickle` (then only arrays and numbers in it are read).")
    try:
        if path.stat().st_size > _LARGEST_MASK:
            raise CheckpointError(f"{path} is no mask file: it is larger than {_LARGEST_MASK} bytes.")
        content = path.read_bytes()
        with io.BytesIO(content) as file:
            version = np.lib.format.read_magic(file)
            header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version](file)
            if header[2] != np.dtype(object) or header[0] != (len(options.space.branches),):
                raise ValueError("its array is of other things")
            modules = _ArraysOnly(file).load()
        return Mask.read([_plain(module, count) for module, count in zip(modules, options.space.branches, strict=True)],
                         options.space)  # fmt: skip
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # whatever a damaged pickle makes of the reader
        raise CheckpointError(f"{path} is no mask file of this network: {str(error)[:200]}.") from error


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy's arrays and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        core = module in ("numpy.core.multiarray", "numpy._core.multiarray")
        if core and name in ("_reconstruct", "scalar"):
            return getattr(np._core.multiarray, name)
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _encoded
        raise CheckpointError(f"The mask file is refused: its pickle wants to run code ({module}.{name}).")


def _encoded(text: str, encoding: str) -> bytes:
    """What old pickles keep bytes as."""
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("bytes are kept in another way")
    return text.encode("latin1")


def _plain(module: Any, count: int) -> dict[str, Any]:
    """One module of a mask file in the form that `Mask.read` takes; columns that were never set are too short: all off."""
    depth = [int(value) for value in np.asarray(module["d"]).reshape(-1)]
    rows = np.asarray(module["f"])
    fuse = [[[int(bit) for bit in bits] if len(bits) == count else [0] * count for bits in row] for row in rows]
    return {"depth": depth, "fuse": fuse}


def _unwrapped(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the prefix of files that training wrote, and without the loss's weights there."""
    if not any(name.startswith(_WRAPPED) for name in tensors):
        return tensors
    return {name.removeprefix(_WRAPPED): value for name, value in tensors.items() if not name.startswith("loss.")}


def _network(arch: str, options: dict[str, Any], dtype: Any = None) -> ScaleNAS:
    known = (*PRESETS, *REFERENCES)
    if arch not in known:
        raise ValueError(f"`arch` must be one of {', '.join(known)}. Received: arch={shown(arch)}.")
    kinds = fields_of(ScaleNASOptions)
    for name, value in options.items():
        if name not in kinds:
            raise ValueError(unknown("option", name, OPTIONS))
        if isinstance(value, str):
            options = {**options, name: read_text(name, value, kinds[name])}
    model = ScaleNAS(dtype=dtype, **{**PRESETS.get(arch, {}), **options})
    model.build()
    return model
