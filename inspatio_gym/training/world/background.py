"""What other frames of a film show of a view, by the world's true depth: a training's stand-in for `layers`.

A world that is stepped fuses its background from frames of the whole film, whatever comes out (`layers.LayerStore`). A
training, which has the truth and little time, asks for every pixel of a target whether a few of the frames that its clips
show have that very surface, so what it fills in is right, where a stepped world may be wrong:

    lift      the pixel by the target's true depth
    project   into a recorded frame              and look whether that one's depth agrees, within `AGREES`
    colour    the recorded frame's there         of the first frame that agrees

Things that move are left out on both sides, and what surrounds them, as in a layer; so is what lies farther outside of the
source's picture than a layer reaches.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, max_pool2d

from inspatio_gym.geometry.splatting import project
from inspatio_gym.layers import PAD

AGREES = 0.02
"""Of a depth: how far two views of one surface may differ."""


class Recorded(NamedTuple):
    """K frames of a film. Depths and cameras are in one unit, here and in `Wanted`; all cameras have one lens."""

    frames: Tensor
    """uint8 (K, 3, H, W)."""
    depth: Tensor
    """(K, H, W)."""
    still: Tensor
    """bool (K, H, W), false where something moves."""
    c2w: Tensor
    """float64 (K, 4, 4)."""


class Wanted(NamedTuple):
    """N target views, and where the source of each was."""

    depth: Tensor
    """(N, H, W)."""
    still: Tensor
    """bool (N, H, W)."""
    c2w: Tensor
    """float64 (N, 4, 4)."""
    source_c2w: Tensor
    """float64 (N, 4, 4)."""
    intrinsics: Tensor
    """float64 (N, 3, 3)."""


def fuse(recorded: Recorded, wanted: Wanted) -> tuple[Tensor, Tensor]:
    """Colours uint8 (N, 3, H, W) that the recorded frames show of the target views, and where they do, bool (N, 1, H, W)."""
    x, y, z = _seen(wanted, wanted.source_c2w)
    reach = 1 + 2 * PAD
    near = _inside(wanted.still) & (z > 0) & (x.abs() <= reach) & (y.abs() <= reach)
    colours = torch.zeros((len(z), 3, *z.shape[1:]), dtype=torch.uint8, device=z.device)
    known = torch.zeros_like(near)
    recorded = recorded._replace(still=_inside(recorded.still))
    for frame, depth, still, c2w in zip(*recorded, strict=True):
        x, y, z = _seen(wanted, c2w.expand_as(wanted.c2w))
        grid = torch.stack((x, y), -1)
        expected = _sampled(torch.where(still, depth, 0)[None], grid, "nearest", "zeros")[:, 0]
        agrees = near & ~known & (z > 0) & ((expected - z).abs() < AGREES * z)
        # Between the picture's last pixels and its edge, half a pixel on, colours are the last ones, and not mixed with black.
        seen = _sampled(frame.float(), grid, "bilinear", "border").round().to(torch.uint8)
        colours = torch.where(agrees[:, None], seen, colours)
        known |= agrees
    return colours, known[:, None]


def _seen(wanted: Wanted, c2w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where the cameras (N, 4, 4) see the targets' pixels, in [-1, 1] over the picture, and how deep: each (N, H, W)."""
    height, width = wanted.depth.shape[1:]
    x, y, z = (
        part.view_as(wanted.depth) for part in project(wanted.depth[:, None], wanted.c2w, c2w, wanted.intrinsics)
    )
    return 2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1, z


def _sampled(image: Tensor, grid: Tensor, mode: str, outside: str) -> Tensor:
    """An image (C, H, W) at places (N, H, W, 2): (N, C, H, W)."""
    return grid_sample(image.expand(len(grid), *image.shape), grid, mode, outside, align_corners=True)


def _inside(still: Tensor) -> Tensor:
    """What is still (N, H, W), less what `layers.grow` would add to what moves."""
    radius = max(1, round(still.shape[-1] / 100))
    return max_pool2d((~still)[:, None].float(), 2 * radius + 1, 1, radius)[:, 0] == 0
