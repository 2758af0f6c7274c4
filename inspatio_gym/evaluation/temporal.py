"""Does time obey? The camera stands still in the world, and only time is told what to do.

    pause      grey levels   a moment, held: mean change from each frame to the next; 0 is right
    reverse    grey levels   played and played backwards, the second turned round: mean difference; 0 is right
    slow       ratio         mean motion a frame at half speed over that at full speed; 1/2 is right

A frozen clip is perfect at the first; of the second its error is what the world changes, and the third has no answer.
"""

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation.motion import flows, magnitude_px

Clips = NDArray[np.uint8]
LEAST_PX = 0.01
"""Pixels a frame, below which nothing can be said to move."""


def difference(a: Clips, b: Clips) -> float:
    """Mean absolute difference in grey levels of pictures of one shape. Raises ValueError if shapes differ."""
    if a.shape != b.shape:
        raise ValueError(f"expected clips of one shape, got {a.shape} and {b.shape}")
    return float(np.abs(a.astype(np.int16) - b).mean())


def pause_change(rgb: Clips) -> float:
    """Grey levels, of a clip (n, H, W, 3) of a held moment. Raises ValueError for fewer than two frames."""
    if len(rgb) < 2:
        raise ValueError(f"expected two frames or more, got {len(rgb)}")
    return difference(rgb[1:], rgb[:-1])


def reverse_difference(played: Clips, reversed_: Clips) -> float:
    """Grey levels between a clip (n, H, W, 3) and the one of the same moments in reverse order."""
    return difference(played, reversed_[::-1])


def slow_ratio(played: Clips, slow: Clips) -> float:
    """Motion a frame at half speed over that at full speed; NaN if nothing moves at full speed."""
    full = magnitude_px(flows(played))
    return magnitude_px(flows(slow)) / full if full > LEAST_PX else float("nan")
