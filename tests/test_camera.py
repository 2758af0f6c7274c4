"""Laws of the camera rig: motion, limits, and walls that nobody gets through."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspatio_gym.camera import CameraRig, Obstacle, RigConfig
from inspatio_gym.geometry import poses
from inspatio_gym.geometry.logdepth import encode_depth
from inspatio_gym.motion import surface

DT = 1 / 30
RIGHT, UP, FORWARD, YAW, PITCH, ROLL = np.eye(6)
FREE = RigConfig(max_offset=1e3, max_yaw_deg=180, max_pitch_deg=180, max_roll_deg=180)
ROOMY = RigConfig(max_offset=1e3, max_yaw_deg=170, max_pitch_deg=170, max_roll_deg=170)

motions = st.lists(st.floats(-1, 1), min_size=6, max_size=6).map(np.array)


def still(frames=12):
    return np.tile(np.eye(4), (frames, 1, 1))


def drive(rig, motion, frames=12, **more):
    return rig.advance(motion, frames=frames, dt=DT, anchors=more.pop("anchors", still(frames)), **more)


def plane_depth(normal, distance, size=64, focal=10.0):
    """Depth (size, size) of the plane normal . P = distance, in a camera of 145 degrees; 1000 where it never hits."""
    v, u = np.mgrid[:size, :size]
    x, y = (u - (size - 1) / 2) / focal, (v - (size - 1) / 2) / focal
    along = x * normal[0] + y * normal[1] + normal[2]
    return np.where(along > 1e-6, distance / np.where(along > 1e-6, along, 1), 1e3)


def obstacle_of(depth, c2w=None, focal=10.0):
    """The same depth map (or a stack of them) shown from standing cameras."""
    maps = np.asarray(depth) if np.ndim(depth) == 3 else np.asarray(depth)[None]
    height, width = maps.shape[1:]
    k = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
    c2w = np.tile(np.eye(4), (len(maps), 1, 1)) if c2w is None else c2w
    return Obstacle.of(encode_depth(maps), c2w, np.tile(k, (len(maps), 1, 1)), (height, width))


def wall(distance, normal=(0.0, 0.0, 1.0), frames=12):
    return obstacle_of(plane_depth(normal, distance)).at(np.zeros(frames, np.int64))


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compile the kernel before hypothesis looks at the clock."""
    drive(CameraRig(), FORWARD, obstacle=wall(0.5))


# --- motion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("motion", "position", "angles"),
    [
        (RIGHT, (0.2, 0, 0), (0, 0, 0)),
        (UP, (0, -0.2, 0), (0, 0, 0)),
        (FORWARD, (0, 0, 0.2), (0, 0, 0)),
        (YAW, (0, 0, 0), (12, 0, 0)),
        (PITCH, (0, 0, 0), (0, 12, 0)),
        (ROLL, (0, 0, 0), (0, 0, 12)),
    ],
)
def test_each_control_does_what_its_name_says_at_its_speed(motion, position, angles):
    rig = CameraRig()
    drive(rig, motion)  # 0.4 s at 0.5 median depths and 30 degrees a second
    assert rig.position == pytest.approx(position)
    assert rig.ypr_deg == pytest.approx(angles)


def test_frame_k_has_moved_k_plus_one_times():
    c2w, _ = drive(CameraRig(), FORWARD)
    assert c2w[:, 2, 3] == pytest.approx(0.5 * DT * np.arange(1, 13))


def test_forward_goes_where_the_camera_looks():
    rig = CameraRig()
    rig.reset(poses.compose(poses.rotation_ypr(30, 20, 10), (0, 0, 0)))
    c2w, _ = drive(rig, FORWARD)
    np.testing.assert_allclose(rig.position, 0.2 * c2w[-1, :3, 2], atol=1e-12)


@given(motions)
def test_a_zero_motion_holds(motion):
    rig = CameraRig()
    drive(rig, motion)
    before = rig.offset
    c2w, collided = drive(rig, np.zeros(6))
    assert not collided
    assert (rig.offset == before).all()
    np.testing.assert_allclose(c2w, np.tile(before, (12, 1, 1)), atol=1e-15)


@given(st.lists(motions, min_size=1, max_size=5), st.sampled_from([FREE, ROOMY]))
def test_the_opposite_actions_in_reverse_order_lead_home(steps, config):
    rig = CameraRig(config)
    for motion in [*steps, *(-motion for motion in reversed(steps))]:
        drive(rig, motion)
    np.testing.assert_allclose(rig.offset, np.eye(4), atol=1e-9)


