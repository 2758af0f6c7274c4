"""The sensor of style "camera" for many frames at once, in torch: `sensor.film` restated, step by step, on any device.

    exposures (N, M, H, W, 3) uint8 sRGB   M moments while the shutter is open
      -> light (N, 3, H, W)                their mean, linear
      -> lens, exposure, noise             as in `sensor`; noise is handed in, standard normal
      -> JPEG (N, 3, H, W) uint8           cosines of 8 x 8 pixels in steps of the standard's tables, colours at half size

Without the noise it differs from `film` by the rounding of a JPEG's integer arithmetic; noise itself is drawn elsewhere, so it
is another one. No file is made: what JPEG loses is lost, its entropy coding loses nothing.

Ref: ITU-T T.81 (JPEG), annex K for the tables; their scaling by quality is the Independent JPEG Group's.
"""

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from inspatio_gym.extras import extra
from inspatio_gym.scenes.synthetic.sensor import GRAIN, LINEAR, REFERENCE, SMOOTH, WIDTHS, Setting

with extra("synth"):
    import torch
    from torch import Tensor
    from torch.nn import functional

BLOCK = 8  # pixels a side, of JPEG
_LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip
_CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99,
    18, 21, 26, 66, 99, 99, 99, 99,
    24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99,
    *[99] * 32,
)  # fmt: skip
_TO_YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def develop(exposures: Tensor, depth: Tensor, settings: Sequence[Setting], noise: Tensor) -> Tensor:
    """Frames uint8 (N, 3, H, W) that a sensor makes of exposures uint8 (N, M, H, W, 3), all on one device.

    depth: (N, H, W), metres. settings: of each frame. noise: (N, 3, H, W), standard normal. Raises ValueError for sides
    that are no multiples of 16.
    """

    def each(name: str) -> Tensor:
        values = np.array([getattr(setting, name) for setting in settings], np.float32)
        return torch.from_numpy(values.reshape(len(settings), -1, 1, 1)).to(exposures.device)

    linear = torch.from_numpy(LINEAR).to(exposures.device)
    light = linear[exposures.int()].mean(1).movedim(-1, 1)
    ordered, middle = (
        depth.flatten(1).sort(1).values,
        depth[0].numel() / 2 - 0.5,
    )  # quantile() takes 16 M numbers at most
    median = ordered[:, [math.floor(middle), math.ceil(middle)]].mean(1)[:, None, None, None]
    sharp = each("focus") * median * each("breath")
    circle = each("aperture") * (light.shape[3] / REFERENCE) * (1 - sharp / depth[:, None]).abs()
    light = _out_of_focus(light, blur(circle.clamp(0, WIDTHS[-1]), SMOOTH))
    y, x = (torch.linspace(-1, 1, side, device=light.device) for side in light.shape[2:])
    light = light * each("gain") * (1 - each("shade") * (x * x + (y * y)[:, None]) / 2)
    photons = each("photons")
    light = light + blur(noise * (light.clamp(min=0) / photons + 4 / photons**2).sqrt(), GRAIN)
    code = light.clamp(0, 1)
    code = torch.where(code <= 0.0031308, 12.92 * code, 1.055 * code ** (1 / 2.4) - 0.055)
    return jpeg((255 * code + 0.5).to(torch.uint8), each("quality"))


def blur(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) under a Gaussian of `sigma` pixels, cut at 4 of them, mirrored at the edges; as cv2 blurs floats."""
    reach = math.ceil(4 * sigma)
    kernel = torch.from_numpy(cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F).ravel()).to(images.device)
    flat = functional.pad(images.flatten(0, 1)[:, None], (reach,) * 4, mode="reflect")
    flat = functional.conv2d(functional.conv2d(flat, kernel[None, None, None]), kernel[None, None, :, None])
    return flat[:, 0].unflatten(0, images.shape[:2])


def _out_of_focus(light: Tensor, circle: Tensor) -> Tensor:
    """Light (N, 3, H, W) blurred by circles of confusion (N, 1, H, W), blended between four widths."""
    out = torch.zeros_like(light)
    for k, width in enumerate(WIDTHS):
        weight = torch.ones_like(circle)
        if k > 0:
            weight = (circle - WIDTHS[k - 1]) / (width - WIDTHS[k - 1])
        if k + 1 < len(WIDTHS):
            weight = torch.minimum(weight, (WIDTHS[k + 1] - circle) / (WIDTHS[k + 1] - width))
        out += weight.clamp(0, 1) * (blur(light, width) if width else light)
    return out


def jpeg(images: Tensor, quality: Tensor) -> Tensor:
    """What is left of images uint8 (N, 3, H, W) after JPEG of a quality (N, 1, 1, 1), 1 to 100, colours at half size.

    Raises ValueError for sides that are no multiples of 16.
    """
    if images.shape[2] % (2 * BLOCK) or images.shape[3] % (2 * BLOCK):
        raise ValueError(f"expected sides that are multiples of {2 * BLOCK}, got {tuple(images.shape[2:])}")
    to_ycc, to_rgb, luminance, chrominance = (
        torch.tensor(table, dtype=torch.float32, device=images.device)
        for table in (_TO_YCC, _TO_RGB, _LUMINANCE, _CHROMINANCE)
    )
    ycc = torch.einsum("ij,njhw->nihw", to_ycc, images.float()).round()  # colours are around 0 here, luminance is not
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    luma = _quantised(ycc[:, :1] - 128, luminance, scale) + 128
    chroma = _quantised(functional.avg_pool2d(ycc[:, 1:], 2).round(), chrominance, scale)
    chroma = functional.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    rgb = torch.einsum("ij,njhw->nihw", to_rgb, torch.cat([luma, chroma], 1))
    return rgb.round().clamp(0, 255).to(torch.uint8)


def _quantised(planes: Tensor, table: Tensor, scale: Tensor) -> Tensor:
    """Planes (N, C, H, W) around 0 through cosines in whole steps of a table (64,), scaled in hundredths (N, 1, 1, 1)."""
    cosines = torch.from_numpy(_cosines()).to(planes.device)
    blocks = planes.unflatten(3, (-1, BLOCK)).unflatten(2, (-1, BLOCK)).transpose(3, 4)  # (N, C, h, w, 8, 8)
    step = ((table.view(BLOCK, BLOCK) * scale + 50) / 100).floor().clamp(1, 255)[:, :, None, None]  # (N, 1, 1, 1, 8, 8)
    coarse = (cosines @ blocks @ cosines.T / step).round() * step
    back = (cosines.T @ coarse @ cosines).round().clamp(-128, 127)
    return back.transpose(3, 4).flatten(4, 5).flatten(2, 3)


@cache
def _cosines() -> np.ndarray:
    """(8, 8) float32, orthonormal: row k has the cosine of frequency k."""
    k = np.arange(BLOCK)
    rows = np.cos(math.pi / BLOCK * (k + 0.5) * k[:, None]) * math.sqrt(2 / BLOCK)
    rows[0] /= math.sqrt(2)
    return rows.astype(np.float32)
