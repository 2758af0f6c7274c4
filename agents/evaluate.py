"""Compare a trained policy with simple agents over the same start states, which no training has seen.

    search(world)                the most rewarding constant actions, found on the validation's start states
    compare(world, agents, ...)  every agent plays every start state of the evaluation -> Comparison: rows, table, JSON

Who is compared: the policy; random actions; holding still; the best constant action; and whoever is scripted for the
task: an oracle where it says what is left to go, a visual servo where it shows a picture of its goal, else a look-around.
The search for a constant tries coarse actions and then refines the best one component by component; the `FINALISTS` best all play
the start states of the evaluation, and the best of them *there* stands in the table. That choice favours the constant:
it is picked by the very returns that it is judged by, the policy is not.

The policy has learned if the 95% interval of its mean return lies above that of the best rival. As both played the same
start states, the verdict also tells the mean difference between their returns from one start state, which often is
surer than the intervals of the means show.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv

from inspatio_gym.agents.baselines import Agent, Constant, LookAround, Random, constant_actions, hold_still, neighbours
from inspatio_gym.agents.config import VALIDATION_SEEDS, EvaluateConfig, WorldConfig, evaluation_seeds
from inspatio_gym.agents.episodes import Episodes, make_worlds, play
from inspatio_gym.agents.oracle import Oracle, reach_of
from inspatio_gym.agents.progress import Progress
from inspatio_gym.agents.reckoning import DeadReckoning
from inspatio_gym.agents.servo import Servo
from inspatio_gym.agents.statistics import Interval, bootstrap
from inspatio_gym.envs.tasks import Seeker
from inspatio_gym.files import written_whole

WORLDS = 25  # stepped together
SEARCH_EPISODES = 8  # of each constant action that is tried
FINALISTS = 4
SOURCES = ("video", "scene", "held_out")  # what of a policy's world goes together when it is changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What all agents did from the same start states.

    world: the arguments of `gymnasium.make`. trained: the policy, if there is one. rivals: random, holding still and the
    best constant action. scripted: agents written by hand for the task, which are shown beside them.
    """

    world: dict[str, Any]
    trained: Episodes | None
    rivals: tuple[Episodes, ...]
    scripted: tuple[Episodes, ...]

    @property
    def rows(self) -> tuple[Episodes, ...]:
        """One for each agent, in the order of the table: the policy is the first if there is one."""
        return (*((self.trained,) if self.trained else ()), *self.rivals, *self.scripted)

    @property
    def rival(self) -> Episodes:
        """The best of random, holding still and the best constant action."""
        return max(self.rivals, key=_mean_return)

    @property
    def learned(self) -> bool:
        """Whether the policy's interval lies above that of its best rival."""
        return self.trained is not None and self.trained.interval.low > self.rival.interval.high

    @property
    def gain(self) -> Interval | None:
        """The policy's return less its best rival's *from the same start state*: mean and 95% bootstrap interval.

        Much of what separates two returns is where they began; the difference is free of that, so its interval is mostly
        narrower than those of the means.
        """
        return None if self.trained is None else bootstrap(self.trained.returns - self.rival.returns)

    def table(self) -> list[list[str]]:
        """A row of names, then one a row: agent, mean return, steps, the task's metrics; means with their 95% intervals."""
        metrics = list(self.rows[0].metrics)
        lines = [["agent", "return [95% interval]", "steps", *(name.replace("_", " ") for name in metrics)]]
        for row in self.rows:
            scores = [_score(bootstrap(row.metrics[name])) for name in metrics]
            lines.append([row.agent, _spread(*row.interval), f"{row.lengths.mean():.1f}", *scores])
        return lines

    def verdict(self) -> str:
        """Did the policy learn? The intervals of the means decide; the paired difference says how sure the rest is."""
        rival = self.rival
        if self.trained is None or self.gain is None:
            return f"The best of the simple agents is {rival.agent!r}."
        mean, low, high = self.gain
        if self.learned:
            return (
                f"The trained policy's mean return is {mean:.2f} above that of the best of random, holding still and the "
                f"best constant action ({rival.agent!r}); the 95% intervals over {len(rival.seeds)} start states are "
                f"disjoint. On the same start states it is better by {_spread(mean, low, high)}."
            )
        overlap = self.trained.interval.high >= rival.interval.low
        though = ", though the intervals of the means overlap" if overlap else ""
        if low > 0:
            found = f"better than {rival.agent!r} on the same start states by {_spread(mean, low, high)}{though}"
        elif high < 0:
            found = f"worse than {rival.agent!r} on the same start states by {_spread(-mean, -high, -low)}{though}"
        else:
            found = (
                f"not shown to be better or worse than {rival.agent!r}: on the same start states its return differs by "
                f"{_spread(mean, low, high)}"
            )
        return f"The trained policy is {found}. Train it for longer."

    def to_json(self) -> str:
        """Everything, each episode's return included."""
        agents = [
            {
                "agent": row.agent,
                **row.interval._asdict(),
                "returns": row.returns.tolist(),
                "lengths": row.lengths.tolist(),
                "metrics": {name: values.tolist() for name, values in row.metrics.items()},
                "intervals": {name: bootstrap(values)._asdict() for name, values in row.metrics.items()},
            }
            for row in self.rows
        ]
        record = {
            "world": self.world,
            "seeds": self.rows[0].seeds.tolist(),
            "learned": self.learned,
            "paired": self.gain and {"rival": self.rival.agent, **self.gain._asdict()},
            "agents": agents,
        }
        return json.dumps(record, indent=1)


