"""How far apart two families of pictures are: the Fréchet distance of features that a random network makes of them.

    pictures (N, 3, H, W)  --at 1, 1/2 and 1/4 of the size: 7 x 7 and 3 x 3 convolutions, ReLU-->  means of cells of 32 pixels
    -> features (N, cells, 96)        one vector a cell: what its texture, noise and sharpness are like, not where it is

    d = |m - m'|^2 + tr(S + S' - 2 (S^1/2 S' S^1/2)^1/2)        m, S: mean and covariance of the vectors

The network is drawn from a fixed seed and never learns, so nobody was trained on it. A distance has no unit, and no other
network's can be compared with it; that of two sets of one family says what chance makes of it.

Ref: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (FID), there with
features of a classifier.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

Array = NDArray[np.float64]
SEED = 0
SCALES = (1, 2, 4)
CELL = 32  # pixels a side
WIDE, OUT = 32, 32  # channels of the two convolutions
DIMENSIONS = len(SCALES) * OUT


@torch.no_grad()
def features(pictures: Tensor) -> Array:
    """Vectors (N, cells, 96) of pictures uint8 (N, 3, H, W), H and W multiples of 32."""
    draw = torch.Generator().manual_seed(SEED)
    light = pictures.float() / 127.5 - 1
    found = []
    for scale in SCALES:
        first = torch.randn(WIDE, 3, 7, 7, generator=draw) * (2 / (3 * 49)) ** 0.5
        second = torch.randn(OUT, WIDE, 3, 3, generator=draw) * (2 / (WIDE * 9)) ** 0.5
        x = functional.avg_pool2d(light, scale)
        for kernel in (first, second):
            padded = functional.pad(x, [kernel.shape[-1] // 2] * 4, mode="reflect")
            x = functional.relu(functional.conv2d(padded, kernel.to(x.device)))
        found.append(functional.avg_pool2d(x, CELL // scale))
    return torch.cat(found, 1).flatten(2).movedim(1, 2).double().cpu().numpy()


class Normal(NamedTuple):
    """mean: (d,). covariance: (d, d)."""

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, groups: Array) -> "Normal":
        """That of all vectors of some groups (N, n, d)."""
        vectors = groups.reshape(-1, groups.shape[-1])
        return cls(vectors.mean(0), np.cov(vectors, rowvar=False))


def distance(a: Normal, b: Normal) -> float:
    """Fréchet's, squared."""
    root = _root(a.covariance)
    # Both covariances are positive, so the trace of the root of their product is that of this symmetric one.
    both = np.trace(a.covariance + b.covariance - 2 * _root(root @ b.covariance @ root))
    return float(((a.mean - b.mean) ** 2).sum() + both)


def _root(matrix: Array) -> Array:
    """Of a symmetric matrix without negative eigenvalues but for roundings."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(values.clip(0))) @ vectors.T
