"""How sure a mean is: percentile bootstrap intervals.

Ref: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

RESAMPLES = 10_000


class Interval(NamedTuple):
    """A mean and the interval around it."""

    mean: float
    low: float
    high: float


def bootstrap(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """The mean of `values` (n,) and its bootstrap interval: the same one every time, the resampling is seeded.

    Raises ValueError for no values or a value that is not finite.
    """
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) == 0 or not np.isfinite(sample).all():
        raise ValueError(f"expected one or more finite values, got {values!r}")
    picks = np.random.default_rng(0).integers(len(sample), size=(RESAMPLES, len(sample)))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(sample[picks].mean(1), [tail, 100 - tail])
    return Interval(float(sample.mean()), float(low), float(high))
