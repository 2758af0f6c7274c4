"""Warped views against the true renderer, from cameras that were never recorded; `benchmarks.fidelity` does the whole."""

import numpy as np
import pytest

from benchmarks.fidelity import Config, Report, measure
from inspatio_gym.evaluation.images import finer, seen_by, ssim
from inspatio_gym.scenes.synthetic import from_scene
from inspatio_gym.warp import WarpModel

CONFIG = Config(size=(96, 160), frames=(8, 40), samples=2)
RIMS_DB = 0.02
"""A thing that comes into view ends at the nearest pixel, where the frame was right before: a hundred pixels in two million."""


@pytest.fixture(scope="module", params=["room", "street"])
def report(request: pytest.FixtureRequest) -> Report:
    scene = request.getfixturevalue(f"{request.param}_scene")
    models = WarpModel(CONFIG.size, background=False), WarpModel(CONFIG.size)
    return measure(scene, from_scene(scene), CONFIG, models)


def test_what_the_frame_sees_is_shown_truly(report: Report):
    assert report.single_seen.psnr > 27
    assert report.single_seen.ssim > 0.88


def test_other_frames_show_what_this_one_hides(report: Report):
    assert report.fused_hidden.pixels > 0.1 * report.fused_seen.pixels
    assert report.fused_hidden.psnr > report.single_hidden.psnr + 1
    assert report.fused_hidden.ssim > report.single_hidden.ssim + 0.1


def test_other_frames_leave_alone_what_this_one_sees(report: Report):
    assert report.fused_seen.psnr > report.single_seen.psnr - RIMS_DB
    assert report.fused_seen.ssim > report.single_seen.ssim - 1e-3


def test_a_frame_sees_itself_and_a_wall_hides_what_is_behind(room_scene):
    world, size, frame = from_scene(room_scene), (48, 80), 10
    matrix = world.intrinsics(size)
    camera = world.scene_path[frame]
    depth = world.depth(world.to_world(camera), frame / world.fps, size, matrix)[0] * world.scale
    fine = world.depth(world.to_world(camera), frame / world.fps, *finer(matrix, size)[::-1])[0] * world.scale
    assert seen_by(fine, camera, matrix, depth, camera).mean() > 0.9  # but for rims
    assert seen_by(fine * 0.9, camera, matrix, depth, camera).mean() < 0.03


def test_similarity_is_one_for_equals_and_falls_with_noise():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 50, 3), np.uint8)
    noisy = np.clip(image + rng.normal(0, 40, image.shape), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(ssim(image, image), 1)
    assert 0.3 < ssim(image, noisy).mean() < 0.97
    assert abs(ssim(image, image[::-1]).mean()) < 0.1
