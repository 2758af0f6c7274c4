"""Fast batches: many cameras in many worlds at a time, on all cores or on a GPU, and an endless stream to train on.

renderer = Renderer("cuda")
rgb, depth, object_id = renderer.render([room(1), room(1), street(2)], c2w, times_s, (128, 224))

for batch in stream(seed=0, batch=64, device="cuda", workers=8):      # batch.rgb, .depth, .object_id, .c2w, ...
    ...

Worlds and cameras of a stream are numpy's, made on the CPU by as many worker processes as wanted, and follow from the seed
alone: the same on any machine, whatever the workers and the device. Pixels agree between CPU and GPU but for roundings.
Seeds below `FIRST_TRAINING_SEED` never come in a stream: they are for tests, benchmarks and held-out scenes.
"""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.extras import extra
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes.synthetic.export import STYLES, WORLDS, make_world
from inspatio_gym.scenes.synthetic.shots import concatenate, gather
from inspatio_gym.scenes.synthetic.tracer import Shots, cast, trace
from inspatio_gym.scenes.synthetic.world import SyntheticWorld, View
from inspatio_gym.types import Intrinsics, Poses, Size

T = TypeVar("T")
FIRST_TRAINING_SEED = 1000
GLANCE = (9, 16)  # rays of a look that tells whether a camera stands clear of things
CLEAR = 0.25  # of the median depth on the path: nothing may be nearer to a camera of a stream


class Renderer:
    """Renders batches on a device: "cpu" gives numpy arrays, "cuda" (or "cuda:1") torch tensors that stay there.

    Raises MissingExtra if a GPU is asked for and torch or numba-cuda is not installed, ValueError if there is none.
    """

    def __init__(self, device: str = "cpu"):
        self.device = device
        self._trace = trace
        if device != "cpu":
            with extra("synth"):
                import torch

                from inspatio_gym.scenes.synthetic import cuda
            if not torch.cuda.is_available():
                raise ValueError(
                    f"expected a GPU that torch sees for the device {device!r}, got none: pass device='cpu'"
                )
            self._trace = lambda shots, size, samples: cuda.trace(shots, size, samples, device)  # type: ignore[assignment,return-value]

    def render(
        self,
        worlds: Sequence[SyntheticWorld],
        c2w: Poses,
        time_s: ArrayLike,
        size: Size,
        samples: int = 1,
        intrinsics: Intrinsics | None = None,
    ) -> View:
        """N views at once: a world, a camera in world axes (N, 4, 4) and a moment (N,) for each; the same world may come
        often. intrinsics: (3, 3) or (N, 3, 3), by default each world's own.

        Gives rgb uint8 (N, H, W, 3), z-depth float32 (N, H, W) in metres, object_id int32 (N, H, W), on the CPU bit for
        bit what `SyntheticWorld.render` gives. Raises ValueError where the numbers differ.
        """
        if intrinsics is None:
            intrinsics = np.stack([world.intrinsics(size) for world in worlds])
        return self.trace(gather(worlds, c2w, time_s, intrinsics, samples), size, samples)

    def trace(self, shots: Shots, size: Size, samples: int = 1) -> View:
        """Views of shots that are gathered already."""
        return View(*self._trace(shots, size, samples))


class Batch(NamedTuple):
    """N shots of a stream. Pictures are numpy arrays, or torch tensors on the device; the rest is numpy."""

    rgb: Any
    """uint8 (N, H, W, 3)."""
    depth: Any
    """float32 (N, H, W), z-depth in metres."""
    object_id: Any
    """int32 (N, H, W), 0 for the backdrop."""
    c2w: Poses
    """(N, 4, 4), in the axes of each one's world."""
    intrinsics: Intrinsics
    """(N, 3, 3)."""
    time_s: NDArray[np.float64]
    """(N,)."""
    world: tuple[str, ...]
    """N names that `load_scene` takes: "synthetic:room?seed=1234&style=camera"."""
    moving_ids: tuple[NDArray[np.int32], ...]
    """Which objects of each one's world move."""


@dataclass(frozen=True, slots=True)
class Diet:
    """What a stream is made of. The same values give the same worlds, cameras and moments everywhere."""

    seed: int = 0
    names: tuple[str, ...] = tuple(WORLDS)
    styles: tuple[str, ...] = STYLES
    size: Size = (128, 224)
    """Height and width."""
    samples: int = 1
    """Rays along each side of a pixel."""
    frames: int = 8
    """Shots of a world, before the next."""
    clip: int = 1
    """How many of them are consecutive frames of one camera, before the next camera; divides `frames`."""
    turn_deg: float = 25.0
    """A camera looks at most so far to the side of the recorded one, half as far up or down."""
    move: float = 0.25
    """And stands at most so far from it, in medians of the depth that the recorded one sees."""
    zoom: float = 1.3
    """Focal lengths lie between the world's divided by this and times this."""

    def __post_init__(self) -> None:
        if self.clip < 1 or self.frames % self.clip:
            raise ValueError(f"expected frames to be a multiple of clip, got {self.frames} and {self.clip}")


class _Scoop(NamedTuple):
    """All shots of one world, as they come from a worker."""

    shots: Shots
    time_s: NDArray[np.float64]
    world: str
    moving_ids: NDArray[np.int32]


