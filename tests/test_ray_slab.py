"""Batches in shared memory: what an actor writes is what the driver holds, for as long as it is held."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from inspatio_gym.envs import ray_mail, ray_slab
from inspatio_gym.envs.ray_slab import Bench, Slabs

pytestmark = pytest.mark.skipif(not ray_mail.SHARED.is_dir(), reason="this system has no files without a disk")

SPACE = gym.spaces.Dict(
    {
        "rgb": gym.spaces.Box(0, 255, (3, 5, 3), np.uint8),
        "pose": gym.spaces.Box(-1, 1, (7,), np.float32),
        "kind": gym.spaces.Discrete(3),
    }
)


def test_rows_that_actors_write_are_the_batch_of_the_driver():
    slab = Slabs(SPACE).take(5)
    batch = slab.arrays()
    for rows in (slice(0, 2), slice(2, 5)):
        part = Bench().arrays(SPACE, slab.part(rows))
        for k, row in enumerate(range(rows.start, rows.stop)):
            for array in part.values():
                array[k, ...] = row
    for name, array in batch.items():
        assert array.shape == (5, *SPACE[name].shape)
        assert array.dtype == SPACE[name].dtype
        for row in range(5):
            assert (array[row] == row).all()


def test_a_slab_is_taken_again_only_when_nobody_holds_an_array_of_it():
    slabs = Slabs(SPACE)
    first = slabs.take(4)
    row = first.arrays()["rgb"][1]  # a view of a view
    second = slabs.take(4)
    assert second is not first
    pose = second.arrays()["pose"]
    assert slabs.take(4) not in (first, second)
    del row
    assert slabs.take(4) is first
    assert pose is not None


def test_when_all_slabs_are_in_use_there_is_none():
    slabs = Slabs(SPACE)
    held = [slabs.take(4).arrays() for _ in range(ray_slab.KEPT)]
    assert slabs.take(4) is None
    held.pop()
    assert slabs.take(4) is not None


def test_retired_slabs_are_never_taken_again_and_their_arrays_stay():
    slabs = Slabs(SPACE)
    slab = slabs.take(2)
    late = Bench().arrays(SPACE, slab.part(slice(0, 2)))
    held = slab.arrays()
    slabs.retire()
    fresh = slabs.take(2).arrays()
    fresh["pose"][...] = 0.5
    late["pose"][...] = 1.0  # an actor that was thought dead
    assert (fresh["pose"] == 0.5).all()
    assert (held["pose"] == 1.0).all()


def test_a_hidden_slab_is_found_by_those_who_have_it_mapped_and_by_nobody_else():
    slab = Slabs(SPACE).take(2)
    part = slab.part(slice(1, 2))
    bench = Bench()
    assert bench.arrays(SPACE, part) is not None
    slab.hide()
    assert not Path(slab.path).exists()
    assert bench.arrays(SPACE, part) is not None
    assert Bench().arrays(SPACE, part) is None


def test_without_room_there_is_no_slab(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = set(ray_mail.SHARED.iterdir())
    monkeypatch.setattr(ray_slab.os, "posix_fallocate", full)
    assert Slabs(SPACE).take(2) is None
    assert set(ray_mail.SHARED.iterdir()) <= before
