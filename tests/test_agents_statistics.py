"""Intervals by bootstrap keep the laws of means."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from inspatio_gym.agents.statistics import bootstrap

samples = arrays(np.float64, st.integers(1, 40), elements=st.floats(-1e3, 1e3))


@settings(max_examples=30, deadline=None)
@given(samples)
def test_the_interval_holds_the_mean_and_lies_within_the_sample(sample: np.ndarray):
    mean, low, high = bootstrap(sample)
    assert mean == sample.mean()
    slack = 1e-9 * max(1.0, np.abs(sample).max())
    assert sample.min() - slack <= low <= high <= sample.max() + slack
    assert low - slack <= mean <= high + slack or len(sample) < 10  # few values make a skewed bootstrap


@settings(max_examples=20, deadline=None)
@given(samples, st.floats(-100, 100), st.floats(0.1, 10))
def test_it_moves_and_grows_with_the_sample(sample: np.ndarray, shift: float, scale: float):
    moved = bootstrap(scale * sample + shift)
    expected = [scale * value + shift for value in bootstrap(sample)]
    assert moved == pytest.approx(expected, abs=1e-6 * (1 + np.abs(sample).max() * scale + abs(shift)))


def test_the_same_values_give_the_same_interval():
    sample = np.random.default_rng(0).normal(size=50)
    assert bootstrap(sample) == bootstrap(sample)


def test_more_confidence_is_wider_and_more_values_narrower():
    sample = np.random.default_rng(0).normal(size=400)
    sure, unsure, few = bootstrap(sample, 0.99), bootstrap(sample, 0.5), bootstrap(sample[:25])
    assert sure.low < unsure.low < unsure.high < sure.high
    assert few.high - few.low > bootstrap(sample).high - bootstrap(sample).low


def test_it_covers_the_truth_about_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(3.0, 2.0, (200, 50))
    covered = np.mean([low <= 3.0 <= high for _, low, high in map(bootstrap, draws)])
    assert 0.88 <= covered <= 0.99


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]]])
def test_values_that_have_no_mean_are_refused(values: list):
    with pytest.raises(ValueError, match="expected one or more finite values"):
        bootstrap(values)
