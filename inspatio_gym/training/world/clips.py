"""Clips to train a world model on: what was recorded, what another camera would have seen of it, and real-like films.

    for clips in pairs(ClipPlan(seed=0), batch=16, device="cuda", workers=8): ...

    source   (B, F, 3, H, W)   the recorded video's frames, in the order shown: played, paused, slow or reversed
    target   (B, F, 3, H, W)   the truth from a novel camera at the same moments
    render   (B, F, 3, H, W)   the source, lifted by its true depth and splatted into the novel cameras; in the holes, what
                               other frames of the film show there (`background`)
    mask     (B, F, 1, H, W)   where there is either
    films    (B, F, 3, H, W)   worlds of style "camera" through their sensor, played forward

Bytes on the device: x / 127.5 - 1 is what `StarModel` shows its networks, and the holes of a render, bytes of 0, are -1
exactly. The splat is the model's: normalised frame by frame, depths and cameras in scene units (median depth 1). As in a
scene, what style "camera" recorded has gone through its sensor, and so has the render made of it; targets are true light.

Worker processes draw worlds, moments and cameras (`takes`); the driver renders, splats and develops world by world on the
device. Clip i of a plan is the same whatever the batch, the start and the workers: bit for bit on the CPU, and but for
roundings on a GPU, where the sensor's noise is another one.
"""

import math
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import NamedTuple, TypeVar

from inspatio_gym.extras import extra
from inspatio_gym.scenes.synthetic.batch import Renderer, in_order
from inspatio_gym.scenes.synthetic.export import STYLES
from inspatio_gym.training.world.takes import SHUTTER, ClipPlan, Exposures, FilmTake, PairTake, draw_films, draw_pairs

with extra("star"):
    import torch
    from torch import Tensor

    from inspatio_gym.geometry.splatting import splat
    from inspatio_gym.scenes.synthetic.sensor_batch import develop
    from inspatio_gym.training.world.background import Recorded, Wanted, fuse

__all__ = ["ROWS", "ClipPlan", "Pairs", "films", "pairs", "render_films", "render_pairs"]

LOOKED_AT = 8
"""Of the frames that a world's clips show, those that fill holes."""
ROWS = ("null", *STYLES)
"""What a style's number counts: the rows of the table that stands for text."""
Take = TypeVar("Take")


class Pairs(NamedTuple):
    """B clips of F frames, on the device; see the module's docstring. Pictures are uint8, the mask is bool."""

    source: Tensor
    target: Tensor
    render: Tensor
    mask: Tensor
    """True where covered, False in holes."""
    style: Tensor
    """int64 (B,), numbers of rows of `ROWS`."""


def pairs(
    plan: ClipPlan, batch: int, device: str = "cpu", workers: int = 0, start: int = 0
) -> Generator[Pairs, None, None]:
    """Endless batches of `batch` pairs of clips, from the clip `start` on.

    device: "cpu" or "cuda", where they are drawn and stay. workers: processes that make worlds ahead; 0 makes them here.
    Clips of a world follow one another: shuffle them. Raises what `Renderer` raises for a device that is not there.
    """
    make = partial(render_pairs, Renderer(device), plan)
    with closing(_batches(partial(draw_pairs, plan), make, plan.clips, batch, workers, start)) as batches:
        for parts in batches:
            yield Pairs(*parts)


def films(
    plan: ClipPlan, batch: int, device: str = "cpu", workers: int = 0, start: int = 0
) -> Generator[Tensor, None, None]:
    """Endless batches of `batch` real-like films uint8 (B, F, 3, H, W), as `pairs` otherwise; the plan's styles, turns and
    moves are left aside. Raises ValueError for films longer than a world's."""
    make = partial(render_films, Renderer(device), plan)
    with closing(_batches(partial(draw_films, plan), make, plan.clips, batch, workers, start)) as batches:
        for (parts,) in batches:
            yield parts


def _batches(
    draw: Callable[[int], Take],
    render: Callable[[Take], tuple[Tensor, ...]],
    clips: int,
    batch: int,
    workers: int,
    start: int,
) -> Generator[tuple[Tensor, ...], None, None]:
    """What is rendered of world after world, `clips` of each, cut into batches."""
    first, skipped = divmod(start, clips)
    with closing(in_order(draw, first, workers)) as takes:
        rest: tuple[Tensor, ...] = tuple(part[skipped:] for part in render(next(takes)))
        while True:
            missing = math.ceil((batch - len(rest[0])) / clips)
            gathered = [rest, *(render(next(takes)) for _ in range(missing))]
            whole = tuple(torch.cat(parts) for parts in zip(*gathered, strict=True))
            yield tuple(part[:batch] for part in whole)
            rest = tuple(part[batch:] for part in whole)


def render_pairs(renderer: Renderer, plan: ClipPlan, take: PairTake) -> Pairs:
    """The pairs of one world, on the renderer's device."""
    device = renderer.device
    rgb, depth, ids = (torch.as_tensor(part) for part in renderer.trace(take.shots, plan.size, plan.samples))
    depth = depth * take.scale
    shown, where = int(take.where.max()) + 1, torch.from_numpy(take.where.ravel()).to(device)
    frames = rgb.movedim(-1, 1).contiguous()
    film = frames[:shown] if take.filmed is None else _developed(renderer, plan, take.filmed)
    cameras = take.shots.c2w.copy()
    cameras[:, :3, 3] *= take.scale
    c2w, lenses = (torch.from_numpy(part).to(device) for part in (cameras, take.shots.intrinsics[shown:]))
    source, recorded, novel = film[where], c2w[where], c2w[shown:]
    render, mask = splat(source.float() / 127.5 - 1, depth[where][:, None], recorded, novel, lenses, "frame")[:2]
    render, covered = ((render + 1) * 127.5).round().to(torch.uint8), mask > 0
    if plan.background:
        still = ~torch.isin(ids, torch.from_numpy(take.moving_ids).to(device))
        some = torch.linspace(0, shown - 1, min(LOOKED_AT, shown), device=device).round().long()
        colours, known = fuse(
            Recorded(film[some], depth[some], still[some], c2w[some]),
            Wanted(depth[shown:], still[shown:], novel, recorded, lenses),
        )
        render, covered = torch.where(covered, render, torch.where(known, colours, 0)), covered | known
    style = torch.full((len(take.where),), ROWS.index(take.style), device=device)

    def clips(flat: Tensor) -> Tensor:
        return flat.unflatten(0, take.where.shape)

    return Pairs(clips(source), clips(frames[shown:]), clips(render), clips(covered), style)


def render_films(renderer: Renderer, plan: ClipPlan, take: FilmTake) -> tuple[Tensor]:
    """The films of one world, uint8 (C, F, 3, H, W), on the renderer's device."""
    return (_developed(renderer, plan, take.filmed)[torch.from_numpy(take.where).to(renderer.device)],)


def _developed(renderer: Renderer, plan: ClipPlan, filmed: Exposures) -> Tensor:
    """The U frames of a film, uint8 (U, 3, H, W)."""
    rgb, depth, _ = (
        torch.as_tensor(part).unflatten(0, (-1, SHUTTER**2)) for part in renderer.trace(filmed.shots, plan.size)
    )
    generator = torch.Generator(renderer.device).manual_seed(filmed.seed)
    noise = torch.randn((len(rgb), 3, *plan.size), generator=generator, device=renderer.device)
    return develop(rgb, depth[:, SHUTTER**2 // 2], filmed.settings, noise)
