"""Held-out worlds in memory, ways of a camera through them, and what is shown of those: to networks, and in truth.

    subject    a world and its whole film: what its camera recorded, with true depth, as `write_scene` would store it but for
               the losses of its video file
    take       of every frame, which moment of the film, from which camera
    shown      of takes of one length: source, render, mask, as `StarModel` shows them to its networks
    truth      what the cameras of a take would have seen, 2 x 2 rays a pixel, and which of it the source frame shows

A camera wanders in legs: from the recorded one out to a place drawn within the limits of the training's, there for a third
of the leg, and back. In the first block, 9 frames, it rests, as after an environment's reset. What a leg's place is like
follows from the world and the place's number alone, so equal numbers are equal legs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.tiny_judges import Film
from inspatio_gym.evaluation.clips import Take
from inspatio_gym.evaluation.images import finer
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.geometry.splatting import splat
from inspatio_gym.scenes.synthetic import make_world
from inspatio_gym.scenes.synthetic.address import parse
from inspatio_gym.scenes.synthetic.batch import CLEAR, GLANCE, Renderer, clear_share
from inspatio_gym.scenes.synthetic.sensor import open_shutter, setting
from inspatio_gym.scenes.synthetic.tracer import cast
from inspatio_gym.training.world.clips import ROWS, ClipPlan, render_films
from inspatio_gym.training.world.takes import (
    BLOCK_FRAMES,
    FIRST_FRAMES,
    NEARER,
    ROLL_DEG,
    SHUTTER,
    Exposures,
    FilmTake,
)
from inspatio_gym.types import Size
from inspatio_gym.world import Block

SAMPLES = 2  # rays along each side of a pixel
LOOKS = 12  # moments of a film at which a place is looked at


class Shown(NamedTuple):
    """B clips of F frames, uint8 (B, F, 3, H, W) on the device; mask bool (B, F, 1, H, W); style int64 (B,), of `ROWS`."""

    source: Tensor
    render: Tensor
    mask: Tensor
    style: Tensor


class Truth(NamedTuple):
    """rgb: uint8 (m, H, W, 3). depth: float32 (m, H, W), scene units."""

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]


def frames_of(blocks: int) -> int:
    """How many frames so many blocks are."""
    return FIRST_FRAMES + BLOCK_FRAMES * (blocks - 1)


def filmed(address: str, size: Size, renderer: Renderer) -> Subject:
    """A world with its film."""
    named = parse(address)
    world = make_world(named.world, named.seed, named.style)
    count = world.num_frames
    times_s = np.arange(count) / world.fps
    views = renderer.render([world] * count, world.to_world(world.scene_path), times_s, size, SAMPLES)
    rgb, depth, ids = (torch.as_tensor(part).cpu().numpy() for part in views)
    if world.style == "camera":
        settings = tuple(setting(world.seed, float(t)) for t in times_s)
        exposures = Exposures(open_shutter(world, times_s, size, SHUTTER), settings, world.seed)
        every = np.arange(count)[None]
        (video,) = render_films(renderer, ClipPlan(size=size), FilmTake(exposures, every, every, address))
        rgb = video[0].movedim(1, -1).cpu().numpy()
    matrices = np.repeat(world.intrinsics(size)[None], count, axis=0)
    film = Film(address, size, world.scene_path, matrices, rgb, depth * np.float32(world.scale), world.moving(ids))
    subject = Subject(film, size)  # type: ignore[arg-type]
    subject.world = world
    return subject


def wander(subject: Subject, source: NDArray[np.int64], places: NDArray[np.int64], leg: int) -> Take:
    """The take of the moments `source` (n,); legs of `leg` frames go to the places with these numbers (legs,)."""
    world, film, plan = subject.world, subject.view, ClipPlan()
    assert world is not None
    moments = np.linspace(0, film.num_frames - 1, LOOKS).round().astype(int)
    recorded = world.to_world(film.c2w)

    def glance(c2w: NDArray[np.float64]) -> NDArray[np.float32]:
        """Coarse depths (N, 9, 16), metres, from cameras (N, 4, 4) that are as many for each of the moments."""
        at = np.tile(moments / world.fps, len(c2w) // LOOKS)
        return cast(world.shots(c2w, at, world.intrinsics(GLANCE), 1), GLANCE)[0]

    depth = glance(recorded[moments])
    near = float(np.median(depth))
    limits = np.array([plan.turn_deg, plan.turn_deg / 2, ROLL_DEG, plan.move, plan.move / 2, plan.move])
    limits[3:] *= near
    drawn = np.random.default_rng([14, world.seed]).uniform(-1, 1, (places.max() + 1, 6)) * limits

    def offsets(way: NDArray[np.float64]) -> NDArray[np.float64]:
        return compose(rotation_ypr(*np.moveaxis(way[..., :3], -1, 0)), way[..., 3:])

    def looks(share: NDArray[np.float64]) -> NDArray[np.float32]:
        poses = recorded[moments] @ offsets(share[:, None] * drawn)[:, None]
        return glance(poses.reshape(-1, 4, 4))

    least = np.full(len(drawn), min(CLEAR * near, NEARER * float(depth.min())))
    drawn *= clear_share(looks, least)[:, None]
    number, phase = np.divmod(np.maximum(np.arange(len(source)) - FIRST_FRAMES, 0), leg)
    u = np.clip(3 * np.minimum(phase / leg, 1 - phase / leg), 0, 1)
    way = (u * u * (3 - 2 * u))[:, None] * drawn[places[number]]
    return Take(source, world.to_scene(recorded[source] @ offsets(way)))


def whole(take: Take, frames: int) -> Take:
    """A take with its last frame held until it has so many frames."""
    at = np.minimum(np.arange(frames), len(take) - 1)
    return Take(take.source[at], take.c2w[at])


def shown(
    subjects: Sequence[Subject], takes: Sequence[Take], device: str, behind: Sequence[Block] | None = None
) -> Shown:
    """What networks are shown of a take of each subject. behind: what fills the holes of each, of all its frames."""
    clips = []
    for k, (subject, take) in enumerate(zip(subjects, takes, strict=True)):
        film = subject.view
        rgb, depth, recorded, target, matrices = (
            torch.from_numpy(part).to(device)
            for part in (
                film.pictures[take.source],
                film.depths[take.source][:, None],
                film.c2w[take.source],
                take.c2w,
                film.intrinsics[take.source],
            )
        )
        source = rgb.movedim(-1, 1)
        render, mask = splat(source.float() / 127.5 - 1, depth, recorded, target, matrices, "frame")[:2]
        render, covered = ((render + 1) * 127.5).round().to(torch.uint8), mask > 0
        if behind is not None:
            colours, known = (torch.from_numpy(part).to(device) for part in (behind[k].rgb, behind[k].covered))
            render = torch.where(~covered & known[:, None], colours.movedim(-1, 1), render)
            covered = covered | known[:, None]
        clips.append((source, render, covered))
    styles = [ROWS.index(subject.world.style) for subject in subjects if subject.world is not None]
    return Shown(*map(torch.stack, zip(*clips, strict=True)), torch.tensor(styles, device=device))


def truth(subject: Subject, take: Take, renderer: Renderer) -> Truth:
    """What the cameras of a take would have seen."""
    world = subject.world
    assert world is not None
    count = len(take)
    views = renderer.render([world] * count, world.to_world(take.c2w), take.source / world.fps, subject.size, SAMPLES)
    rgb, depth, _ = (torch.as_tensor(part).cpu().numpy() for part in views)
    return Truth(rgb, depth * np.float32(world.scale))


def fine_depth(subject: Subject, source: NDArray[np.int64], renderer: Renderer) -> NDArray[np.float32]:
    """Depth of recorded frames (m,) on the finer grid that `images.seen_by` asks for, scene units."""
    world, count = subject.world, len(source)
    assert world is not None
    matrix, size = finer(subject.intrinsics(0), subject.size)
    cameras = world.to_world(subject.view.c2w[source])
    views = renderer.render([world] * count, cameras, source / world.fps, size, 1, matrix)
    return torch.as_tensor(views.depth).cpu().numpy() * np.float32(world.scale)
