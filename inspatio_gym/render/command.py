"""What `inspatio-gym render` runs: find the videos, make the films, say what became of each."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from inspatio_gym.render.config import RenderConfig
from inspatio_gym.render.farm import in_actors, in_this_process
from inspatio_gym.render.job import Outcome, Task
from inspatio_gym.scenes.folder import videos_in


def render(config: RenderConfig) -> int:
    """Make all films; returns 1 if one of them failed, else 0.

    Raises ValueError for options that make no sense whatever the video, and what the model's loader raises.
    """
    tasks = all_tasks(config)
    _ = config.path  # a path that cannot be read is wrong for all of them
    outcomes = []
    show = sys.stderr.isatty()
    if config.gpus or config.workers:
        with tqdm(total=len(tasks), unit="film", disable=not show) as bar:
            for outcome in in_actors(config, tasks):
                outcomes.append(outcome)
                bar.write(line(outcome))
                bar.update()
    else:
        bars = Frames(show)
        try:
            for outcome in in_this_process(config, tasks, bars):
                bars.close()
                outcomes.append(outcome)
                print(line(outcome), flush=True)
        finally:
            bars.close()
    if len(tasks) > 1:
        print(summary(outcomes))
    return int(any(outcome.status == "failed" for outcome in outcomes))


def all_tasks(config: RenderConfig) -> list[Task]:
    """Every video and scene with every seed, each once. Raises ValueError where there is nothing to do."""
    videos: list[Path] = []
    for given in config.video:
        path = given.expanduser()
        videos += videos_in(path) if path.is_dir() else [path]
    sources = [("video", str(video)) for video in videos] + [("scene", scene) for scene in config.scene]
    if not sources:
        raise ValueError("expected --video or --scene, got neither: inspatio-gym render --video clip.mp4")
    seeds = range(config.seed, config.seed + config.samples)
    return [Task(kind, source, seed) for kind, source in dict.fromkeys(sources) for seed in seeds]  # type: ignore[arg-type]


def line(outcome: Outcome) -> str:
    """A task and what became of it, in a line."""
    if outcome.status == "failed":
        return f"failed   {outcome.task}: {outcome.reason}"
    if outcome.status == "skipped":
        return f"skipped  {outcome.folder}: it is there already, --overwrite makes it again"
    rate = outcome.frames / max(outcome.seconds, 1e-9)
    return f"done     {outcome.folder}: {outcome.frames} frames in {outcome.seconds:.1f} s, {rate:.1f} frames/s"


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many films there are, and which failed and why."""
    counts = [
        f"{sum(outcome.status == status for outcome in outcomes)} {status}" for status in ("done", "skipped", "failed")
    ]
    failures = [f"  {outcome.task}: {outcome.reason}" for outcome in outcomes if outcome.status == "failed"]
    return "\n".join([", ".join(counts), *failures])


class Frames:
    """A progress bar over the frames of one film after the other, if there is a terminal to show it on."""

    def __init__(self, show: bool):
        self._show = show
        self._bar: tqdm | None = None

    def __call__(self, done: int, frames: int) -> None:
        if not self._show:
            return
        if self._bar is None:
            self._bar = tqdm(total=frames, unit="frame")
        self._bar.update(done - self._bar.n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None
