"""Metric depth of single frames by a network, and cameras that are scaled to agree with it."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import tiny_models
from clips import make_video, scenery
from numpy.typing import NDArray

from inspatio_gym.checkpoints import WeightsNotFound
from inspatio_gym.scenes import anchor, load_scene
from inspatio_gym.scenes.estimate import depth_anything_v2
from inspatio_gym.scenes.estimate.depth_anything_v2 import MetricDepth, estimate

NAME = "depth-anything-v2-metric-indoor-small"


def silent(*_: Any) -> None:
    pass


def clip_of(frames: Sequence[NDArray[np.uint8]]) -> Any:
    return SimpleNamespace(num_frames=len(frames), fps=24.0, size=frames[0].shape[:2], rgb=lambda i: frames[i])


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of checkpoints that holds one."""
    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_models.depth_anything_v2(folder / NAME)
    return folder


@pytest.fixture
def there(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(checkpoints))


def test_a_frame_becomes_metres_of_any_size(checkpoints: Path):
    network = MetricDepth.load(checkpoints / NAME, "cpu")
    one, other = (network.depth(frame, (20, 30)) for frame in scenery(2, (48, 72)))
    assert (one.shape, one.dtype) == ((20, 30), np.float32)
    assert np.isfinite(one).all()
    assert one.min() > 0
    assert one.max() < 20.001
    assert one.std() > 0
    assert not np.array_equal(one, other)


def test_a_moving_camera_is_measured_in_metres_and_depth_agrees_with_it(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
):
    """A network that is right but for a factor of each frame: the cameras get its median, the depths get rid of theirs."""
    scene = load_scene("room")
    count = 24
    clip = SimpleNamespace(num_frames=count, fps=24.0, size=scene.size, rgb=scene.rgb)
    unit = 3.0  # metres, of the scene
    asked: list[int] = []

    def wavering(self: Any, frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.float32]:
        i = next(i for i in range(count) if np.array_equal(frame, scene.rgb(i)))
        asked.append(i)
        factor = np.float32(unit * (1 + 0.2 * (-1) ** i))
        return factor * cv2.resize(scene.depth(i), size[::-1], interpolation=cv2.INTER_AREA)

    monkeypatch.setattr(MetricDepth, "depth", wavering)
    found = estimate(clip, progress=silent, weights=NAME, folder=checkpoints / NAME)
    assert found.geometry.method == "structure-from-motion-and-depth-anything-v2"
    assert (found.geometry.metres_per_unit, found.geometry.licence) == (1.0, "Apache-2.0")
    assert (found.c2w[0] == np.eye(4)).all()
    path, true = (np.linalg.norm(np.diff(c2w[:count, :3, 3], axis=0), axis=1).sum() for c2w in (found.c2w, scene.c2w))
    assert path / true == pytest.approx(unit, rel=0.25)
    maps = list(found.depth_maps)
    assert len(maps) == count
    off = [np.median(depth / cv2.resize(scene.depth(i), depth.shape[::-1])) for i, (depth, _) in enumerate(maps)]
    np.testing.assert_allclose(off, path / true, rtol=0.06)  # all in the cameras' unit, whatever the frame's own was
    assert all(moving.shape == depth.shape and moving.dtype == bool for depth, moving in maps)


def test_a_camera_at_rest_gets_the_networks_depth_as_it_is(there: None, checkpoints: Path):
    still = scenery(1, (48, 72))[0]
    found = estimate(clip_of([still] * 6), progress=silent, weights=NAME)
    assert found.geometry.method == "static-and-depth-anything-v2"
    assert found.geometry.reason == "the camera stands still, so each frame's depth is what a network makes of it alone"
    assert 0.2 < found.geometry.confidence < 1
    assert (found.c2w == np.eye(4)).all()
    np.testing.assert_allclose(found.intrinsics[:, 0, 0], 0.9 * 72)
    maps = list(found.depth_maps)
    expected = MetricDepth.load(checkpoints / NAME, "cpu").depth(still, found.depth_size)
    assert len(maps) == 6
    for depth, moving in maps:
        np.testing.assert_allclose(depth, expected, rtol=1e-5)
        assert not moving.any()


def test_it_is_an_estimator_that_anchor_knows_by_name(tmp_path: Path, there: None):
    video = make_video(tmp_path / "clip.mp4", scenery(1, (48, 72)) * 6)
    scene = anchor(video, cache=tmp_path / "cache", estimator=NAME)
    assert scene.geometry.method == "static-and-depth-anything-v2"
    assert scene.geometry.metres_per_unit == 1.0  # so nothing was rescaled
    expected = MetricDepth.load(Path(depth_anything_v2.locate(NAME)), "cpu").depth(scene.rgb(0), scene.depth_size)
    np.testing.assert_allclose(np.median(scene.depth(0)), np.median(expected), rtol=0.02)


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
    clip = clip_of(scenery(6))
    with pytest.raises(WeightsNotFound, match=f"checkpoints download {NAME}"):
        estimate(clip, progress=silent, weights=NAME)
    with pytest.raises(FileNotFoundError, match=r"expected preprocessor_config.json in .*no such folder"):
        MetricDepth.load(tmp_path / "nowhere")
    tiny_models.depth_anything_v2(tmp_path / "relative", kind="relative")
    with pytest.raises(
        ValueError, match=r"expected a network of metric depth in .*, got relative: take one named Metric"
    ):
        MetricDepth.load(tmp_path / "relative")
