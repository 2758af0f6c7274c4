"""The `inspatio-gym` command: each subcommand is a typed configuration and a function that takes it.

    anchor       a video -> a scene             AnchorConfig, below
    render       videos, a path -> new views    inspatio_gym.render.config.RenderConfig
    train        scenes -> a policy             inspatio_gym.agents.config.TrainConfig
    evaluate     a policy -> a table            EvaluateConfig
    zoo          policies that came along       inspatio_gym.agents.zoo:ZooConfig
    evaluate-world  a world model -> a report   inspatio_gym.evaluation.command.EvaluateWorldConfig
    train-depth  worlds -> a depth network      inspatio_gym.training.depth.TrainDepthConfig
    train-world  worlds -> a tiny STAR model    inspatio_gym.training.world.command.TrainWorldConfig
    collect      a policy -> datasets           inspatio_gym.collect.config.CollectConfig
    demo         all of it in a few minutes     DemoConfig
    bench        how fast this machine steps    inspatio_gym.bench.BenchConfig
    checkpoints  weights, here or to be had     inspatio_gym.checkpoints.command.CheckpointsConfig
    status       worlds in Ray actors, now      inspatio_gym.status.StatusConfig
    doctor       what is installed and works    DoctorConfig

A configuration's docstrings are its `--help`; what is heavy is imported when its command runs. An error that a user can
mend is one line on standard error and exit status 1; INSPATIO_GYM_TRACEBACK=1 shows where it came from.
"""

import importlib
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro


@dataclass(frozen=True)
class AnchorConfig:
    """Turn videos into scenes: decode, estimate cameras and depth, store.

    $ inspatio-gym anchor clip.mp4
    $ inspatio-gym anchor clip.mp4 --start 12.5 --max-frames 150

    A scene is kept in the cache ($INSPATIO_GYM_CACHE, else the user's cache folder) under the video's content and the
    options, so that the second call, and `gymnasium.make("InSpatio-v0", video="clip.mp4")`, find it at once.
    """

    videos: tyro.conf.Positional[tuple[Path, ...]]
    """Video files: anything that FFmpeg reads."""
    estimator: str = "auto"
    """Where cameras and depth come from: "auto" measures them if the camera moves and else states what it assumes."""
    max_frames: int = 300
    """Frames to keep."""
    start: float = 0.0
    """Seconds into the video at which the scene begins."""
    caption: str = "auto"
    """What the videos show, in words; "none"; or "auto": by Florence-2 if its weights are present, else none."""
    cache: Path | None = None
    """Folder to keep scenes in and look for them; None is $INSPATIO_GYM_CACHE, else the user's cache folder."""


def anchor_videos(config: AnchorConfig) -> None:
    """Anchor each video and say what became of it. Raises ValueError for a video that cannot become a world."""
    from inspatio_gym.scenes import anchor

    if not config.videos:
        raise ValueError("expected one or more videos, got none: inspatio-gym anchor clip.mp4")
    for video in config.videos:
        scene = anchor(
            video,
            cache=config.cache,
            estimator=config.estimator,
            max_frames=config.max_frames,
            start=config.start,
            caption=config.caption,
            progress=True,
        )
        height, width = scene.size
        geometry = scene.geometry
        print(f"{scene.name}: {scene.num_frames} frames of {width}x{height} at {scene.fps:g} frames/s")
        print(f"  geometry  {geometry.method}, confidence {geometry.confidence:.2f}: {geometry.reason}")
        if scene.caption:
            print(f"  caption   {scene.caption}")
        print(f"  preview   {scene.path / 'preview.jpg'}")
        print(f'  use       gymnasium.make("InSpatio-v0", scene={str(scene.path)!r})')


COMMANDS = {
    "anchor": ("inspatio_gym.cli:AnchorConfig", "inspatio_gym.cli:anchor_videos"),
    "render": ("inspatio_gym.render.config:RenderConfig", "inspatio_gym.render.command:render"),
    "train": ("inspatio_gym.agents.config:TrainConfig", "inspatio_gym.agents.train:train"),
    "evaluate": ("inspatio_gym.agents.config:EvaluateConfig", "inspatio_gym.agents.evaluate:evaluate"),
    "zoo": ("inspatio_gym.agents.zoo:ZooConfig", "inspatio_gym.agents.zoo:zoo"),
    "evaluate-world": (
        "inspatio_gym.evaluation.command:EvaluateWorldConfig",
        "inspatio_gym.evaluation.command:evaluate_world",
    ),
    "train-depth": ("inspatio_gym.training.depth:TrainDepthConfig", "inspatio_gym.training.depth:train_depth"),
    "train-world": (
        "inspatio_gym.training.world.command:TrainWorldConfig",
        "inspatio_gym.training.world.command:train_world",
    ),
    "collect": ("inspatio_gym.collect.config:CollectConfig", "inspatio_gym.collect.command:collect"),
    "demo": ("inspatio_gym.agents.config:DemoConfig", "inspatio_gym.agents.demo:demo"),
    "bench": ("inspatio_gym.bench:BenchConfig", "inspatio_gym.bench:bench"),
    "checkpoints": (
        "inspatio_gym.checkpoints.command:CheckpointsConfig",
        "inspatio_gym.checkpoints.command:checkpoints",
    ),
    "status": ("inspatio_gym.status:StatusConfig", "inspatio_gym.status:status"),
    "doctor": ("inspatio_gym.doctor:DoctorConfig", "inspatio_gym.doctor:doctor"),
}
"""Name of each command -> what it can be told, and the function that does it, each imported when needed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        status = _main([*(sys.argv[1:] if arguments is None else arguments)])
        sys.stdout.flush()
    except BrokenPipeError:  # `| head`: nobody reads on, and the flush at exit must not complain of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _main(arguments: list[str]) -> int:
    name, options = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name not in COMMANDS:
        if name in ("-h", "--help"):
            print(overview())
            return 0
        print(f"{overview()}\n\nerror: expected a command out of {list(COMMANDS)}, got {name!r}", file=sys.stderr)
        return 2
    kind, function = COMMANDS[name]
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    with warnings.catch_warnings():
        warnings.showwarning = _say
        asked = _found(kind)
        config = tyro.cli(
            asked,
            prog=f"inspatio-gym {name}",
            args=options,
            default=asked.defaults(options) if hasattr(asked, "defaults") else tyro.MISSING_NONPROP,
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        return _run(function, config)


def overview() -> str:
    """What `inspatio-gym --help` says: every command with the first line of its own help."""
    lines = [
        f"  {name:<16}{(_found(kind).__doc__ or '').partition(chr(10))[0]}" for name, (kind, _) in COMMANDS.items()
    ]
    return "\n".join(
        [
            "usage: inspatio-gym COMMAND [OPTIONS]",
            "",
            "Any video becomes a 4D world in which agents train.",
            "",
            *lines,
            "",
            "inspatio-gym COMMAND --help tells what each can be told, with examples.",
        ]
    )


def _found(home: str) -> Any:
    module, name = home.split(":")
    return getattr(importlib.import_module(module), name)


def _run(function: str, config: Any) -> int:
    try:
        status = _found(function)(config)
    except BrokenPipeError:  # an OSError, but none to complain of
        raise
    except (
        ValueError,
        TypeError,
        ImportError,
        OSError,
        FloatingPointError,
    ) as problem:  # an ImportError names the extra to install
        if os.environ.get("INSPATIO_GYM_TRACEBACK"):
            raise
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as interrupt:
        print(f"\n{str(interrupt) or 'interrupted'}", file=sys.stderr)
        return 130
    return status if isinstance(status, int) else 0


def _say(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
