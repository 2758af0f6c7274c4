"""Are the tasks learned? Trains a task's recipe with several seeds, plays it beside the yardsticks, and writes down what came.

    python -m benchmarks.tasks --task moment --scenes room --seeds 3
    python -m benchmarks.tasks --task moment --scenes room street --unseen highway/    generalisation

Every training is a process of its own, pinned to `cores` cores; as many run side by side as the machine has room for.
What each leaves, in runs/tasks/<task>-<scenes>/:

    seed-0/         an ordinary run: `inspatio-gym evaluate --policy`, `train --resume`
    seed-0.json     how long it took and where, the learning curve, every episode of the evaluation

A seed whose JSON is there is not trained again, so that a study that was stopped goes on; a training that was stopped
midway begins anew, because its time would not be known. Then the results are printed,
in Markdown, and with --page written into that page, between the marks `<!-- results moment-room -->` (the study's folder)
and `<!-- end of results -->`; the picture has the learning curves. Scores are
means over the seeds with 95% intervals (bootstrap over trainings, and over the episodes of each).
"""

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import tyro
from tqdm import tqdm

from benchmarks.pages import fill
from inspatio_gym.agents.baselines import Random, hold_still
from inspatio_gym.agents.config import TrainConfig, evaluation_seeds
from inspatio_gym.agents.episodes import Episodes, make_worlds, play
from inspatio_gym.agents.evaluate import as_markdown, scripted
from inspatio_gym.agents.log import read_progress
from inspatio_gym.agents.policy import POLICY_FILE, Trained, load_policy
from inspatio_gym.agents.statistics import bootstrap_nested
from inspatio_gym.agents.train import train
from inspatio_gym.agents.zoo import put_in_zoo
from inspatio_gym.doctor import machine
from inspatio_gym.files import written_whole

IDS = {
    "explore": "InSpatio-v0",
    "goal": "InSpatioGoal-v0",
    "driving": "InSpatioDriving-v0",
    "moment": "InSpatioMoment-v0",
}
WORLDS = 25  # of an evaluation, together


@dataclass(frozen=True)
class Config:
    """Train a task with several seeds, compare with the yardsticks, write a table and learning curves."""

    task: str
    """explore, goal, driving or moment."""
    scenes: tuple[str, ...] = ("room",)
    """Bundled scenes or scene folders to train in."""
    unseen: tuple[str, ...] = ()
    """Scenes that are evaluated on, and never trained in."""
    algo: str = "ppo"
    """ppo, sac or recurrent-ppo."""
    seeds: int = 3
    """Trainings."""
    minutes: float | None = None
    """Time for each; the recipe's unless given."""
    episodes: int = 100
    """Start states of each evaluation: seed k plays the k-th set of them."""
    cores: int = 2
    """Processor cores that each training may use."""
    parallel: int = 0
    """Trainings side by side; 0 is as many as the cores allow."""
    out: Path = Path("runs/tasks")
    """Folder for what the trainings leave."""
    page: Path | None = None
    """A page with marks for this study, to write the results between."""
    picture: Path | None = None
    """Where the learning curves go."""
    zoo: str | None = None
    """Keep the policy of the seed with the best validation under this name in agents/zoo/."""
    seed: int | None = None
    """Train and evaluate this seed alone, in this process, and stop."""

    @property
    def folder(self) -> Path:
        """Of this study."""
        names = "-".join(Path(scene).name for scene in self.scenes)
        return self.out / f"{self.task}-{names}{'' if self.algo == 'ppo' else f'-{self.algo}'}"

    def record(self, seed: int) -> Path:
        """What a seed's training and evaluation came to."""
        return self.folder / f"seed-{seed}.json"


