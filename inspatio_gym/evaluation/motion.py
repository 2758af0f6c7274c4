"""How much moves, whether it moves as it should, and how evenly.

    magnitude      px/frame      mean length of the flow from frame to frame; by itself neither good nor bad
    error          share         mean |F - F'| / mean |F'| over what moves, F the clip's flow and F' the truth's, measured
                                 alike: 0 is the truth's motion, 1 is none at all
    acceleration   px/frame^2    |x(k+1) - 2 x(k) + x(k-1)| of corners followed to both sides: median over corners, mean
                                 over frames; what jerks and wobbles has much

Ref: motion magnitude, accuracy and smoothness as named in Duan et al., "WorldScore" (2025); flow and corners are
classical here.
"""

import itertools
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation.camera import corners, follow
from inspatio_gym.evaluation.flow import flow_between

Clips = NDArray[np.uint8]


def flows(rgb: Clips) -> NDArray[np.float32]:
    """(n - 1, H, W, 2) pixels from each frame of a clip (n, H, W, 3) to the next. ValueError for fewer than two frames."""
    if len(rgb) < 2:
        raise ValueError(f"expected two frames or more, got {len(rgb)}")
    return np.stack([flow_between(a, b) for a, b in itertools.pairwise(rgb)])


def magnitude_px(flow: NDArray[np.float32]) -> float:
    """Mean length of flow (..., 2)."""
    return float(np.linalg.norm(flow, axis=-1).mean())


def motion_error(flow: NDArray[np.float32], truth: NDArray[np.float32], moving: NDArray[np.bool_]) -> float:
    """Share of the true flow (..., 2) that `flow` misses where `moving` (...) is true; NaN where nothing moves.

    Raises ValueError if shapes differ.
    """
    if flow.shape != truth.shape or moving.shape != flow.shape[:-1]:
        raise ValueError(f"expected flows and a mask of one shape, got {flow.shape}, {truth.shape} and {moving.shape}")
    true = float(np.linalg.norm(truth[moving], axis=-1).sum())
    return float(np.linalg.norm((flow - truth)[moving], axis=-1).sum()) / true if true > 0 else float("nan")


def acceleration_px(rgb: Clips) -> float:
    """Pixels per frame squared, of a clip (n, H, W, 3); NaN without corners. Raises ValueError for fewer than three frames."""
    if len(rgb) < 3:
        raise ValueError(f"expected three frames or more, got {len(rgb)}")
    greys: list[Any] = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
    medians = []
    for before, middle, after in zip(greys[:-2], greys[1:-1], greys[2:], strict=True):
        start = corners(middle)
        bent = sum(follow([middle, other], start).at[1] - start for other in (before, after))
        length = np.linalg.norm(np.asarray(bent).reshape(-1, 2), axis=1)
        if np.isfinite(length).any():
            medians.append(float(np.nanmedian(length)))
    return float(np.mean(medians)) if medians else float("nan")