def evaluate(config: EvaluateConfig) -> Comparison:
    """Compare as `config` says; print the world that was played, which may be the policy's own, the table and the verdict.

    Raises ValueError for a policy, or options, that do not fit, FileNotFoundError where there is no policy.
    """
    policy, world = None, config.world()
    if config.policy is not None:
        from inspatio_gym.agents.policy import Trained, load_policy

        loaded, card = load_policy(config.policy, config.device)
        policy, world = Trained(loaded, sampled=config.sampled), world_of_policy(card.world, config)
    result = compare(world, policy, episodes=config.episodes, seed=config.seed)
    print(f"{world_in_words(result.world)}\n\n{as_text(result.table())}\n\n{result.verdict()}")
    if config.json is not None:
        with written_whole(config.json) as partial:
            partial.write_text(result.to_json() + "\n", encoding="utf-8")
    return result


def compare(world: dict[str, Any], policy: Agent | None, *, episodes: int = 50, seed: int = 0) -> Comparison:
    """All agents play the same start states, the `seed`-th set of `episodes` of them. world: see `WorldConfig.world`.

    Raises ValueError for fewer than two episodes or more than there are start states.
    """
    seeds = evaluation_seeds(episodes, seed)
    finalists = search(world)
    envs = make_worlds(world, min(episodes, WORLDS))
    try:
        space, names = envs.single_action_space, envs.action_names  # type: ignore[attr-defined]
        by_hand = scripted(envs)
        bar = Progress("evaluating", 2 + len(finalists) + len(by_hand) + (policy is not None), 0, "agents")
        played: list[Episodes] = []

        def row_of(agent: Agent) -> Episodes:
            played.append(play(envs, agent, seeds))
            bar.update(len(played))
            return played[-1]

        result = Comparison(
            world=world,
            trained=row_of(policy) if policy else None,
            rivals=(
                row_of(Random(space)),
                row_of(hold_still(space, names)),
                max(map(row_of, finalists), key=_mean_return),
            ),
            scripted=tuple(map(row_of, by_hand)),
        )
        bar.close()
        return result
    finally:
        envs.close()


