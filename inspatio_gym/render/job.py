"""One video with one seed: scene, plan, model, and a folder that is whole or not there.

    OUTPUT/highway/orbit-warp-seed0-1a2b3c4d/     render.json and four films

The last eight digits are of a digest over all that the pictures depend on: the scene's content, the plan's frames and
cameras, the model's weights and settings, its words and its seed. So what is there under that name, and whole, need not be
made again, and different films never take each other's place. A folder is written beside its place under a name of its
own and renamed when it is whole; what a killed process left behind is swept away by the next one.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from inspatio_gym.render.config import RenderConfig
from inspatio_gym.render.pictures import FILMS, Films, Renderer, farthest_of, splatted, warped
from inspatio_gym.render.plan import Plan, make_plan
from inspatio_gym.scenes import Scene, anchor, load_scene
from inspatio_gym.scenes.cache import flush, partial_folder, sweep
from inspatio_gym.warp import at_size
from inspatio_gym.world import MODELS, WorldModel, best_model, blocks, load_model

logger = logging.getLogger(__name__)

FORMAT = 1  # of a render's folder; what an older one made does not count as done
RECORD = "render.json"
DEFAULT_SIZE = (480, 832)

Progress = Callable[[int, int], None]
"""Called with the frames that are done and how many there will be."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to film: a video's path or a scene's name or folder, and the seed."""

    kind: Literal["video", "scene"]
    source: str
    seed: int

    def __str__(self) -> str:
        return f"{self.source} seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task. folder: of its films, if there are any. reason: why it failed."""

    task: Task
    status: Literal["done", "skipped", "failed"]
    folder: Path | None = None
    frames: int = 0
    seconds: float = 0.0
    reason: str = ""


