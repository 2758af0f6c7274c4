"""Does what is learned in the warp world hold in the tiny one, and can PPO learn in the tiny world itself?

    python -m benchmarks.transfer                                  # trains a policy in the warp world first
    python -m benchmarks.transfer --policy runs/demo               # or takes that of an earlier run
    python -m benchmarks.transfer --page docs/tiny.md --picture docs/images/tiny-learning.png

    transfer   a policy of the first world model, random and hold still play the same start states in both models, and the
               policy with its pictures black in the first: what pictures are worth to it at all, beside depth and pose
    learning   PPO in the second model for `steps` steps; what it then plays from those start states, in both
    speed      steps a second of one such environment, and what the checkers of Gymnasium and SB3 say of it

The task is explore with rotation control: rewards follow from the scene's geometry and from where the camera was sent, never
from the model's pixels. So both models are judged by one ruler, agents that do not look earn the same in both, and what a
policy loses from one to the other is what it makes of the pictures. Episodes are few and short, as the tiny world makes a
step a second or so on a CPU, and all this takes about 2,400 of them; differences are between returns from one start state.

Whatever is in --out is not measured again; other numbers want another --out. Torch's threads wait for each other, so on a
machine that has other work OMP_NUM_THREADS=1 may be many times faster than all cores.
"""

import os
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import tyro

from benchmarks.pages import fill
from benchmarks.transfer_play import BLOCKS, ENV, WARM_UP, Bench, Config, Part, Who
from inspatio_gym.agents.statistics import Interval, bootstrap
from inspatio_gym.evaluation.report import table

BINS, LEAST = 8, 4  # parts of the learning curve at most, episodes of each at least


def words_of_transfer(bench: Bench) -> str:
    """The table of all agents in both models, and how much of its lead the policy keeps."""
    config, (home, away) = bench.config, bench.config.models
    agents: dict[Who, str] = {
        "policy": f"PPO, trained in the {home} world",
        "random": "random",
        "hold still": "hold still",
    }
    if "learning" in config.parts:
        agents["learned"] = f"PPO, {bench.learned[1]['found']['steps']:,} steps in the {away} world"
    rows = []
    for who, name in agents.items():
        one, other = (bench.returns(who, model) for model in config.models)
        lengths = bench.played(who, away)["found"]["lengths"]
        rows.append([name, *map(spread, map(bootstrap, (one, other, other - one))), f"{np.mean(lengths):.1f}"])
    rows.insert(1, ["the same, its pictures black", spread(bootstrap(bench.returns("blind", home))), "", "", ""])
    still = bench.returns("hold still", away)
    lead = {model: bench.returns("policy", model) - bench.returns("hold still", model) for model in config.models}
    training = bench.trained[1]
    trained = (
        "The policy was given."
        if training is None
        else f"The policy had {training['found']:,} steps in the {home} world, {training['seconds'] / 60:.1f} minutes."
    )
    return "\n\n".join(
        [
            f"Explore, rotation control, {' and '.join(map(called, config.scene))}: {len(still)} start states that no training "
            f"uses, at most {config.max_episode_steps} steps, means with 95% bootstrap intervals. {trained}",
            table(
                ["agent", f"return in {home}", f"in {away}", f"{away} less {home}", f"steps in {away}"],
                rows,
            ),
            f"By what the policy is better than holding still: {spread(bootstrap(lead[home]))} in {home}, "
            f"{spread(bootstrap(lead[away]))} in {away}; than random in {away}: "
            f"{spread(bootstrap(bench.returns('policy', away) - bench.returns('random', away)))}.",
        ]
    )


