"""Bodies fall as Galileo says, keep out of each other, come to rest, and do the same on every machine."""

import hashlib

import numpy as np
import pytest

from inspatio_gym.scenes.synthetic import make_world, physics
from inspatio_gym.scenes.synthetic.shapes import BOX, CYLINDER, ELLIPSOID
from inspatio_gym.scenes.synthetic.solids import Part

FLOOR = (BOX, (5, 5, 1), (0, 0, -1))
MOMENTS = 3 * physics.RATE + 1


def bodies(*rows: tuple, speed=(0, 0, 0), bounce=0.4, grip=0.5) -> physics.Bodies:
    """Rows of shape, half extents, place and perhaps a quaternion."""
    count = len(rows)
    return physics.Bodies(
        shape=np.array([row[0] for row in rows]),
        half=np.array([row[1] for row in rows], float),
        place=np.array([row[2] for row in rows], float),
        turn=np.array([row[3] if len(row) > 3 else (1, 0, 0, 0) for row in rows], float),
        speed=np.tile(np.array(speed, float), (count, 1)),
        spin=np.zeros((count, 3)),
        bounce=np.full(count, bounce),
        grip=np.full(count, grip),
    )


def tumbled(*q: float) -> tuple[float, ...]:
    return tuple(np.array(q) / np.linalg.norm(q))


def test_what_falls_has_gone_half_g_t_squared():
    table = physics.bake(bodies((ELLIPSOID, (0.1,) * 3, (0, 0, 2.0))), bodies(FLOOR), MOMENTS)
    t = np.arange(60) / physics.RATE
    np.testing.assert_allclose(table[:60, 0, 2], 2.0 - physics.GRAVITY * t**2 / 2, atol=0.006)  # half a step behind
    assert np.abs(table[:, 0, :2]).max() == 0


def test_a_ball_bounces_to_the_height_that_its_restitution_says():
    table = physics.bake(bodies((ELLIPSOID, (0.1,) * 3, (0, 0, 1.1)), bounce=0.7), bodies(FLOOR, bounce=1.0), MOMENTS)
    height = table[:, 0, 2] - 0.1
    first = int(np.argmax(height < 0.02))
    assert height[first:].max() == pytest.approx(0.7**2, rel=0.04)


def test_a_ball_that_is_pushed_ends_up_rolling_without_slipping():
    """Friction takes two sevenths of the speed of a solid ball that slides at first, and rolling some of it afterwards."""
    start = bodies((ELLIPSOID, (0.1,) * 3, (0, 0, 0.1)), speed=(1, 0, 0))
    table = physics.bake(start, bodies(FLOOR), MOMENTS)
    speed = np.diff(table[:, 0, 0]) * physics.RATE
    lost = np.exp(
        -2 / 7 * physics.ROLLING_LOSS * 60 / physics.RATE
    )  # two sevenths of a rolling ball's energy is its spin's
    assert speed[60] == pytest.approx(5 / 7 * lost, rel=0.02)
    turn = 2 * np.arctan2(np.abs(table[:, 0, 5]), table[:, 0, 3])  # about y
    assert (turn[70] - turn[60]) * 0.1 == pytest.approx(table[70, 0, 0] - table[60, 0, 0], rel=0.02)


def test_equal_balls_that_meet_head_on_swap_their_speeds():
    start = bodies((ELLIPSOID, (0.1,) * 3, (-0.5, 0, 5.0)), (ELLIPSOID, (0.1,) * 3, (0.5, 0, 5.0)), bounce=1.0)
    start = start._replace(speed=np.array([[2.0, 0, 0], [-1.0, 0, 0]]))
    table = physics.bake(start, bodies(FLOOR), 60)
    before, after = (np.diff(table[k : k + 2, :, 0], axis=0)[0] * physics.RATE for k in (5, 50))
    np.testing.assert_allclose(before, [2, -1], atol=1e-6)
    np.testing.assert_allclose(after, [-1, 2], atol=0.02)


@pytest.mark.parametrize(
    "body",
    [
        (BOX, (0.04, 0.04, 0.04), (0, 0, 0.3), tumbled(0.9, 0.3, 0.2, 0.1)),
        (BOX, (0.08, 0.05, 0.02), (0, 0, 0.3), tumbled(0.2, 0.9, 0.3, 0.1)),
        (CYLINDER, (0.04, 0.04, 0.02), (0, 0, 0.3), tumbled(0.95, 0.2, 0.1, 0)),
    ],
    ids=["cube", "slab", "disc"],
)
def test_what_falls_comes_to_rest_on_one_of_its_faces(body):
    table = physics.bake(bodies(body), bodies(FLOOR), MOMENTS)
    assert np.abs(table[-30:] - table[-1]).max() == 0
    assert min(abs(table[-1, 0, 2] - half) for half in body[1]) < 1e-3