class Studio:
    """A model, loaded once, and the tasks that are done with it one after the other."""

    def __init__(self, config: RenderConfig):
        self.config = config
        self.name, self.device = choose(config.model, config.device)
        self._model: tuple[float | None, WorldModel] | None = None
        if config.normalizer == "clip" and not self.neural:
            raise ValueError(
                f"expected a diffusion model for --normalizer clip, got {self.name!r}, which has none: leave it out"
            )
        if config.normalizer == "frame":
            self.model(None)

    @property
    def neural(self) -> bool:
        """The model is conditioned on a splat."""
        return bool(MODELS[self.name].checkpoints)

    def model(self, far: float | None) -> WorldModel:
        """The model, normalising all splats by `far`, or each frame by itself. Raises what `load_model` raises."""
        if self._model is None or self._model[0] != far:
            self._model = None  # two of them may not fit
            options = self.config.model_options | ({} if far is None else {"far": far})
            size = self.config.size
            loaded = load_model(self.name, render_size=size, size=DEFAULT_SIZE, device=self.device, **options)
            self._model = far, loaded
        return self._model[1]

    def film(self, task: Task, progress: Progress) -> Outcome:
        """Do `task`, if it is not done already. Raises ValueError or OSError for what cannot be filmed."""
        begun, config = time.perf_counter(), self.config
        scene = self._scene(task)
        plan = make_plan(config, scene)
        far = self._far(scene, plan) if config.normalizer == "clip" else None
        model = self.model(far)
        words = scene.caption if config.prompt is None else config.prompt
        identity = {
            "format": FORMAT,
            "scene": scene.digest,
            "plan": plan.digest,
            "model": model.digest,
            "size": list(model.render_size),
            "words": words,
            "seed": task.seed,
        }
        digest = hashlib.blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()
        title = f"{Path(config.trajectory).stem}-{self.name}-seed{task.seed}-{digest[:8]}"
        target = config.output / scene.name / title
        if not config.overwrite and is_done(target, digest):
            return Outcome(task, "skipped", target, len(plan))
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        partial = partial_folder(target)
        try:
            partial.mkdir()
            with Films(partial, scene.fps) as films:
                self._shoot(model, scene, plan, task.seed, self._renderer(model, scene, far), films, progress)
            seconds = time.perf_counter() - begun
            record = {
                "digest": digest,
                "identity": identity,
                "task": asdict(task),
                "options": _plain(asdict(config)),
                "name": scene.name,
                "model": self.name,
                "geometry": scene.geometry.method,
                "fps": scene.fps,
                "frames": len(plan),
                "radius": plan.radius,
                "source": plan.source.tolist(),
                "seconds": round(seconds, 3),
                "device": self.device,
                "versions": versions(),
                "files": {f"{name}.mp4": (partial / f"{name}.mp4").stat().st_size for name in FILMS},
            }
            (partial / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            _put(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return Outcome(task, "done", target, len(plan), seconds)

    def _shoot(
        self,
        model: WorldModel,
        scene: Scene,
        plan: Plan,
        seed: int,
        render: Renderer,
        films: Films,
        progress: Progress,
    ) -> None:
        """Every block of the plan, from the model into the films."""
        view, sessions, done = at_size(scene, model.render_size), None, 0
        progress(done, len(plan))
        for request in blocks(plan, model.first_frames, model.block_frames):
            if sessions is None:
                sessions, (block,) = model.start([scene], [seed], [request])
            else:
                (block,) = model.step(sessions, [request])
            for k, prediction, shown in zip(request.observe, block.rgb, render(request), strict=True):
                films.write(prediction, view.rgb(int(request.source[k])), shown)
            done += len(request.observe)
            progress(done, len(plan))

    def _scene(self, task: Task) -> Scene:
        if task.kind == "scene":
            return load_scene(task.source, progress=not (self.config.gpus or self.config.workers))
        config = self.config
        return anchor(
            task.source,
            estimator=config.estimator,
            max_frames=config.max_frames,
            start=config.start,
            progress=not (config.gpus or config.workers),
        )

    def _far(self, scene: Scene, plan: Plan) -> float:
        size = self.config.size or MODELS[self.name].render_size or DEFAULT_SIZE
        return farthest_of(at_size(scene, size), plan.source, plan.c2w, self.device)

    def _renderer(self, model: WorldModel, scene: Scene, far: float | None) -> Renderer:
        if self.neural:
            return splatted(at_size(scene, model.render_size), self.device, far)
        return warped(scene, model.render_size)


def choose(name: str, device: str) -> tuple[str, str]:
    """The model's name and its device, where either may be "auto". Raises ValueError for a model that nobody registered."""
    if name != "auto" and name not in MODELS:
        raise ValueError(f"expected --model out of {['auto', *sorted(MODELS)]}, got {name!r}: warp needs no weights")
    if device == "auto":
        wanted = name == "auto" or MODELS[name].checkpoints
        device = "cuda" if wanted and gpu_present() else "cpu"
    if name == "auto":
        name = best_model(device)
        logger.info("model auto: using %r", name)
        device = device if MODELS[name].checkpoints else "cpu"
    return name, device


def gpu_present() -> bool:
    """torch is installed and sees a GPU."""
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


def is_done(folder: Path, digest: str) -> bool:
    """The films of that digest are in `folder`, whole."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return record["digest"] == digest and all(
            (folder / name).stat().st_size == size for name, size in record["files"].items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def versions() -> dict[str, str]:
    """Of Python and of the packages that pictures depend on, as far as they are installed."""
    found = {"python": platform.python_version()}
    for package in ("inspatio-gym", "numpy", "opencv-python-headless", "av", "torch", "diffusers", "transformers"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _put(partial: Path, target: Path) -> None:
    """Let the whole folder `partial` take the place of `target`."""
    for file in partial.iterdir():
        flush(file)
    if target.exists():
        aside = partial_folder(target)
        target.rename(aside)
        partial.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    else:
        partial.rename(target)
    flush(target.parent)


def _plain(value: Any) -> Any:
    """Paths as words, so that JSON takes them."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return os.fspath(value) if isinstance(value, Path) else value
