"""How like the truth single pictures are: PSNR and SSIM, over groups of pixels.

Pixels are judged in three groups, which depend on the truth alone and not on what a model says of itself:

    all           every pixel
    covered       its surface is seen by the source frame too, at the same moment: it only has to be put in its place
    disoccluded   the rest: hidden from the source frame, or outside of it: somebody has to know or to invent it

PSNR = 10 log10(255^2 / MSE) dB pools the squared errors of all pixels of a group and ends at `PSNR_LIMIT`, where pictures
are equal. SSIM is averaged over the pixels of a group, channels averaged.

Ref: Wang et al., "Image quality assessment: from error visibility to structural similarity" (IEEE TIP 2004).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.geometry.poses import invert
from inspatio_gym.types import Depth, Intrinsics, Mask, Pose, Rgb, Size

PSNR_LIMIT = 60.0
"""dB: an error of one grey level in one of fifteen values. Equal pictures have this, for there is no infinity in JSON."""
FINER = 2
"""Depth of the source frame is rendered on a grid this many times finer than the picture to tell what it sees."""
SAME = 0.01
"""Depths that differ by less than this fraction belong to one surface."""


def psnr_of(squares: float) -> float:
    """dB of a mean squared error in grey levels squared; NaN of NaN."""
    return float(10 * np.log10(255**2 / max(squares, 255**2 / 10 ** (PSNR_LIMIT / 10))))


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], mask: Mask | None = None) -> float:
    """dB between pictures (..., H, W, 3), where `mask` (..., H, W) is true, or everywhere; NaN of no pixels.

    Raises ValueError for pictures of different shapes.
    """
    squares = squared_error(a, b)
    chosen = squares if mask is None else squares[mask]
    return psnr_of(float(chosen.mean())) if chosen.size else float("nan")


def squared_error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(..., H, W) squared error of pictures (..., H, W, 3), averaged over the channels. Raises ValueError if shapes differ."""
    if a.shape != b.shape:
        raise ValueError(f"expected pictures of one shape, got {a.shape} and {b.shape}")
    return np.asarray(((a.astype(np.float64) - b) ** 2).mean(-1))


def ssim(a: Rgb, b: Rgb) -> NDArray[np.float64]:
    """(H, W) structural similarity, averaged over the channels: Gaussian windows of sigma 1.5, as in the paper."""

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101))

    x, y = a.astype(np.float64), b.astype(np.float64)
    mx, my = mean(x), mean(y)
    vx, vy, vxy = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return ((2 * mx * my + c1) * (2 * vxy + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean(-1)


@dataclass(slots=True)
class Score:
    """Sums over the pixels of one group; of no pixels the figures are NaN."""

    pixels: int = 0
    squares: float = 0.0
    similarity: float = 0.0

    def add(self, mask: Mask, squares: NDArray[np.float64], similarity: NDArray[np.float64]) -> None:
        self.pixels += int(mask.sum())
        self.squares += float(squares[mask].sum())
        self.similarity += float(similarity[mask].sum())

    @property
    def psnr(self) -> float:
        return psnr_of(self.squares / self.pixels) if self.pixels else float("nan")

    @property
    def ssim(self) -> float:
        return self.similarity / self.pixels if self.pixels else float("nan")


class Fidelity:
    """Scores of one set of views over the three groups."""

    def __init__(self) -> None:
        self.everywhere, self.covered, self.disoccluded = Score(), Score(), Score()

    def add(self, picture: Rgb, truth: Rgb, seen: Mask) -> None:
        """Count a view. seen: (H, W), see `seen_by`. Raises ValueError if shapes differ."""
        squares, similarity = squared_error(picture, truth), ssim(picture, truth)
        self.everywhere.add(np.ones_like(seen), squares, similarity)
        self.covered.add(seen, squares, similarity)
        self.disoccluded.add(~seen, squares, similarity)

    @property
    def share(self) -> float:
        """Of all pixels, how many are covered."""
        return self.covered.pixels / max(self.everywhere.pixels, 1)

    def figures(self) -> dict[str, float]:
        """PSNR in dB and SSIM by group, under the names that `metrics.METRICS` explains."""
        groups = {"": self.everywhere, "_covered": self.covered, "_disoccluded": self.disoccluded}
        return {f"psnr{name}": group.psnr for name, group in groups.items()} | {
            f"ssim{name}": group.ssim for name, group in groups.items()
        }


def seen_by(source_depth: Depth, source: Pose, matrix: Intrinsics, target_depth: Depth, target: Pose) -> Mask:
    """Which pixels of a target view show a surface that the source camera sees too, at the same moment.

    source_depth: on a grid FINER times finer than target_depth (H, W). matrix: (3, 3), of both cameras at (H, W).
    """
    height, width = target_depth.shape
    v, u = np.mgrid[:height, :width]
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(matrix).T
    move = invert(source) @ target
    points = (rays * target_depth[..., None]) @ move[:3, :3].T + move[:3, 3]
    z = points[..., 2]
    ahead = z > 1e-6
    at = points @ matrix.T / np.where(ahead, z, 1)[..., None]
    x, y = at[..., 0], at[..., 1]
    inside = ahead & (x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5)
    fine_x, fine_y = (((c + 0.5) * FINER - 0.5).astype(np.float32) for c in (x, y))
    # The inverse depth of a plane is linear in the picture, so slanted surfaces are met exactly.
    nearness = (1 / source_depth).astype(np.float32)
    inverse = cv2.remap(nearness, fine_x, fine_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return inside & (np.abs(z * inverse - 1) < SAME)


def finer(matrix: Intrinsics, size: Size) -> tuple[Intrinsics, Size]:
    """The pinhole matrix and the size (height, width) of the finer grid."""
    fine = matrix * FINER
    fine[:2, 2] += (FINER - 1) / 2
    fine[2, 2] = 1
    return fine, (size[0] * FINER, size[1] * FINER)
