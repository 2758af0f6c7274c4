"""How much of a clip fits into 16 numbers? The tiny model's codec beside a linear one, on the held-out clips.

    python -m benchmarks.codec_ceiling --page docs/tiny.md

A latent of the codec stands for 8 x 8 pixels of 4 frames, 768 numbers, with 16. The linear codec knows the principal components
of such pieces in clips that a training might show: its rows say how much of a piece so many numbers can carry, each piece
by itself. The first frame of a clip, which has latents to itself, is left out.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from torch import Tensor

from benchmarks.pages import fill
from inspatio_gym.checkpoints import locate
from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.images import psnr
from inspatio_gym.evaluation.report import number, table
from inspatio_gym.star.codec import CHANNELS, SPATIAL, TEMPORAL
from inspatio_gym.star.taehv import Taehv, TaehvCodec
from inspatio_gym.star.tiny import CODEC, NAME
from inspatio_gym.training.world.clips import ClipPlan, pairs
from inspatio_gym.training.world.looks import HeldOut, held_out

NUMBERS = (4, 8, CHANNELS, 32, 48, 64)


@dataclass(frozen=True, slots=True)
class Config:
    """Compare the codec of the tiny model with linear ones."""

    codec: Path | None = None
    """Weights of a codec, as `train-world` leaves them; those of the checkpoint inspatio-tiny if left out."""
    worlds: int = 16
    """Whose clips the principal components are taken from, one each."""
    page: Path | None = None
    """A page with marks for `tiny-codec`, to write the table between."""


def pieces(clips: Tensor) -> Tensor:
    """Clips uint8 (B, 1 + 4 k, 3, H, W) as rows (N, 768) in [0, 1], each 8 x 8 pixels of 4 frames."""
    split = clips[:, 1:].float().div(255).unflatten(1, (-1, TEMPORAL))
    split = split.unflatten(-1, (-1, SPATIAL)).unflatten(-3, (-1, SPATIAL))  # (B, k, 4, 3, h, 8, w, 8)
    return split.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4).flatten(0, 3)


def principal(rows: Tensor) -> Tensor:
    """The principal components of rows (N, d), the columns of (d, d), those that vary most first."""
    return torch.linalg.eigh(rows.T.cov()).eigenvectors.flip(1)


def main(config: Config) -> None:
    """Print the table."""
    plan = ClipPlan()
    clips = next(pairs(replace(plan, clips=1), config.worlds))
    known = torch.cat([pieces(video) for video in (clips.source, clips.target)])
    mean, components = known.mean(0), principal(known)
    held = held_out(plan, "cpu")
    true = pieces(held.target)

    def judged(made: Tensor) -> str:
        shown, wanted = ((rows.clamp(0, 1) * 255).round().byte().numpy() for rows in (made, true))
        return number(psnr(shown, wanted), 2)

    file = config.codec or locate(NAME) / CODEC
    looked = HeldOut(held, TaehvCodec(Taehv.load(file)))
    rows = []
    for count in NUMBERS:
        some = components[:, :count]
        rows.append([f"linear, {count}", judged((true - mean) @ some @ some.T + mean)])
    rows.append([f"the codec, {CHANNELS}", judged(pieces(looked.decoded(looked.coded.clean.float())))])
    words = (
        f"{table(['numbers for 8 x 8 pixels of 4 frames', 'PSNR'], rows)}\n\n({len(held.target)} clips. {machine()})"
    )
    print(words)
    if config.page:
        fill(config.page, "tiny-codec", words)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.codec_ceiling", description=__doc__)))
