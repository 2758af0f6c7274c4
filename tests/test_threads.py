"""Work shared out over threads is done once, whole, and without waiting for itself."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspatio_gym.layers import LayerStore
from inspatio_gym.threads import spread, threads


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 40), workers=st.integers(1, 9), least=st.integers(1, 10))
def test_every_job_is_done_once(count: int, workers: int, least: int):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INSPATIO_GYM_THREADS", str(workers))
        done: list[int] = []
        spread(lambda first, last: done.extend(range(first, last)), count, least=least)
        assert sorted(done) == list(range(count))


def test_jobs_run_side_by_side(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_THREADS", "3")
    meet = threading.Barrier(3, timeout=20)  # nobody passes before all have come
    spread(lambda first, last: meet.wait(), 3)


def test_jobs_may_have_jobs_of_their_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_THREADS", "3")
    done: list[int] = []
    spread(lambda a, b: spread(lambda c, d: spread(lambda e, f: done.append(1), 3), 3), 3)
    assert len(done) == 27


def test_nobody_works_on_when_an_error_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_THREADS", "2")
    both, done = threading.Barrier(2, timeout=20), threading.Event()

    def work(first: int, last: int) -> None:
        both.wait()
        if first == 0:
            raise KeyError("ours")
        time.sleep(0.2)
        done.set()

    with pytest.raises(KeyError, match="ours"):
        spread(work, 2)
    assert done.is_set()


def test_an_error_in_any_job_is_raised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_THREADS", "2")
    for bad in (0, 1):

        def work(first: int, last: int, bad: int = bad) -> None:
            if first == bad:
                raise RuntimeError("a bug")

        with pytest.raises(RuntimeError, match="a bug"):
            spread(work, 2)


@pytest.mark.parametrize("setting", ["0", "-1", "two", "1.5"])
def test_a_setting_that_is_no_number_is_refused(setting: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_THREADS", setting)
    with pytest.raises(ValueError, match="expected INSPATIO_GYM_THREADS to be a whole number from 1 on, got"):
        threads()
    monkeypatch.setenv("INSPATIO_GYM_LAYER_MB", setting)
    with pytest.raises(ValueError, match="expected INSPATIO_GYM_LAYER_MB to be"):
        LayerStore((32, 32), background=True)


def test_a_setting_bounds_the_memory_of_layers(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_LAYER_MB", "3")
    store = LayerStore((32, 32), background=True)
    assert 2 * 2**20 < store.capacity * store.slot_bytes <= 3 * 2**20
