"""The ray caster tells the truth: depth is where rays meet formulas, and all cameras see one and the same world."""

import math
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspatio_gym.scenes.synthetic import SyntheticWorld, from_scene, make_world, room, street, table, write_video
from inspatio_gym.scenes.synthetic import textures as tx
from inspatio_gym.scenes.synthetic.__main__ import main
from inspatio_gym.scenes.synthetic.solids import Material, Thing, ball, box, looking, rigid, rotation, tube
from inspatio_gym.scenes.synthetic.world import Lighting

SIZE = (54, 96)
GREY = Material(tx.PLAIN, "#808080")
SUN = Lighting(
    sun=(0.3, -0.5, 0.8), sun_colour="#ffffff", sun_power=1.0, sun_radius_deg=1.0,
    sky_axis=(0, 0, 1), sky_colour="#ffffff", ground_colour="#808080", sky_power=0.5,
)  # fmt: skip


def _world(*things: Thing, fov_deg: float = 60.0) -> SyntheticWorld:
    """A camera at the origin that looks along +y at some things inside a dome of 50 m."""
    return SyntheticWorld(
        "test", 0, caption="", objects=things, path=lambda t: looking((0, 0, 0), 0, 0), duration=0.25,
        fov_deg=fov_deg, lighting=SUN, radius=50.0,
    )  # fmt: skip


def _rays(world: SyntheticWorld, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) directions with z = 1 in the camera's frame."""
    k = world.intrinsics(size)
    x, y = np.meshgrid(np.arange(size[1]), np.arange(size[0]))
    return np.stack([(x - k[0, 2]) / k[0, 0], (y - k[1, 2]) / k[1, 1], np.ones_like(x, float)], axis=-1)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(max(np.mean((a.astype(float) - b) ** 2) / 255**2, 1e-12))


