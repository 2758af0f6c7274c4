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
from inspatio_gym.geometry.poses import compose
from inspatio_gym.types import Mask, Pose, Rgb, Size

LEFT = 2.0
"""Grey levels by which pictures must differ on average for the camera to have left."""
DIFFERENT = 10.0
"""Grey levels by which two truths must differ for a pixel to tell them apart."""
LEAST_PIXELS = 0.0005
"""Of all pixels, that must tell two truths apart, or that a thing must have, to be worth a figure."""
HIDDEN, SHOWN = 0.1, 0.5
"""Of a thing's largest view, so much at most is left of what is hidden, and so much at least of what is shown."""
HOMES = 3
"""Recorded cameras, spread over the clip, from which passages are looked for."""
ASIDE = (-0.15, 0.0, 0.15)
"""And steps to the right of them, in median depths."""
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
    """The passage of a moving thing behind another that shows most of it, seen from a camera held; None if there is none.

    Cameras are recorded ones, and those beside them.

    stride: frames between those that are looked at. Raises ValueError for a scene without a world.
    """
    if subject.world is None:
        raise ValueError(f"expected a scene of a synthetic world, got {subject.scene!r}: nobody knows what is hidden")
    frames = np.arange(0, subject.view.num_frames, stride)
    best: Passage | None = None
    most = LEAST_PIXELS
    aside = compose(np.eye(3), np.array([[share * subject.scene.median_depth, 0, 0] for share in ASIDE]))
    homes = subject.view.c2w[np.linspace(0, subject.view.num_frames - 1, HOMES).astype(int)]
    for camera in (homes[:, None] @ aside).reshape(-1, 4, 4):
        for thing, (area, cut) in visible_areas(subject, camera, frames, SEARCH_SIZE).items():
            found = passage_in(area, cut)
            if found and min(area[found[0]], area[found[2]]) > most:
                most = float(min(area[found[0]], area[found[2]]))
                best = Passage(thing, camera, *(int(frames[k]) for k in found))
    return best


def visible_areas(
    subject: Subject, camera: Pose, frames: NDArray[np.int64], size: Size
) -> dict[int, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Of each moving thing, seen at frames (n,) from a camera held: the share (n,) of the picture that it takes, and
    whether the picture's rim cuts it (n,)."""
    world, matrix = subject.world, subject.intrinsics(0)
    assert world is not None
    shrink = np.array([size[1] / subject.size[1], size[0] / subject.size[0], 1.0])[:, None]
    small = matrix * shrink
    small[:2, 2] += (shrink[:2, 0] - 1) / 2
    ids = np.stack([subject.true_depth(camera, int(frame), size, small)[1] for frame in frames])
    rim = np.concatenate([ids[:, 0], ids[:, -1], ids[:, :, 0], ids[:, :, -1]], 1)
    return {
        int(thing): ((ids == thing).mean((1, 2)), (rim == thing).any(1))
        for thing in np.intersect1d(world.moving_ids, ids)
    }


def passage_in(area: NDArray[np.float64], cut: NDArray[np.bool_]) -> tuple[int, int, int] | None:
    """Positions where a thing is shown, then hidden, then shown again, in its areas (n,); None if it never is.

    cut: (n,) where it reaches out of the picture, which ends a passage: what left the picture is not hidden. The passage
    that shows most of the thing is taken.
    """
    shown, hidden = area >= SHOWN * area.max(), area <= HIDDEN * area.max()
    found: list[tuple[float, tuple[int, int, int]]] = []
    for k in np.flatnonzero(hidden):
        before, after = np.flatnonzero(shown[:k]), k + np.flatnonzero(shown[k:])
        if len(before) and len(after) and not cut[before[-1] : after[0] + 1].any():
            found.append((min(area[before[-1]], area[after[0]]), (int(before[-1]), int(k), int(after[0]))))
    return max(found)[1] if found else None
