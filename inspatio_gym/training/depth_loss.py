"""What a depth network is taught: inverse depth, whatever its scale and shift, and the same ones throughout a clip.

    p, d       predicted and true inverse depth, (B, T, H, W): B clips of T frames
    q, e       the same less their median, over their mean distance from it, both taken over the WHOLE clip

    ssi        mean |q - e|: scale and shift are free, but one for all frames, so that flicker costs
    gradient   mean |grad (q - e)| at 4 scales: edges where the edges are, flat things flat
    log        mean |log p - log d - median(log p - log d)|: the scale is free, the shift is not, far things count as much
    steady     mean |(q1 o w - q0) - (e1 o w - e0)|, w the true way of every static point from frame 0 to frame 1

Truth is rendered, hence exact: nothing is trimmed.

Ref: Ranftl et al., "Towards Robust Monocular Depth Estimation" (TPAMI 2022), eq. 5 to 7 and 11, for ssi and gradient;
Eigen et al., "Depth Map Prediction from a Single Image" (NeurIPS 2014), for log.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

SCALES = 4
FARTHEST = 30.0  # medians of depth: beyond, one distance is as good as another to `log`
SAME_SURFACE = 0.03  # of the depth: a point found so near the expected one is the same

ROUNDING = 1e-4  # of half the picture's side


class Losses(NamedTuple):
    """Each a scalar."""

    ssi: Tensor
    gradient: Tensor
    log: Tensor
    steady: Tensor

    @property
    def total(self) -> Tensor:
        return self.ssi + 0.5 * self.gradient + 0.5 * self.log + 0.5 * self.steady


def losses(predicted: Tensor, depth: Tensor, c2w: Tensor, intrinsics: Tensor) -> Losses:
    """predicted: inverse depth (B, T, H, W), positive. depth: true z-depth (B, T, H, W). c2w: (B, T, 4, 4) in the units of
    depth. intrinsics: (B, 3, 3). T is 1 or more; `steady` looks at the first two frames."""
    true = 1 / depth
    q, e = normalised(predicted), normalised(true)
    steady = _steady(q, e, depth, c2w, intrinsics) if depth.shape[1] > 1 else q.new_zeros(())
    return Losses((q - e).abs().mean(), gradient(q - e), logarithmic(predicted, true), steady)


def normalised(x: Tensor) -> Tensor:
    """(B, T, H, W) less its median over each clip, over its mean distance from that: free of scale (> 0) and shift."""
    flat = x.flatten(1)
    centred = flat - flat.median(1, keepdim=True).values
    return (centred / centred.abs().mean(1, keepdim=True).clamp(min=1e-6)).view_as(x)


def gradient(difference: Tensor) -> Tensor:
    """Mean absolute slope of (B, T, H, W) along rows and columns, over 4 scales, each of every other pixel."""
    total = difference.new_zeros(())
    for _ in range(SCALES):
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        difference = difference[..., ::2, ::2]
    return total / SCALES


def logarithmic(predicted: Tensor, true: Tensor) -> Tensor:
    """Mean distance of logarithms after taking out one factor a clip, the median."""
    true = torch.maximum(true, true.flatten(1).median(1).values[:, None, None, None] / FARTHEST)
    ratio = (predicted.log() - true.log()).flatten(1)
    return (ratio - ratio.median(1, keepdim=True).values).abs().mean()


def _steady(q: Tensor, e: Tensor, depth: Tensor, c2w: Tensor, intrinsics: Tensor) -> Tensor:
    grid, same = correspondence(depth[:, 0], depth[:, 1], torch.linalg.inv(c2w[:, 1]) @ c2w[:, 0], intrinsics)
    both = torch.stack([q[:, 1], e[:, 1]], 1)
    later = functional.grid_sample(both, grid, align_corners=True, padding_mode="border")
    difference = (later[:, 0] - q[:, 0]) - (later[:, 1] - e[:, 0])
    return (difference.abs() * same).sum() / same.sum().clamp(min=1)


def correspondence(here: Tensor, there: Tensor, motion: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor]:
    """Where the points that one camera sees lie in another's picture, (B, H, W, 2) in the coordinates of `grid_sample`
    with align_corners, and whether they are seen there (B, H, W).

    here, there: z-depth (B, H, W). motion: (B, 4, 4) from the first camera's axes to the second's. intrinsics: (B, 3, 3).
    """
    height, width = here.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=here.dtype, device=here.device),
        torch.arange(width, dtype=here.dtype, device=here.device),
        indexing="ij",
    )
    pixels = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    points = torch.linalg.inv(intrinsics) @ pixels * here.flatten(1)[:, None]
    seen = intrinsics @ (motion[:, :3, :3] @ points + motion[:, :3, 3:])
    far = seen[:, 2].clamp(min=1e-6)
    sides = here.new_tensor([width - 1, height - 1])[:, None]
    grid = (2 * seen[:, :2] / far[:, None] / sides - 1).transpose(1, 2).unflatten(1, (height, width))
    found = functional.grid_sample(there[:, None], grid, mode="nearest", align_corners=True)[:, 0]
    same = ((found / far.view_as(found)).clamp(min=1e-6).log().abs() < SAME_SURFACE) & (grid.abs() <= 1 + ROUNDING).all(
        -1
    )
    return grid, same
