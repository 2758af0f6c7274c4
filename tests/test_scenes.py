"""The store: what is written comes back, lazily and within a budget; nothing half-written stays; views keep cameras."""

from pathlib import Path

import numpy as np
import pytest

from inspatio_gym.scenes import Scene, SceneGeometry, SceneWriter

TRUTH = SceneGeometry("synthetic-truth", 1.0, "rendered", "none", None)
SIZE, DEPTH_SIZE, FRAMES = (96, 160), (48, 80), 30


def picture(i: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A smooth coloured frame that tells its index."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x + 2 * i, 90 + y // 2, np.full_like(x, 200 - 5 * i)], -1).clip(0, 255).astype(np.uint8)


def surface(i: int) -> np.ndarray:
    y, x = np.mgrid[: DEPTH_SIZE[0], : DEPTH_SIZE[1]]
    return (1 + 0.01 * x + 0.002 * i + 0.001 * y).astype(np.float32)


def mask(i: int) -> np.ndarray:
    moving = np.zeros(DEPTH_SIZE, bool)
    moving[10:20, i : i + 5] = True
    return moving


def cameras() -> tuple[np.ndarray, np.ndarray]:
    c2w = np.tile(np.eye(4), (FRAMES, 1, 1))
    c2w[:, 2, 3] = np.linspace(0, 1, FRAMES)
    return c2w, np.tile(np.array([[100.0, 0, 79.5], [0, 100.0, 47.5], [0, 0, 1]]), (FRAMES, 1, 1))


def write(target: Path, *, scale: float = 1.0, fps: float = 25) -> Scene:
    c2w, intrinsics = cameras()
    with SceneWriter(target, fps=fps, size=SIZE, depth_size=DEPTH_SIZE, name="ramp", caption="a ramp") as writer:
        for i in range(FRAMES):
            writer.write_frame(picture(i))
        for i in range(FRAMES):
            writer.write_depth(surface(i), mask(i))
        return writer.finish(
            c2w=c2w, intrinsics=intrinsics, geometry=TRUTH, scale=scale, provenance={"seed": 1, "options": {"a": [1]}}
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write(tmp_path_factory.mktemp("scenes") / "ramp")


def test_a_scene_gives_back_what_was_written(scene: Scene):
    assert (scene.num_frames, scene.fps, scene.size, scene.name, scene.caption) == (30, 25.0, SIZE, "ramp", "a ramp")
    assert scene.geometry == TRUTH
    assert scene.provenance == {"seed": 1, "options": {"a": [1]}}
    np.testing.assert_array_equal(scene.c2w, cameras()[0])
    np.testing.assert_array_equal(scene.intrinsics, cameras()[1])
    for i in (0, 29, 13, 12, 11, 24):  # across chunk borders, backward
        assert np.abs(scene.rgb(i).astype(int) - picture(i)).mean() < 2.5
        double = surface(i).repeat(2, 0).repeat(2, 1)
        np.testing.assert_allclose(scene.depth(i), double, rtol=2e-4)
        np.testing.assert_array_equal(scene.moving(i), mask(i).repeat(2, 0).repeat(2, 1))
