"""Is a target where the truth says? The tracker over synthetic scenes, whose truth is known.

    python -m benchmarks.tracking [--scenes room street "synthetic:street?seed=3" ...]

Moving things: distance of the tracked middle from that of the box around the thing's visible pixels, in shares of the
picture's width. Landmarks: whether the same thing is under them in their first frame and in their last.
"""

from dataclasses import dataclass

import numpy as np
import tyro

from inspatio_gym.scenes import load_scene
from inspatio_gym.scenes.scene import Scene
from inspatio_gym.scenes.synthetic import SyntheticWorld, from_scene
from inspatio_gym.scenes.tracking import Target, find_targets

NEAR = 0.05


@dataclass(frozen=True)
class Config:
    """Compare targets with the truth."""

    scenes: tuple[str, ...] = ("room", "street")
    """Synthetic scenes: bundled ones, folders, or "synthetic:street?seed=3"."""


def main(config: Config) -> None:
    """Print a Markdown table."""
    print(
        "| scene | things followed | frames | within 5% of the width | median error | lost | landmarks | on the same thing |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in config.scenes:
        scene = load_scene(name)
        world, targets = from_scene(scene), find_targets(scene, lambda share: None)
        things = [target for target in targets if target.kind == "object"]
        errors = np.concatenate([[], *(distances(world, scene, target) for target in things)])
        marks = [target for target in targets if target.kind == "landmark"]
        same = [under(world, scene, target, 0) == under(world, scene, target, -1) for target in marks]
        print(
            f"| {name} | {len(things)} | {len(errors)} | {np.mean(errors < NEAR):.1%} | {np.median(errors):.2%} | "
            f"{sum(target.end == 'lost' for target in things)} | {len(marks)} | {np.mean(same):.1%} |"
        )


def distances(world: SyntheticWorld, scene: Scene, target: Target) -> list[float]:
    """Error in every frame of a target's life; infinite where the thing it began on is not to be seen."""
    (x, y), (width, height) = target.xy[0], target.box[0]
    top, left = max(int(y - height / 2), 0), max(int(x - width / 2), 0)
    ids = ids_of(world, scene, target.first)[top : int(y + height / 2) + 1, left : int(x + width / 2) + 1]
    moving = ids[world.moving(ids)]
    thing = np.bincount(moving).argmax() if len(moving) else -1
    errors = []
    for frame in range(target.first, target.last + 1):
        rows, cols = np.nonzero(ids_of(world, scene, frame) == thing)
        middle = np.array([cols.min() + cols.max(), rows.min() + rows.max()]) / 2 if len(rows) else np.inf
        errors.append(float(np.linalg.norm(target.xy[frame - target.first] - middle)) / scene.size[1])
    return errors


def under(world: SyntheticWorld, scene: Scene, target: Target, k: int) -> int:
    """The thing under a target in the k-th frame of its life."""
    x, y = np.rint(target.xy[k]).astype(int)
    return int(ids_of(world, scene, range(target.first, target.last + 1)[k])[y, x])


def ids_of(world: SyntheticWorld, scene: Scene, frame: int) -> np.ndarray:
    """What every pixel of a frame shows, (H, W)."""
    return world.depth(world.to_world(scene.c2w[frame]), frame / scene.fps, scene.size)[1]


if __name__ == "__main__":
    main(tyro.cli(Config))
