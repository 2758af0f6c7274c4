"""What the clips of a training show: worlds, moments and cameras, drawn from a seed. Numpy alone, so that the processes
that make worlds ahead need no torch.

A take is C clips of F frames in one world. Making a world is dear and clips of one may show the same moments, so what
moves is laid down once for each of the U moments that any of them shows; cameras share them (`shots.take`).

    moments    frame numbers of the world's film (C, F), as an environment's clock runs: from a random frame on at the
               film's own rate, back from its ends; in some clips at another rate from some block on: pause, half, reverse
    cameras    the recorded one @ an offset that follows a cubic Bezier curve in (yaw, pitch, roll, x, y, z), so that it
               stays within the limits of its control points, at a pace that begins and ends at rest

Offsets begin at the recorded camera or near it. Some turn without moving, some come back to where they began, some stay.
Lengths are in median depths of the clip's recorded frames; whoever would come close to anything goes a part of the way.

Blocks are those of the model: 3 latents, so 9 frames, then 12 at a time. An environment's reset holds the camera while
the 9 frames that lead to its start play; `held` of the clips begin like that.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.clock import Clock
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes.synthetic.batch import CLEAR, FIRST_TRAINING_SEED, GLANCE, clear_share
from inspatio_gym.scenes.synthetic.export import STYLES, WORLDS, make_world
from inspatio_gym.scenes.synthetic.sensor import Setting, open_shutter, setting
from inspatio_gym.scenes.synthetic.shots import take
from inspatio_gym.scenes.synthetic.tracer import Shots, cast
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Poses, Size

FIRST_FRAMES, BLOCK_FRAMES = 9, 12  # of three latents: 1 + 4 + 4, then 4 + 4 + 4
MULTIPLE = 16  # pixels that a token of the network is wide and high
SHUTTER = 2  # moments of an exposure along each side of a pixel
OTHER_RATE = 0.45  # of the clips: not at the film's rate all along
AT_RECORDED = 0.5  # of the clips: begin at the recorded camera itself
NEAR = 0.5  # of the limits: how far from it the others begin
ROLL_DEG = 5.0
NEARER = 0.6  # of what is nearest to the recorded camera: a street's may pass a wall closely, and so may others there
LOOKS = 9  # frames of a clip at which its camera's surroundings are looked at
KINDS, SHARES = ("away", "turning", "returning", "staying"), (0.5, 0.2, 0.2, 0.1)


@dataclass(frozen=True, slots=True)
class ClipPlan:
    """What clips are made of. The same values give the same clips everywhere."""

    seed: int = 0
    """Of worlds, moments and cameras."""
    names: tuple[str, ...] = tuple(WORLDS)
    """Families of worlds."""
    styles: tuple[str, ...] = STYLES
    """Styles of pairs; films are always of style camera."""
    worlds: tuple[int, int] = (FIRST_TRAINING_SEED, 2**31)
    """Seeds of worlds, from the first to before the second; those below 1000 are held out."""
    size: Size = (128, 224)
    """Height and width, multiples of 16."""
    samples: int = 2
    """Rays along each side of a pixel of true light; the sensor has 2."""
    frames: int = 33
    """Of a clip: 9, and 12 for each further block."""
    clips: int = 4
    """Of a world, before the next."""
    turn_deg: float = 30.0
    """A camera of a pair looks at most so far to the side of the recorded one, half as far up or down."""
    move: float = 0.3
    """And stands at most so far from it, in median depths, half as far up or down."""
    background: bool = True
    """Fill holes of renders with what other frames of the film show there, as a world does that is stepped."""
    held: float = 0.5
    """Share of the pairs whose first block is seen from one camera, as after an environment's reset."""

    def __post_init__(self) -> None:
        if self.frames % BLOCK_FRAMES != FIRST_FRAMES:
            raise ValueError(
                f"frames: expected whole blocks, {FIRST_FRAMES} + {BLOCK_FRAMES} k frames (9, 21, 33, ...), "
                f"got {self.frames}"
            )
        if self.size[0] % MULTIPLE or self.size[1] % MULTIPLE or min(self.size) < MULTIPLE:
            raise ValueError(f"size: expected multiples of {MULTIPLE}, got {self.size}")
        if self.clips < 1:
            raise ValueError(f"clips: expected at least one of a world, got {self.clips}")


