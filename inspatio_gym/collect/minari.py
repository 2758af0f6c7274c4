"""A Minari dataset, in Minari's parquet storage, lossless (pictures are arrays, not JPEG).

    minari/inspatio-v0/data/metadata.json      spaces, how to make the environment again, totals
    minari/inspatio-v0/data/0/                 episode 0: T + 1 observations and infos, T actions and rewards

    os.environ["MINARI_DATASETS_PATH"] = "data/collected/minari"
    dataset = minari.load_dataset("inspatio-v0")
    env = dataset.recover_environment()

Minari's own storage writes every episode, into a folder beside, from where it is moved into its place.

Ref: https://minari.farama.org
"""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym

from inspatio_gym.collect.episode import Episode, Source
from inspatio_gym.extras import extra

with extra("datasets"):
    import minari
    import PIL  # noqa: F401  Minari's storage needs them, and says so less clearly
    import pyarrow  # noqa: F401
    from minari.data_collector.episode_buffer import EpisodeBuffer
    from minari.dataset.minari_storage import METADATA_FILE_NAME, MinariStorage

DATASET_ID = "inspatio-v0"


class MinariFormat:
    """Writes it into `folder`."""

    def __init__(self, folder: Path, source: Source):
        self._data, self._beside, self._source = folder / DATASET_ID / "data", folder / ".beside.partial", source
        self._data.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._beside, ignore_errors=True)
        self._beside.mkdir()
        self._storage = MinariStorage.new(
            self._beside,
            source.observation_space,
            source.action_space,
            env_spec(source.world),
            data_format="parquet",
            jpeg_encoding=False,
        )

    def write(self, episode: Episode) -> None:
        self._storage.update_episodes(
            [
                EpisodeBuffer(
                    id=episode.index,
                    seed=episode.seed,
                    observations=episode.observations,
                    actions=episode.actions,
                    rewards=episode.rewards,
                    terminations=episode.terminations,
                    truncations=episode.truncations,
                    # One number a step must be a list, lest Minari cannot read it back.
                    infos={name: list(each) if each.ndim == 1 else each for name, each in episode.infos.items()},
                )
            ]
        )
        name = str(episode.index)
        shutil.rmtree(self._data / name, ignore_errors=True)
        (self._beside / name).replace(self._data / name)

    def finish(self, episodes: int) -> None:
        lengths = [
            json.loads((self._data / str(k) / METADATA_FILE_NAME).read_text(encoding="utf-8"))["total_steps"]
            for k in range(episodes)
        ]
        files = [file for file in self._data.rglob("*") if file.is_file() and file.parent != self._data]
        world = self._source.world
        self._storage.update_metadata(
            {
                "dataset_id": DATASET_ID,
                "minari_version": minari.__version__,
                "algorithm_name": self._source.policy,
                "description": f"{world['id']}, task {world['task']}, control {world['control']}, by {self._source.policy}",
                "total_episodes": episodes,
                "total_steps": sum(lengths),
                "dataset_size": round(sum(file.stat().st_size for file in files) / 1e6, 1),
            }
        )
        (self._beside / METADATA_FILE_NAME).replace(self._data / METADATA_FILE_NAME)
        shutil.rmtree(self._beside)


def env_spec(world: dict[str, Any]) -> gym.envs.registration.EnvSpec:
    """What makes the environment of `world`, arguments of `gymnasium.make`, again."""
    arguments = dict(world)
    spec = copy.deepcopy(gym.spec(arguments.pop("id")))
    spec.max_episode_steps = arguments.pop("max_episode_steps")
    spec.kwargs = {**spec.kwargs, **arguments}
    return spec
