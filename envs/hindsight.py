"""The goal task for hindsight experience replay: where one is and where one should be, as vectors.

    observation     float32 (9,)   the observed pose and time
    achieved_goal   float32 (8,)   offset from the mount as observed: position (median depths), quaternion; source seconds
    desired_goal    float32 (8,)   the goal's
    (rgb, depth     as ever)

    env = HindsightGoals(gym.make("InSpatioGoal-v0", scene="room"))
    model = SAC("MultiInputPolicy", env, replay_buffer_class=HerReplayBuffer)

Hindsight pretends that where an episode led was where it should have led, which can be said of vectors alone: nothing could
repaint `goal_rgb` and judge it. So the picture is left out here, and the agent is told the goal's pose: an easier task than the
one with pictures. The reward is 0 within the task's tolerances and -1 elsewhere, a function of both goals that `compute_reward`
works out for batches. Episodes end as the task says, when the goal has been held.

Ref: Andrychowicz et al. 2017, "Hindsight experience replay"; the keys are those of Gymnasium-Robotics' GoalEnv.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from inspatio_gym.envs.env import InSpatioEnv
from inspatio_gym.envs.tasks.goal import Goal
from inspatio_gym.envs.tasks.reach import Target
from inspatio_gym.geometry.poses import to_vector
from inspatio_gym.types import Arrays


class HindsightGoals(gym.Wrapper[Arrays, Any, Arrays, Any], RecordConstructorArgs):
    """See the module's docstring. Raises TypeError for an environment with another task than the goal's."""

    def __init__(self, env: gym.Env[Arrays, Any]):
        RecordConstructorArgs.__init__(self)
        super().__init__(env)
        world = env.unwrapped
        if not isinstance(world, InSpatioEnv) or not isinstance(world.task, Goal):
            raise TypeError(f"expected the environment InSpatioGoal-v0, got {env}: only it has a goal to look back on")
        self._task = world.task
        spaces = dict(world.observation_space.spaces)  # type: ignore[attr-defined]
        pose, time = spaces.pop("pose"), spaces.pop("time")
        del spaces["goal_rgb"]
        longest = max((scene.num_frames - 1) / scene.fps for scene in world.stage.scenes)
        spaces["observation"] = _joined(pose.low, time.low, pose.high, time.high)
        for key in ("achieved_goal", "desired_goal"):
            spaces[key] = _joined(pose.low, [0.0], pose.high, [longest])
        self.observation_space = gym.spaces.Dict(spaces)  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Arrays, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._with_goals(observation), info

    def step(self, action: Any) -> tuple[Arrays, float, bool, bool, dict[str, Any]]:
        observation, _, terminated, truncated, info = self.env.step(action)
        observation = self._with_goals(observation)
        reward = float(self.compute_reward(observation["achieved_goal"], observation["desired_goal"], info))
        return observation, reward, terminated, truncated, info

    def compute_reward(self, achieved_goal: NDArray[Any], desired_goal: NDArray[Any], info: Any) -> NDArray[np.float64]:
        """0 where goals (..., 8) are within the tolerances of each other, else -1. info: not needed."""
        a, b = (np.asarray(goal, np.float64) for goal in (achieved_goal, desired_goal))
        away = np.linalg.norm(a[..., :3] - b[..., :3], axis=-1)
        alike = np.abs((a[..., 3:7] * b[..., 3:7]).sum(-1)).clip(0, 1)
        parts = np.stack((away, np.degrees(2 * np.arccos(alike)), np.abs(a[..., 7] - b[..., 7])), -1)
        return np.where(((parts <= self._task.tolerance) | ~self._task.sets).all(-1), 0.0, -1.0)

    def _with_goals(self, observation: Arrays) -> Arrays:
        kept = {key: value for key, value in observation.items() if key not in ("pose", "time", "goal_rgb")}
        return {
            **kept,
            "observation": np.concatenate((observation["pose"], observation["time"])),
            "achieved_goal": self._as_vector(self._task.here, "achieved_goal"),
            "desired_goal": self._as_vector(self._task.goal, "desired_goal"),
        }

    def _as_vector(self, target: Target, key: str) -> NDArray[np.float32]:
        scene, space = self._task.scene, self.observation_space[key]  # type: ignore[index]
        offset = to_vector(target.offset)
        offset[:3] /= scene.median_depth
        vector = np.append(offset, target.frame / scene.fps).astype(np.float32)
        return np.clip(vector, space.low, space.high)


def _joined(low: Any, more_low: Any, high: Any, more_high: Any) -> gym.spaces.Box:
    low, high = (np.append(*ends).astype(np.float32) for ends in ((low, more_low), (high, more_high)))
    return gym.spaces.Box(low, high)
