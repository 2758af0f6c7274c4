"""The whole path in one command: a video becomes a world, an agent is trained in it, compared, filmed and reported.

    video -> scene -> PPO for a few minutes -> comparison with simple agents -> film, learning curve, report.md

The run's folder is an ordinary run (`inspatio_gym.agents.train`), so that `train --resume` goes on with it and
`evaluate --policy` compares it again. A demo begins anew: it replaces an earlier demo's folder, and refuses any other.
"""

import io
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from inspatio_gym.agents.baselines import Random
from inspatio_gym.agents.config import DemoConfig, TrainConfig, evaluation_seeds
from inspatio_gym.agents.evaluate import Comparison, as_text, compare, world_in_words
from inspatio_gym.agents.film import save_film
from inspatio_gym.agents.log import read_progress
from inspatio_gym.agents.policy import Trained, load_policy
from inspatio_gym.agents.report import save_learning_curve, save_report
from inspatio_gym.agents.train import train
from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole
from inspatio_gym.scenes import Scene, load_scene

with extra("agents"):
    from PIL import Image

MARK = ".demo"  # in a folder that a demo has made and another may replace
DEFAULT_SCENE = "room"


def demo(config: DemoConfig) -> Comparison:
    """Do as `config` says; says on standard output where to look.

    Raises ValueError for a video that cannot become a world, numbers that cannot be, or a folder that is no demo's, before
    anything of an earlier demo goes; KeyboardInterrupt after Ctrl-C.
    """
    begun = time.monotonic()
    seconds: dict[str, float] = {}

    def done(part: str) -> None:
        seconds[part] = time.monotonic() - begun - sum(seconds.values())

    training = TrainConfig(
        run=config.run,
        video=(config.video,) if config.video else (),
        scene=() if config.video else (DEFAULT_SCENE,),
        model="warp",
        control=config.control,
        max_episode_steps=config.max_episode_steps,
        steps=config.steps,
        minutes=config.minutes,
        seed=config.seed,
    )
    training.check()
    seeds = evaluation_seeds(config.episodes, config.seed)
    _check(config.run)
    _say(1, f"the world: {config.video or 'the bundled ' + DEFAULT_SCENE}")
    scene = _scene(config.video)
    geometry = scene.geometry
    _say(1, f"{scene.num_frames} frames; geometry by {geometry.method}, confidence {geometry.confidence:.2f}")
    _clear(config.run)
    done("anchoring the video" if config.video else "loading the scene")

    _say(2, f"training PPO for up to {config.minutes:g} minutes or {config.steps:,} steps")
    train(training)
    done("training")

    _say(3, f"comparing over {config.episodes} start states that the training has not seen")
    policy, card = load_policy(config.run)
    agent = Trained(policy)
    comparison = compare(card.world, agent, episodes=config.episodes, seed=config.seed)
    with written_whole(config.run / "evaluation.json") as partial:
        partial.write_text(comparison.to_json() + "\n", encoding="utf-8")
    print(f"\n{as_text(comparison.table())}\n\n{comparison.verdict()}\n", flush=True)
    done("evaluation")

    _say(4, "filming, drawing and writing")
    rival = Random(card.action_space)
    film = config.run / "trained_vs_random.mp4"
    still = save_film(film, card.world, [agent, rival], seeds[0], config.max_episode_steps)
    picture = io.BytesIO()
    Image.fromarray(still).save(picture, "JPEG", quality=90)
    with written_whole(film.with_suffix(".jpg")) as partial:
        partial.write_bytes(picture.getvalue())
    save_learning_curve(config.run / "learning_curve.png", read_progress(config.run), comparison)
    done("film and pictures")
    save_report(
        config.run / "report.md",
        title=f"An agent trained in {scene.name!r}",
        about=f"{world_in_words(card.world)} PPO, {card.steps:,} steps, seed {card.seed}. Geometry of the world: "
        f"{geometry.method}, confidence {geometry.confidence:.2f} ({geometry.reason}). Returns are in views: 1 is as much "
        "new surface as a recorded frame shows (the median frame), and being stopped or leaving the corridor costs.",
        comparison=comparison,
        seconds=seconds,
        next_steps=_next_steps(config),
    )
    print(_where_to_look(config))
    return comparison


def _scene(video: Path | None) -> Scene:
    if video is None:
        return load_scene(DEFAULT_SCENE)
    from inspatio_gym.scenes import anchor  # brings the geometry estimators with it

    return anchor(video, progress=True)


def _check(run: Path) -> None:
    """Raise ValueError if the run's folder holds anything but an earlier demo."""
    if run.exists() and (not run.is_dir() or (any(run.iterdir()) and not (run / MARK).is_file())):
        raise ValueError(
            f"expected a new folder or an earlier demo's, got {str(run)!r}, which holds something else: pass another --run"
        )


def _clear(run: Path) -> None:
    """Make the folder for the run, in place of an earlier demo's."""
    run.mkdir(parents=True, exist_ok=True)
    (run / MARK).touch()  # stays: whatever interrupts this, the next demo may take the folder
    for entry in run.iterdir():
        if entry.name != MARK:
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def _next_steps(config: DemoConfig) -> str:
    run = shlex.quote(str(config.run))
    return "\n".join(
        [
            f"inspatio-gym train --run {run} --resume --steps {2 * config.steps}",
            f"inspatio-gym evaluate --policy {run} --episodes 100",
            _tensorboard(config),
        ]
    )


def _tensorboard(config: DemoConfig) -> str:
    return f"tensorboard --logdir {shlex.quote(str(config.run / 'tensorboard'))}"


def _where_to_look(config: DemoConfig) -> str:
    looks: dict[str, Any] = {
        "report.md": "the table, the pictures, how long it took",
        "trained_vs_random.mp4": "the trained agent beside a random one",
        "learning_curve.png": "its returns while it learned",
        "tensorboard": _tensorboard(config),
    }
    lines = [f"  {config.run / name!s:<40}  {what}" for name, what in looks.items()]
    return "\n".join([f"done; look at {config.run}:", *lines])


def _say(part: int, words: str) -> None:
    print(f"[{part}/4] {words}", flush=True)
