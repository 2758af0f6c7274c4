"""How far apart two families of pictures are: the Fréchet distance of features that a random network makes of them.

    pictures (N, 3, H, W)  --at 1, 1/2 and 1/4 of the size: |7 x 7 convolution|, |3 x 3 convolution|-->  means of 32 x 32 pixels
    -> features (N, cells, 96)        one vector a cell: what its texture, noise and sharpness are like

    d = |m - m'|^2 + tr(S + S' - 2 (S^1/2 S' S^1/2)^1/2)        m, S: mean and covariance of vectors

The filters are drawn from a fixed seed and never learn. Those of the first layer have mean 0, so that a cell's colour,
which tells one world from another rather than one camera from another, weighs nothing. No other network's distance can be
compared with these; that of two sets of one family says what chance and other worlds make of it.

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
CHANNELS = 32
DIMENSIONS = len(SCALES) * CHANNELS


@torch.no_grad()
def features(pictures: Tensor) -> Array:
    """Vectors (N, cells, 96) of pictures uint8 (N, 3, H, W), H and W multiples of 32."""
    draw = torch.Generator().manual_seed(SEED)
    light = pictures.float() / 127.5 - 1
    found = []
    for scale in SCALES:
        x = functional.avg_pool2d(light, scale)
        first = torch.randn(CHANNELS, 3, 7, 7, generator=draw)
        second = torch.randn(CHANNELS, CHANNELS, 3, 3, generator=draw)
        for kernel in (first - first.mean((2, 3), keepdim=True), second):
            width = kernel[0].numel() ** 0.5
            padded = functional.pad(x, [kernel.shape[-1] // 2] * 4, mode="reflect")
            x = functional.conv2d(padded, kernel.to(x.device) / width).abs()
        found.append(functional.avg_pool2d(x, CELL // scale))
    return torch.cat(found, 1).flatten(2).movedim(1, 2).double().cpu().numpy()


class Normal(NamedTuple):
    """mean: (d,). covariance: (d, d)."""

    mean: Array
    covariance: Array

    @classmethod
    def of(cls, vectors: Array) -> "Normal":
        """That of all vectors (..., d)."""
        flat = vectors.reshape(-1, vectors.shape[-1])
        return cls(flat.mean(0), np.cov(flat, rowvar=False))


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