@given(motions, st.integers(1, 11))
def test_a_long_step_is_two_short_ones(motion, first):
    whole, parts = CameraRig(), CameraRig()
    c2w, _ = drive(whole, motion)
    halves = [drive(parts, motion, frames=n)[0] for n in (first, 12 - first)]
    assert (np.concatenate(halves) == c2w).all()


@given(motions, st.integers(0, 2**32 - 1))
def test_the_offset_rides_the_anchors(motion, seed):
    rng = np.random.default_rng(seed)
    anchors = poses.compose(poses.rotation_ypr(*rng.uniform(-180, 180, (3, 12))), rng.normal(size=(12, 3)))
    riding, standing = CameraRig(), CameraRig()
    ridden, _ = drive(riding, motion, anchors=anchors)
    stood, _ = drive(standing, motion)
    np.testing.assert_allclose(ridden, anchors @ stood, atol=1e-12)
    assert (riding.offset == standing.offset).all()


@given(st.lists(motions, max_size=8))
def test_the_observed_vector_is_the_offset(steps):
    rig = CameraRig(FREE)
    for motion in steps:
        drive(rig, 10 * motion, frames=60)
    expected = poses.to_vector(rig.offset)
    got = rig.vector.astype(float)
    assert rig.vector.dtype == np.float32
    assert got[3] >= 0
    np.testing.assert_allclose(poses.from_vector(got), poses.from_vector(expected), atol=1e-5)
    np.testing.assert_allclose(rig.offset[:3, :3], poses.rotation_ypr(*rig.ypr_deg), atol=1e-12)


# --- limits ---------------------------------------------------------------------------------------------------------


@given(st.lists(motions.map(lambda m: 5 * m), max_size=10))
def test_limits_hold_whatever_is_asked_for(steps):
    rig = CameraRig(RigConfig(max_offset=0.3, max_yaw_deg=20, max_pitch_deg=15, max_roll_deg=10))
    for motion in steps:
        before = rig.position
        drive(rig, motion)
        assert np.linalg.norm(rig.position - before) <= 0.2 * math.sqrt(3) + 1e-9
        assert np.linalg.norm(rig.position) <= 0.3 + 1e-12
        assert (np.abs(rig.ypr_deg) <= (20, 15, 10)).all()


@given(st.lists(motions, min_size=1, max_size=3))
def test_what_was_observed_can_be_started_from(steps):
    """At the limits too, where agents end up, and where 32 bits may lie beyond."""
    rig = CameraRig()
    for motion in steps:
        for _ in range(8):
            drive(rig, motion)
    twin = CameraRig()
    twin.reset(poses.from_vector(rig.vector.astype(np.float64)))
    assert twin.vector == pytest.approx(rig.vector, abs=1e-4)
    assert np.linalg.norm(twin.position) <= twin.config.max_offset + 1e-12
    assert (np.abs(twin.ypr_deg) <= (60, 40, 30)).all()


def test_a_free_yaw_turns_round_and_round():
    rig = CameraRig(RigConfig(max_yaw_deg=360))
    c2w, _ = drive(rig, YAW, frames=360)  # 12 s at 30 degrees a second
    assert np.abs(rig.ypr_deg[0]) < 1e-6
    np.testing.assert_allclose(c2w[-1], np.eye(4), atol=1e-9)
    assert poses.ypr_deg(c2w[199, :3, :3])[0] == pytest.approx(-160)


def test_a_metric_scene_is_the_same_world_at_its_own_unit():
    unit, metric = CameraRig(), CameraRig(unit=4.0)
    near, far = wall(0.4), wall(1.6)
    for motion in np.random.default_rng(0).uniform(-1, 1, (50, 6)) + FORWARD:
        small, _ = drive(unit, motion, obstacle=near)
        large, _ = drive(metric, motion, obstacle=far)
    np.testing.assert_allclose(large[:, :3, 3], 4 * small[:, :3, 3], rtol=1e-3)


# --- reset, snapshots, errors ---------------------------------------------------------------------------------------


@given(st.floats(-59, 59), st.floats(-39, 39), st.floats(-29, 29), st.floats(-0.28, 0.28))
def test_reset_takes_an_offset(yaw, pitch, roll, shift):
    rig = CameraRig()
    offset = poses.compose(poses.rotation_ypr(yaw, pitch, roll), (shift, -shift, shift))
    rig.reset(offset)
    np.testing.assert_allclose(rig.offset, offset, atol=1e-9)
    rig.reset()
    assert (rig.offset == np.eye(4)).all()


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (poses.compose(np.eye(3), (0, 0, 0.6)), "distance of at most 0.5, got 0.6"),
        (poses.compose(poses.rotation_ypr(61), (0, 0, 0)), "yaw of at most 60"),
        (np.zeros((4, 4)), "rotation"),
        (still(2), "one pose"),
    ],
)
def test_reset_refuses_an_offset_out_of_reach(offset, message):
    with pytest.raises(ValueError, match=message):
        CameraRig().reset(offset)