def words_of_learning(bench: Bench) -> str:
    """How the returns of the training's episodes went, and what the policy is worth at the end."""
    config, away = bench.config, bench.config.models[1]
    record = bench.learned[1]
    returns = np.array(record["found"]["episodes"])[:, 1]
    quarter = max(1, len(returns) // 4)
    first, last = bootstrap(returns[:quarter]), bootstrap(returns[-quarter:])
    end = bootstrap(bench.returns("learned", away))
    gains = {
        other: bootstrap(bench.returns("learned", away) - bench.returns(other, away))
        for other in ("random", "hold still")
    }
    parts = [
        f"PPO learns in the {away} world itself for {record['found']['steps']:,} steps of {config.num_envs} worlds, "
        f"{record['seconds'] / 60:.1f} minutes: its episodes return {spread(first)} in the first quarter of {len(returns)}, "
        f"{spread(last)} in the last, exploring. From the {config.episodes} start states the policy then returns {spread(end)}; "
        f"less what random actions return, that is {spread(gains['random'])}, less what holding still does, "
        f"{spread(gains['hold still'])}."
    ]
    if config.picture:
        draw(config.picture, bench)
        beside = config.page.parent if config.page else Path()
        parts.append(f"![Returns of PPO in the {away} world, by steps]({os.path.relpath(config.picture, beside)})")
    return "\n\n".join(parts)


def words_of_speed(bench: Bench) -> str:
    """Steps a second, and what the checkers said, in a line."""
    record, config = bench.speed, bench.config
    rate = 1 / statistics.median(record["found"]["seconds"])
    found = record["found"]["fault"]
    verdict = f"complain: {found}" if found else "find no fault with it"
    threads = record["asked"]["threads"]
    return (
        f'`gym.make("{ENV}", scene="{called(config.scene[0])}", model="{config.models[1]}")` makes {rate:.2f} steps a second '
        f"(median of {BLOCKS} after {WARM_UP}, torch threads: {threads}); the environment checkers of Gymnasium and "
        f"Stable-Baselines3 {verdict}."
    )


def draw(path: Path, bench: Bench) -> None:
    """Every episode of the training, their mean over parts of it, and everybody's from the common start states."""
    matplotlib.use("Agg")
    config, away = bench.config, bench.config.models[1]
    steps, returns = np.array(bench.learned[1]["found"]["episodes"]).T
    figure, axes = plt.subplots(figsize=(7, 3.6), dpi=120, layout="constrained")
    axes.plot(steps, returns, ".", color="tab:blue", alpha=0.3, label="an episode of the training")
    parts = [*np.array_split(np.arange(len(steps)), np.clip(len(steps) // LEAST, 1, BINS))]
    curve = np.array([[steps[part].mean(), *bootstrap(returns[part])] for part in parts])
    axes.plot(curve[:, 0], curve[:, 1], "o-", color="tab:blue", label="mean of a part of it, 95%")
    axes.fill_between(curve[:, 0], curve[:, 2], curve[:, 3], color="tab:blue", alpha=0.15, linewidth=0)
    mean, low, high = bootstrap(bench.returns("learned", away))
    axes.errorbar(
        [bench.learned[1]["found"]["steps"]],
        [mean],
        [[mean - low], [high - mean]],
        fmt="D",
        color="tab:blue",
        label="played at the end, 95%",
    )
    lines: dict[Who, tuple[str, str]] = {"random": ("0.6", "random"), "hold still": ("0.3", "hold still")}
    if "transfer" in config.parts:
        lines["policy"] = ("tab:orange", f"trained in {config.models[0]}")
    for who, (colour, name) in lines.items():
        axes.axhline(bench.returns(who, away).mean(), color=colour, linestyle="--", label=name)
    axes.set(xlabel="steps of all worlds together", ylabel="return of an episode, in views")
    axes.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def spread(interval: Interval) -> str:
    """A mean and its interval."""
    mean, low, high = (round(value, 2) + 0.0 for value in interval)  # no -0.00
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def called(scene: str) -> str:
    """A scene's name, or that of its folder."""
    return scene if scene.startswith("synthetic:") else Path(scene).name


WORDS: dict[Part, Callable[[Bench], str]] = {
    "transfer": words_of_transfer,
    "learning": words_of_learning,
    "speed": words_of_speed,
}


def main(config: Config) -> None:
    """Measure what is not measured yet, print it, fill the page."""
    bench = Bench(config)
    parts = [WORDS[part](bench) for part in config.parts]
    words = "\n\n".join([*parts, *bench.machines])
    print(words)
    if config.page:
        fill(config.page, "tiny-transfer", words)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config, prog="python -m benchmarks.transfer", description=__doc__)))
