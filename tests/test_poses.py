"""Laws of rigid motions, angles, quaternions and depth codes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from inspatio_gym.geometry import poses
from inspatio_gym.geometry.logdepth import FAR, NEAR, decode_code, decode_depth, encode_depth
from inspatio_gym.geometry.poses import angle_deg, compose, require_rigid, rotation_ypr, smooth_poses

angles = st.floats(-720, 720)
turns = st.builds(poses.rotation_ypr, angles, angles, angles)
positions = st.lists(st.floats(-100, 100), min_size=3, max_size=3)
rigid = st.builds(poses.compose, turns, positions)


def close(a, b, tolerance=1e-9):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@given(rigid)
def test_the_inverse_of_the_inverse_is_the_motion_itself(pose):
    close(poses.invert(poses.invert(pose)), pose)
    close(pose @ poses.invert(pose), np.eye(4))


@given(turns)
def test_rotations_are_orthonormal_and_do_not_mirror(rotation):
    close(rotation.T @ rotation, np.eye(3))
    assert np.linalg.det(rotation) == pytest.approx(1)


poses.quaternion(np.eye(3))  # brings scipy before hypothesis looks at the clock


@given(rigid)
def test_quaternions_and_vectors_go_there_and_back(pose):
    vector = poses.to_vector(pose)
    assert vector[3] >= 0
    assert np.linalg.norm(vector[3:]) == pytest.approx(1)
    close(poses.from_vector(vector), pose)


@given(turns)
def test_angles_read_off_a_rotation_make_it_again(rotation):
    close(poses.rotation_ypr(*poses.ypr_deg(rotation)), rotation, 1e-6)


@given(st.floats(-179, 179), st.floats(-89, 89), st.floats(-179, 179))
def test_angles_go_there_and_back(yaw, pitch, roll):
    close(poses.ypr_deg(poses.rotation_ypr(yaw, pitch, roll)), (yaw, pitch, roll), 1e-6)


@given(st.sampled_from([90.0, -90.0]), angles, angles)
def test_straight_up_and_down_still_have_angles(pitch, yaw, roll):
    rotation = poses.rotation_ypr(yaw, pitch, roll)
    close(poses.rotation_ypr(*poses.ypr_deg(rotation)), rotation, 1e-6)


@given(angles)
def test_a_full_turn_is_no_turn(yaw):
    close(poses.rotation_ypr(yaw + 360), poses.rotation_ypr(yaw))


@given(turns, st.floats(0, 180))
def test_the_angle_between_rotations_is_the_turn_made(rotation, turn):
    assert poses.angle_deg(rotation, rotation @ poses.rotation_ypr(turn)) == pytest.approx(turn, abs=1e-5)


@pytest.mark.parametrize(
    ("angle", "looks"),
    [((90, 0, 0), (1, 0, 0)), ((0, 90, 0), (0, -1, 0)), ((0, 0, 90), (0, 0, 1)), ((180, 0, 0), (0, 0, -1))],
)
def test_yaw_looks_right_pitch_looks_up_and_roll_looks_on(angle, looks):
    close(poses.rotation_ypr(*angle) @ (0, 0, 1), looks)


def test_roll_leans_clockwise():
    close(poses.rotation_ypr(0, 0, 90) @ (1, 0, 0), (0, 1, 0))


def test_cameras_relative_to_the_first_start_at_the_identity_and_keep_their_distances():
    c2w = poses.compose(poses.rotation_ypr([10, 20, 30], 5), np.arange(9.0).reshape(3, 3))
    moved = poses.relative_to_first(c2w)
    assert (moved[0] == np.eye(4)).all()
    close(poses.invert(moved[1]) @ moved[2], poses.invert(c2w[1]) @ c2w[2])


def test_functions_take_stacks_of_any_shape():
    c2w = poses.compose(poses.rotation_ypr(np.linspace(0, 50, 6).reshape(2, 3)), np.ones(3))
    assert c2w.shape == (2, 3, 4, 4)
    close(poses.from_vector(poses.to_vector(c2w)), c2w)
    assert poses.quaternion(np.zeros((0, 3, 3))).shape == (0, 4)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.eye(3), "expected shape"),
        (np.full((4, 4), np.nan), "NaN"),
        (np.diag([2.0, 2, 2, 1]), "scale"),
        (np.diag([-1.0, 1, 1, 1]), "mirrors"),
        (poses.compose(np.eye(3), (1, 2, 3)).T, "transposed"),
    ],
)
def test_what_is_no_rigid_motion_is_refused_with_the_reason(wrong, message):
    with pytest.raises(ValueError, match=message):
        poses.require_rigid(wrong)


def test_a_quaternion_of_no_length_is_refused():
    with pytest.raises(ValueError, match="length 0"):
        poses.from_quaternion([0, 0, 0, 0])


@given(st.floats(NEAR, FAR))
def test_depth_codes_round_by_a_hundredth_of_a_percent_at_most(depth):
    assert decode_depth(encode_depth(depth)) == pytest.approx(depth, rel=1.07e-4)


def test_every_code_comes_back_and_the_kernel_agrees():
    codes = np.arange(65536, dtype=np.uint16)
    depth = decode_depth(codes)
    assert (encode_depth(depth) == codes).all()
    assert (np.diff(depth) > 0).all()
    assert [decode_code(int(code)) for code in codes[::4111]] == pytest.approx(depth[::4111], rel=1e-6)


def test_depth_beyond_the_range_takes_its_ends_and_nan_is_refused():
    assert decode_depth(encode_depth([0.0, -1.0, np.inf])) == pytest.approx([NEAR, NEAR, FAR])
    with pytest.raises(ValueError, match="NaN"):
        encode_depth([1.0, np.nan])
    with pytest.raises(TypeError, match="uint16"):
        decode_depth(np.zeros(3, np.int32))


# --- smoothing --------------------------------------------------------------------------------------------------------


def uniform_motion(count: int = 30) -> NDArray[np.float64]:
    """A camera that turns through the half circle where canonical quaternions change their sign, and moves on."""
    return compose(rotation_ypr(np.linspace(0, 350, count)), np.arange(count)[:, None] * (0.1, 0.02, -0.3))


@pytest.mark.parametrize("sigma", [0.0, 0.7, 2.0, 100.0])
def test_smoothing_leaves_rest_and_uniform_motion_as_they_are(sigma: float):
    rest = np.tile(compose(rotation_ypr(20, 30, 40), (1, 2, 3)), (6, 1, 1))
    np.testing.assert_allclose(smooth_poses(rest, sigma), np.tile(np.eye(4), (6, 1, 1)), atol=1e-12)
    moving = uniform_motion()
    if sigma < 100:  # within which it turns by less than half a circle
        np.testing.assert_allclose(smooth_poses(moving, sigma), moving, atol=1e-9)


def test_smoothing_takes_out_jitter_and_keeps_the_first_camera_the_identity():
    rng = np.random.default_rng(0)
    true = uniform_motion()
    jitter = compose(rotation_ypr(*rng.normal(0, 1, (3, 30))), rng.normal(0, 0.05, (30, 3)))
    jitter[0] = np.eye(4)
    smooth = smooth_poses(true @ jitter, 1.5)
    assert (smooth[0] == np.eye(4)).all()
    require_rigid(smooth)

    def shaking(c2w: NDArray[np.float64]) -> tuple[float, float]:
        """How much the steps differ, in degrees and in length; those of the true motion do not."""
        turns = np.swapaxes(c2w[:-1, :3, :3], -1, -2) @ c2w[1:, :3, :3]
        jolts = np.diff(c2w[:, :3, 3], 2, axis=0)
        return float(angle_deg(turns[:-1], turns[1:]).mean()), float(np.linalg.norm(jolts, axis=1).mean())

    before, after = shaking(true @ jitter), shaking(smooth)
    assert after[0] < 0.3 * before[0]
    assert after[1] < 0.3 * before[1]


def test_smoothing_does_not_depend_on_where_the_world_begins():
    """A turn of the world changes which quaternions are negative, and nothing else."""
    rng = np.random.default_rng(1)
    shaken = uniform_motion() @ compose(rotation_ypr(*rng.normal(0, 3, (3, 30))), rng.normal(0, 0.1, (30, 3)))
    for yaw in (0, 60, 120, 180, 240):
        moved = compose(rotation_ypr(yaw, 10, 20), (3, 2, 1)) @ shaken
        np.testing.assert_allclose(smooth_poses(moved, 1.5), smooth_poses(shaken, 1.5), atol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_paths_can_be_smoothed(count: int):
    shaken = uniform_motion()[:count]
    np.testing.assert_allclose(smooth_poses(shaken, 2.0), shaken, atol=1e-9)
