"""The view of a vector environment that SB3 gets: exact arrays from an environment that counts its steps."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv

from inspatio_gym.envs.sb3 import by_world, to_sb3


class Counting(gym.Env):
    """Observes (world's name, episode, step); world k terminates at step k + 2, or is truncated if k is odd."""

    observation_space = gym.spaces.Dict(
        {"count": gym.spaces.Box(-1, 10_000, (3,), np.float32), "rgb": gym.spaces.Box(0, 255, (4, 4, 3), np.uint8)}
    )
    action_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    render_mode = None

    def __init__(self, name: int, plain: bool = False):
        self.name, self.plain, self.episode, self.length = name, plain, 0, name + 2
        if plain:
            self.observation_space = Counting.observation_space["count"]

    def observe(self):
        count = np.array([self.name, self.episode, self.t], np.float32)
        return count if self.plain else {"count": count, "rgb": np.full((4, 4, 3), self.t, np.uint8)}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.episode = 0, self.episode + 1
        return self.observe(), {"seed": -1 if seed is None else seed, "start": options or {}}

    def step(self, action):
        self.t += 1
        ended = self.t == self.length
        info = {"t": self.t, "late": True} if self.t > 1 else {"t": self.t}
        return self.observe(), float(action[0]), ended and self.name % 2 == 0, ended and self.name % 2 == 1, info


def worlds(mode: AutoresetMode, plain: bool = False, num: int = 3) -> VectorEnv:
    return SyncVectorEnv([lambda k=k: Counting(k, plain) for k in range(num)], autoreset_mode=mode)


def history(venv, steps: int):
    """Observations, rewards, dones, infos and reset infos over `steps` steps."""
    venv.seed(100)
    seen = [(venv.reset(), [dict(info) for info in venv.reset_infos])]
    for t in range(steps):
        result = venv.step(np.full((venv.num_envs, 2), t / 10, np.float32))
        seen.append((*result, [dict(info) for info in venv.reset_infos]))
    return seen


def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return np.array_equal(a, b)


@pytest.mark.parametrize("mode", list(AutoresetMode))
@pytest.mark.parametrize("plain", [False, True])
def test_every_autoreset_mode_looks_like_sb3s_own_vec_env(mode: AutoresetMode, plain: bool):
    ours = history(to_sb3(worlds(mode, plain)), 12)
    theirs = history(DummyVecEnv([lambda k=k: Counting(k, plain) for k in range(3)]), 12)
    for ours_t, theirs_t in zip(ours, theirs, strict=True):
        assert same(ours_t, theirs_t), (ours_t, theirs_t)


def test_the_last_observation_and_the_kind_of_end_are_told():
    venv = to_sb3(worlds(AutoresetMode.NEXT_STEP))
    venv.reset()
    for _ in range(3):
        observations, _, dones, infos = venv.step(np.zeros((3, 2), np.float32))
    assert dones.tolist() == [False, True, False]  # world 0 ended a step before
    assert observations["count"].tolist() == [[0, 2, 1], [1, 2, 0], [2, 1, 3]]
    assert infos[1]["terminal_observation"]["count"].tolist() == [1, 1, 3]
    assert infos[1]["TimeLimit.truncated"] is True
    assert "terminal_observation" not in infos[0]
    assert infos[2]["t"] == 3
    _, _, dones, infos = venv.step(np.zeros((3, 2), np.float32))
    assert dones.tolist() == [True, False, True]
    assert infos[2]["TimeLimit.truncated"] is False


def test_options_reach_every_world_once():
    venv = to_sb3(worlds(AutoresetMode.NEXT_STEP, num=2))
    venv.set_options({"time": 2})
    venv.reset()
    assert [info["start"] for info in venv.reset_infos] == [{"time": 2}, {"time": 2}]
    venv.reset()
    assert [info["start"] for info in venv.reset_infos] == [{}, {}]
    venv.set_options([{"time": 1}, {"time": 2}])
    with pytest.raises(ValueError, match="same reset options"):
        venv.reset()


def test_environments_that_cannot_be_adapted_are_refused():
    unstated = worlds(AutoresetMode.NEXT_STEP)
    unstated.metadata = {}
    with pytest.raises(ValueError, match="autoreset mode"):
        to_sb3(unstated)
    venv = to_sb3(worlds(AutoresetMode.NEXT_STEP))
    with pytest.raises(NotImplementedError, match=r"venv\.envs\.fork"):
        venv.env_method("fork")
    assert venv.get_attr("num_envs", [0, 2]) == [3, 3]


def test_infos_are_sorted_by_world():
    batched = {
        "x": np.arange(3), "_x": np.array([True, False, True]),
        "metrics": {"y": np.ones(3)},
        "_metrics": np.array([False, True, False]),
    }  # fmt: skip
    assert by_world(batched, 3) == [{"x": 0}, {"metrics": {"y": 1.0}}, {"x": 2}]