def main(config: Config) -> None:
    """Do as `config` says."""
    if config.task not in IDS:
        raise ValueError(f"expected a task out of {list(IDS)}, got {config.task!r}")
    if config.seed is not None:
        study(config, config.seed)
        return
    missing = [seed for seed in range(config.seeds) if not config.record(seed).is_file()]
    train_side_by_side(config, missing)
    records = [json.loads(config.record(seed).read_text()) for seed in range(config.seeds)]
    words = in_words(records, config)
    print(words)
    if config.page:
        fill(config.page, config.folder.name, words)
    if config.picture:
        draw(config.picture, records, config)
    if config.zoo:
        best = max(records, key=lambda record: record["validation"])
        keep = ("env", "task", "algo", "seed", "steps", "minutes", "cores", "machine", "validation", "curve")
        about = {name: best[name] for name in keep}
        about |= {"scenes": [called(scene) for scene in best["scenes"]], "table": table([best["played"]["seen"]])}
        put_in_zoo(config.zoo, config.folder / f"seed-{best['seed']}" / POLICY_FILE, about)


def train_side_by_side(config: Config, seeds: list[int]) -> None:
    """One process for each seed, each on cores of its own. Raises RuntimeError if one fails; the others run to their end."""
    cores = sorted(os.sched_getaffinity(0))
    sets = [cores[k : k + config.cores] for k in range(0, len(cores) - config.cores + 1, config.cores)] or [cores]
    free: SimpleQueue[list[int]] = SimpleQueue()
    for one in sets[: config.parallel or len(sets)]:
        free.put(one)

    def run(seed: int) -> int:
        mine = free.get()
        config.folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "benchmarks.tasks", *sys.argv[1:], "--seed", str(seed)]
        environment = {**os.environ, "INSPATIO_GYM_THREADS": str(len(mine)), "OMP_NUM_THREADS": "1"}
        with (config.folder / f"seed-{seed}.log").open("w") as log:
            status = subprocess.run(
                ["taskset", "-c", ",".join(map(str, mine)), *command], stdout=log, stderr=log, env=environment
            ).returncode
        free.put(mine)
        return status

    with (
        ThreadPoolExecutor(len(seeds) or 1) as pool,
        tqdm(total=len(seeds), desc=f"{config.task}: trainings", disable=None) as bar,
    ):
        failed = []
        for seed, status in zip(seeds, pool.map(run, seeds), strict=True):
            bar.update()
            if status:
                failed.append(seed)
    if failed:
        raise RuntimeError(
            f"expected all trainings to end well, seeds {failed} did not: see {config.folder}/seed-*.log"
        )


def study(config: Config, seed: int) -> None:
    """Train one seed and evaluate; writes its record."""
    run = config.folder / f"seed-{seed}"
    shutil.rmtree(run, ignore_errors=True)  # of a study that was stopped
    asked: dict[str, Any] = {"minutes": config.minutes} if config.minutes else {}
    training = TrainConfig.of(
        IDS[config.task],
        **asked,
        algo=config.algo,
        run=run,
        scene=config.scenes,
        model="warp",
        seed=seed,
        device="cpu",
    )
    begun = time.monotonic()
    train(training)
    minutes = (time.monotonic() - begun) / 60
    policy, card = load_policy(run)
    record = {
        "env": IDS[config.task],
        "task": config.task,
        "algo": config.algo,
        "scenes": config.scenes,
        "seed": seed,
        "steps": int(read_progress(run)[-1]["steps"]),
        "minutes": minutes,
        "cores": config.cores,
        "machine": machine(),
        "world": card.world,
        "validation": card.validation,
        "curve": [
            [row["steps"], row["rollout/ep_rew_mean"]] for row in read_progress(run) if "rollout/ep_rew_mean" in row
        ],
        "played": {
            name: judge({**card.world, "scene": scenes}, policy, config.episodes, seed)
            for name, scenes in [("seen", list(config.scenes)), *((scene, [scene]) for scene in config.unseen)]
        },
    }
    with written_whole(config.record(seed)) as partial:
        partial.write_text(json.dumps(record))


