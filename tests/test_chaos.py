"""Training goes on while its actors are killed, and sees what it would have seen without."""

import subprocess
import time
from types import SimpleNamespace

import numpy as np
import pytest

from inspatio_gym.envs.vector_env import InSpatioVectorEnv

pytest.importorskip("ray")
pytest.importorskip("stable_baselines3")
from benchmarks import chaos


@pytest.mark.slow
def test_training_sees_the_same_transitions_whoever_is_killed():
    outcome = chaos.chaos(chaos.Config(minutes=0.25, every=2.0, num_envs=4))
    assert outcome.sound, outcome
    assert outcome.restarts == outcome.kills >= 2
    assert outcome.transitions >= 4 * 64


def test_a_murderer_rests_while_worlds_take_some_steps():
    victims = [subprocess.Popen(["bash", "-c", "exec -a ray::victim sleep 60"]) for _ in range(2)]
    recorder, pids = SimpleNamespace(steps=0), [victim.pid for victim in victims]

    def wait_for(kills: int) -> None:
        late = time.monotonic() + 20
        while murderer.kills < kills and time.monotonic() < late:
            time.sleep(0.01)

    try:
        with chaos.Murderer(SimpleNamespace(actor_pids=pids), recorder, every=0.01, seed=0) as murderer:  # type: ignore[arg-type]
            wait_for(1)
            recorder.steps = chaos.REST - 1
            time.sleep(0.2)
            assert murderer.kills == 1
            recorder.steps = chaos.REST
            wait_for(2)
        assert murderer.kills == 2
    finally:
        for victim in victims:
            victim.kill()
            victim.wait()


@pytest.mark.parametrize("mishap", ["none", "lost", "doubled", "swapped"])
def test_a_transition_that_is_lost_or_doubled_or_another_worlds_is_found(mishap):
    worlds = {"scene": "room", "model": "fake", "size": (48, 80)}
    recorder = chaos.Recorder(InSpatioVectorEnv(3, **worlds))
    recorder.reset()
    recorder.action_space.seed(0)
    for _ in range(6):
        recorder.step(0.2 * recorder.action_space.sample())
    if mishap == "lost":
        del recorder.asked[3], recorder.answered[3]
    if mishap == "doubled":
        recorder.step(np.zeros((3, 7)))
        recorder.answered.insert(3, recorder.answered[3])
        recorder.answered.pop()
    if mishap == "swapped":
        recorder.answered[4] = recorder.answered[4][::-1]
    outcome = chaos.Outcome()
    chaos.compare(recorder, InSpatioVectorEnv(3, **worlds), outcome)
    assert outcome.differing == {"none": 0, "swapped": 2}.get(mishap, outcome.differing or -1)
    assert ("none" if mishap == "none" else " a step") in outcome.first_difference
