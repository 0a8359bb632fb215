"""Running at resolutions that were not trained: five ways to get norms and, for SAN, an encoding."""

import dataclasses

from tfres.evaluation.calibration import calibrate
from tfres.settings import next_smaller

MODES = ("proxy", "ideal", "ideal+calibration", "proxy+calibration", "data-free")


def with_unseen(model, resolutions, mode, pictures=None):
    """The network with settings for further resolutions.

    | mode | norms | encoding (SAN only) |
    | --- | --- | --- |
    | proxy | of the next smaller trained resolution | that resolution's |
    | ideal | of the next smaller trained resolution | the resolution's own |
    | data-free | between the trained neighbours | the resolution's own |
    | ...+calibration | gamma and beta as above, statistics measured anew | as above |

    Args:
        model: built; has none of the resolutions yet.
        resolutions: sides in pixels.
        mode: one of MODES.
        pictures: for calibration: function of a resolution giving an iterable of batches as the network wants them.

    Returns:
        the wider network; the given one is left as it is.

    Raises:
        ValueError: unknown mode.
    """
    if mode not in MODES:
        raise ValueError(f"`mode` must be one of {', '.join(MODES)}. Received: mode={mode!r}.")
    trained = [setting.resolution for setting in model.trained_settings]
    branches = {}
    for resolution in resolutions:
        donor = next_smaller(trained, resolution)
        branch = model.interpolated_branch(resolution) if mode == "data-free" else model.branch(donor, resolution)
        if mode.startswith("proxy") and hasattr(model, "encoding"):
            branch = dataclasses.replace(branch, encoding=model.encoding(donor))
        branches[resolution] = branch
    wider = model.extended(branches)
    if mode.endswith("calibration"):
        for resolution in resolutions:
            calibrate(wider, resolution, pictures(resolution))
    return wider