@given(st.lists(motions, max_size=4), st.lists(motions, min_size=1, max_size=4))
def test_a_restored_rig_moves_on_as_if_nothing_had_happened(before, after):
    rig, twin = CameraRig(), CameraRig()
    for motion in before:
        drive(rig, motion)
    saved = rig.snapshot()
    first = [drive(rig, motion, obstacle=wall(0.3))[0] for motion in after]
    twin.restore(saved)
    assert all((a == drive(twin, motion, obstacle=wall(0.3))[0]).all() for a, motion in zip(first, after, strict=True))


@pytest.mark.parametrize(
    ("motion", "anchors", "source", "message"),
    [
        (np.full(6, np.nan), 12, 12, "finite"),
        (np.zeros(5), 12, 12, r"motion \(6,\)"),
        (np.zeros(6), 11, 12, "one anchor a frame"),
        (np.zeros(6), 12, 11, r"obstacle\.at"),
    ],
)
def test_wrong_input_is_refused_and_leaves_the_rig_as_it_was(motion, anchors, source, message):
    rig = CameraRig()
    drive(rig, RIGHT)
    before = rig.offset
    with pytest.raises(ValueError, match=message):
        drive(rig, motion, anchors=still(anchors), obstacle=wall(0.5, frames=source))
    assert (rig.offset == before).all()


@pytest.mark.parametrize("wrong", [{"speed": -1}, {"max_offset": math.nan}, {"clearance": 0}, {"on_collision": "ram"}])
def test_impossible_configurations_are_refused(wrong):
    with pytest.raises(ValueError, match=f"RigConfig.{next(iter(wrong))}: expected"):
        RigConfig(**wrong)


# --- collisions -----------------------------------------------------------------------------------------------------

tilts = st.floats(-20, 20)
manners = st.sampled_from(["slide", "stop"])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), tilts, manners, st.sampled_from([0.5, 20.0]))
def test_a_thousand_random_steps_at_a_wall_never_end_behind_it(seed, tilt, manner, speed):
    normal = poses.rotation_ypr(tilt)[:, 2]
    barrier = wall(0.3, normal)
    rig = CameraRig(RigConfig(on_collision=manner, speed=speed, max_offset=0.35))  # as far as the wall is in view
    rng = np.random.default_rng(seed)
    hits = 0
    for _ in range(1000):
        c2w, collided = drive(rig, rng.uniform(-1, 1, 6) + 0.5 * FORWARD, obstacle=barrier)
        hits += collided
        assert (c2w[:, :3, 3] @ normal).max() < 0.3
    assert hits > 0


def test_the_fastest_camera_does_not_jump_through_a_sheet():
    rig = CameraRig(RigConfig(speed=50, max_offset=2, thickness=0))
    _, collided = drive(rig, FORWARD, obstacle=wall(0.3))
    assert collided
    assert 0.2 < rig.position[2] <= 0.25 + 1e-3


@given(st.integers(0, 2**32 - 1), manners, st.booleans())
def test_nothing_rough_makes_the_camera_faster(seed, manner, wide):
    """Surfaces of random depth, steps and spikes at every texel."""
    rng = np.random.default_rng(seed)
    rough = obstacle_of(rng.uniform(0.05, 0.6, (16, 16)), focal=3.0 if wide else 20.0).at(np.zeros(12, int))
    rig = CameraRig(RigConfig(on_collision=manner))
    for _ in range(20):
        motion, before = rng.uniform(-1, 1, 6), rig.position
        c2w, _ = drive(rig, motion, obstacle=rough)
        moves = np.linalg.norm(np.diff(c2w[:, :3, 3], axis=0, prepend=before[None]), axis=1)
        assert (moves <= 0.5 * DT * np.linalg.norm(motion[:3]) + 1e-12).all()


def test_standing_close_to_a_surface_is_no_collision():
    """At the wall already, the depth of the next frame comes out a little nearer: not the agent's doing."""
    rig = CameraRig()
    drive(rig, FORWARD, frames=30, obstacle=wall(0.3, frames=30))
    _, collided = drive(rig, YAW, obstacle=wall(0.28))
    assert not collided


