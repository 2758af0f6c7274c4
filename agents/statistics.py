"""How sure a mean is: percentile bootstrap intervals.

Ref: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    sample = _sample(values)
    picks = np.random.default_rng(0).integers(len(sample), size=(RESAMPLES, len(sample)))
    return Interval(float(sample.mean()), *_tails(sample[picks].mean(1), confidence))


def bootstrap_nested(groups: Sequence[ArrayLike], confidence: float = 0.95) -> Interval:
    """The mean over groups (of episodes, one for each training, say) of their means, and its bootstrap interval.

    Groups are drawn with replacement, and then values within each that was drawn, so that the interval tells of another
    training as well as of other episodes. Seeded as `bootstrap`; with three groups it is a rough one.
    Raises ValueError for no groups, and what `bootstrap` raises.
    """
    if not len(groups):
        raise ValueError("expected one or more groups of values, got none")
    draw = np.random.default_rng(0)
    means = []  # of each group: the plain one first, then those of its resamples
    for group in groups:
        sample = _sample(group)
        picks = draw.integers(len(sample), size=(RESAMPLES, len(sample)))
        means.append([sample.mean(), *sample[picks].mean(1)])
    table = np.array(means)
    chosen = draw.integers(len(table), size=(RESAMPLES, len(table)))
    drawn = table[chosen, 1 + draw.integers(RESAMPLES, size=chosen.shape)].mean(1)
    return Interval(float(table[:, 0].mean()), *_tails(drawn, confidence))


def _sample(values: ArrayLike) -> NDArray[np.float64]:
    sample = np.asarray(values, np.float64)
    if sample.ndim != 1 or len(sample) == 0 or not np.isfinite(sample).all():
        raise ValueError(f"expected one or more finite values, got {values!r}")
    return sample


def _tails(means: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    tail = 50 * (1 - confidence)
    low, high = np.percentile(means, [tail, 100 - tail])
    return float(low), float(high)
