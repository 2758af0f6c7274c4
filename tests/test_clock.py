"""Laws of the clock: exact time, and what happens at each kind of end."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspatio_gym.clock import Clock

rates = st.one_of(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), st.floats(-50, 50))
ends = st.sampled_from(["bounce", "clamp", "loop", "end"])
steps = st.lists(st.tuples(rates, st.integers(0, 24)), max_size=20)


@given(st.integers(1, 40), ends, steps, st.data())
def test_frames_shown_are_always_frames_of_the_clip(num_frames, ends, steps, data):
    clock = Clock(num_frames, 30, ends=ends)
    clock.reset(frame=data.draw(st.integers(0, num_frames - 1)))
    for rate, frames in steps:
        shown = clock.advance(rate, frames)
        assert shown.shape == (frames,)
        assert shown.dtype == np.int64
        assert ((shown >= 0) & (shown < num_frames)).all()
        assert 0 <= clock.position <= 1
        assert frames == 0 or clock.frame == shown[-1]


@given(st.integers(0, 9), ends, st.integers(1, 30))
def test_a_pause_holds(start, ends, frames):
    clock = Clock(10, 25, ends=ends)
    clock.reset(frame=start)
    assert (clock.advance(0, frames) == start).all()
    assert (clock.rate, clock.time, clock.ended) == (0, start / 25, False)


@given(st.floats(0, 4), st.integers(1, 24), ends)
def test_playing_and_reversing_leads_home(rate, frames, ends):
    clock = Clock(1000, 30, ends=ends)
    clock.reset(frame=500)
    out = clock.advance(rate, frames)
    back = clock.advance(-rate, frames)
    assert back.tolist() == [*out[-2::-1], 500]
    assert clock.time == 500 / 30


@given(st.integers(-64, 64), st.integers(1, 12), ends)
def test_twice_at_half_the_rate_is_once_at_the_rate(eighths, frames, ends):
    slow, fast = Clock(50, 30, ends=ends), Clock(50, 30, ends=ends)
    slow.reset(frame=20)
    fast.reset(frame=20)
    half = np.concatenate([slow.advance(eighths / 16, frames), slow.advance(eighths / 16, frames)])
    assert (half[1::2] == fast.advance(eighths / 8, frames)).all()
    assert slow.time == fast.time


@given(rates, st.integers(1, 12), st.integers(1, 12), ends)
def test_a_long_step_is_two_short_ones(rate, first, second, ends):
    whole, parts = Clock(17, 30, ends=ends), Clock(17, 30, ends=ends)
    expected = whole.advance(rate, first + second)
    assert (np.concatenate([parts.advance(rate, first), parts.advance(rate, second)]) == expected).all()
    assert whole.snapshot() == parts.snapshot()


@pytest.mark.parametrize(("rate", "fps"), [(1.0, 30000 / 1001), (0.1, 30.0), (1 / 3, 23.976)])
def test_time_does_not_drift_over_ten_thousand_steps(rate, fps):
    clock = Clock(1_000_000, fps, ends="clamp")
    last = 0
    for _ in range(10_000):
        last = clock.advance(rate, 12)[-1]
    assert clock.time == pytest.approx(120_000 * rate / fps, rel=1e-8 if rate % 1 else 1e-15)
    assert last == round(120_000 * rate)
    clock.advance(-rate, 100_000)
    clock.advance(-rate, 20_000)
    assert clock.time == 0


@given(steps, steps, ends)
def test_a_restored_clock_runs_on_as_if_nothing_had_happened(before, after, ends):
    clock = Clock(13, 24, ends=ends)
    for step in before:
        clock.advance(*step)
    saved = json.loads(json.dumps(clock.snapshot()))
    first = [clock.advance(*step).tolist() for step in after]
    state = clock.snapshot()
    twin = Clock(13, 24, ends=ends)
    twin.restore(saved)
    assert [twin.advance(*step).tolist() for step in after] == first
    assert twin.snapshot() == state


def test_time_bounces_off_both_ends_and_the_rate_says_so():
    clock = Clock(4, 10)
    assert clock.advance(1, 8).tolist() == [1, 2, 3, 2, 1, 0, 1, 2]
    clock.reset()
    for expected, moving in zip([1, 2, 3, 2, 1, 0, 1], [1, 1, 1, -1, -1, -1, 1], strict=True):
        assert clock.advance(1, 1).tolist() == [expected]
        assert clock.rate == moving
        assert clock.time == pytest.approx(expected / 10)
    assert clock.advance(-1, 4).tolist() == [0, 1, 2, 3]
    assert clock.rate == 1


def test_time_clamps():
    clock = Clock(4, 10, ends="clamp")
    assert clock.advance(1, 3).tolist() == [1, 2, 3]
    assert clock.rate == 1
    assert clock.advance(2, 2).tolist() == [3, 3]
    assert (clock.rate, clock.position, clock.ended) == (0, 1, False)
    assert clock.advance(-1, 1).tolist() == [2]


def test_time_loops():
    clock = Clock(4, 10, ends="loop")
    assert clock.advance(1, 6).tolist() == [1, 2, 3, 0, 1, 2]
    assert clock.advance(-1, 4).tolist() == [1, 0, 3, 2]
    assert clock.rate == -1


def test_the_clip_ends_when_it_has_been_run_out_of_and_not_before():
    clock = Clock(4, 10, ends="end")
    assert clock.advance(1, 3).tolist() == [1, 2, 3]
    assert not clock.ended
    assert clock.advance(1, 2).tolist() == [3, 3]
    assert clock.ended
    clock.reset(time=0.1)
    assert not clock.ended
    assert clock.advance(-1, 2).tolist() == [0, 0]
    assert clock.ended


@pytest.mark.parametrize("ends", ["bounce", "clamp", "loop", "end"])
def test_a_clip_of_one_frame_shows_it(ends):
    clock = Clock(1, 30, ends=ends)
    assert clock.advance(1, 3).tolist() == [0, 0, 0]
    assert (clock.rate, clock.position) == (0, 0)


def test_a_moment_is_rounded_to_the_nearest_frame():
    clock = Clock(10, 30)
    clock.reset(time=0.1)
    assert (clock.frame, clock.time) == (3, pytest.approx(0.1))
    clock.reset(frame=2.5)
    assert clock.frame == 3
    assert clock.advance(0.25, 4).tolist() == [3, 3, 3, 4]


@pytest.mark.parametrize(
    "wrong",
    [{"num_frames": 0, "fps": 30}, {"num_frames": 5, "fps": 0}, {"num_frames": 5, "fps": 30, "ends": "wrap"}],
)
def test_impossible_clocks_are_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        Clock(**wrong)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1e9])
def test_impossible_rates_are_refused_and_change_nothing(rate):
    clock = Clock(10, 30)
    clock.advance(1, 3)
    before = clock.snapshot()
    with pytest.raises(ValueError, match="rate"):
        clock.advance(rate, 1)
    assert clock.snapshot() == before


@pytest.mark.parametrize("moment", [{"frame": 10}, {"frame": -1}, {"time": 0.31}, {"time": float("nan")}])
def test_moments_outside_the_clip_are_refused(moment):
    with pytest.raises(ValueError, match=r"frames 0\.\.9 \(0\.\.0\.3 s\)"):
        Clock(10, 30).reset(**moment)