class Exposures(NamedTuple):
    """What the sensor of one world is exposed to in U frames of its film."""

    shots: Shots
    """4 moments of each frame."""
    settings: tuple[Setting, ...]
    """U of the sensor."""
    seed: int
    """Of the sensor's noise."""


class PairTake(NamedTuple):
    """C clips of pairs in one world."""

    shots: Shots
    """U recorded views, then C F novel ones, clip by clip; U + C F in all, in world axes."""
    where: NDArray[np.intp]
    """(C, F) which of the U recorded views each frame of a clip is."""
    frames: NDArray[np.int64]
    """(C, F) its number in the world's film."""
    scale: float
    """Scene units a metre: one over the median depth of the recorded views."""
    world: str
    """A name that `load_scene` takes: "synthetic:room?seed=1234&style=camera"."""
    moving_ids: NDArray[np.int32]
    """Which objects of it move."""
    style: str
    filmed: Exposures | None
    """Of the U recorded frames, in style camera."""


class FilmTake(NamedTuple):
    """C clips of what the sensor of one world films."""

    filmed: Exposures
    where: NDArray[np.intp]
    """(C, F) which of the U frames each frame of a clip is."""
    frames: NDArray[np.int64]
    """(C, F) its number in the world's film."""
    world: str


def draw_pairs(plan: ClipPlan, index: int) -> PairTake:
    """The pairs of the `index`-th world."""
    rng = np.random.default_rng([12, plan.seed, index])
    world = _world(plan, str(rng.choice(plan.styles)), rng)
    frames = np.stack([_played(world, plan.frames, rng) for _ in range(plan.clips)])
    shown, where = np.unique(frames, return_inverse=True)
    where = where.reshape(frames.shape)
    path = np.stack([world.path(float(t)) for t in shown / world.fps])
    recorded = world.shots(path, shown / world.fps, world.intrinsics(plan.size), plan.samples)
    depth = _glance(world, recorded, np.arange(len(shown)), path)
    near = np.median(depth[where], axis=(1, 2, 3))
    least = np.minimum(CLEAR * near, NEARER * depth[where].min(axis=(1, 2, 3)))
    curves, held = _curves(plan, near, rng), rng.random(plan.clips) < plan.held
    some = np.unique(np.linspace(0, plan.frames - 1, LOOKS).astype(int))

    def cameras(share: NDArray[np.float64]) -> Poses:
        offsets = share[:, None, None] * curves
        poses = path[where] @ compose(rotation_ypr(*np.moveaxis(offsets[..., :3], -1, 0)), offsets[..., 3:])
        poses[held, :FIRST_FRAMES] = poses[held, FIRST_FRAMES - 1, None]
        return poses

    def looks(share: NDArray[np.float64]) -> NDArray[np.float32]:
        return _glance(world, recorded, where[:, some].ravel(), cameras(share)[:, some].reshape(-1, 4, 4))

    novel = cameras(clear_share(looks, least)).reshape(-1, 4, 4)
    shots = take(recorded, np.concatenate([np.arange(len(shown)), where.ravel()]))
    shots = shots._replace(c2w=np.concatenate([path, novel]))
    filmed = _exposures(world, shown, plan, rng) if world.style == "camera" else None
    scale = 1 / float(np.median(depth))
    return PairTake(shots, where, frames, scale, world.address, world.moving_ids, world.style, filmed)


