"""Running at any resolution: the ways to get norms and, for SAN, an encoding where none were trained."""

import dataclasses

from tfres.evaluation.calibration import calibrate
from tfres.settings import INFERENCE, next_smaller


def for_inference(model, resolutions, mode, pictures=None, encodings=None):
    """The network with a setting for each of the resolutions, as a mode of inference wants it.

    | mode | norms of an untrained resolution | its encoding (SAN only) |
    | --- | --- | --- |
    | proxy | of the next smaller trained resolution | that resolution's |
    | ideal | of the next smaller trained resolution | the resolution's own |
    | data-free | between the trained neighbours | the resolution's own |

    A trained resolution keeps its own. Modes with "+calibration" start like the mode before the plus and measure the
    statistics of every resolution anew, trained ones too; gamma and beta stay.

    Args:
        model: built.
        resolutions: sides in pixels.
        mode: one of INFERENCE.
        pictures: for calibration: function of a resolution giving an iterable of batches as the network wants them.
        encodings: resolution -> encoding that takes the place of the mode's, for untrained resolutions of a SAN.

    Returns:
        another network; the given one is left as it is.

    Raises:
        ValueError: unknown mode, a network of several widths, or encodings for a network or resolutions that have none to
            choose.

    Reference: SAN's code (arXiv 2007.06181), where these take edits of its source, one common shift of all sizes and five
    branches.
    """
    if mode not in INFERENCE:
        raise ValueError(f"`inference` must be one of {', '.join(INFERENCE)}. Received: inference={mode!r}.")
    if hasattr(model, "width_range"):
        raise ValueError("`sweep` and `inference` are for networks of one width; use `grid`.")
    trained = [setting.resolution for setting in model.settings]
    encodings = encodings or {}
    wrong = [r for r in encodings if r in trained or r not in resolutions]
    if encodings and not hasattr(model, "encoding") or wrong:
        raise ValueError(
            "`encodings` must be for a SAN, for evaluated resolutions other than "
            f"{', '.join(map(str, trained))}. Received: encodings={encodings}."
        )
    branches = {}
    for resolution in sorted({*resolutions} - {*trained}):
        donor = next_smaller(trained, resolution)
        branch = model.interpolated_branch(resolution) if mode == "data-free" else model.branch(donor, resolution)
        if hasattr(model, "encoding"):
            own = model.encoding(donor if mode.startswith("proxy") else resolution)
            branch = dataclasses.replace(branch, encoding=encodings.get(resolution, own))
        branches[resolution] = branch
    wider = model.extended(branches)
    if mode.endswith("calibration"):
        for resolution in resolutions:
            calibrate(wider, resolution, pictures(resolution))
    return wider
