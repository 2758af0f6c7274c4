"""How good inverse depth is that knows neither its scale nor its shift: first both are fitted, then errors are relative.

    (s, t)    argmin sum (s x + t - 1/z)^2 over the pixels nearer than 10 medians of z: least squares in INVERSE depth
    z'        1 / max(s x + t, 1 / (10 medians))
    abs_rel   mean |z' - z| / z
    delta     share of pixels with max(z'/z, z/z') < 1.25

Pixels beyond 10 medians, the sky above all, are left out: an environment shows no depth beyond that either.

Ref: Eigen et al. (NeurIPS 2014) for abs_rel and delta; Ranftl et al. (TPAMI 2022) for fitting in inverse depth.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.types import Depth, Mask

FARTHEST = 10.0  # medians


class Score(NamedTuple):
    """Of one picture, or means over many."""

    abs_rel: float
    delta: float


def fit(inverse: NDArray[np.floating], true: NDArray[np.floating]) -> tuple[float, float]:
    """Scale and shift that bring `inverse` closest to `true`, both (n,) inverse depths; a constant `inverse` gets scale 0."""
    x, y = inverse.astype(np.float64), true.astype(np.float64)
    spread = ((x - x.mean()) ** 2).mean()
    scale = ((x - x.mean()) * (y - y.mean())).mean() / spread if spread > 1e-12 * max(x.mean() ** 2, 1e-300) else 0.0
    return float(scale), float(y.mean() - scale * x.mean())


def score(inverse: NDArray[np.float32], depth: Depth, valid: Mask | None = None) -> Score:
    """Of inverse depth (H, W) against true z-depth (H, W) where `valid`, everywhere by default."""
    valid = np.ones(depth.shape, bool) if valid is None else valid
    farthest = FARTHEST * float(np.median(depth[valid]))
    counted = valid & (depth < farthest)
    z, x = depth[counted].astype(np.float64), inverse[counted]
    scale, shift = fit(x, 1 / z)
    found = 1 / np.maximum(scale * x + shift, 1 / farthest)
    ratio = np.maximum(found / z, z / found)
    return Score(float((np.abs(found - z) / z).mean()), float((ratio < 1.25).mean()))


def mean(scores: list[Score]) -> Score:
    """Of each figure."""
    return Score(*(float(figure) for figure in np.mean(scores, 0)))
