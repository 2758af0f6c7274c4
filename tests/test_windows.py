"""Windows of a path, each in a world and a unit of its own, become one path again."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes.estimate.windows import Window, join, spans


def test_spans_cover_every_frame_and_share_the_overlap():
    assert spans(10, 32, 8) == [(0, 10)]
    assert spans(32, 32, 8) == [(0, 32)]
    assert spans(33, 32, 8) == [(0, 32), (24, 33)]
    for frames in range(1, 120):
        found = spans(frames, 32, 8)
        assert found[0][0] == 0
        assert found[-1][1] == frames
        assert all(end - start == 8 for (_, end), (start, _) in pairwise(found))


def cut(c2w: NDArray[np.float64], depth: NDArray[np.float32], *, noise: float = 0.0) -> list[Window]:
    """Windows of 12 frames, 4 shared, all but the first in a random world and unit; some pixels are wrong and unsure."""
    rng = np.random.default_rng(0)
    windows = []
    for first, end in spans(len(c2w), 12, 4):
        scale, world = (1.0, np.eye(4)) if first == 0 else (
            float(rng.uniform(0.2, 5)),
            compose(rotation_ypr(*rng.uniform(-180, 180, 3)), rng.normal(size=3)),
        )  # fmt: skip
        moved = c2w[first:end].copy()
        moved[:, :3, 3] *= scale
        part = depth[first:end] * np.float32(scale)
        sure = rng.uniform(2, 3, part.shape).astype(np.float32)
        wrong = rng.uniform(size=part.shape) < 0.17
        sure[wrong] = 1
        part = np.where(wrong, part * rng.uniform(1, 9), part * (1 + noise * rng.normal(size=part.shape)))
        windows.append(Window(first, world @ moved, part.astype(np.float32), sure, np.ones((end - first, 2))))
    return windows


def path(kind: str, count: int = 30) -> NDArray[np.float64]:
    time = np.arange(count)
    turns = rotation_ypr(4 * time * (kind != "rest"), np.sin(time) * (kind != "rest"))
    places = np.column_stack([0.1 * time, np.sin(time / 5), 0.3 * time]) * (kind == "moving")
    return compose(turns, places)


@pytest.mark.parametrize("kind", ["moving", "turning", "rest"])
def test_any_path_is_put_together_again(kind: str):
    true = path(kind)
    depth = np.random.default_rng(1).uniform(1, 9, (30, 6, 8)).astype(np.float32)
    joined = join(cut(true, depth))
    np.testing.assert_allclose(joined.c2w, true, atol=1e-5)
    assert joined.depth.shape == depth.shape
    assert np.median(np.abs(joined.depth / depth - 1)) < 1e-5
    assert len(joined.scales) == 4
    assert joined.apart < 1e-5


def test_windows_that_agree_less_say_so_and_one_alone_stays_as_it_is():
    true, depth = path("moving"), np.full((30, 6, 8), 2, np.float32)
    joined = join(cut(true, depth, noise=0.05))
    assert 0.02 < joined.apart < 0.2
    assert np.linalg.norm(joined.c2w[:, :3, 3] - true[:, :3, 3], axis=1).max() < 0.5
    (alone,) = cut(true[:10], depth[:10])
    assert join([alone]).apart == 0
    np.testing.assert_array_equal(join([alone]).c2w, true[:10])
