"""Training goes on while its actors are killed, and sees what it would have seen without."""

import pytest

pytest.importorskip("ray")
pytest.importorskip("stable_baselines3")

from benchmarks.chaos import Config, chaos


@pytest.mark.slow
def test_training_sees_the_same_transitions_whoever_is_killed():
    outcome = chaos(Config(minutes=0.25, every=2.0, num_envs=4, timeout_s=60.0))
    assert outcome.sound, outcome
    assert outcome.kills >= 2
    assert outcome.restarts >= 1
    assert outcome.transitions >= 4 * 64