def stream(*, batch: int = 64, device: str = "cpu", workers: int = 0, start: int = 0, **diet: Any) -> Iterator[Batch]:
    """Endless batches of `batch` shots, a multiple of the frames of a world; `diet` holds the fields of `Diet`.

    workers: processes that make worlds ahead; 0 makes them here. start: the batch to begin with, to go on where an
    interrupted training stopped. Raises ValueError for a batch that worlds do not fill.
    """
    plan = Diet(**diet)
    if batch % plan.frames:
        raise ValueError(f"expected a batch of a multiple of {plan.frames} shots, got {batch}: pass frames= to match")
    renderer, each = Renderer(device), batch // plan.frames
    scoops = in_order(partial(draw, plan), start * each, workers)
    try:
        while True:
            chosen = [next(scoops) for _ in range(each)]
            shots = concatenate([one.shots for one in chosen])
            yield Batch(
                *renderer.trace(shots, plan.size, plan.samples),
                c2w=shots.c2w,
                intrinsics=shots.intrinsics,
                time_s=np.concatenate([one.time_s for one in chosen]),
                world=tuple(one.world for one in chosen for _ in range(plan.frames)),
                moving_ids=tuple(one.moving_ids for one in chosen for _ in range(plan.frames)),
            )
    finally:
        scoops.close()


def in_order(make: Callable[[int], T], first: int, workers: int) -> Generator[T, None, None]:
    """make(first), make(first + 1), ... without end, made ahead by worker processes; 0 workers make them here."""
    if not workers:
        while True:
            yield make(first)
            first += 1
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_one_thread) as pool:
        ahead: deque[Future[T]] = deque()
        try:
            while True:
                while len(ahead) < 4 * workers:
                    ahead.append(pool.submit(make, first))
                    first += 1
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _one_thread() -> None:
    os.environ["INSPATIO_GYM_THREADS"] = "1"


def draw(plan: Diet, index: int) -> _Scoop:
    """The shots of the `index`-th world of a stream."""
    rng = np.random.default_rng([plan.seed, index])
    name, style = str(rng.choice(plan.names)), str(rng.choice(plan.styles))
    world = make_world(name, int(rng.integers(FIRST_TRAINING_SEED, 2**31)), style)
    clips = plan.frames // plan.clip
    begin = rng.uniform(0, max(0.0, world.duration - plan.clip / world.fps), clips)
    times_s = (begin[:, None] + np.arange(plan.clip) / world.fps).ravel()
    matrices = np.repeat(world.intrinsics(plan.size)[None], clips, axis=0)
    matrices[:, [0, 1], [0, 1]] *= plan.zoom ** rng.uniform(-1, 1, (clips, 1))
    path = np.stack([world.path(float(t)) for t in times_s])
    poses = path @ np.repeat(_offsets(world, path, times_s, plan, rng), plan.clip, axis=0)
    shots = world.shots(poses, times_s, np.repeat(matrices, plan.clip, axis=0), plan.samples)
    return _Scoop(shots, times_s, world.address, world.moving_ids)


def _offsets(
    world: SyntheticWorld, path: Poses, times_s: NDArray[np.float64], plan: Diet, rng: np.random.Generator
) -> Poses:
    """Where each clip's camera stands beside the recorded one: drawn, and nearer until it stands clear of everything."""
    ends = np.arange(0, len(path), plan.clip)[:, None] + sorted(
        {0, plan.clip - 1}
    )  # of each clip, first and last frame
    near = np.median(_glance(world, path[ends[:, 0]], times_s[ends[:, 0]]), axis=(1, 2))
    turns_deg = rng.uniform(-1, 1, (len(ends), 3)) * [plan.turn_deg, 0.5 * plan.turn_deg, 5.0]
    shifts = rng.uniform(-1, 1, (len(ends), 3)) * [1.0, 0.5, 1.0] * plan.move * near[:, None]

    def offsets(share: NDArray[np.float64]) -> Poses:
        return compose(rotation_ypr(*share * turns_deg.T), share[:, None] * shifts)

    def looks(share: NDArray[np.float64]) -> NDArray[np.float32]:
        return _glance(world, (path[ends] @ offsets(share)[:, None]).reshape(-1, 4, 4), times_s[ends].ravel())

    return offsets(clear_share(looks, CLEAR * near))


def clear_share(
    looks: Callable[[NDArray[np.float64]], NDArray[np.float32]], least: NDArray[np.floating]
) -> NDArray[np.float64]:
    """How much of their way C cameras may go from recorded ones, (C,) from 1 to 0, to stand clear of everything.

    looks: coarse depths, any number for each camera, if they go such shares (C,) of their ways. least: (C,) how near
    anything may be.
    """
    share = np.ones(len(least))
    for smaller in (0.6, 0.36, 0.2, 0.1, 0.0):
        bad = looks(share).reshape(len(least), -1).min(axis=1) <= least
        if not bad.any():
            break
        share[bad] = smaller
    return share


def _glance(world: SyntheticWorld, c2w: Poses, times_s: NDArray[np.float64]) -> NDArray[np.float32]:
    """Coarse depth maps."""
    return cast(world.shots(c2w, times_s, world.intrinsics(GLANCE), 1), GLANCE)[0]
