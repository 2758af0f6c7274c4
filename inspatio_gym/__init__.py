"""InSpatio Gym: any video becomes a 4D world in which agents train.

    import gymnasium as gym
    import inspatio_gym

    env = gym.make("InSpatio-v0", video="clip.mp4")

Importing this package registers the environment ids and nothing else: torch, ray and the world models are imported
where they are used.
"""

from pathlib import Path

import gymnasium

__version__ = "0.1.0"

# In a source tree (run from its root, or shipped to a worker as a working directory) the sub-packages `envs`, `agents`,
# `scenes` and `checkpoints` lie beside this folder, not in it; let `inspatio_gym.envs` be found there too.
_root = Path(__file__).resolve().parent.parent
_project = _root / "pyproject.toml"
if _project.is_file() and 'name = "inspatio-gym"' in _project.read_text(encoding="utf-8"):
    __path__.append(str(_root))

# By id, what it gives the environment by default.
_IDS: dict[str, dict[str, object]] = {
    "InSpatio-v0": {},
    "InSpatioGoal-v0": {"task": "goal", "time_control": True, "ends": "clamp"},
    "InSpatioDriving-v0": {"task": "driving", "control": "rotation"},
    "InSpatioMoment-v0": {"task": "moment", "control": "time", "ends": "clamp"},
}
for _id, _defaults in _IDS.items():
    gymnasium.register(
        id=_id,
        entry_point="inspatio_gym.envs.env:InSpatioEnv",
        vector_entry_point="inspatio_gym.envs.vector_env:InSpatioVectorEnv",
        max_episode_steps=250,
        kwargs=_defaults,
    )
