"""What can be known of disoccluded pixels? Those that some frame of the film shows, and those that none does.

    python -m benchmarks.disoccluded --page docs/tiny.md

The takes are those of the part "views" of `tiny_world`, and so is what counts as disoccluded: what the source frame does not
show. Of these pixels every frame of the film is asked, too, whether its camera sees the place (`images.seen_by`). Places
count: a moving thing that the film shows elsewhere counts as never shown. The last row has the truth in all that is shown,
and else the fused warp's guesses: the film known by heart.
"""

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.held_out import addresses
from benchmarks.pages import fill
from benchmarks.tiny_films import filmed, fine_depth, frames_of, truth, wander
from benchmarks.tiny_judges import Film, one_thread, seen, warped
from benchmarks.tiny_world import EVERY, FIRST_SEED, LEG, played
from inspatio_gym.doctor import machine
from inspatio_gym.evaluation.clips import Take
from inspatio_gym.evaluation.images import psnr_of, seen_by, squared_error
from inspatio_gym.evaluation.report import number, table
from inspatio_gym.scenes.synthetic.batch import Renderer
from inspatio_gym.threads import threads
from inspatio_gym.types import Poses, Size

KNOWN, UNKNOWN = "shown by the film", "never shown"


@dataclass(frozen=True, slots=True)
class Config:
    """Ask how much of what a frame hides a film shows."""

    count: int = 24
    """Worlds; a multiple of 6 has every kind in both styles."""
    blocks: int = 20
    """Of a take."""
    size: Size = (128, 224)
    """Height and width, multiples of 32."""
    jobs: int = 0
    """Processes; 0 takes all cores."""
    page: Path | None = None
    """A page with marks for `tiny-disoccluded`, to write the table between."""


def shown_by(film: Film, fine: NDArray[np.float32], depth: NDArray[np.float32], cameras: Poses) -> NDArray[np.bool_]:
    """Which pixels of views (m, H, W) show a place that some frame of the film sees.

    fine: depth of the film's frames on the finer grid. depth (m, H, W), cameras (m, 4, 4): of the views.
    """
    matrix, known = film.intrinsics[0], np.zeros(depth.shape, np.bool_)
    for one, recorded in zip(fine, film.c2w, strict=True):
        known |= np.stack([seen_by(one, recorded, matrix, *view) for view in zip(depth, cameras, strict=True)])
    return known


def counted(address: str, blocks: int, size: Size) -> NDArray[np.float64]:
    """Pixels and squared errors of the fused warp, (2, 2): of disoccluded pixels known and unknown, in one world."""
    renderer = Renderer("cpu")
    subject = filmed(address, size, renderer)
    film, frames = subject.view, frames_of(blocks)
    take = wander(subject, played(subject, frames), np.arange(-(-frames // LEG)), LEG)
    at = np.arange(0, frames, EVERY)
    judged = Take(take.source[at], take.c2w[at])
    true = truth(subject, judged, renderer)
    fine = fine_depth(subject, np.arange(film.num_frames), renderer)
    recorded = film.c2w[judged.source]
    hidden = ~seen(fine[judged.source], recorded, film.intrinsics[0], true.depth, judged.c2w)
    known = shown_by(film, fine, true.depth, judged.c2w)
    shown = warped(film, take, at)["warp, fused and filled"]
    squares = squared_error(shown, true.rgb)
    return np.array([[some.sum(), squares[some].sum()] for some in (hidden & known, hidden & ~known)])


def words(sums: NDArray[np.float64]) -> str:
    """The table of summed `counted`."""
    pixels, squares = sums.T
    rows = [
        [name, number(n / pixels.sum(), 2), number(psnr_of(error / n), 2)]
        for name, n, error in zip((KNOWN, UNKNOWN), pixels, squares, strict=True)
    ]
    rows.append(["all", number(1.0, 2), number(psnr_of(squares.sum() / pixels.sum()), 2)])
    rows.append([f"all, were those {KNOWN} true", "", number(psnr_of(squares[1] / pixels.sum()), 2)])
    return table(["disoccluded pixels", "share", "PSNR of the fused warp"], rows)


def main(config: Config) -> None:
    """Print the table."""
    began = time.monotonic()
    jobs = config.jobs or threads()
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=one_thread) as pool:
        names = addresses(config.count, FIRST_SEED)
        each = pool.map(counted, names, [config.blocks] * len(names), [config.size] * len(names))
        sums = np.sum(list(tqdm(each, "worlds", len(names), disable=None)), axis=0)
    text = f"{words(sums)}\n\n({config.count} worlds, {time.monotonic() - began:.0f} s. {machine()})"
    print(text)
    if config.page:
        fill(config.page, "tiny-disoccluded", text)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.disoccluded", description=__doc__)))