def _brightness_psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Of the luma alone: video halves the resolution of colour, which in a tiny picture of tiny things is a lot."""
    return _psnr(cv2.cvtColor(a, cv2.COLOR_RGB2GRAY), cv2.cvtColor(b, cv2.COLOR_RGB2GRAY))


@pytest.fixture(scope="module", params=["room", "street"])
def world(request: pytest.FixtureRequest) -> SyntheticWorld:
    return make_world(request.param, 3)


@pytest.fixture(scope="module")
def a_room() -> SyntheticWorld:
    return room(3)


# What a ray hits


def test_depth_of_a_ball_is_that_of_the_formula():
    centre, radius = np.array([0.4, 5.0, -0.3]), 1.5
    world = _world(Thing("ball", (ball(centre, (2 * radius,) * 3, GREY),)))
    depth, object_id = world.depth(world.path(0), 0, SIZE)
    d, c = _rays(world, SIZE), np.array([centre[0], -centre[2], centre[1]])  # camera axes: right, down, forward
    a, b = (d * d).sum(-1), d @ c
    root = b * b - a * (c @ c - radius**2)
    hit = root > 1e-9
    assert (object_id == 1).sum() > 200
    np.testing.assert_array_equal(object_id[np.abs(root) > 1e-6] == 1, hit[np.abs(root) > 1e-6])
    np.testing.assert_allclose(depth[hit], ((b - np.sqrt(np.maximum(root, 0))) / a)[hit], rtol=1e-6)
    distance = depth[~hit] * np.sqrt(a[~hit])
    np.testing.assert_allclose(distance, 50.0, rtol=1e-6)  # the dome


@settings(max_examples=20, deadline=None)
@given(yaw_deg=st.floats(-180, 180), pitch_deg=st.floats(-80, 80), x=st.floats(-1, 1))
def test_what_is_hit_of_a_turned_box_lies_on_its_surface(yaw_deg: float, pitch_deg: float, x: float):
    turn, centre, half = rotation(yaw_deg, pitch_deg), np.array([x, 6.0, 0.2]), np.array([1.0, 0.5, 0.7])
    world = _world(Thing("box", (box(centre, 2 * half, GREY, turn=turn),)))
    depth, object_id = world.depth(world.path(0), 0, SIZE)
    hit = object_id == 1
    assert hit.sum() > 30
    points = (_rays(world, SIZE)[hit] * depth[hit][:, None].astype(float))[:, [0, 2, 1]] * [1, 1, -1]
    local = np.abs((points - centre) @ turn) / half
    np.testing.assert_allclose(local.max(axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    ("part", "law"),
    [
        (tube((0, 5, 0), (2, 2, 2), GREY), lambda p: np.hypot(p[:, 0], p[:, 1]) - 1),
        (tube((0, 5, 0), (2, 2, 2), GREY, top=(0, 0)), lambda p: np.hypot(p[:, 0], p[:, 1]) - (1 - p[:, 2]) / 2),
        (box((0, 5, 0), (2, 2, 2), GREY, top=(1, 0)), lambda p: np.abs(p[:, 1]) - (1 - p[:, 2]) / 2),
    ],
    ids=["cylinder", "cone", "roof"],
)
def test_what_is_hit_of_other_shapes_lies_on_their_sides(part, law):
    world = _world(Thing("thing", (part,)))
    depth, object_id = world.depth(world.path(0), 0, SIZE)
    hit = object_id == 1
    assert hit.sum() > 100
    points = (_rays(world, SIZE)[hit] * depth[hit][:, None].astype(float))[:, [0, 2, 1]] * [1, 1, -1] - [0, 5, 0]
    np.testing.assert_allclose(law(points), 0, atol=1e-5)
    assert (points[:, 1] < 1e-5).all()  # the near side


def test_the_nearer_of_two_things_hides_the_other_in_either_order():
    near, far = box((0, 3, 0), (1, 1, 1), GREY), box((0, 6, 0), (9, 1, 9), GREY)
    for order in ((near, far), (far, near)):
        world = _world(*(Thing("wall", (part,)) for part in order))
        depth, object_id = world.depth(world.path(0), 0, (55, 97))
        assert object_id[27, 48] == 1 + order.index(near)
        assert depth[27, 48] == pytest.approx(2.5)
        assert depth[0, 0] == pytest.approx(5.5)


def test_a_thing_is_where_its_formula_puts_it():
    def slide(t: float):
        return rigid(np.eye(3), (2 * t - 1, 4, 0))

    world = _world(
        Thing("wall", (box((0, 9, 0), (30, 1, 30), GREY),)), Thing("cube", (box((0, 0, 0), (1,) * 3, GREY),), slide)
    )
    assert world.moving_ids.tolist() == [2]
    size = (55, 97)
    focal = world.intrinsics(size)[0, 0]
    for t in (0.0, 0.5, 1.0):
        _, object_id = world.depth(world.path(0), t, size)
        columns = np.flatnonzero(world.moving(object_id)[27])
        assert columns.mean() == pytest.approx(48 + focal * (2 * t - 1) / 3.5, abs=2.5)


# One world, many cameras


@settings(max_examples=8, deadline=None)
@given(
    move=st.tuples(*[st.floats(-0.3, 0.3)] * 3), yaw_deg=st.floats(-25, 25), frame=st.integers(0, 83), data=st.data()
)
def test_no_camera_sees_through_what_another_saw(a_room, move, yaw_deg, frame, data):
    t = frame / a_room.fps
    first = a_room.path(t)
    depth, _ = a_room.depth(first, t, SIZE)
    points = (first[:3, :3] @ (_rays(a_room, SIZE) * depth[..., None])[..., None])[..., 0] + first[:3, 3]
    second = first @ rigid(rotation(), move) @ rigid(rotation(0, 0, yaw_deg), (0, 0, 0))
    visible = 0
    for _ in range(16):
        row, column = data.draw(st.integers(0, SIZE[0] - 1)), data.draw(st.integers(0, SIZE[1] - 1))
        x, y, z = np.linalg.inv(second)[:3] @ [*points[row, column], 1]
        if z < 0.1:
            continue
        through = np.array([[1, 0, -x / z], [0, 1, -y / z], [0, 0, 1]])  # pixel (0, 0) looks at the point
        seen = a_room.depth(second, t, (1, 1), through)[0][0, 0]
        assert seen <= z * (1 + 1e-4)
        visible += seen > z * (1 - 1e-4)
    assert visible > 0


def test_still_things_keep_depth_and_colour_from_frame_to_frame(world):
    """Lift a frame by its depth, look it up in a later one: where it is seen again, it looks the same."""
    size, times = (180, 312), (1.0, 1.25)
    views = [world.render(world.path(t), t, size) for t in times]
    lifted = _rays(world, size) * views[0].depth[..., None]
    relative = np.linalg.inv(world.path(times[1])) @ world.path(times[0])
    p = lifted @ relative[:3, :3].T + relative[:3, 3]
    k = world.intrinsics(size)
    u = (p[..., 0] / p[..., 2] * k[0, 0] + k[0, 2]).astype(np.float32)
    v = (p[..., 1] / p[..., 2] * k[1, 1] + k[1, 2]).astype(np.float32)
    low, high = (
        f(cv2.remap(views[1].depth, u + dx, v + dy, cv2.INTER_NEAREST) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5))
        for f in (lambda x: np.min(list(x), axis=0), lambda x: np.max(list(x), axis=0))
    )
    inside = (u > 1) & (u < size[1] - 2) & (v > 1) & (v < size[0] - 2)
    still = ~world.moving(views[0].object_id)
    same = inside & still & (low > 0.98 * p[..., 2]) & (high < 1.02 * p[..., 2])
    assert same.mean() > 0.5
    colour = cv2.remap(views[1].rgb, u, v, cv2.INTER_LINEAR)
    assert _psnr(colour[same], views[0].rgb[same]) > 23
    shuffled = np.roll(colour, 5, axis=1)
    assert _psnr(shuffled[same], views[0].rgb[same]) < 20  # so the figure above means something


def test_what_stands_still_has_the_same_depth_at_all_times(world):
    camera = world.path(1.0)
    (early, before), (late, after) = (world.depth(camera, t, SIZE) for t in (0.2, 2.8))
    moved = world.moving(before) | world.moving(after)
    np.testing.assert_array_equal(early[~moved], late[~moved])
    assert (early[moved] != late[moved]).any()


def test_a_picture_is_the_average_of_a_finer_one(world):
    coarse = world.render(world.path(1.0), 1.0, (60, 104), samples=4).rgb
    fine = world.render(world.path(1.0), 1.0, (240, 416), samples=2).rgb
    light = (fine.reshape(60, 4, 104, 4, 3) / 255.0) ** 2.2
    assert _psnr(coarse, 255 * light.mean(axis=(1, 3)) ** (1 / 2.2)) > 28


# Seeds, threads, units


def test_a_seed_is_a_world():
    for make in (room, street, table):
        one, same, other = (make(seed).render(make(seed).path(0.5), 0.5, SIZE) for seed in (5, 5, 6))
        for a, b in zip(one, same, strict=True):
            np.testing.assert_array_equal(a, b)
        assert (one.rgb != other.rgb).mean() > 0.3
        assert (one.depth != other.depth).mean() > 0.1


def test_threads_do_not_change_a_bit():
    """Each number of them in a process of its own, so that it may exceed the cores."""
    code = (
        "import hashlib\n"
        "from inspatio_gym.threads import threads\n"
        "from inspatio_gym.scenes.synthetic import make_world\n"
        "digest = hashlib.blake2b()\n"
        "for name in ('room', 'street', 'table'):\n"
        "    world = make_world(name, 3)\n"
        f"    for part in world.render(world.path(0.7), 0.7, {SIZE}):\n"
        "        digest.update(part.tobytes())\n"
        "print(threads(), digest.hexdigest())"
    )
    answers = []
    for threads in (1, 3):
        environment = os.environ | {"INSPATIO_GYM_THREADS": str(threads)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        used, digest = done.stdout.split()
        assert int(used) == threads
        answers.append(digest)
    assert answers[0] == answers[1]


def test_recorded_cameras_are_smooth_and_stay_clear_of_things():
    for make in (room, street, table):
        for seed in range(4):
            world = make(seed)
            poses = np.stack([world.path(k / world.fps) for k in range(world.num_frames)])
            turns = poses[:, :3, :3]
            assert np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max() < 1e-12
            steps = np.diff(poses[:, :3, 3], axis=0)
            assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < 0.03  # metres a frame, a frame
            for k in range(0, world.num_frames, 7):
                assert world.depth(poses[k], k / world.fps, (9, 16))[0].min() > 0.35


def test_something_moves_in_every_recorded_frame(world):
    for k in range(0, world.num_frames, 6):
        _, object_id = world.depth(world.path(k / world.fps), k / world.fps, SIZE)
        assert 0.001 < world.moving(object_id).mean() < 0.35


def test_scene_units_have_the_first_camera_at_the_origin_and_median_depth_one(world):
    np.testing.assert_array_equal(world.scene_path[0], np.eye(4))
    views = [world.render_scene(world.scene_path[k], k, SIZE, samples=1) for k in range(0, world.num_frames, 4)]
    assert np.median([view.depth for view in views]) == pytest.approx(1.0, rel=0.05)
    k = 40
    metric = world.render(world.path(k / world.fps), k / world.fps, SIZE)
    scaled = world.render_scene(world.scene_path[k], k, SIZE)
    np.testing.assert_allclose(scaled.depth, metric.depth * world.scale, rtol=1e-5)
    assert np.abs(scaled.rgb.astype(int) - metric.rgb).mean() < 0.1


@settings(max_examples=25, deadline=None)
@given(yaw_deg=st.floats(-180, 180), pitch_deg=st.floats(-80, 80), t=st.tuples(*[st.floats(-9, 9)] * 3))
def test_to_scene_and_back_is_home(a_room, yaw_deg, pitch_deg, t):
    pose = rigid(rotation(yaw_deg, pitch_deg), t)
    np.testing.assert_allclose(a_room.to_world(a_room.to_scene(pose)), pose, atol=1e-9)


# Files


def test_the_command_makes_a_scene_that_knows_its_world(tmp_path, monkeypatch, capsys):
    words = ["room", "--seed", "11", "--out", str(tmp_path / "scene"), "--size", "36", "64", "--samples", "1"]
    monkeypatch.setattr(sys, "argv", ["synthetic", *words])
    main()
    assert "84 frames of 36x64" in capsys.readouterr().out
    from inspatio_gym.scenes import load_scene

    scene = load_scene(tmp_path / "scene")
    world = from_scene(scene)
    assert (world.name, world.seed) == ("room", 11)
    np.testing.assert_allclose(scene.c2w, world.scene_path, atol=1e-12)
    view = world.render_scene(scene.c2w[50], 50, scene.size, samples=1)
    assert _brightness_psnr(scene.rgb(50), view.rgb) > 30


def test_a_scene_of_something_else_has_no_world_behind_it(tmp_path):
    from inspatio_gym.scenes import SceneGeometry, SceneWriter

    with SceneWriter(tmp_path / "other", fps=24, size=(16, 16), name="other") as writer:
        writer.write_frame(np.zeros((16, 16, 3), np.uint8))
        writer.write_depth(np.ones((16, 16), np.float32), np.zeros((16, 16), bool))
        geometry = SceneGeometry("static-prior", 0.1, "a test", "none", None)
        scene = writer.finish(c2w=np.eye(4)[None], intrinsics=np.eye(3)[None], geometry=geometry, provenance={})
    with pytest.raises(ValueError, match="expected a scene of a synthetic world"):
        from_scene(scene)
    with pytest.raises(ValueError, match=r"out of \['room', 'street', 'table'\], got 'cave'"):
        make_world("cave", 0)


def test_a_plain_video_holds_every_frame(tmp_path):
    world = street(2)
    path = write_video(world, tmp_path / "street.mp4", (48, 80))
    video = cv2.VideoCapture(str(path))
    frames = [frame[..., ::-1].copy() for ok, frame in iter(video.read, (False, None)) if ok]
    assert len(frames) == world.num_frames
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(world.fps)
    truth = [world.render(world.path(k / 24), k / 24, (48, 80)).rgb for k in (20, 23)]
    assert _brightness_psnr(frames[20], truth[0]) > 30 > 26 > _brightness_psnr(frames[20], truth[1])
