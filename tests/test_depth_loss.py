"""What the depth network is taught and how it is judged: answers worked by hand, and what must not matter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from inspatio_gym.training.augment import Clips, crop, disguise  # noqa: E402
from inspatio_gym.training.depth_loss import correspondence, losses, normalised  # noqa: E402
from inspatio_gym.training.depth_score import fit, score  # noqa: E402


def test_scale_and_shift_of_a_line():
    x = np.array([0.0, 1.0, 3.0], np.float32)
    assert fit(x, 2 * x + 5) == pytest.approx((2, 5))
    # Slope 6/4 through the mean (1, 2) of (0, 1), (0, 0), (3, 5): least squares by hand.
    assert fit(np.array([0, 0, 3], np.float32), np.array([1, 0, 5], np.float32)) == pytest.approx((1.5, 0.5))


def test_a_constant_answer_is_fitted_by_the_mean():
    depth = np.array([[1.0, 2.0, 4.0]], np.float32)
    found = score(np.full((1, 3), 7, np.float32), depth)  # 1 / mean(1, 1/2, 1/4) = 12/7 everywhere
    assert found.abs_rel == pytest.approx((5 / 7 + 1 / 7 + 4 / 7) / 3)
    assert found.delta == pytest.approx(1 / 3)  # 2 / (12/7) is under 1.25; 12/7 and 7/3 are not


def test_any_scale_and_shift_of_the_truth_is_perfect_and_the_sky_does_not_count():
    depth = np.linspace(1, 3, 60, dtype=np.float32).reshape(6, 10)
    inverse = 3 / depth - 0.2
    depth[0, 0], inverse[0, 0] = 1e6, 99
    assert score(inverse, depth) == pytest.approx((0, 1), abs=1e-5)
    assert score(-inverse, depth).abs_rel == pytest.approx(0, abs=1e-5)  # the sign is part of the scale


def scenes(seed: int = 0) -> tuple[Any, ...]:
    """Predicted inverse depth, true depth (2, 2, 32, 48), cameras a step to the right apart, pinholes."""
    draw = torch.Generator().manual_seed(seed)
    depth = 1 + 3 * torch.rand(2, 2, 32, 48, generator=draw)
    predicted = 0.1 + torch.rand(2, 2, 32, 48, generator=draw)
    c2w = torch.eye(4).repeat(2, 2, 1, 1)
    c2w[:, 1, 0, 3] = 0.1
    pinhole = torch.tensor([[40.0, 0, 23.5], [0, 40, 15.5], [0, 0, 1]]).repeat(2, 1, 1)
    return predicted, depth, c2w, pinhole


@settings(max_examples=15, deadline=None)
@given(scale=st.floats(0.01, 100), shift=st.floats(0, 10))
def test_scale_and_shift_of_the_answer_do_not_matter_but_to_the_logarithm(scale: float, shift: float):
    predicted, *rest = scenes()
    plain, other, scaled = (losses(p, *rest) for p in (predicted, scale * predicted + shift, scale * predicted))
    for name in ("ssi", "gradient", "steady"):
        assert float(getattr(other, name)) == pytest.approx(float(getattr(plain, name)), rel=2e-3)
    assert float(scaled.log) == pytest.approx(float(plain.log), rel=1e-4)


def test_the_truth_costs_nothing_and_a_wrong_shift_costs_the_logarithm_alone():
    _, depth, c2w, pinhole = scenes()
    for value in losses(2 / depth, depth, c2w, pinhole):
        assert float(value) == pytest.approx(0, abs=1e-5)
    shifted = losses(2 / depth + 1, depth, c2w, pinhole)
    assert float(shifted.ssi) == pytest.approx(0, abs=1e-5)
    assert float(shifted.log) > 0.1


def test_normalised_by_hand():
    x = torch.tensor([1.0, 2.0, 6.0]).view(1, 1, 1, 3)  # median 2, mean distance from it 5/3
    assert normalised(x).flatten().tolist() == pytest.approx([-0.6, 0, 2.4])


def test_a_scale_that_changes_within_a_clip_costs_steadiness():
    depth = torch.linspace(1, 3, 32 * 48).view(1, 1, 32, 48).repeat(1, 2, 1, 1)
    still = torch.eye(4).repeat(1, 2, 1, 1)
    pinhole = scenes()[3][:1]
    gain = torch.tensor([1.0, 1.3]).view(1, 2, 1, 1)
    assert float(losses(1 / depth, depth, still, pinhole).steady) == pytest.approx(0, abs=1e-6)
    assert float(losses(gain / depth, depth, still, pinhole).steady) > 0.1


def test_a_wall_moves_by_focal_times_step_over_depth():
    depth = torch.full((1, 32, 48), 2.0)
    motion = torch.eye(4)[None].clone()
    motion[0, 0, 3] = 0.1  # points move right by 40 * 0.1 / 2 = 2 pixels
    grid, same = correspondence(depth, depth, motion, scenes()[3][:1])
    columns = (grid[0, :, :, 0] + 1) / 2 * 47
    assert torch.allclose(columns, torch.arange(48.0).expand(32, 48) + 2, atol=1e-3)
    assert same[0, :, :46].all()
    assert not same[0, :, 46:].any()  # beyond the picture's edge
    _, other = correspondence(depth, 1.2 * depth, motion, scenes()[3][:1])
    assert not other.any()  # something else stands there


def clips(rgb: Any) -> Clips:
    _, depth, c2w, pinhole = scenes()
    return Clips(rgb, depth, torch.randint(0, 9, depth.shape), c2w, pinhole)


def test_a_crop_keeps_every_ray():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    made = clips(torch.stack([x / 47, y / 31, torch.zeros_like(x)]).expand(2, 2, -1, -1, -1).clone())
    found = crop(made, (24, 16), torch.Generator().manual_seed(3))
    assert found.depth.shape == (2, 2, 24, 16)
    rows, cols = torch.meshgrid(torch.arange(24.0), torch.arange(16.0), indexing="ij")
    pixels = torch.stack([cols, rows, torch.ones_like(cols)]).flatten(1)
    for rgb, before, after in zip(found.rgb, made.intrinsics, found.intrinsics, strict=True):
        was = torch.stack([47 * rgb[0, 0], 31 * rgb[0, 1], torch.ones(24, 16)]).flatten(1)
        assert torch.allclose(torch.linalg.inv(before) @ was, torch.linalg.inv(after) @ pixels, atol=2e-4)


def test_a_disguise_changes_colours_alone_and_follows_from_its_seed():
    made = clips(torch.rand(2, 2, 3, 32, 48))
    one, same, other = (disguise(made, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.rgb, same.rgb)
    assert not torch.equal(one.rgb, other.rgb)
    assert torch.equal(one.depth, made.depth)
    assert float(one.rgb.min()) >= 0
    assert float(one.rgb.max()) <= 1
