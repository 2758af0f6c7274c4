"""Cameras and depth estimated from frames alone, against the truth of the worlds that the frames were rendered from."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.geometry import direction_error_deg, resized
from inspatio_gym.geometry.poses import angle_deg, compose, rotation_ypr
from inspatio_gym.scenes import Scene, VideoError, load_scene
from inspatio_gym.scenes.estimate import Estimate, estimate_geometry, panning
from inspatio_gym.scenes.estimate import measured as measured_module
from inspatio_gym.scenes.estimate.measured import estimate_structure, measure
from inspatio_gym.scenes.estimate.panning import find_pan
from inspatio_gym.scenes.estimate.sfm import reconstruct
from inspatio_gym.scenes.estimate.tracks import follow
from inspatio_gym.scenes.synthetic import from_scene

FRAMES = 40  # of a scene that are enough to measure its cameras


def silent(*_: Any) -> None:
    pass


def clip_of(frames: Sequence[NDArray[np.uint8]]) -> Any:
    return SimpleNamespace(num_frames=len(frames), fps=24.0, size=frames[0].shape[:2], rgb=lambda i: frames[i])


def excerpt(scene: Scene, stop: int, change: Callable[[int, Any], Any] = lambda i, frame: frame) -> Any:
    return clip_of([change(i, scene.rgb(i)) for i in range(stop)])


def measure_alone(clip: Any) -> Estimate:
    tracks = follow(clip, silent)
    return measure(clip, tracks, find_pan(tracks), silent)


# --- measured ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["street", "room"])
def measured(request: pytest.FixtureRequest) -> tuple[Scene, Estimate, NDArray[np.float32], NDArray[np.bool_]]:
    """A bundled scene, what is estimated of its first frames alone, their depth maps and moving things."""
    scene = load_scene(request.param)
    estimate = estimate_geometry(excerpt(scene, FRAMES), progress=silent)
    depth, moving = zip(*estimate.depth_maps, strict=True)
    return scene, estimate, np.stack(depth), np.stack(moving)


def test_cameras_are_measured(measured: tuple[Scene, Estimate, Any, Any]):
    scene, estimate, _, _ = measured
    assert estimate.geometry.method == "structure-from-motion"
    assert 0.4 < estimate.geometry.confidence < 1
    assert (estimate.c2w[0] == np.eye(4)).all()
    assert angle_deg(estimate.c2w[:, :3, :3], scene.c2w[:FRAMES, :3, :3]).mean() < 0.3
    assert direction_error_deg(estimate.c2w, scene.c2w[:FRAMES]) < 2
    np.testing.assert_allclose(estimate.intrinsics[:, 0, 0], scene.intrinsics[:FRAMES, 0, 0], rtol=0.03)


def test_depth_agrees_with_the_truth_in_every_frame(measured: tuple[Scene, Estimate, Any, Any]):
    scene, _, depth, _ = measured
    true = np.stack([resized(scene.depth(i), depth.shape[1:]) for i in range(FRAMES)])
    static = ~np.stack([resized(scene.moving(i).astype(np.uint8), depth.shape[1:]) for i in range(FRAMES)]).astype(bool)
    assert (depth > 0).all()
    assert np.isfinite(depth).all()
    scale = np.median(true[static] / depth[static])  # one for the whole clip
    error = np.abs(scale * depth / true - 1)
    assert np.median(error[static]) < 0.06
    assert max(np.median(e[s]) for e, s in zip(error, static, strict=True)) < 0.1


def test_cameras_and_depth_have_one_scale(measured: tuple[Scene, Estimate, Any, Any]):
    scene, estimate, depth, _ = measured
    path, true_path = (
        np.linalg.norm(np.diff(c2w[:, :3, 3], axis=0), axis=1).sum() for c2w in (estimate.c2w, scene.c2w[:FRAMES])
    )
    true = np.stack([resized(scene.depth(i), depth.shape[1:]) for i in range(FRAMES)])
    assert np.median(true / depth) == pytest.approx(true_path / path, rel=0.1)


def test_most_of_what_is_called_moving_moves_and_little_is(measured: tuple[Scene, Estimate, Any, Any]):
    scene, _, _, moving = measured
    true = np.stack([resized(scene.moving(i).astype(np.uint8), moving.shape[1:]) for i in range(FRAMES)]) > 0
    assert (moving & true).sum() > 0.4 * moving.sum()
    assert moving.mean() < 0.05


def test_a_thing_that_fills_a_quarter_of_the_picture_and_goes_its_own_way_does_not_wreck_the_cameras():
    scene = load_scene("room")
    texture = cv2.resize(np.random.default_rng(0).integers(0, 255, (20, 26, 3), np.uint8), (208, 160))

    def intrude(i: int, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        frame = frame.copy()
        x = 20 + 2 * i
        frame[50:170, x : x + 200] = texture[:120, :200]
        return frame

    clip = excerpt(scene, FRAMES, intrude)
    estimate = measure_alone(clip)
    assert angle_deg(estimate.c2w[:, :3, :3], scene.c2w[:FRAMES, :3, :3]).mean() < 1
    assert direction_error_deg(estimate.c2w, scene.c2w[:FRAMES], gap=10) < 5


def test_the_same_frames_give_the_same_bits_for_any_number_of_threads():
    clip = excerpt(load_scene("room"), 24)
    results = []
    before = cv2.getNumThreads()
    for threads in (1, 3):
        cv2.setNumThreads(threads)
        estimate = measure_alone(clip)
        maps = [next(estimate.depth_maps) for _ in range(3)]
        estimate.depth_maps.close()  # type: ignore[attr-defined]
        assert cv2.getNumThreads() == threads
        results.append((estimate.c2w, estimate.intrinsics, *(np.stack(part) for part in zip(*maps, strict=True))))
    cv2.setNumThreads(before)
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("off", [0.85, 1.2])
def test_the_focal_length_is_found_from_another(off: float):
    scene = load_scene("room")
    focal = float(scene.intrinsics[0, 0, 0])
    structure = reconstruct(follow(excerpt(scene, 40), silent), off * focal, silent)
    assert structure.focal == pytest.approx(focal, rel=0.02)
    c2w = np.linalg.inv(structure.cameras)
    relative = np.linalg.inv(c2w[0]) @ c2w
    assert angle_deg(relative[:, :3, :3], scene.c2w[:40, :3, :3]).max() < 0.5


def test_a_failure_that_was_not_foreseen_gets_the_prior_and_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*_: Any) -> None:
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setattr(measured_module, "reconstruct", fail)
    estimate = estimate_geometry(excerpt(load_scene("room"), 12), progress=silent)
    assert estimate.geometry.method == "static-prior"
    assert "structure from motion failed (Singular matrix)" in estimate.geometry.reason
    assert "Traceback" in caplog.text
    assert "Singular matrix" in caplog.text


def test_a_pan_is_looked_for_once(monkeypatch: pytest.MonkeyPatch):
    looked: list[Any] = []
    monkeypatch.setattr(panning, "find_pan", lambda tracks: looked.append(find_pan(tracks)) or looked[-1])
    assert estimate_geometry(clip_of([load_scene("room").rgb(0)] * 5), progress=silent).geometry.confidence <= 0.2
    assert len(looked) == 1


# --- assumed ----------------------------------------------------------------------------------------------------------


def test_a_camera_at_rest_gets_the_prior_and_what_moves_is_seen():
    still = load_scene("room").rgb(0)

    def frame(i: int) -> NDArray[np.uint8]:
        picture = still.copy()
        cv2.circle(picture, (60 + 6 * i, 150), 25, (255, 40, 40), -1)
        return picture

    estimate = estimate_geometry(clip_of([frame(i) for i in range(40)]), progress=silent)
    assert estimate.geometry.method == "static-prior"
    assert estimate.geometry.confidence <= 0.2
    assert estimate.geometry.reason == "the camera stands still, so depth cannot be measured"
    assert (estimate.c2w == np.eye(4)).all()
    maps = list(estimate.depth_maps)
    for i in (0, 20, 39):
        depth, moving = maps[i]
        y, x = np.nonzero(moving)
        assert np.hypot(x - (60 + 6 * i), y - 150).max() < 30
        assert moving.sum() > 0.7 * np.pi * 25**2
        assert depth[-1].mean() < depth[180].mean() < depth[100].mean()  # a floor that comes nearer, before a wall


def test_a_camera_that_only_turns_gets_its_rotations_and_the_prior():
    scene = load_scene("room")
    world = from_scene(scene)
    turns = rotation_ypr(np.linspace(-14, 14, 36), 2 * np.sin(np.linspace(0, 6, 36)))
    poses = scene.c2w[30] @ compose(turns, np.zeros((36, 3)))
    frames = [world.render_scene(pose, 30, (180, 312), samples=1).rgb for pose in poses]
    estimate = estimate_geometry(clip_of(frames), progress=silent)
    assert estimate.geometry.method == "rotation-and-prior"
    true = turns[0].T @ turns
    assert angle_deg(estimate.c2w[:, :3, :3], true).max() < 1.5
    assert (estimate.c2w[:, :3, 3] == 0).all()
    # What is assumed stays where it is while the camera turns: the floor under a turned pixel has the same height.
    maps = list(estimate.depth_maps)
    pinhole = np.linalg.inv(estimate.intrinsics[0])
    heights = []
    for i, (depth, _) in enumerate(maps[::9]):
        ray = pinhole @ (156, 170, 1)
        heights.append((estimate.c2w[9 * i, :3, :3] @ ray * depth[170, 156])[1])
    assert np.ptp(heights) < 0.25 * np.mean(heights)
    assert np.mean([moving.mean() for _, moving in maps]) < 0.02


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param(np.random.default_rng(0).integers(0, 255, (12, 96, 128, 3), np.uint8), id="noise"),
        pytest.param(np.full((12, 96, 128, 3), 127, np.uint8), id="grey"),
        pytest.param(np.random.default_rng(0).integers(0, 255, (3, 16, 16, 3), np.uint8), id="tiny"),
    ],
)
def test_frames_that_nothing_can_be_measured_in_get_the_prior(frames: NDArray[np.uint8]):
    estimate = estimate_geometry(clip_of(list(frames)), progress=silent)
    assert estimate.geometry.method.endswith("prior")
    maps = list(estimate.depth_maps)
    assert len(maps) == len(frames)
    assert all((depth > 0).all() and np.isfinite(depth).all() for depth, _ in maps)


def test_who_asks_for_structure_from_motion_by_name_hears_why_it_fails():
    with pytest.raises(
        VideoError, match=r"expected a camera that moves .* got: the camera stands still; estimator='auto'"
    ):
        estimate_structure(clip_of([load_scene("room").rgb(0)] * 10), progress=silent)
