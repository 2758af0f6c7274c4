"""Synthetic worlds on a GPU: the same worlds and cameras, and pixels within a bound of the CPU's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from inspatio_gym.scenes.synthetic import STYLES, WORLDS  # noqa: E402
from inspatio_gym.scenes.synthetic.batch import stream  # noqa: E402

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees"),
]
EDGES = 0.002
"""Share of pixels that rounding may throw to the other side of an edge, of a thing or of a pattern."""


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", list(WORLDS))
def test_a_stream_on_the_gpu_is_the_one_on_the_cpu(name: str, style: str):
    diet = {"seed": 1, "batch": 8, "frames": 4, "size": (64, 112), "names": (name,), "styles": (style,)}
    here, there = stream(**diet), stream(**diet, device="cuda")
    one, other = next(here), next(there)
    assert one.world == other.world
    for field in ("c2w", "intrinsics", "time_s"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))
    assert other.rgb.is_cuda
    assert other.depth.is_cuda
    rgb, depth, object_id = (getattr(other, field).cpu().numpy() for field in ("rgb", "depth", "object_id"))
    assert (object_id != one.object_id).mean() < EDGES
    assert (np.abs(depth / one.depth - 1) > 1e-6).mean() < EDGES
    assert (np.abs(rgb.astype(int) - one.rgb).max(axis=-1) > 2).mean() < EDGES


def test_rendering_twice_is_equal():
    diet = {"seed": 2, "batch": 8, "size": (64, 112), "device": "cuda"}
    one, other = (next(stream(**diet)) for _ in range(2))
    assert torch.equal(one.rgb, other.rgb)
    assert torch.equal(one.depth, other.depth)
