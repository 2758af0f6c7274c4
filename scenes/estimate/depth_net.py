"""A small network that tells near from far in one picture: inverse depth, up to a scale and a shift.

    picture (B, 3, H, W) in [0, 1], sides of 32 k
      stem    1/2   32 channels     |   up    1/2  + stem      -> 32
      stage   1/4   64              |   up    1/4  + stage     -> 64
      stage   1/8   96              |   up    1/8  + stage     -> 96
      stage   1/16  160             |   up    1/16 + stage     -> 160
      stage   1/32  224  + the mean of the whole picture, so that every place knows what it is part of
      head    1/1   the 1/2 map above the picture itself -> 16 -> softplus: inverse depth (B, H, W), positive

Plain 3x3 convolutions with batch norm, two residual blocks a stage: 4.6 million numbers, 9.2 MB at 16 bits. Inverse depth
rather than depth, because it is what parallax shows: the sky is 0, and an error counts by how far it moves a pixel.

Ref: He et al., "Deep Residual Learning for Image Recognition" (CVPR 2016); Ronneberger et al., "U-Net" (MICCAI 2015);
Ranftl et al., "Towards Robust Monocular Depth Estimation" (TPAMI 2022), for inverse depth up to scale and shift.
"""

import functools
import itertools
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from inspatio_gym.checkpoints.weights import load_strictly, read_weights
from inspatio_gym.types import Rgb, Size

STRIDE = 32
LONG_SIDE = 416  # of the picture that the network is shown
WIDTHS = (32, 64, 96, 160, 224)
NEAREST_ZERO = 1e-3  # added to every answer, so that its logarithm exists


class DepthNet(nn.Module):
    """The network; `load` brings its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, WIDTHS[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_conv(a, b, stride=2), _Residual(b), _Residual(b)) for a, b in itertools.pairwise(WIDTHS)
        )
        self.whole = nn.Conv2d(WIDTHS[-1], WIDTHS[-1], 1)
        self.lateral = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(WIDTHS))
        self.up = nn.ModuleList(_Residual(a) for a in WIDTHS[:-1])
        self.detail = _conv(WIDTHS[0] + 3, 16)
        self.head = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Inverse depth (B, H, W), positive, of pictures (B, 3, H, W) in [0, 1] whose sides are multiples of 32."""
        picture = 4 * picture - 2
        levels = [self.stem(picture)]
        for stage in self.down:
            levels.append(stage(levels[-1]))
        x = levels.pop()
        x = x + self.whole(x.mean((2, 3), keepdim=True))
        for k in reversed(range(len(levels))):
            x = self.up[k](_doubled(self.lateral[k](x)) + levels[k])
        x = self.head(self.detail(torch.cat([_doubled(x), picture], 1)))
        return functional.softplus(x[:, 0].float()) + NEAREST_ZERO


class InverseDepth:
    """The network at work on frames; `InverseDepth.load(file)` makes one."""

    def __init__(self, network: DepthNet):
        self._network = network.eval().requires_grad_(False)

    @classmethod
    def load(cls, file: str | Path) -> "InverseDepth":
        """From a safetensors file, of any float type. Raises FileNotFoundError, and WeightsError for a file that is cut
        off or another network's."""
        network = DepthNet()
        load_strictly(network, read_depth_weights(file), file)
        return cls(network)

    def __call__(self, frame: Rgb, size: Size) -> NDArray[np.float32]:
        """Inverse depth up to scale and shift, float32 of `size` (h, w), positive, of a frame uint8 (H, W, 3)."""
        shown = torch.from_numpy(cv2.resize(frame, shown_size(frame.shape[:2])[::-1], interpolation=cv2.INTER_AREA))
        with torch.inference_mode():
            found = self._network(shown.permute(2, 0, 1)[None].float() / 255)[0].numpy()
        return cv2.resize(found, size[::-1], interpolation=cv2.INTER_AREA)


@functools.cache
def shown_size(size: Size) -> Size:
    """The sides, multiples of 32, at which a frame of `size` (H, W) is shown to the network."""
    height, width = (max(STRIDE, round(side * LONG_SIDE / max(size) / STRIDE) * STRIDE) for side in size)
    return height, width


def read_depth_weights(file: str | Path) -> dict[str, Tensor]:
    """The tensors in a file of weights, floats in 32 bits. Raises what `read_weights` does."""
    return {name: value.float() if value.is_floating_point() else value for name, value in read_weights(file).items()}


def _conv(a: int, b: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, stride, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.first = _conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.second(self.first(x)))


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")
