"""What TAEHV is made of: convolutions of images, and four layers that are its own.

Images (B T, C, H, W), channels last: the steps of a world in a row, world after world. Only a MemBlock knows of worlds.
"""

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    import torch.nn.functional as F
    from torch import Tensor, nn


class MemBlock(nn.Module):
    """A residual block of images that sees the image before, too: relu(x_t + convolutions(x_t, x_{t-1}))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            *(conv3(2 * width, width), nn.ReLU(inplace=True)),
            *(conv3(width, width), nn.ReLU(inplace=True)),
            conv3(width, width),
        )

    def forward(self, x: Tensor, memory: Tensor, last: int | None = None) -> Tensor:
        """x (B T, C, H, W), the steps of a world in a row, and the step before them (B, C, H, W) -> like x, or only the
        last steps of it, `last` a world."""
        worlds, steps = len(memory), x.unflatten(0, (len(memory), -1))
        _, total, width, *size = steps.shape
        first = 0 if last is None else max(0, total - last)
        pairs = torch.empty(
            (worlds * (total - first), 2 * width, *size),
            dtype=x.dtype, device=x.device, memory_format=torch.channels_last,
        )  # fmt: skip
        pairs[:, :width].unflatten(0, (worlds, -1)).copy_(steps[:, first:])
        before = pairs[:, width:].unflatten(0, (worlds, -1))
        before[:, 0] = steps[:, first - 1] if first else memory
        before[:, 1:] = steps[:, first:-1]
        return F.relu_(self.conv(pairs).add_(pairs[:, :width]))


class Pool(nn.Module):
    """Every `steps` consecutive images become one: a 1x1 convolution of their stacked channels."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(steps * width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        images = x.unflatten(0, (-1, self.steps)).unbind(1)
        return self.conv(torch.cat(images, 1))  # channels stay last, where flattening would move them twice


class Grow(nn.Module):
    """Every image becomes `steps` consecutive ones of twice its size: a 1x1 convolution, nearest-neighbour.

    The network is defined the other way round, size first; the two commute, and this way costs a quarter.
    """

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.conv = nn.Conv2d(width, steps * width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        images = self.conv(x).unflatten(1, (self.steps, -1)).flatten(0, 1)
        return F.interpolate(images.contiguous(memory_format=torch.channels_last), scale_factor=2, mode="nearest")


class SoftClamp(nn.Module):
    """Latents into (-3, 3)."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x / 3) * 3


def conv3(inputs: int, outputs: int, *, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=bias)
