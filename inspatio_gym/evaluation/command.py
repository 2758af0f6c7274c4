"""What `inspatio-gym evaluate-world` runs: every scene measured, pictures, and a page."""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inspatio_gym.agents.progress import Progress
from inspatio_gym.evaluation import drift, record, report
from inspatio_gym.evaluation.clips import Frozen, ModelSource
from inspatio_gym.evaluation.measure import WORK, Evaluation, evaluate, truth_of
from inspatio_gym.evaluation.subject import Subject
from inspatio_gym.render.job import choose
from inspatio_gym.scenes import Scene, anchor, load_scene
from inspatio_gym.world import MODELS, WorldModel, load_model

logger = logging.getLogger(__name__)

DEFAULT_SIZE = (160, 288)
"""Of models that make any size: large enough for poses to a tenth of a degree, small enough for true renders on a CPU."""


@dataclass(frozen=True)
class EvaluateWorldConfig:
    """Measure how true a world model is: fidelity, camera, consistency, motion, time, memory.

    $ inspatio-gym evaluate-world                                             # the warp world over the bundled room
    $ inspatio-gym evaluate-world --model warp --scene "synthetic:room?seed=7" "synthetic:street?seed=3"
    $ inspatio-gym evaluate-world --video clip.mp4                            # what needs no truth
    $ inspatio-gym evaluate-world --scene room street --long                  # and drift over 500 blocks
    $ inspatio-gym evaluate-world --model inspatio-1.3b --device cuda --scene room

    Writes OUT/report.md (tables, plots, contact sheets), OUT/report.json, and a folder for each scene; scenes that were
    measured already are not measured again. Behind a synthetic scene (the bundled ones too) the truth is known for any
    camera and any moment. A video knows its own cameras alone: of it the figures that need new true views stay empty.
    Every figure stands beside those of true renders and of a frozen clip. Needs the extra `agents` for plots.
    """

    scene: tuple[str, ...] = ()
    """Bundled scenes (room, street), synthetic ones or folders of scenes; without any, and without a video, the room."""
    video: tuple[Path, ...] = ()
    """Video files."""
    model: str = "warp"
    """warp (no weights, CPU), tiny, inspatio-1.3b, inspatio-1.5-1.3b; "auto" is the best that can run here, but never tiny."""
    device: str = "auto"
    """Where the model runs: cpu, cuda, cuda:1; "auto" is a GPU if there is one that the model can use."""
    size: tuple[int, int] | None = None
    """Height and width of what is measured; None is what the model was made for, 160 288 if for any."""
    seed: int = 0
    """Of the model's noise."""
    long: bool = False
    """Also measure drift, over a rollout of `--blocks` blocks."""
    blocks: int = drift.BLOCKS
    """Of the long rollout."""
    out: Path = Path("fidelity")
    """Folder to write into."""
    overwrite: bool = False
    """Measure again what was measured already."""

    def __post_init__(self) -> None:
        """Raises ValueError for numbers out of range."""
        if self.size is not None and min(self.size) < 32:
            raise ValueError(f"expected --size of at least 32 32, got {self.size}: there is too little to see in less")
        if self.blocks < 1:
            raise ValueError(f"expected --blocks of at least 1, got {self.blocks}")
        if self.seed < 0:
            raise ValueError(f"expected --seed of at least 0, got {self.seed}")


def evaluate_world(config: EvaluateWorldConfig) -> None:
    """Measure all scenes and write the report. Raises what anchoring, loading and measuring raise."""
    name, device = choose(config.model, config.device)
    size = config.size or MODELS[name].render_size or DEFAULT_SIZE
    model = load_model(name, render_size=size, device=device)
    scenes = [load_scene(scene) for scene in config.scene or (() if config.video else ("room",))]
    scenes += [anchor(video, progress=True) for video in config.video]
    progress = Progress("evaluate-world", len(scenes) * 3 * WORK, 0, "parts")
    measured: list[tuple[Path, record.Record]] = []
    done = 0
    try:
        for scene in scenes:

            def advance(part: str) -> None:
                nonlocal done
                done += 1
                progress.update(done)

            measured.append(measure(config, model, scene, advance))
            done = len(measured) * 3 * WORK
            progress.update(done)
            report.save(config.out, measured)
    finally:
        progress.close()
    print(report.overview([one for _, one in measured]))
    print(f"\n{config.out / 'report.md'}")


def measure(
    config: EvaluateWorldConfig, model: WorldModel, scene: Scene, advance: Callable[[str], None]
) -> tuple[Path, record.Record]:
    """The folder and the record of a scene; measured now unless it is there already."""
    frames = model.first_frames + (config.blocks - 1) * model.block_frames if config.long else 0
    identity = {"scene": scene.digest, "model": model.digest, "size": list(model.render_size), "seed": config.seed}
    digest = record.digest_of({**identity, "long": frames})
    folder = config.out / f"{re.sub('[^A-Za-z0-9._-]+', '-', scene.name)}-{digest[:8]}"
    if not config.overwrite and (kept := record.read(folder, digest)):
        logger.info("%s: measured already", folder)
        return folder, kept
    from inspatio_gym.evaluation.pictures import save_plots, save_sheet

    begun = time.perf_counter()
    subject = Subject(scene, model.render_size)
    truth = truth_of(subject)
    world = ModelSource(model, subject, config.seed)
    evaluations: dict[str, Evaluation] = {}
    for source in (world, truth, Frozen(truth)):
        evaluations[source.name] = evaluate(source, subject, truth, long_frames=frames, report=advance)
    first = evaluations[world.name]
    folder.mkdir(parents=True, exist_ok=True)
    save_sheet(folder / record.SHEET, first.exhibits)
    save_plots(folder / record.PLOTS, evaluations)
    made = record.Record(
        digest=digest,
        scene=subject.name,
        geometry=scene.geometry.method,
        about=about(scene),
        model=model.name,
        size=model.render_size,
        seconds=time.perf_counter() - begun,
        figures={name: evaluation.figures for name, evaluation in evaluations.items()},
        by_move=first.by_move,
        drift={} if first.drift is None else {k: np.asarray(v).tolist() for k, v in _series(first.drift).items()},
    )
    record.write(folder, made)
    return folder, made


def about(scene: Scene) -> str:
    """The clip and its geometry, in words."""
    geometry = scene.geometry
    words = f"{scene.num_frames} frames at {scene.fps:g}/s; geometry: {geometry.method} ({geometry.reason})."
    if geometry.method == "synthetic-truth":
        return words
    return (
        f"{words} Its confidence is {geometry.confidence:.2f} out of 1: camera and reprojection take its depth for the truth, "
        "so they tell how well the model keeps to it, not whether it is right."
    )


def _series(found: drift.Drift) -> dict[str, np.ndarray]:
    return {"frame": found.frame, "psnr": found.against}
