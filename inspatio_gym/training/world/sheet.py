"""A contact sheet of training clips: `python -m inspatio_gym.training.world.sheet --out clips.jpg`.

Of each pair four rows, the clip running to the right: source, render (holes in red), target, and where render and target
differ, darker where more. Of each film one row.
"""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.training.world.clips import ClipPlan, Pairs, films, pairs

with extra("star"):
    import torch
    from torch import Tensor

RED = (200, 30, 30)


@dataclass(frozen=True, slots=True)
class Options:
    """Draw a few clips of a plan."""

    out: Path
    """A .jpg or .png to write."""
    pairs: int = 4
    """How many pairs of clips."""
    films: int = 2
    """How many films."""
    columns: int = 7
    """Frames of each, evenly from the first to the last."""
    start: int = 0
    """The clip to begin with."""
    device: str = "cpu"
    """"cpu" or "cuda"."""
    plan: ClipPlan = field(default_factory=lambda: ClipPlan(clips=1))
    """Which clips."""


def main(options: Options) -> None:
    """Write the sheet."""
    columns = np.linspace(0, options.plan.frames - 1, options.columns).round().astype(int)
    rows: list[NDArray[np.uint8]] = []
    with tqdm(total=options.pairs + options.films, unit="clip", disable=None) as bar:
        for clip in islice(pairs(options.plan, 1, options.device, start=options.start), options.pairs):
            rows += [_row(part, columns) for part in _told(clip)]
            bar.update()
        for film in islice(films(options.plan, 1, options.device, start=options.start), options.films):
            rows.append(_row(film, columns))
            bar.update()
    with written_whole(options.out) as file:
        cv2.imwrite(str(file), np.vstack(rows)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def _told(clip: Pairs) -> tuple[Tensor, ...]:
    """Source, render with its holes in red, target, and 255 less their distance where covered."""
    red = torch.tensor(RED, dtype=torch.uint8, device=clip.mask.device).view(3, 1, 1)
    apart = (clip.render.int() - clip.target.int()).abs().amax(2, keepdim=True).expand_as(clip.render)
    return (
        clip.source,
        torch.where(clip.mask, clip.render, red),
        clip.target,
        torch.where(clip.mask, 255 - apart, 255).to(torch.uint8),
    )


def _row(clip: Tensor, columns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Some frames of a clip (1, F, 3, H, W) side by side."""
    return np.hstack([*clip[0, torch.from_numpy(columns)].movedim(1, -1).cpu().numpy()])


if __name__ == "__main__":
    main(tyro.cli(Options))
