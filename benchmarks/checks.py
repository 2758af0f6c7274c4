"""Do the checkers of Gymnasium and SB3 find fault with any task and control, in any scene? A row each.

    python -m benchmarks.checks --video drive.mp4 table.mp4

Every scene is checked, bundled ones and videos alike, under each control that a task can be played with, at the size that
trainings observe. A warning counts as a fault, but for what SB3 says of every depth image (that it is float32, and
beyond 0 to 255): the recipes' feature extractor knows.
"""

import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import tyro
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3
from tqdm import tqdm

from inspatio_gym.doctor import machine
from inspatio_gym.scenes.scene import sample_names

CONTROLS: tuple[dict[str, Any], ...] = (
    {"control": "free"},
    {"control": "time"},
    *({"control": control, "time_control": timed} for control in ("rotation", "discrete") for timed in (False, True)),
)
PLAYED: dict[str, tuple[dict[str, Any], ...]] = {
    "InSpatio-v0": CONTROLS,
    # Goals of the default difficulty lie in the moment of the start.
    "InSpatioGoal-v0": tuple(
        {**one, "task_options": {"difficulty": "hard"}} if one["control"] == "time" else one for one in CONTROLS
    ),
    "InSpatioDriving-v0": tuple(one for one in CONTROLS if one["control"] == "rotation"),
    "InSpatioMoment-v0": tuple(one for one in CONTROLS if one.get("time_control", True)),
}


@dataclass(frozen=True)
class Config:
    """Check every task and control in every scene; the exit status is 1 if a checker finds fault."""

    video: tuple[Path, ...] = ()
    """Videos to check beside the bundled scenes."""
    size: tuple[int, int] = (48, 80)
    """Height and width of the observation in pixels."""


def main(config: Config) -> None:
    """Do as `config` says."""
    worlds: list[dict[str, Any]] = [{"scene": name} for name in sample_names()]
    worlds += [{"video": video} for video in config.video]
    cases = [(world, env, control) for world in worlds for env, controls in PLAYED.items() for control in controls]
    faults = []
    print("| scene | environment | control | time | found |\n| --- | --- | --- | --- | --- |")
    for world, env, control in tqdm(cases, desc="checks", disable=None):
        found = fault(env, {"model": "warp", "size": config.size, **world, **control})
        if found:
            faults.append(found)
        name = Path(str(*world.values())).name
        timed = control.get("time_control", True)
        tqdm.write(f"| {name} | {env} | {control['control']} | {'set' if timed else 'plays'} | {found or 'nothing'} |")
    print(f"\n{len(cases)} environments, {len(faults)} with faults. {machine()}")
    sys.exit(bool(faults))


def fault(env_id: str, arguments: dict[str, Any]) -> str:
    """What the checkers complain of, or whatever else is raised; "" for nothing."""
    env = None
    try:
        env = gym.make(env_id, **arguments).unwrapped
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env, skip_render_check=True)
            warnings.filterwarnings("ignore", "It seems that your observation.* depth", UserWarning)
            check_env_for_sb3(env)
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}".partition("\n")[0]
    finally:
        if env is not None:
            env.close()
    return ""


if __name__ == "__main__":
    main(tyro.cli(Config))