def test_the_same_start_gives_the_same_table_to_the_last_bit_everywhere():
    """The digest is this simulation's, wherever it runs; it changes when the simulation does, and `VERSION` with it."""
    start = bodies(
        (ELLIPSOID, (0.05,) * 3, (0, 0, 0.5)),
        (BOX, (0.04, 0.03, 0.05), (0.03, 0, 0.3), tumbled(0.9, 0.3, 0.2, 0.1)),
        (CYLINDER, (0.03, 0.03, 0.06), (0, 0.04, 0.7), tumbled(0.5, 0.3, 0.7, 0.1)),
    )
    table = physics.bake(start, bodies(FLOOR, (BOX, (0.02, 0.5, 0.1), (0.3, 0, 0.1))), MOMENTS)
    assert hashlib.blake2b(table.tobytes(), digest_size=8).hexdigest() == "3159f039bb9d2d88"


def surface(part: Part, rng: np.random.Generator, count: int = 1500) -> np.ndarray:
    """Random points on a solid's surface, in its own frame."""
    half = np.array(part.size) / 2
    if part.shape == ELLIPSOID:
        p = rng.normal(size=(count, 3))
        return p / np.linalg.norm(p, axis=1, keepdims=True) * half
    p = rng.uniform(-1, 1, (count, 3))
    if part.shape == CYLINDER:
        angle, radius = rng.uniform(0, 2 * np.pi, count), np.where(rng.uniform(size=count) < 0.5, 1, np.abs(p[:, 0]))
        height = np.where(radius < 1, np.sign(p[:, 2]), p[:, 2])
        return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1) * half
    axis = rng.integers(0, 3, count)
    p[np.arange(count), axis] = np.sign(p[np.arange(count), axis])
    return p * half


def depth_inside(part: Part, p: np.ndarray) -> np.ndarray:
    half = np.array(part.size) / 2
    if part.shape == ELLIPSOID:
        return half[0] - np.linalg.norm(p, axis=1)
    if part.shape == CYLINDER:
        return np.minimum(half[0] - np.hypot(p[:, 0], p[:, 1]), half[2] - np.abs(p[:, 2]))
    return (half - np.abs(p)).min(axis=1)


@pytest.mark.parametrize("seed", [1, 3, 5])
def test_nothing_on_a_table_passes_through_anything_by_more_than_two_millimetres(seed: int):
    rng, world = np.random.default_rng(0), make_world("table", seed)
    named = {"ball", "block", "can", "still life", "table", "chair"}
    solids = [(thing, part) for thing in world.objects if thing.name in named for part in thing.parts]
    points = [surface(part, rng) for _, part in solids]
    moving = [k for k, (thing, _) in enumerate(solids) if thing.motion]
    assert len(moving) >= 6
    for time_s in np.arange(0, world.duration, 0.1):
        poses = []
        for thing, part in solids:
            pose = thing.motion(time_s) if thing.motion else np.eye(4)
            turn = pose[:3, :3] @ (np.eye(3) if part.turn is None else part.turn)
            poses.append((turn, pose[:3, :3] @ np.array(part.centre, float) + pose[:3, 3]))
        for k in moving:
            p = points[k] @ poses[k][0].T + poses[k][1]
            for j, (_, other) in enumerate(solids):
                if j != k:
                    assert depth_inside(other, (p - poses[j][1]) @ poses[j][0]).max() < 2e-3


def test_between_two_rows_of_a_table_a_body_is_between_its_poses():
    table = physics.bake(bodies((BOX, (0.04,) * 3, (0, 0, 0.5), tumbled(0.9, 0.3, 0.2, 0.1))), bodies(FLOOR), MOMENTS)
    for k in (0, 40, 200):
        exact = physics.pose_at(table, 0, k / physics.RATE)
        np.testing.assert_allclose(exact[:3, 3], table[k, 0, :3], atol=1e-12)
        between = physics.pose_at(table, 0, (k + 0.5) / physics.RATE)
        np.testing.assert_allclose(between[:3, 3], (table[k, 0, :3] + table[k + 1, 0, :3]) / 2, atol=1e-12)
        np.testing.assert_allclose(between[:3, :3] @ between[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(physics.pose_at(table, 0, -1.0), physics.pose_at(table, 0, 0.0))
    np.testing.assert_array_equal(
        physics.pose_at(table, 0, 99.0), physics.pose_at(table, 0, (MOMENTS - 1) / physics.RATE)
    )