def judge(world: dict[str, Any], policy: Any, episodes: int, seed: int) -> dict[str, Any]:
    """The episodes of the policy and of every yardstick in a world."""
    envs = make_worlds(world, min(episodes, WORLDS))
    space, names = envs.single_action_space, envs.action_names  # type: ignore[attr-defined]
    agents = [Trained(policy), *scripted(envs), Random(space), hold_still(space, names)]
    played = [play(envs, agent, evaluation_seeds(episodes, seed)) for agent in agents]
    envs.close()
    return {one.agent: as_json(one) for one in played}


def as_json(episodes: Episodes) -> dict[str, list[float]]:
    """Returns, lengths and metrics of every episode."""
    metrics = {name: values.tolist() for name, values in episodes.metrics.items()}
    return {"return": episodes.returns.tolist(), **metrics, "steps": episodes.lengths.tolist()}


def in_words(records: list[dict[str, Any]], config: Config) -> str:
    """The results in Markdown."""
    first = records[0]
    seeds = ", ".join(str(record["seed"]) for record in records)
    trainings, which = ("One training", "seed") if len(records) == 1 else (f"{len(records)} trainings", "seeds")
    parts = [
        f"{trainings} ({config.algo}, {which} {seeds}) in "
        f"{' and '.join(map(called, config.scenes))}, {span([r['minutes'] for r in records], '.1f')} minutes and "
        f"{span([r['steps'] for r in records], ',')} steps on {counted(first['cores'], 'core')}; "
        f"{config.episodes} episodes of at most {first['world']['max_episode_steps']} steps for each training, from start "
        f"states that no training uses. {first['machine']}"
    ]
    for name in first["played"]:
        where = "the scenes of the training" if name == "seen" else f"{called(name)}, which no training has seen"
        parts.append(f"Played in {where}:")
        parts.append(as_markdown(table([record["played"][name] for record in records])))
    return "\n\n".join(parts)


def span(values: list[float], form: str) -> str:
    """The least and the greatest of some values, or the one that all are."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


def counted(number: int, name: str) -> str:
    """So many of a thing."""
    return f"{number} {name}{'' if number == 1 else 's'}"


def called(scene: str) -> str:
    """The name of a bundled scene, or that of a scene's folder."""
    record = Path(scene) / "scene.json"
    return json.loads(record.read_text())["name"] if record.is_file() else scene


def table(played: list[dict[str, Any]]) -> list[list[str]]:
    """A row of names, then one an agent. played: of each seed, by agent."""
    names = list(played[0]["trained policy"])
    lines = [["agent", *(name.replace("_", " ") for name in names)]]
    for agent in played[0]:
        scores = [bootstrap_nested([one[agent][name] for one in played]) for name in names]
        lines.append(
            [
                agent,
                *(f"{s.mean:.3g}" if s.low == s.high else f"{s.mean:.3g} [{s.low:.3g}, {s.high:.3g}]" for s in scores),
            ]
        )
    return lines


def draw(path: Path, records: list[dict[str, Any]], config: Config) -> None:
    """The returns of each seed's training episodes, the last 100, by its steps, and the yardsticks' as lines."""
    matplotlib.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 3.6), dpi=120)
    for record in records:
        steps, returns = np.array(record["curve"]).reshape(-1, 2).T
        axes.plot(steps, returns, label=f"{config.algo}, seed {record['seed']}")
    others = [agent for agent in records[0]["played"]["seen"] if agent != "trained policy"]
    for agent, colour in zip(others, np.linspace(0.2, 0.85, len(others)).astype(str), strict=True):
        scores = bootstrap_nested([record["played"]["seen"][agent]["return"] for record in records])
        axes.axhline(scores.mean, color=colour, linestyle="--", label=agent)
    axes.set(xlabel="steps of all worlds together", ylabel="return of an episode")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


if __name__ == "__main__":
    main(tyro.cli(Config))
