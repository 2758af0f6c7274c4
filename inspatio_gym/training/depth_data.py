"""Pictures and their depth for training: rendered as they are needed, learnt from several times, each time disguised anew.

    stream of worlds  --rendered-->  pool of the last N clips  --drawn, cropped-->  disguised batch

Rendering is dearer than learning where there is no GPU, so each rendered frame serves `repeats` times on average. Worlds,
cameras and draws follow from the seed and the number of the step alone; a resumed training renders its pool anew.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from inspatio_gym.scenes.synthetic.batch import Batch, stream
from inspatio_gym.training.augment import Clips, crop, disguise
from inspatio_gym.types import Size

CLIP = 2  # consecutive frames: what flicker takes
FRAMES = 32  # of a world, in 16 clips
RENDERED = (192, 320)
SHOWN: tuple[Size, ...] = ((192, 320), (192, 320), (224, 256), (288, 192))
"""Shapes of batches, in turn: wide, wide, nearly square, upright; sides are multiples of 32."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where clips come from."""

    batch: int = 64
    """Frames of a step, a multiple of 32."""
    repeats: int = 4
    """How often a rendered frame is learnt from, on average."""
    pool: int = 8192
    """Frames kept to draw from; 0.4 MB each."""
    names: tuple[str, ...] = ()
    """Worlds; empty is all."""
    styles: tuple[str, ...] = ()
    """Their styles; empty is all."""
    renderer: str = "cpu"
    """What renders them: "cpu" or "cuda"."""
    workers: int = 0
    """Processes that make worlds ahead; 0 makes them in this one."""
    seed: int = 0
    """Of worlds, cameras and draws."""


def batches(source: Source, device: str, first: int = 0) -> Generator[Clips, None, None]:
    """Endless batches on `device`, from the step `first` on: disguised clips, with the truth."""
    chosen = {name: value for name, value in (("names", source.names), ("styles", source.styles)) if value}
    rendered = stream(
        seed=source.seed, batch=source.batch, device=source.renderer, workers=source.workers,
        start=first // source.repeats, clip=CLIP, frames=FRAMES, size=RENDERED, **chosen,
    )  # fmt: skip
    pool = _Pool(max(source.pool, source.batch) // CLIP)
    for step in _from(first):
        if step == first or step % source.repeats == 0:
            pool.add(as_clips(next(rendered), device))
        draw = torch.Generator(device).manual_seed(hash((source.seed, step)))
        clips = crop(pool.draw(source.batch // CLIP, draw), SHOWN[step % len(SHOWN)], draw)
        yield disguise(clips, draw)


def as_clips(batch: Batch, device: str) -> Clips:
    """A batch of the stream as clips, pictures still in bytes."""

    def paired(values: object, kind: torch.dtype) -> Tensor:
        return torch.as_tensor(values).to(device, kind).unflatten(0, (-1, CLIP))

    return Clips(
        paired(batch.rgb, torch.uint8).movedim(-1, 2).contiguous(),
        paired(batch.depth, torch.float32),
        paired(batch.object_id, torch.int16),
        paired(batch.c2w, torch.float32),
        paired(batch.intrinsics, torch.float32)[:, 0],
    )


class _Pool:
    """The last `capacity` clips, the oldest replaced first."""

    def __init__(self, capacity: int):
        self._capacity, self._added = capacity, 0
        self._kept: Clips | None = None

    def add(self, clips: Clips) -> None:
        if self._kept is None:
            self._kept = Clips(*(part.new_empty((self._capacity, *part.shape[1:])) for part in clips))
        count = len(clips.rgb)
        where = (self._added + torch.arange(count, device=clips.rgb.device)) % self._capacity
        for kept, part in zip(self._kept, clips, strict=True):
            kept[where] = part
        self._added += count

    def draw(self, count: int, draw: torch.Generator) -> Clips:
        assert self._kept is not None
        filled = min(self._added, self._capacity)
        which = torch.randint(filled, (count,), generator=draw, device=self._kept.rgb.device)
        rgb, *rest = (part[which] for part in self._kept)
        return Clips(rgb.float() / 255, *rest)


def _from(step: int) -> Iterator[int]:
    while True:
        yield step
        step += 1