def scripted(envs: VectorEnv) -> list[Agent]:
    """The agents that were written by hand for the task of these worlds, which are in this process."""
    space, names, stage = envs.single_action_space, envs.action_names, envs.stage  # type: ignore[attr-defined]
    task, found = stage.make_task(), list[Agent]()
    if isinstance(task, Seeker):
        found.append(Oracle(space, names, reach_of(stage)))
    if "goal_rgb" in task.observation_spaces:
        found.append(Servo(space, names, reach_of(stage)))
    if "cue" in task.observation_spaces:
        found.append(DeadReckoning(space, names, reach_of(stage)))
    return found or [LookAround(space, names)]


def search(world: dict[str, Any]) -> list[Constant]:
    """The `FINALISTS` constant actions with the highest mean return from start states of the validation, best first."""
    envs = make_worlds(world, SEARCH_EPISODES)
    seeds = VALIDATION_SEEDS[:SEARCH_EPISODES]
    try:
        space, names = envs.single_action_space, envs.action_names  # type: ignore[attr-defined]
        components = len(names) if isinstance(space, gym.spaces.Box) else 0
        coarse = constant_actions(space, names)
        tried: dict[str, tuple[float, Constant]] = {}
        bar = Progress("best constant", len(coarse) + 10 * components, 0, "actions")

        def attempt(field: Sequence[Constant]) -> Constant:
            for agent in field:
                if agent.name not in tried:
                    tried[agent.name] = float(play(envs, agent, seeds).returns.mean()), agent
                    bar.update(len(tried))
            return max(tried.values(), key=lambda scored: scored[0])[1]

        best = attempt(coarse)
        for component in range(components):
            best = attempt(neighbours(best.action, names, component))
        bar.close()
    finally:
        envs.close()
    ranked = sorted(tried.values(), key=lambda scored: -scored[0])
    return [agent for _, agent in ranked[:FINALISTS]]


def world_in_words(world: dict[str, Any]) -> str:
    """One sentence about a world. world: arguments of `gymnasium.make`."""
    height, width = world["size"]
    names = ", ".join(Path(source).name for source in world["video"] or world["scene"])
    return (
        f"World {names}, model {world['model']}, task {world['task']}, control {world['control']}; observations of "
        f"{height}x{width} pixels, {world['frames_per_step']} frames a step, {world['max_episode_steps']} steps an episode."
    )


def as_text(table: list[list[str]]) -> str:
    """A table for a terminal, the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def as_markdown(table: list[list[str]]) -> str:
    """The same for a Markdown page."""
    rule = ["---", *["---:"] * (len(table[0]) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (table[0], rule, *table[1:]))


def _score(metric: Interval) -> str:
    mean, low, high = metric
    return f"{mean:.3g}" if low == high else f"{mean:.3g} [{low:.3g}, {high:.3g}]"


def _spread(mean: float, low: float, high: float) -> str:
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def _mean_return(episodes: Episodes) -> float:
    return float(episodes.returns.mean())


def world_of_policy(trained_in: dict[str, Any], config: WorldConfig, anew: Sequence[str] = ()) -> dict[str, Any]:
    """The policy's world, of other videos or scenes and in another world model if `config` names some, and with its fields
    `anew` where they are given.

    Raises ValueError for other differences.
    """
    asked, changed = config.world(), {}
    for f in fields(WorldConfig):
        name = "id" if f.name == "env" else f.name
        if f.name in SOURCES or getattr(config, f.name) == f.default:
            continue
        if f.name in ("model", *anew):
            changed[name] = asked[name]
        elif asked[name] != trained_in[name]:
            raise ValueError(
                f"expected the policy's own world but for videos, scenes and the world model, got {f.name} = "
                f"{asked[name]!r} where it was trained with {trained_in[name]!r}: leave --{f.name.replace('_', '-')} out"
            )
    if config.video or config.scene:
        changed |= {"video": asked["video"], "scene": asked["scene"]}
    return trained_in | changed
