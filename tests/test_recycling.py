"""Recycled arrays: memory comes back once nobody can see it, and never before."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inspatio_gym.recycling import KEPT, LARGE, Recycler

SHAPE = (2, LARGE)


def where(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_memory_that_nobody_sees_is_used_again():
    recycler = Recycler()
    array = recycler.empty(SHAPE, np.uint8)
    assert (array.shape, array.dtype) == (SHAPE, np.uint8)
    before = where(array)
    del array
    assert where(recycler.empty(SHAPE, np.uint8)) == before


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[1, 5:9],
        lambda array: array[0].reshape(-1, 2).T,
        lambda array: memoryview(array),
        lambda array: {"rgb": array[0]},
        lambda array: array.view(np.int8),
    ],
)
def test_whoever_holds_any_part_of_an_array_keeps_it(hold):
    recycler = Recycler()
    array = recycler.empty(SHAPE, np.uint8)
    array[:] = 7
    held, before = hold(array), where(array)
    del array
    others = [recycler.empty(SHAPE, np.uint8) for _ in range(2 * KEPT)]
    assert before not in [where(other) for other in others]
    assert len({where(other) for other in others}) == 2 * KEPT
    for other in others:
        other[:] = 0
    assert np.asarray(held["rgb"] if isinstance(held, dict) else held).ravel()[0] == 7


def test_a_tensor_made_of_an_array_keeps_it():
    torch = pytest.importorskip("torch")
    recycler = Recycler()
    tensor = torch.from_numpy(recycler.empty(SHAPE, np.uint8))
    tensor[:] = 7
    recycler.empty(SHAPE, np.uint8)[:] = 0
    assert (tensor == 7).all()


def test_batches_of_all_sizes_share_their_memory():
    recycler = Recycler()
    for worlds in (*range(1, 65), *range(64, 0, -1)):
        recycler.empty((worlds, LARGE // 4), np.uint8)
    kept = sum(buffer.nbytes for buffers in recycler._kept.values() for buffer in buffers)
    assert kept <= 2 * 64 * LARGE // 4 * 2


def test_threads_never_share_an_array():
    recycler, torn = Recycler(), []

    def work(mark: int) -> None:
        for _ in range(300):
            array = recycler.empty(SHAPE, np.uint8)
            array[0, :64] = mark
            torn.append((array[0, :64] != mark).any())

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(4)))
    finally:
        sys.setswitchinterval(switch)
    assert len(torn) == 1200
    assert not any(torn)


def test_kinds_do_not_mix_and_small_arrays_are_plain():
    recycler = Recycler()
    recycler.empty(SHAPE, np.uint8)
    assert recycler.empty(SHAPE, np.float32).dtype == np.float32
    assert recycler.empty(SHAPE[::-1], np.uint8).shape == SHAPE[::-1]
    assert recycler.empty((3, 4), np.uint8).flags.owndata
