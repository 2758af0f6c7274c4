"""The STAR world on a GPU: what may differ there, and by how much."""

import numpy as np
import pytest
import torch

from tests.star_worlds import tiny_star
from tests.test_star_model import begin, go_on, request, same

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees"),
]
BATCHING = 0.02
"""Of the latents' norm: how far a world may differ in bfloat16 from itself in another batch, after two blocks."""


@pytest.fixture(scope="module")
def model():
    return tiny_star(device="cuda", dtype=torch.bfloat16)


def test_the_same_session_twice_is_equal(model, room_scene):
    same(*(go_on(model, room_scene, begin(model, room_scene, 3)[0], 3) for _ in range(2)))


def test_a_batch_is_so_many_singles_within_a_bound(model, room_scene):
    singles = [begin(model, room_scene, key)[0] for key in range(4)]
    for session in singles:
        go_on(model, room_scene, session, 1)
    batched, _ = model.start([room_scene] * 4, range(4), [request(room_scene, 0, 9)] * 4)
    model.step(batched, [request(room_scene, 20, 12)] * 4)
    for one, other in zip(singles, batched, strict=True):
        assert (one.previous - other.previous).norm() < BATCHING * one.previous.norm()


def test_a_session_goes_to_the_host_and_comes_back(model, room_scene):
    session, _ = begin(model, room_scene)
    stayed, moved = session.fork(), session.to("cpu")
    assert moved.previous.device.type == "cpu"
    same(go_on(model, room_scene, stayed, 2), go_on(model, room_scene, moved, 2))


def test_a_snapshot_continues_equal(model, room_scene):
    session, _ = begin(model, room_scene)
    snapshot = session.snapshot()
    blocks = go_on(model, room_scene, session, 2)
    other = model.session(room_scene, 0)
    other.restore(snapshot)
    same(blocks, go_on(model, room_scene, other, 2))


def test_float32_there_is_float32_here(room_scene):
    """The same world on both devices: equal noise, equal splats, up to rounding."""
    there, here = tiny_star(device="cuda"), tiny_star()
    sessions = [begin(model, room_scene, 5)[0] for model in (there, here)]
    for model, session in zip((there, here), sessions, strict=True):
        go_on(model, room_scene, session, 1)
    one, other = (session.previous.cpu().numpy() for session in sessions)
    assert np.abs(one - other).mean() < 1e-2 * np.abs(other).mean()