@given(tilts)
def test_stopping_stops_at_the_wall_and_says_so(tilt):
    normal = poses.rotation_ypr(tilt)[:, 2]
    rig = CameraRig(RigConfig(on_collision="stop"))
    assert not drive(rig, FORWARD, frames=6, obstacle=wall(0.3, normal, 6))[1]
    for _ in range(3):
        _, collided = drive(rig, FORWARD, obstacle=wall(0.3, normal))
    assert collided
    at_the_wall = rig.position
    assert 0.25 - 0.5 * DT - 1e-3 <= at_the_wall[2] + 0.3 - 0.3 / normal[2] <= 0.25 + 1e-3  # less than a frame short
    drive(rig, FORWARD + RIGHT * np.sign(tilt), obstacle=wall(0.3, normal))
    assert (rig.position == at_the_wall).all()


@given(st.floats(8, 20), st.sampled_from([-1, 1]))
def test_sliding_moves_along_the_wall_and_not_away_from_it(tilt, side):
    normal = poses.rotation_ypr(side * tilt)[:, 2]
    rig = CameraRig()
    for _ in range(2):
        drive(rig, FORWARD, obstacle=wall(0.3, normal))
    before = rig.position
    _, collided = drive(rig, FORWARD, obstacle=wall(0.3, normal))
    moved = rig.position - before
    assert collided
    assert abs(moved @ normal) < 0.1 * np.linalg.norm(moved)
    assert -side * moved[0] > 0.5 * 0.2 * math.sin(math.radians(tilt)) * math.cos(math.radians(tilt))
    assert np.linalg.norm(moved) <= 0.2


def test_sliding_keeps_the_motion_along_a_wall_ahead():
    rig, free = CameraRig(), CameraRig()
    for _ in range(2):
        _, collided = drive(rig, FORWARD + 0.3 * RIGHT, obstacle=wall(0.2))
        drive(free, 0.3 * RIGHT)
    assert collided
    assert rig.position[0] == pytest.approx(free.position[0], rel=1e-3)
    assert rig.position[2] == pytest.approx(0.15, abs=1e-3)


def test_going_back_from_a_wall_is_free():
    rig = CameraRig()
    drive(rig, FORWARD, frames=60, obstacle=wall(0.3, frames=60))
    before = rig.position
    _, collided = drive(rig, -FORWARD, obstacle=wall(0.3))
    assert not collided
    np.testing.assert_allclose(rig.position, before - (0, 0, 0.2), atol=1e-9)


@given(st.floats(0.01, 0.22), motions)
def test_whoever_is_caught_inside_can_leave_but_not_go_deeper(depth_inside, motion):
    """Something moved over the camera: the wall now stands nearer, and ends more than a frame's move behind it."""
    rig = CameraRig(RigConfig(max_offset=1))
    rig.reset(poses.compose(np.eye(3), (0, 0, 0.5)))
    front = 0.5 - depth_inside
    _, collided = drive(rig, np.zeros(6), obstacle=wall(front))
    assert collided
    drive(rig, motion, obstacle=wall(front))
    assert rig.position[2] <= 0.5 + 1e-6
    before = rig.position
    for _ in range(4):
        drive(rig, _retreat(rig), obstacle=wall(front))
    assert rig.position[2] < before[2] - 0.1
    _, collided = drive(rig, np.zeros(6), obstacle=wall(front))
    assert not collided


def _retreat(rig):
    """The motion that goes straight back, whichever way the camera has turned."""
    x, y, z = rig.offset[:3, :3].T @ (0, 0, -1.0)
    return np.array([x, -y, z, 0, 0, 0])


def test_the_recording_may_carry_the_camera_into_a_wall_and_that_counts():
    """The recorded camera drives up to a wall, the rig rides half a median depth ahead of it."""
    ahead = np.arange(12) * 0.05
    anchors = poses.compose(np.eye(3), np.stack((0 * ahead, 0 * ahead, ahead), -1))
    barrier = obstacle_of(np.stack([plane_depth((0, 0, 1), 0.9 - z) for z in ahead]), anchors)
    rig = CameraRig()
    _, collided = drive(rig, np.zeros(6), anchors=anchors, obstacle=barrier.at(np.arange(12)))
    assert not collided
    rig.reset(poses.compose(np.eye(3), (0, 0, 0.45)))
    before = rig.offset
    _, collided = drive(rig, np.zeros(6), anchors=anchors, obstacle=barrier.at(np.arange(12)))
    assert collided
    assert (rig.offset == before).all()


