"""The bundled scenes are what their seeds say: any of their frames can be made again, and any other view with it."""

import json

import numpy as np
import pytest

from inspatio_gym.geometry.logdepth import FAR, MAX_CODE, NEAR
from inspatio_gym.scenes import Scene, load_scene, sample_names, sample_path
from inspatio_gym.scenes.synthetic import SyntheticWorld, from_scene

FRAMES = (0, 31, 83)
ROUNDING = (FAR / NEAR) ** (0.5 / MAX_CODE) - 1
"""The relative error of a depth rounded to its nearest 16-bit code."""


@pytest.fixture(scope="module", params=["room", "street"])
def scene(request: pytest.FixtureRequest) -> Scene:
    return load_scene(request.param)


@pytest.fixture(scope="module")
def world(scene: Scene) -> SyntheticWorld:
    return from_scene(scene)


def test_samples_are_there_and_small():
    assert {"room", "street"} <= set(sample_names())
    for name in ("room", "street"):
        files = list(sample_path(name).iterdir())
        assert {file.name for file in files} >= {"scene.json", "source.mp4", "depth.mkv", "moving.mkv", "preview.jpg"}
        assert sum(file.stat().st_size for file in files) < 4e6
        assert json.loads((sample_path(name) / "scene.json").read_text())["provenance"]["world"] == name


def test_samples_last_three_seconds_and_say_what_they_are(scene: Scene):
    assert 72 <= scene.num_frames <= 96
    assert scene.fps == 24
    assert (scene.geometry.method, scene.geometry.confidence) == ("synthetic-truth", 1.0)
    assert scene.geometry.metres_per_unit is None
    assert len(scene.caption) > 20
    assert scene.median_depth == pytest.approx(1.0, rel=0.01)


def test_cameras_follow_from_the_seed(scene: Scene, world: SyntheticWorld):
    np.testing.assert_array_equal(scene.c2w[0], np.eye(4))
    # Sines of another C library may differ in the last bit, hence not bit for bit across machines; twice on one:
    np.testing.assert_allclose(scene.c2w, world.scene_path, atol=1e-9)
    np.testing.assert_array_equal(from_scene(scene).scene_path, world.scene_path)
    np.testing.assert_allclose(scene.intrinsics, np.stack([world.intrinsics(scene.size)] * scene.num_frames))
    assert np.linalg.norm(np.diff(scene.c2w[:, :3, 3], axis=0), axis=1).sum() > 0.2  # median depths: real parallax


@pytest.mark.parametrize("frame", FRAMES)
def test_the_truth_is_what_is_stored(scene: Scene, world: SyntheticWorld, frame: int):
    view = world.render_scene(scene.c2w[frame], frame, scene.size, samples=scene.provenance["samples"])
    noise = np.mean((view.rgb.astype(float) - scene.rgb(frame)) ** 2)
    assert 10 * np.log10(255**2 / noise) > 30
    # A ray that grazes an edge may fall to its other side after the pose's round trip through scene units.
    error = np.abs(scene.depth(frame) / view.depth - 1)
    assert (error > ROUNDING + 2e-6).mean() < 1e-4
    assert (scene.moving(frame) != world.moving(view.object_id)).mean() < 1e-4
    assert scene.moving(frame).any()
