"""Does the world stay what it was where nobody looks?

    revisit       dB      time stands still; the camera leaves and comes back: PSNR of the last frame against the first.
                          NaN if the picture never changed: who has not left cannot return
    persistence   share   time runs while the camera looks away; on its return the world must be at the later moment: of
                          the pixels in which the two moments truly differ, how many are nearer to the later one
    permanence    share   a moving thing passes behind another and appears again, the camera standing still: of its
                          pixels, how many are nearer to the truth with it than to the truth while it was hidden

A frozen clip has persistence and permanence near 0; a coin has 1/2.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.evaluation.images import psnr, squared_error
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.types import Mask, Pose, Rgb, Size

LEFT = 2.0
"""Grey levels by which pictures must differ on average for the camera to have left."""
DIFFERENT = 10.0
"""Grey levels by which two truths must differ for a pixel to tell them apart."""
LEAST_PIXELS = 0.0005
"""Of all pixels, that must tell two truths apart, or that a thing must have, to be worth a figure."""
HIDDEN, SHOWN = 0.1, 0.5
"""Of a thing's largest view, so much at most is left of what is hidden, and so much at least of what is shown."""
SEARCH_SIZE = (72, 128)
"""Depth is rendered at this size to find things that pass behind others."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Thing `id` is shown at frame `before`, hidden at `hidden`, and shown again at `after`, all seen from `c2w`."""

    id: int
    c2w: Pose
    before: int
    hidden: int
    after: int


def revisit_psnr(rgb: NDArray[np.uint8]) -> float:
    """dB between the last and the first of frames (n, H, W, 3); NaN if none in between differs from the first."""
    away = np.abs(rgb[1:-1].astype(np.int16) - rgb[0]).mean((1, 2, 3)).max(initial=0.0)
    return psnr(rgb[-1], rgb[0]) if away > LEFT else float("nan")


def nearer_share(picture: Rgb, right: Rgb, wrong: Rgb, mask: Mask | None = None) -> float:
    """Of the pixels (in `mask`) in which two truths (H, W, 3) differ, how many are nearer to `right`; ties count half.

    NaN if too few differ to tell.
    """
    apart = np.sqrt(squared_error(right, wrong)) > DIFFERENT
    telling = apart if mask is None else apart & mask
    if telling.mean() < LEAST_PIXELS:
        return float("nan")
    to_right, to_wrong = squared_error(picture, right)[telling], squared_error(picture, wrong)[telling]
    return float((to_right < to_wrong).mean() + 0.5 * (to_right == to_wrong).mean())


@lru_cache(maxsize=8)  # every clip over a subject asks again
def find_passage(subject: Subject, stride: int = 3) -> Passage | None:
    """The passage of a moving thing behind another that shows most of it, from a recorded camera held; None if there is none.

    stride: frames between those that are looked at. Raises ValueError for a scene without a world.
    """
    if subject.world is None:
        raise ValueError(f"expected a scene of a synthetic world, got {subject.scene!r}: nobody knows what is hidden")
    frames = np.arange(0, subject.view.num_frames, stride)
    best: Passage | None = None
    most = LEAST_PIXELS
    for home in frames[:: max(1, len(frames) // 4)]:
        camera = subject.view.c2w[home]
        areas = visible_areas(subject, camera, frames, SEARCH_SIZE)
        for thing, area in areas.items():
            found = passage_in(area)
            if found and area[found[2]] > most:
                most = float(area[found[2]])
                best = Passage(thing, camera, *(int(frames[k]) for k in found))
    return best


def visible_areas(
    subject: Subject, camera: Pose, frames: NDArray[np.int64], size: Size
) -> dict[int, NDArray[np.float64]]:
    """Of each moving thing, the share (n,) of the picture that it takes at frames (n,), seen from a camera held.

    Only things that never touch the picture's rim: what leaves it is not hidden.
    """
    world, matrix = subject.world, subject.intrinsics(0)
    assert world is not None
    scaled = matrix * (size[1] / subject.size[1])
    scaled[:2, 2] += (size[1] / subject.size[1] - 1) / 2
    scaled[2, 2] = 1
    ids = np.stack([subject.true_depth(camera, int(frame), size, scaled)[1] for frame in frames])
    rim = np.unique(
        np.concatenate([ids[:, 0].ravel(), ids[:, -1].ravel(), ids[:, :, 0].ravel(), ids[:, :, -1].ravel()])
    )
    whole = np.setdiff1d(np.intersect1d(world.moving_ids, ids), rim)
    return {int(thing): (ids == thing).mean((1, 2)) for thing in whole}


def passage_in(area: NDArray[np.float64]) -> tuple[int, int, int] | None:
    """Positions of the best view before, the least, and the best view after it, in a row of areas (n,); None if not hidden."""
    hidden = int(area.argmin())
    if not 0 < hidden < len(area) - 1 or area[hidden] > HIDDEN * area.max():
        return None
    before, after = int(area[:hidden].argmax()), hidden + 1 + int(area[hidden + 1 :].argmax())
    return (before, hidden, after) if min(area[before], area[after]) >= SHOWN * area.max() else None
