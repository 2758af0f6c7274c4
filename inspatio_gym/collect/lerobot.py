"""A LeRobot dataset, version 3.0 of the layout, a file an episode.

    meta/info.json                                            features, rate, totals, where files are
    meta/tasks.parquet, meta/stats.json                       what was asked; statistics of each feature, to normalise by
    meta/episodes/chunk-000/file-000.parquet                  episode 0: length, place, statistics
    data/chunk-000/file-000.parquet                           a row a step: state, action, reward
    videos/observation.images.rgb/chunk-000/file-000.mp4      what was seen before each action, H.264

Row t is observation t and the action that was chosen on seeing it; the observation after the last action has no row, nor
have maps (depth): the other formats keep them. `observation.state` is pose and time; numbers and pictures that a task adds
are `observation.<name>` and `observation.images.<name>`.

The layout lets a file hold many episodes, or one: here one, so that an episode is written once and never moved. Its row
in meta/episodes is written last, and what is there without it is not part of the dataset.

Ref: https://huggingface.co/docs/lerobot/lerobot-dataset-v3
"""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.collect.columns import column
from inspatio_gym.collect.episode import Episode, Source
from inspatio_gym.collect.stats import aggregate, of_images, of_numbers
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.scenes.footage import save_video
from inspatio_gym.types import Arrays

with extra("datasets"):
    import pyarrow as pa
    import pyarrow.parquet as pq

VERSION = "v3.0"
CHUNK = 1000  # files of a folder
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
DATA_PATH = f"data/{FILE}.parquet"
VIDEO_PATH = f"videos/{{video_key}}/{FILE}.mp4"
EPISODES_PATH = f"meta/episodes/{FILE}.parquet"
STATE = ("pose", "time")  # what of an observation makes up the state
STATE_NAMES = ("right", "down", "forward", "qw", "qx", "qy", "qz", "position", "rate")
BOOKKEEPING = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


