"""What a training writes down: the same scalars to TensorBoard and to a file of JSON lines, and videos to TensorBoard.

progress.jsonl    {"steps": 20480, "rollout/ep_rew_mean": 1.31, "validation/return": 1.42, ...}    one line a dump
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    from PIL import Image
    from stable_baselines3.common.logger import KVWriter
    from tensorboard.compat.proto.summary_pb2 import Summary
    from torch.utils.tensorboard import SummaryWriter

PROGRESS_FILE = "progress.jsonl"


class RunLog(KVWriter):
    """The log of the run in `folder`. steps: where the training goes on; what was logged beyond is forgotten."""

    def __init__(self, folder: Path, *, steps: int):
        self._lines = folder / PROGRESS_FILE
        kept = [row for row in read_progress(folder) if row["steps"] <= steps]
        with written_whole(self._lines) as partial:
            partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=steps + 1)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        """Write the scalars among `key_values`; SB3's logger calls this at every dump."""
        scalars = {
            key: float(value) for key, value in key_values.items() if isinstance(value, bool | int | float | np.number)
        }
        for key, value in scalars.items():
            self.writer.add_scalar(key, value, step)
        self.writer.flush()
        with self._lines.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"steps": step, **scalars}) + "\n")

    def video(self, tag: str, frames: NDArray[np.uint8], step: int, fps: float) -> None:
        """Add frames (n, H, W, 3) as an animation."""
        pictures = [Image.fromarray(frame) for frame in frames]
        encoded = io.BytesIO()
        pictures[0].save(encoded, "GIF", save_all=True, append_images=pictures[1:], duration=round(1000 / fps), loop=0)
        height, width = frames.shape[1:3]
        image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded.getvalue())
        writer = self.writer._get_file_writer()
        assert writer is not None
        writer.add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)

    def close(self) -> None:
        self.writer.close()


def read_progress(folder: Path) -> list[dict[str, float]]:
    """The rows logged by the run in `folder` so far; a last line that was cut is left out."""
    file = folder / PROGRESS_FILE
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
