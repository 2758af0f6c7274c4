"""Small trained policies that come with the package.

    inspatio-gym zoo                                                      which there are
    inspatio-gym evaluate --policy zoo:moment-ppo --video mine.mp4        one of them, in a world of yours

Each is two files here: NAME.safetensors, the policy and its card in the format of `inspatio_gym.agents.policy` (algorithm,
recipe, world, seed, steps), and NAME.json, what its training and evaluation came to: minutes, machine, the validation's
return, the learning curve (steps, mean return of the training's last 100 episodes), and the table of its evaluation.
`benchmarks/tasks.py --zoo NAME` writes both.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspatio_gym.files import written_whole

SHELF = Path(__file__).parent
PREFIX = "zoo:"


@dataclass(frozen=True, kw_only=True)
class ZooConfig:
    """List the trained policies that come with the package.

    $ inspatio-gym zoo
    $ inspatio-gym evaluate --policy zoo:moment-ppo --video mine.mp4
    """


def zoo(config: ZooConfig) -> None:
    """Print every policy with its task, training and evaluation."""
    for name in zoo_names():
        about = zoo_record(name)
        print(
            f"{PREFIX}{name}: {about['env']} by {about['algo']} in {', '.join(about['scenes'])}, seed {about['seed']}, "
            f"{about['steps']:,} steps in {about['minutes']:.1f} minutes on {about['cores']} core{'s' * (about['cores'] > 1)}"
        )
        for row in about["table"]:
            print("  " + "  ".join(row))
    if not zoo_names():
        print("no trained policies came with this package: train one with `inspatio-gym train`")


def zoo_names() -> list[str]:
    """Names of the policies."""
    return sorted(file.stem for file in SHELF.glob("*.safetensors"))


def zoo_file(name: str) -> Path:
    """The file of a policy, named with or without "zoo:". Raises ValueError for one that there is not."""
    name = name.removeprefix(PREFIX)
    if name not in zoo_names():
        known = ", ".join(PREFIX + one for one in zoo_names()) or "none at all"
        raise ValueError(
            f"expected a policy of the zoo out of {known}, got {PREFIX}{name}: `inspatio-gym zoo` lists them"
        )
    return SHELF / f"{name}.safetensors"


def zoo_record(name: str) -> dict[str, Any]:
    """What a policy's training and evaluation came to: NAME.json. Raises ValueError for a policy that there is not."""
    return json.loads(zoo_file(name).with_suffix(".json").read_text(encoding="utf-8"))


def put_in_zoo(name: str, policy: Path, record: dict[str, Any]) -> None:
    """Keep a policy's file, and what is known of it, under a name."""
    with written_whole(SHELF / f"{name}.json") as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    with written_whole(SHELF / f"{name}.safetensors") as partial:
        shutil.copyfile(policy, partial)