def draw_films(plan: ClipPlan, index: int) -> FilmTake:
    """The films of the `index`-th world, which is another one than that of the pairs: the recorded camera, played forward.

    Raises ValueError for clips that are longer than a world's film.
    """
    rng = np.random.default_rng([13, plan.seed, index])
    world = _world(plan, "camera", rng)
    if plan.frames > world.num_frames:
        raise ValueError(f"frames: expected at most the {world.num_frames} of a world's film, got {plan.frames}")
    begin = rng.integers(0, world.num_frames - plan.frames + 1, plan.clips)
    frames = begin[:, None] + np.arange(plan.frames)
    shown, where = np.unique(frames, return_inverse=True)
    return FilmTake(_exposures(world, shown, plan, rng), where.reshape(frames.shape), frames, world.address)


def _exposures(world: SyntheticWorld, shown: NDArray[np.int64], plan: ClipPlan, rng: np.random.Generator) -> Exposures:
    """Of the frames `shown` (U,) of a world's film."""
    times_s = shown / world.fps
    settings = tuple(setting(world.seed, float(t)) for t in times_s)
    return Exposures(open_shutter(world, times_s, plan.size, SHUTTER), settings, int(rng.integers(2**62)))


def _world(plan: ClipPlan, style: str, rng: np.random.Generator) -> SyntheticWorld:
    return make_world(str(rng.choice(plan.names)), int(rng.integers(*plan.worlds)), style)


def _played(world: SyntheticWorld, frames: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Which frames of a world's film a clip shows, int64 (F,)."""
    clock = Clock(world.num_frames, world.fps)
    clock.reset(frame=int(rng.integers(world.num_frames)))
    parts = [np.array([clock.frame])]
    lengths = [FIRST_FRAMES - 1, *[BLOCK_FRAMES] * ((frames - FIRST_FRAMES) // BLOCK_FRAMES)]
    change = int(rng.integers(len(lengths))) if rng.random() < OTHER_RATE else len(lengths)
    rate = float(rng.choice([0.0, 0.5, -1.0, rng.uniform(-1, 1)]))
    for k, length in enumerate(lengths):
        parts.append(clock.advance(rate if k >= change else 1.0, length))
    return np.concatenate(parts)


def _curves(plan: ClipPlan, near: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.float64]:
    """Offsets from recorded cameras (C, F, 6): yaw, pitch, roll in degrees, then right, down, ahead in metres."""
    count = len(near)
    turn, move = plan.turn_deg, plan.move
    limits = np.array([turn, turn / 2, min(turn, ROLL_DEG), move, move / 2, move]) * np.ones((count, 6))
    limits[:, 3:] *= near[:, None]
    kind = rng.choice(KINDS, count, p=SHARES)
    limits[kind == "turning", 3:] = 0
    points = rng.uniform(-1, 1, (4, count, 6)) * limits
    points[0] *= NEAR * (rng.random((count, 1)) >= AT_RECORDED)
    points[3, kind == "returning"] = points[0, kind == "returning"]
    points[1:, kind == "staying"] = points[0, kind == "staying"]
    leave, arrive = rng.uniform(0, 0.3, (count, 1)), rng.uniform(0.7, 1, (count, 1))
    u = np.clip((np.linspace(0, 1, plan.frames) - leave) / (arrive - leave), 0, 1)
    u = (u * u * (3 - 2 * u))[..., None]
    weights = ((1 - u) ** 3, 3 * u * (1 - u) ** 2, 3 * u * u * (1 - u), u**3)
    return sum(weight * point[:, None] for weight, point in zip(weights, points, strict=True))


def _glance(world: SyntheticWorld, shots: Shots, which: NDArray[np.intp], c2w: Poses) -> NDArray[np.float32]:
    """Coarse depths (N, h, w) at the moments of some shots, from cameras (N, 4, 4)."""
    matrices = np.repeat(world.intrinsics(GLANCE)[None], len(which), axis=0)
    return cast(take(shots, which)._replace(c2w=c2w, intrinsics=matrices), GLANCE)[0]
