"""The plain format: a folder an episode, in files that everything can open.

    dataset.json                    what the files mean, and a line for each episode
    episode_000000/
        steps.parquet               a row for each observation: T + 1 of them; the last one has no action and no reward
        rgb.mp4                     the pictures, H.264, frame i is row i
        depth.mkv                   z-depth, 16-bit logarithmic, FFV1 (lossless), frame i is row i

A depth code c is NEAR * (FAR / NEAR) ** (c / 65535) (`inspatio_gym.geometry.logdepth`), true to 0.011%. Every other
picture or map that a task adds to the observation has a file of its own like these, and numbers a column.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np

from inspatio_gym.collect.columns import column
from inspatio_gym.collect.episode import Episode, Source
from inspatio_gym.extras import extra
from inspatio_gym.files import folder_written_whole, written_whole
from inspatio_gym.geometry.logdepth import FAR, MAX_CODE, NEAR, encode_depth
from inspatio_gym.scenes.footage import FootageWriter, save_video
from inspatio_gym.types import Depth

with extra("datasets"):
    import pyarrow as pa
    import pyarrow.parquet as pq

SCHEMA = "inspatio-gym plain dataset 1"
NOTE = b"episode"  # of a parquet file's metadata: the episode's line in dataset.json


class PlainFormat:
    """Writes it into `folder`."""

    def __init__(self, folder: Path, source: Source):
        self._folder, self._source = folder, source

    def write(self, episode: Episode) -> None:
        with folder_written_whole(self._folder / folder_name(episode.index)) as folder:
            for name in self._source.keys("image"):
                save_video(folder / f"{name}.mp4", episode.observations[name], self._source.fps)
            for name in self._source.keys("map"):
                save_map(folder / f"{name}.mkv", episode.observations[name][..., 0], self._source.fps)
            pq.write_table(self._table(episode), folder / "steps.parquet")

    def finish(self, episodes: int) -> None:
        notes = [
            json.loads(pq.read_schema(self._folder / folder_name(k) / "steps.parquet").metadata[NOTE])
            for k in range(episodes)
        ]
        record = {"schema": SCHEMA, **self._meaning(), "episodes": notes}
        with written_whole(self._folder / "dataset.json") as partial:
            partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

    def _table(self, episode: Episode) -> "pa.Table":
        rows = len(episode) + 1
        columns = {"step": column(np.arange(rows))}
        for name in self._source.keys("vector"):
            columns[name] = column(episode.observations[name])
        columns |= {
            "action": column(episode.actions, rows),
            "reward": column(episode.rewards, rows),
            "terminated": column(episode.terminations, rows),
            "truncated": column(episode.truncations, rows),
        }
        columns |= {f"info.{name}": column(values) for name, values in episode.infos.items()}
        note = {
            "index": episode.index,
            "seed": episode.seed,
            "scene": episode.scene,
            "steps": len(episode),
            "return": float(episode.rewards.sum()),
            "terminated": episode.terminated,
            "truncated": episode.truncated,
            "reason": episode.reason,
        }
        return pa.table(columns).replace_schema_metadata({NOTE: json.dumps(note).encode()})

    def _meaning(self) -> dict[str, object]:
        source = self._source
        files = {name: f"{name}.mp4" for name in source.keys("image")}
        files |= {name: f"{name}.mkv" for name in source.keys("map")}
        return {
            "world": source.world,
            "policy": source.policy,
            "fps": source.fps,
            "observation": {
                name: {
                    "shape": list(space.shape or ()),
                    "dtype": str(space.dtype),
                    "in": files.get(name, f"steps.parquet, column {name}"),
                }
                for name, space in source.observation_space.spaces.items()
            },
            "action": {
                "space": str(source.action_space),
                "names": list(source.action_names),
                "in": "steps.parquet, column action: chosen on seeing the row's observation",
            },
            "reward": "steps.parquet, column reward: of the row's action",
            "maps": {"coding": "near * (far / near) ** (code / most)", "near": NEAR, "far": FAR, "most": MAX_CODE},
        }


def folder_name(index: int) -> str:
    return f"episode_{index:06d}"


def save_map(path: Path, frames: Depth, fps: int) -> None:
    """Write a map (n, H, W) of depths as 16-bit codes in FFV1, which loses nothing more."""
    film = FootageWriter(path, fps=Fraction(fps), size=(frames.shape[1], frames.shape[2]), form="gray16le")
    try:
        for frame in frames:
            film.write(encode_depth(frame))
        film.close()
    except BaseException:
        film.abandon()
        raise
