"""Rendered pictures made to look like anything: what keeps a network from learning how renderings look.

    crop       a window of the picture, 100% down to 45% of it, of another shape, perhaps mirrored: other fields of view
    repaint    each object in a colour and a contrast of its own, so that no surface tells what it is
    light      a gradient of brightness, exposure, gamma, mixed channels, or grey
    sensor     blur, noise, blocks of a compressed picture, an older and smaller picture enlarged
    cut-outs   rectangles of noise or of one colour

Frames of one clip are cropped, repainted and lit alike, as one camera would; noise, blur and compression are each frame's.
All on the device of the pictures, drawn from a generator.

Ref: Tobin et al., "Domain Randomization for Transferring Deep Neural Networks" (IROS 2017), for the idea.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from inspatio_gym.types import Size

SMALLEST = 0.45  # of the picture's sides that a crop keeps
OBJECTS = 64  # colours in the table that objects are repainted from
BLOCK = 8  # pixels a side, of JPEG


class Clips(NamedTuple):
    """B clips of T frames. rgb: (B, T, 3, H, W) in [0, 1]. depth: (B, T, H, W). object_id: (B, T, H, W), whole numbers.
    c2w: (B, T, 4, 4). intrinsics: (B, 3, 3)."""

    rgb: Tensor
    depth: Tensor
    object_id: Tensor
    c2w: Tensor
    intrinsics: Tensor


def crop(clips: Clips, size: Size, draw: torch.Generator) -> Clips:
    """Windows of all frames of a clip, the same for each, sampled at `size` (h, w). Intrinsics follow."""
    count, _frames, _, height, width = clips.rgb.shape
    device = clips.rgb.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.empty(count, device=device).uniform_(low, high, generator=draw)

    # Half sides of the window in halves of the picture: as large as fits for the wanted shape, a little squeezed, smaller.
    shape = size[1] / size[0] * torch.exp(uniform(-0.12, 0.12)) * height / width
    zoom = uniform(SMALLEST, 1.0)
    across, down = zoom * shape.clamp(max=1), zoom * (1 / shape).clamp(max=1)
    left, top = uniform(-1, 1) * (1 - across), uniform(-1, 1) * (1 - down)
    side = 1 - 2 * (uniform(0, 1) < 0.5).float()

    theta = torch.zeros(count, 2, 3, device=device)
    theta[:, 0, 0], theta[:, 0, 2], theta[:, 1, 1], theta[:, 1, 2] = side * across, left, down, top
    grid = functional.affine_grid(theta, [count, 1, *size], align_corners=True)

    def sampled(maps: Tensor, mode: str) -> Tensor:
        found = functional.grid_sample(maps.flatten(1, -3), grid, mode=mode, align_corners=True)
        return found.view(*maps.shape[:-2], *size)

    # Columns of the crop are x' = a x + b of those of the picture.
    intrinsics = clips.intrinsics.clone()
    for axis, gain, middle, sides in ((0, side * across, left, (width, size[1])), (1, down, top, (height, size[0]))):
        a = (sides[1] - 1) / (sides[0] - 1) / gain
        b = (sides[1] - 1) / 2 * (1 - (1 + middle) / gain)
        intrinsics[:, axis] = a[:, None] * clips.intrinsics[:, axis] + b[:, None] * clips.intrinsics[:, 2]
    return Clips(
        sampled(clips.rgb, "bilinear").clamp(0, 1),
        sampled(clips.depth, "nearest"),
        sampled(clips.object_id.float(), "nearest"),
        clips.c2w,
        intrinsics,
    )


def disguise(clips: Clips, draw: torch.Generator) -> Clips:
    """The same with other colours, light, sensor and holes; nothing else changes."""
    rgb = _light(_repaint(clips.rgb, clips.object_id, draw), draw)
    frames = _noise(_blur(_cut_out(rgb, draw).flatten(0, 1), draw), draw)
    return clips._replace(rgb=_blocks(frames, draw).clamp(0, 1).view_as(rgb))


def _some(shape: tuple[int, ...], share: float, like: Tensor, draw: torch.Generator) -> Tensor:
    return torch.rand(shape, device=like.device, generator=draw) < share


def _uniform(low: float, high: float, shape: tuple[int, ...], like: Tensor, draw: torch.Generator) -> Tensor:
    return torch.empty(shape, device=like.device).uniform_(low, high, generator=draw)


def _repaint(rgb: Tensor, object_id: Tensor, draw: torch.Generator) -> Tensor:
    """Half of the clips: contrast around grey, then a colour, of each object."""
    count = len(rgb)
    gain = _uniform(-0.8, 0.8, (count, OBJECTS, 3), rgb, draw).mul(0.6).exp()
    gain = gain * _uniform(-0.5, 0.5, (count, OBJECTS, 1), rgb, draw).exp()
    contrast = _uniform(-0.9, 0.7, (count, OBJECTS, 1), rgb, draw).exp()
    painted = _some((count, OBJECTS, 1), 0.6, rgb, draw) & _some((count, 1, 1), 0.5, rgb, draw)
    table = torch.where(painted, torch.cat([gain, contrast.expand(-1, -1, 1)], 2), torch.ones_like(gain[..., :1]))
    which = (object_id.long() * 7 % OBJECTS).flatten(1)
    looked = table.gather(1, which[..., None].expand(-1, -1, 4)).view(*object_id.shape, 4).movedim(-1, 2)
    return (((rgb - 0.45) * looked[:, :, 3:] + 0.45) * looked[:, :, :3]).clamp(0, 1)


def _light(rgb: Tensor, draw: torch.Generator) -> Tensor:
    """Each clip: brightness that changes across the picture, mixed channels, gamma; some grey."""
    count, _, _, height, width = rgb.shape
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=rgb.device), torch.linspace(-1, 1, width, device=rgb.device), indexing="ij"
    )
    slope = _uniform(-0.4, 0.4, (count, 2, 1, 1), rgb, draw)
    exposure = _uniform(-0.6, 0.5, (count, 1, 1), rgb, draw)
    rgb = rgb * (slope[:, 0] * x + slope[:, 1] * y + exposure).exp()[:, None, None]
    mix = torch.eye(3, device=rgb.device) + 0.18 * torch.randn(count, 3, 3, device=rgb.device, generator=draw)
    mix = mix / mix.sum(2, keepdim=True).clamp(min=0.3)
    colour = torch.einsum("bij,btjhw->btihw", mix, rgb)
    grey = colour.mean(2, keepdim=True)
    saturation = _uniform(0.2, 1.6, (count, 1, 1, 1, 1), rgb, draw)
    saturation = torch.where(_some((count, 1, 1, 1, 1), 0.12, rgb, draw), torch.zeros_like(saturation), saturation)
    colour = (grey + saturation * (colour - grey)).clamp(0, 1)
    return (colour + 1e-4) ** _uniform(-0.45, 0.45, (count, 1, 1, 1, 1), rgb, draw).exp()


def _blur(frames: Tensor, draw: torch.Generator) -> Tensor:
    """Each frame between itself and its smaller, enlarged self: defocus, or a picture that was small once."""
    out = frames
    for shrink, share in ((0.5, 0.3), (0.25, 0.12)):
        small = functional.interpolate(frames, scale_factor=shrink, mode="bilinear", antialias=True)
        soft = functional.interpolate(small, size=frames.shape[-2:], mode="bilinear")
        amount = _uniform(0.2, 1.0, (len(frames), 1, 1, 1), frames, draw)
        amount = amount * _some((len(frames), 1, 1, 1), share, frames, draw)
        out = out + amount * (soft - out)
    return out


def _noise(frames: Tensor, draw: torch.Generator) -> Tensor:
    """Most frames: the grain of a sensor, more of it in the light, coarse in some."""
    count = len(frames)
    strength = _uniform(0, 0.06, (count, 1, 1, 1), frames, draw) * _some((count, 1, 1, 1), 0.7, frames, draw)
    grain = torch.randn(frames.shape, device=frames.device, generator=draw)
    coarse = functional.interpolate(grain[..., ::2, ::2], size=frames.shape[-2:], mode="bilinear")
    grain = torch.where(_some((count, 1, 1, 1), 0.3, frames, draw), coarse, grain)
    return frames + strength * (0.4 + frames.sqrt()) * grain


def _blocks(frames: Tensor, draw: torch.Generator) -> Tensor:
    """Some frames as JPEG or a video codec leaves them: 8 x 8 cosines, the finer ones in coarser steps."""
    count, channels, height, width = frames.shape
    k = torch.arange(BLOCK, device=frames.device, dtype=frames.dtype)
    cosines = torch.cos(math.pi / BLOCK * (k + 0.5) * k[:, None]) * math.sqrt(2 / BLOCK)
    cosines[0] /= math.sqrt(2)
    step = 0.01 * (1 + k[:, None] + k) * _uniform(0.3, 2.5, (count, 1, 1, 1, 1, 1), frames, draw)
    tiles = frames.view(count, channels, height // BLOCK, BLOCK, width // BLOCK, BLOCK).transpose(3, 4)
    waves = cosines @ tiles @ cosines.T
    waves = torch.round(waves / step) * step
    coded = (cosines.T @ waves @ cosines).transpose(3, 4).reshape(frames.shape)
    return torch.where(_some((count, 1, 1, 1), 0.5, frames, draw), coded, frames)


def _cut_out(rgb: Tensor, draw: torch.Generator) -> Tensor:
    """A third of the clips: up to two rectangles hidden by noise of one colour, the same place in every frame."""
    count, _, _, height, width = rgb.shape
    y, x = (torch.arange(n, device=rgb.device) / n for n in (height, width))
    for _ in range(2):
        middle, half = _uniform(0, 1, (count, 2), rgb, draw), _uniform(0.02, 0.14, (count, 2), rgb, draw)
        inside = ((y - middle[:, :1]).abs() < half[:, :1])[:, :, None] & ((x - middle[:, 1:]).abs() < half[:, 1:])[
            :, None
        ]
        inside = inside & _some((count, 1, 1), 0.18, rgb, draw)
        colour = _uniform(0, 1, (count, 1, 3, 1, 1), rgb, draw)
        patch = colour + 0.1 * torch.randn(rgb.shape, device=rgb.device, generator=draw)
        rgb = torch.where(inside[:, None, None], patch.clamp(0, 1), rgb)
    return rgb
