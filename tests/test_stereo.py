"""Triangulation of flow, completion of maps, and the ground: exact input gives exact output."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspatio_gym.geometry.poses import rotation_ypr
from inspatio_gym.scenes.estimate.completion import complete
from inspatio_gym.scenes.estimate.ground import find_ground
from inspatio_gym.scenes.estimate.sfm import Structure
from inspatio_gym.scenes.estimate.stereo import triangulate_flow

SIZE = (20, 30)
CAMERA = np.array([[40.0, 0, 14.5], [0, 40, 9.5], [0, 0, 1]])
TEXTURED = np.tile(np.float32([1e4, 0, 1e4]), (*SIZE, 1))
Y, X = np.mgrid[: SIZE[0], : SIZE[1]].astype(np.float64)


def exact_flow(inverse: np.ndarray, rotation: np.ndarray, translation: np.ndarray):
    """Flow that a map of inverse depths makes in a camera (R, t) away, and the maps A and b."""
    turn, shift = CAMERA @ rotation @ np.linalg.inv(CAMERA), CAMERA @ translation
    there = np.dstack([X, Y, np.ones_like(X)]) @ turn.T + inverse[..., None] * shift
    return np.dstack([there[..., 0] / there[..., 2] - X, there[..., 1] / there[..., 2] - Y]), turn, shift


def votes_of(flows: list, agreement: float = 1.0):
    flow, turn, shift = (np.array(part) for part in zip(*flows, strict=True))
    return triangulate_flow(
        flow.astype(np.float32), np.full(flow.shape[:3], agreement, np.float32), turn, shift, TEXTURED
    )


@settings(max_examples=25, deadline=None)
@given(
    turn=st.tuples(*[st.floats(-5, 5)] * 3),
    way=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda way: np.hypot(way[0], way[1]) > 0.2),  # not straight ahead
    seed=st.integers(0, 99),
)
def test_exact_flow_gives_back_inverse_depth(turn: tuple, way: tuple, seed: int):
    inverse = np.random.default_rng(seed).uniform(0.05, 1, SIZE)
    step = 0.3 * np.array(way)
    moves = [(rotation_ypr(*turn), step), (rotation_ypr(*turn).T, -step)]
    votes = votes_of([exact_flow(inverse, *move) for move in moves])
    told = votes.information > 25  # known to a fifth: away from the epipole
    assert told.mean() > 0.5
    np.testing.assert_allclose(votes.inverse[told], inverse[told], atol=0.02)
    assert votes.contradiction[told].max() < 0.01


def test_what_crosses_its_epipolar_lines_contradicts():
    flow, turn, shift = exact_flow(np.full(SIZE, 0.5), np.eye(3), np.array([0.3, 0, 0]))
    flow[:, 15:, 1] += 5  # the right half also falls
    votes = votes_of([(flow, turn, shift), exact_flow(np.full(SIZE, 0.5), np.eye(3), np.array([-0.3, 0, 0]))])
    assert votes.contradiction[:, :15].max() < 0.01
    assert votes.contradiction[:, 15:].min() > 0.4


def test_one_wrong_neighbour_of_three_is_outvoted():
    inverse = np.full(SIZE, 0.5)
    flows = [exact_flow(inverse, np.eye(3), np.array([step, 0.05, 0])) for step in (0.2, -0.2, 0.3)]
    flows[2][0][..., 0] += 8
    np.testing.assert_allclose(votes_of(flows).inverse, 0.5, atol=0.02)


def test_nobody_votes_where_every_neighbour_is_hidden():
    votes = votes_of([exact_flow(np.full(SIZE, 0.5), np.eye(3), np.array([0.3, 0, 0]))], agreement=0.0)
    assert not votes.information.any()
    assert not votes.inverse.any()


def test_texture_along_the_line_is_what_counts():
    flow, turn, shift = exact_flow(np.full(SIZE, 0.5), np.eye(3), np.array([0.3, 0, 0]))
    stripes = TEXTURED * np.float32([0, 0, 1])  # edges that run along the lines
    arguments = (flow[None].astype(np.float32), np.ones((1, *SIZE), np.float32), turn[None], shift[None])
    along, across = triangulate_flow(*arguments, stripes), triangulate_flow(*arguments, TEXTURED)
    assert (along.information < 1e-3 * across.information).all()
    assert not along.texture.any()


# --- completion -------------------------------------------------------------------------------------------------------


def test_one_value_fills_a_plain_map_and_constants_stay():
    guide = np.random.default_rng(0).integers(0, 255, SIZE, np.uint8)
    weight = np.zeros(SIZE, np.float32)
    weight[3, 4] = 1
    value = np.full(SIZE, 2.5, np.float32)
    np.testing.assert_allclose(complete(value, weight, np.zeros_like(guide), reach=60, sigma=8), 2.5, rtol=1e-5)
    weight = np.random.default_rng(1).uniform(0, 1, SIZE).astype(np.float32)
    np.testing.assert_allclose(complete(value, weight, guide, reach=60, sigma=8), 2.5, rtol=1e-5)


def test_values_stop_at_an_edge_of_the_guide_and_stay_between_their_extremes():
    guide = np.where(X < 15, 40, 220).astype(np.uint8)
    value, weight = np.zeros(SIZE, np.float32), np.zeros(SIZE, np.float32)
    value[10, 3], value[10, 26], weight[10, 3], weight[10, 26] = 1, 3, 1, 1
    filled = complete(value, weight, guide, reach=60, sigma=8)
    np.testing.assert_allclose(filled[:, :15], 1, atol=0.05)
    np.testing.assert_allclose(filled[:, 15:], 3, atol=0.05)
    assert filled.min() >= 1 - 1e-5
    assert filled.max() <= 3 + 1e-5


# --- the ground -------------------------------------------------------------------------------------------------------


def structure_of(points: np.ndarray, cameras: np.ndarray) -> Structure:
    count = len(points)
    return Structure(
        cameras, points, np.full(count, 5.0), 300.0, np.zeros(count, bool), 1.0, 1.0, 0.1, list(range(len(cameras)))
    )


@pytest.mark.parametrize(("pitch_deg", "roll_deg"), [(0, 0), (-6, 0), (4, 3)])
def test_the_ground_is_found_among_walls_and_traffic(pitch_deg: float, roll_deg: float):
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.uniform(-3, 3, 300), np.full(300, 1.0), rng.uniform(2, 15, 300)])
    wall = np.column_stack([np.full(200, 3.0), rng.uniform(-3, 1, 200), rng.uniform(2, 15, 200)])
    cloud = np.column_stack([rng.uniform(-3, 3, 100), rng.uniform(-2, 0.9, 100), rng.uniform(3, 15, 100)])
    cameras = np.tile(np.eye(4), (5, 1, 1))
    cameras[:, :3, :3] = rotation_ypr(0.0, pitch_deg, roll_deg).T
    cameras[:, 2, 3] = -0.1 * np.arange(5)  # world to camera: it drives forwards
    found = find_ground(structure_of(np.concatenate([ground, wall, cloud]), cameras), (240, 416))
    assert found.found == 1
    for plane in found.planes:
        np.testing.assert_allclose(plane, [0, 1, 0, 1], atol=0.05)
    normal = found.normal(0, cameras[0])
    assert normal is not None
    inside = ground @ cameras[0, :3, :3].T + cameras[0, :3, 3]
    np.testing.assert_allclose(inside @ normal, 1, atol=0.1)


def test_no_ground_is_made_of_a_cloud_of_points():
    points = np.random.default_rng(0).uniform([-3, -3, 2], [3, 3, 10], (300, 3))
    found = find_ground(structure_of(points, np.tile(np.eye(4), (5, 1, 1))), (240, 416))
    assert found.found == 0
    assert found.normal(0, np.eye(4)) is None


def test_the_guide_may_be_a_photograph():
    """Real pictures have every grey level; the table of the kernel must hold them all."""
    guide = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, SIZE).astype(np.uint8), (0, 0), 1)
    guide[0, :2] = 0, 255
    filled = complete(np.ones(SIZE, np.float32), np.ones(SIZE, np.float32), guide, reach=30, sigma=8)
    np.testing.assert_allclose(filled, 1, rtol=1e-5)
