"""Is it one rigid world, and one surface under every pixel?

    reprojection   px   points of the first frame, lifted by its depth, against where they are seen from the recovered
                        cameras: mean over points and frames, at most `WORST` each, which is also what a point costs that
                        should be in view and was lost
    photometric    px   flow from each frame to the next and back again ends where it began: mean distance over pixels
                        that stay in the picture, at most `WORST` each

Both judge a clip by itself: a frozen clip is perfectly consistent, and one filmed from wrong cameras is as good as one
from the right ones.

Ref: the ideas of 3D and photometric consistency as in Duan et al., "WorldScore" (2025), where a network reconstructs and
another measures flow; forward-backward checks: Sundaram et al., "Dense point trajectories" (ECCV 2010).
"""

import itertools

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation.camera import Recovered
from inspatio_gym.evaluation.flow import flow_between, round_trip

WORST = 5.0
"""Pixels: what is farther off is simply wrong, and how far is chance."""


def reprojection_px(recovered: Recovered) -> float:
    """Pixels; `WORST` if no pose was found."""
    expected = recovered.missed[~np.isnan(recovered.missed)]
    return float(np.minimum(expected, WORST).mean()) if expected.size else WORST


def photometric_px(rgb: NDArray[np.uint8]) -> float:
    """Pixels, of a clip uint8 (n, H, W, 3). Raises ValueError for fewer than two frames."""
    if len(rgb) < 2:
        raise ValueError(f"expected two frames or more, got {len(rgb)}")
    off = []
    for a, b in itertools.pairwise(rgb):
        missed, inside = round_trip(flow_between(a, b), flow_between(b, a))
        off.append(np.minimum(missed, WORST)[inside].mean() if inside.any() else WORST)
    return float(np.mean(off))