class LeRobotFormat:
    """Writes it into `folder`."""

    def __init__(self, folder: Path, source: Source):
        self._folder, self._source = folder, source
        self._images = {f"observation.images.{name}": name for name in source.keys("image")}

    def write(self, episode: Episode) -> None:
        place = {"chunk_index": episode.index // CHUNK, "file_index": episode.index % CHUNK}
        rows = self._rows(episode, first=self._ends(episode.index - 1)["dataset_to_index"] if episode.index else 0)
        record: dict[str, Any] = {
            "episode_index": episode.index,
            "tasks": [self._task],
            "length": len(episode),
            "dataset_from_index": int(rows["index"][0]),
            "dataset_to_index": int(rows["index"][-1]) + 1,
            **{f"{part}/{name}": value for part in ("data", "meta/episodes") for name, value in place.items()},
        }
        stats = {name: of_numbers(values) for name, values in rows.items()}
        for key, name in self._images.items():
            frames = episode.observations[name][:-1]
            path = self._folder / VIDEO_PATH.format(video_key=key, **place)
            save_video(path, frames, self._source.fps)
            stats[key] = of_images(frames)
            seconds = {"from_timestamp": 0.0, "to_timestamp": len(episode) / self._source.fps}
            record |= {f"videos/{key}/{part}": value for part, value in {**place, **seconds}.items()}
        record |= {f"stats/{key}/{part}": value.tolist() for key, each in stats.items() for part, value in each.items()}
        with written_whole(self._folder / DATA_PATH.format(**place)) as partial:
            pq.write_table(pa.table({name: column(values) for name, values in rows.items()}), partial)
        with written_whole(self._folder / EPISODES_PATH.format(**place)) as partial:
            # A row of a hundred columns: dictionaries and statistics would be ten times its size.
            pq.write_table(pa.Table.from_pylist([record]), partial, use_dictionary=False, write_statistics=False)

    def finish(self, episodes: int) -> None:
        features = self._features()
        info = {
            "codebase_version": VERSION,
            "robot_type": "camera",
            "total_episodes": episodes,
            "total_frames": self._ends(episodes - 1)["dataset_to_index"],
            "total_tasks": 1,
            "chunks_size": CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self._source.fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": features,
        }
        records = [self._ends(k) for k in range(episodes)]
        stats = {
            key: aggregate(
                [
                    {
                        part.rpartition("/")[2]: np.array(value)
                        for part, value in one.items()
                        if part.startswith(f"stats/{key}/")
                    }
                    for one in records
                ]
            )
            for key in features
        }
        with written_whole(self._folder / "meta/tasks.parquet") as partial:
            pq.write_table(tasks_table([self._task]), partial)
        for name, content in (
            ("stats", {key: {part: value.tolist() for part, value in each.items()} for key, each in stats.items()}),
            ("info", info),
        ):
            with written_whole(self._folder / f"meta/{name}.json") as partial:
                partial.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")

    @property
    def _task(self) -> str:
        return str(self._source.world["task"])

    def _ends(self, index: int) -> dict[str, Any]:
        """The record of an episode that is written."""
        path = EPISODES_PATH.format(chunk_index=index // CHUNK, file_index=index % CHUNK)
        return pq.read_table(self._folder / path).to_pylist()[0]

    def _rows(self, episode: Episode, first: int) -> Arrays:
        """The columns of an episode of T steps, (T, ...) each; `first` is the number of rows before it."""
        steps = np.arange(len(episode))
        seen = {name: values[:-1].reshape(len(steps), -1) for name, values in episode.observations.items()}
        own = [name for name in self._source.keys("vector") if name not in STATE]
        return {
            "observation.state": np.concatenate([seen[name] for name in STATE], 1).astype(np.float32),
            **{f"observation.{name}": as_feature(seen[name]) for name in own},
            "action": as_feature(episode.actions.reshape(len(steps), -1)),
            "next.reward": episode.rewards.astype(np.float32),
            "next.done": episode.terminations | episode.truncations,
            "next.truncated": episode.truncations,
            "timestamp": (steps / self._source.fps).astype(np.float32),
            "frame_index": steps,
            "episode_index": np.full(len(steps), episode.index),
            "index": first + steps,
            "task_index": np.zeros(len(steps), np.int64),
        }

    def _features(self) -> dict[str, dict[str, Any]]:
        """What each column and video is, as meta/info.json says it."""
        source, fps = self._source, self._source.fps
        features: dict[str, dict[str, Any]] = {}
        for key, name in self._images.items():
            height, width = (side // 2 * 2 for side in (source.observation_space[name].shape or ())[:2])
            features[key] = {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": height,
                    "video.width": width,
                    "video.codec": "h264",
                    "video.pix_fmt": "yuv420p",
                    "video.is_depth_map": False,
                    "video.fps": fps,
                    "video.channels": 3,
                    "has_audio": False,
                },
            }
        features["observation.state"] = feature("float32", STATE_NAMES)
        for name in source.keys("vector"):
            if name not in STATE:
                space = source.observation_space[name]
                features[f"observation.{name}"] = feature(str(space.dtype), size=int(np.prod(space.shape or ())))
        box = isinstance(source.action_space, gym.spaces.Box)
        features["action"] = feature("float32", source.action_names) if box else feature("int64")
        features |= {"next.reward": feature("float32"), "next.done": feature("bool"), "next.truncated": feature("bool")}
        return features | {name: feature(dtype) for name, dtype in BOOKKEEPING.items()}


def feature(dtype: str, names: tuple[str, ...] | None = None, size: int | None = None) -> dict[str, Any]:
    """A feature of numbers as meta/info.json has it: one, `size` of them, or one for each of `names`."""
    return {"dtype": dtype, "shape": [size or len(names or "1")], "names": None if names is None else list(names)}


def as_feature(array: NDArray[Any]) -> NDArray[Any]:
    """(T, n), or (T,) if n is 1: the layout has a shape (1,) as plain numbers."""
    return array[:, 0] if array.shape[1] == 1 else array


def tasks_table(tasks: list[str]) -> "pa.Table":
    """What LeRobot reads as a data frame whose index are the tasks' words."""
    table = pa.table({"task_index": np.arange(len(tasks)), "task": tasks})
    pandas = {
        "index_columns": ["task"],
        "column_indexes": [],
        "columns": [
            {
                "name": "task_index",
                "field_name": "task_index",
                "pandas_type": "int64",
                "numpy_type": "int64",
                "metadata": None,
            },
            {"name": "task", "field_name": "task", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        ],
        "pandas_version": "2.0.0",
    }
    return table.replace_schema_metadata({"pandas": json.dumps(pandas)})
