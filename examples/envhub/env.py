"""Worlds made of videos for LeRobot's EnvHub: `make_env` is what it calls.

    from lerobot.envs.factory import make_env
    envs = make_env("you/your-repository", n_envs=4, trust_remote_code=True)["inspatio"][0]

Without LeRobot, from this folder: `from env import make_env`. An observation is in LeRobot's words,

    pixels["rgb"]   uint8   (H, W, 3)   what the camera sees
    agent_pos       float32 (9,)        pose of the camera (position; quaternion w, x, y, z), position and rate of time

which its evaluation hands to a policy as `observation.images.rgb` and `observation.state`: the names that they have in a
dataset of `inspatio-gym collect --format lerobot`.

Ref: https://huggingface.co/docs/lerobot/envhub
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import inspatio_gym  # noqa: F401  registers the environments

SUITE = "inspatio"
DEFAULTS = {"scene": "room", "size": (96, 160)}


class LeRobotView(gym.Wrapper):
    """One world in LeRobot's words; `task_description` is what a language-conditioned policy is told."""

    def __init__(self, env: gym.Env, task: str):
        super().__init__(env)
        self.task, self.task_description = task, f"{task} the scene"
        parts = env.observation_space.spaces
        bounds = [np.concatenate([getattr(parts[key], end) for key in ("pose", "time")]) for end in ("low", "high")]
        self.observation_space = gym.spaces.Dict(
            {
                "pixels": gym.spaces.Dict({"rgb": parts["rgb"]}),
                "agent_pos": gym.spaces.Box(*bounds, dtype=np.float32),
            }
        )

    def reset(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        observation, info = self.env.reset(**arguments)
        return self._view(observation), {**info, "is_success": False}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._view(observation), float(reward), terminated, truncated, {**info, "is_success": terminated}

    def _view(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {
            "pixels": {"rgb": observation["rgb"]},
            "agent_pos": np.concatenate([observation["pose"], observation["time"]]),
        }


def make_env(
    n_envs: int = 1, use_async_envs: bool = False, cfg: Any = None, **kwargs: Any
) -> dict[str, dict[int, VectorEnv]]:
    """`n_envs` worlds as {suite: {task number: vector environment}}, in one process or in one each.

    cfg: LeRobot's configuration, of which `task` counts. kwargs: arguments of `gymnasium.make("InSpatio-v0", ...)`.
    """
    arguments = {**({} if "video" in kwargs else DEFAULTS), **kwargs}
    task = arguments.setdefault("task", getattr(cfg, "task", None) or "explore")
    arguments["render_mode"] = "rgb_array"

    def make_one() -> gym.Env:
        # a process that was not forked knows of no environments yet
        return LeRobotView(gym.make("inspatio_gym:InSpatio-v0", **arguments), task)

    kind = AsyncVectorEnv if use_async_envs else SyncVectorEnv
    return {SUITE: {0: kind([make_one] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)}}
