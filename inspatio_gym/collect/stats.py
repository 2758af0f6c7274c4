"""Statistics of a dataset's features, as LeRobot has them: of each episode, and of all from those of each.

    numbers (T,) or (T, n)    ->  min, max, mean, std and quantiles (n,), count (1,) = T
    images (T, H, W, 3)       ->  the same of each channel in [0, 1], (3, 1, 1), count (1,) = T

A quantile of all is the mean of the episodes' quantiles, weighted by their counts: LeRobot's approximation, which needs
no second pass over the data.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}

Stats = dict[str, NDArray[Any]]


def of_numbers(values: NDArray[Any]) -> Stats:
    """Statistics of (T,) or (T, n)."""
    table = values.reshape(len(values), -1).astype(np.float64)
    return {
        "min": table.min(0),
        "max": table.max(0),
        "mean": table.mean(0),
        "std": table.std(0),
        "count": np.array([len(table)]),
        **dict(zip(QUANTILES, np.quantile(table, list(QUANTILES.values()), axis=0), strict=True)),
    }


def of_images(frames: NDArray[np.uint8]) -> Stats:
    """Statistics of the channels of (T, H, W, 3), from how often each of the 256 values occurs."""
    levels = np.arange(256) / 255
    often = np.stack([np.bincount(frames[..., channel].reshape(-1), minlength=256) for channel in range(3)])
    share = often / often.sum(1, keepdims=True)
    mean = share @ levels
    up_to = np.cumsum(share, 1)
    stats = {
        "min": levels[(often > 0).argmax(1)],
        "max": levels[255 - (often > 0)[:, ::-1].argmax(1)],
        "mean": mean,
        "std": np.sqrt((share * (levels - mean[:, None]) ** 2).sum(1)),
        **{name: levels[(up_to >= part - 1e-12).argmax(1)] for name, part in QUANTILES.items()},
    }
    return {**{name: value.reshape(3, 1, 1) for name, value in stats.items()}, "count": np.array([len(frames)])}


def aggregate(parts: Sequence[Stats]) -> Stats:
    """The statistics of everything from those of its parts."""
    weights = np.array([part["count"][0] for part in parts], np.float64)
    weights /= weights.sum()

    def mean(values: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
        return np.tensordot(weights, np.stack(values), 1)

    centre = mean([part["mean"] for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], 0),
        "max": np.max([part["max"] for part in parts], 0),
        "mean": centre,
        "std": np.sqrt(mean([part["std"] ** 2 + (part["mean"] - centre) ** 2 for part in parts])),
        "count": np.sum([part["count"] for part in parts], 0),
        **{name: mean([part[name] for part in parts]) for name in QUANTILES},
    }
