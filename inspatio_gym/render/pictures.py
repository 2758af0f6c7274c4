"""The pictures beside the prediction, and the files that all of them are written to.

source         the source frame at that moment
render         its pixels, seen from the new camera; what it does not show is black
side_by_side   source | render | prediction, with their names above
"""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.footage import FootageWriter
from inspatio_gym.types import Rgb, Size
from inspatio_gym.warp import WarpModel
from inspatio_gym.world import BlockRequest

FILMS = ("prediction", "source", "render", "side_by_side")
STRIP = 28  # pixels above a picture, for its name
GAP = 8  # pixels between two pictures
SCALE = 0.5  # of the letters

Renderer = Callable[[BlockRequest], NDArray[np.uint8]]
"""The observed frames of a request, uint8 (m, H, W, 3), as far as their source frame shows them."""


class Films:
    """The four files of a render, written frame by frame into `folder`."""

    def __init__(self, folder: Path, fps: float):
        self._folder, self._rate = folder, Fraction(fps).limit_denominator(1001)
        self._files: dict[str, FootageWriter] = {}

    def write(self, prediction: Rgb, source: Rgb, render: Rgb) -> None:
        """Append a frame to each: three pictures (H, W, 3) of one size."""
        together = side_by_side({"source": source, "render": render, "prediction": prediction})
        for name, picture in zip(FILMS, (prediction, source, render, together), strict=True):
            even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]  # the codec has no odd sides
            if name not in self._files:
                size = even.shape[0], even.shape[1]
                self._files[name] = FootageWriter(self._folder / f"{name}.mp4", fps=self._rate, size=size, form="rgb24")
            self._files[name].write(even)

    def __enter__(self) -> "Films":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for file in self._files.values():
            file.close() if kind is None else file.abandon()


def side_by_side(pictures: dict[str, Rgb]) -> Rgb:
    """Pictures (H, W, 3) in a row, their names above, smaller where they would not fit."""
    columns: list[NDArray[np.uint8]] = []
    for name, picture in pictures.items():
        strip = np.full((STRIP, picture.shape[1], 3), 24, np.uint8)
        (width, _), _ = cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, SCALE, 1)
        scale = SCALE * min(1.0, (picture.shape[1] - 12) / width)
        cv2.putText(strip, name, (8, STRIP - 9), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
        columns += [np.vstack([strip, picture]), np.zeros((STRIP + picture.shape[0], GAP, 3), np.uint8)]
    return np.hstack(columns[:-1])


def warped(scene: Any, size: Size) -> Renderer:
    """Each frame by the warp world's renderer, on the CPU and without torch."""
    model = WarpModel(size, background=False)
    session = model.session(scene, 0)

    def render(request: BlockRequest) -> NDArray[np.uint8]:
        (block,) = model.step([session], [request])
        return block.rgb * block.covered[..., None]

    return render


def splatted(view: Any, device: Any, far: float | None) -> Renderer:
    """Each frame by the splat that diffusion models are conditioned on."""
    import torch

    from inspatio_gym.geometry.splatting import splat

    @torch.inference_mode()
    def render(request: BlockRequest) -> NDArray[np.uint8]:
        pictures = []
        for k in request.observe:
            rgb = torch.from_numpy(view.rgb(int(request.source[k])).copy()).to(device)
            frame = rgb.permute(2, 0, 1)[None].float() / 127.5 - 1
            depth, source_c2w, target_c2w, pinhole = seen(view, request.source[[k]], request.c2w[[k]], device)
            shown, *_ = splat(frame, depth, source_c2w, target_c2w, pinhole, far or "frame")
            pictures.append(((shown[0].permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy())
        return np.stack(pictures)

    return render


def farthest_of(view: Any, source: NDArray[np.int64], c2w: NDArray[np.float64], device: Any) -> float:
    """log(1 + depth) of the farthest point of a whole film, which normalises its splats."""
    from inspatio_gym.geometry.splatting import farthest

    return max(farthest(*seen(view, source[[k]], c2w[[k]], device)) for k in range(len(source)))


def seen(view: Any, source: NDArray[np.int64], c2w: NDArray[np.float64], device: Any) -> tuple[Any, ...]:
    """What the splat wants to know of source frames (n,) beside their colours: depth, both cameras, intrinsics."""
    import torch

    depth = np.stack([view.depth(int(i)) for i in source])[:, None]
    cameras = (view.c2w[source], c2w, view.intrinsics[source])
    return torch.from_numpy(depth).to(device), *(torch.from_numpy(np.array(m)).to(device) for m in cameras)