def test_each_frame_of_a_step_meets_the_surfaces_shown_in_it():
    barrier = obstacle_of(np.stack([plane_depth((0, 0, 1), d) for d in (0.2, 10.0)]))
    shut, opens = CameraRig(), CameraRig()
    drive(shut, FORWARD, frames=24, obstacle=barrier.at(np.zeros(24, int)))
    drive(opens, FORWARD, frames=24, obstacle=barrier.at([0] * 12 + [1] * 12))
    assert shut.position[2] <= 0.15
    assert opens.position[2] > 0.3


def test_obstacles_are_tested_in_the_world_not_in_the_offset():
    """The first camera stands still as anchor while the obstacle was recorded by one that looks back at it."""
    facing = poses.compose(poses.rotation_ypr(180), (0, 0, 1.0))
    barrier = obstacle_of(plane_depth((0, 0, 1), 0.7), facing[None])  # a wall at z = 0.3, seen from behind
    rig = CameraRig(RigConfig(thickness=0.1))
    rig.reset(poses.compose(np.eye(3), (0, 0, 0.45)))
    drive(rig, -FORWARD, frames=30, obstacle=barrier.at(np.zeros(30, int)))
    assert rig.position[2] == pytest.approx(0.35, abs=1e-3)


def test_nothing_blocks_outside_the_view_nor_far_behind_asurface():
    narrow = obstacle_of(np.full((8, 8), 0.2), focal=20.0).at(np.zeros(12, int))
    rig = CameraRig()
    rig.reset(poses.compose(np.eye(3), (0.2, 0, 0.1)))
    _, collided = drive(rig, FORWARD, obstacle=narrow)
    assert not collided
    rig.reset(poses.compose(np.eye(3), (0, 0, 0.46)))
    _, collided = drive(rig, UP, frames=1, obstacle=wall(0.2, frames=1))
    assert not collided


def test_the_recorded_camera_is_never_inside_its_own_picture():
    nose_to_the_wall = obstacle_of(np.full((16, 16), 0.01)).at(np.zeros(12, int))
    _, collided = drive(CameraRig(), np.zeros(6), obstacle=nose_to_the_wall)
    assert not collided


# --- obstacles ------------------------------------------------------------------------------------------------------


def test_the_survey_may_be_coarser_than_the_picture():
    """A wall on the right half of the view stops a camera on the right alone, at any resolution of the survey."""
    k = np.array([[[100.0, 0, 159.5], [0, 100, 119.5], [0, 0, 1]]])
    for height, width in ((240, 320), (48, 64), (12, 16)):
        depth = np.full((1, height, width), 10.0)
        depth[:, :, width // 2 :] = 0.2
        barrier = Obstacle.of(encode_depth(depth), still(1), k, (240, 320)).at(np.zeros(12, int))
        centre, focal = ((width - 1) / 2, (height - 1) / 2), 100 * width / 320
        assert barrier.pinhole[0] == pytest.approx((focal, focal, *centre))
        for x, blocked in ((-0.1, False), (0.1, True)):
            rig = CameraRig()
            rig.reset(poses.compose(np.eye(3), (x, 0, 0.1)))
            assert drive(rig, FORWARD, obstacle=barrier)[1] == blocked


@given(tilts, tilts, st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
def test_between_texels_a_slanted_plane_is_flat(yaw, pitch, x, y):
    normal = poses.rotation_ypr(yaw, pitch)[:, 2]
    barrier = wall(0.3, normal)
    depth, *plane = surface(barrier.codes, barrier.pinhole, 0, 0.3 * x, 0.3 * y, 0.3)
    assert depth == pytest.approx(0.3 / (normal @ (x, y, 1)), rel=2e-4)
    assert plane == pytest.approx(normal / 0.3, abs=0.01)


def test_a_memory_map_stays_one(tmp_path):
    codes = np.lib.format.open_memmap(tmp_path / "survey.npy", "w+", np.uint16, (2, 4, 4))
    codes[:] = encode_depth(0.2)
    barrier = Obstacle.of(codes, still(2), np.tile(np.eye(3), (2, 1, 1)), (4, 4))
    assert np.shares_memory(barrier.codes, codes)
    assert codes.flags.writeable
    drive(CameraRig(), FORWARD, frames=2, obstacle=barrier.at([1, 0]))


def test_impossible_obstacles_are_refused():
    codes, k = encode_depth(np.ones((2, 4, 4))), np.tile(np.eye(3), (2, 1, 1))
    with pytest.raises(TypeError, match="uint16"):
        Obstacle.of(np.ones((2, 4, 4)), still(2), k, (4, 4))
    with pytest.raises(ValueError, match="as many frames"):
        Obstacle.of(codes, still(3), k, (4, 4))
    with pytest.raises(IndexError, match=r"0\.\.1"):
        Obstacle.of(codes, still(2), k, (4, 4)).at([0, 2])
