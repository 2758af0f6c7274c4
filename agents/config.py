"""What the commands can be told: typed, light to import, and the source of their `--help`.

`WorldConfig` says which world; the commands' configurations extend it. A field's docstring is its option's help.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import gymnasium as gym

from inspatio_gym.agents.recipes import (
    RECIPES,
    TUNED,
    PPORecipe,
    Recipe,
    RecurrentPPORecipe,
    SACRecipe,
    recipe_from_json,
)

Algorithm = Literal["ppo", "sac", "recurrent-ppo"]
Engine = Literal["inprocess", "ray"]

# Start states are drawn from seeds, and these ranges do not meet: nothing is evaluated where it was trained.
TRAINING_SEEDS = range(0, 1_000_000_000)
VALIDATION_SEEDS = range(1_000_000_000, 2_000_000_000)  # during the training, to pick the best policy
EVALUATION_SEEDS = range(2_000_000_000, 3_000_000_000)
STEPS = 200_000  # of a training that is not told
# A task to be trained on -> the one that it leads to, in which policies are judged.
CURRICULA = {"goal-curriculum": "goal", "driving-train": "driving-held-out"}

# The least that a training can go by.
LEAST = {
    "steps": 1,
    "num_envs": 1,
    "num_actors": 1,
    "num_gpus_per_actor": 0,
    "max_episode_steps": 1,
    "seed": 0,
    "checkpoint_every": 1,
    "validate_every": 0,
    "validation_episodes": 1,
}


def evaluation_seeds(episodes: int, seed: int) -> range:
    """The `seed`-th set of `episodes` start states of the evaluation; sets do not meet.

    Raises ValueError for fewer than two episodes or more than there are start states.
    """
    if episodes < 2 or not 0 <= seed < len(EVALUATION_SEEDS) // episodes:
        raise ValueError(
            f"expected at least 2 episodes and a small seed from 0 on, got {episodes} and {seed}: 50 and 0, say"
        )
    return EVALUATION_SEEDS[seed * episodes : (seed + 1) * episodes]


@dataclass(frozen=True, kw_only=True)
class WorldConfig:
    """Which world, in the words of the environment's keyword arguments."""

    env: str = "InSpatio-v0"
    """Id of the environment: InSpatio-v0 (explore), InSpatioMoment-v0, or one of your own."""
    video: tuple[Path, ...] = ()
    """Video files, or folders of them; each video becomes a scene on first use, and every episode draws one of them."""
    scene: tuple[str, ...] = ()
    """Bundled scenes ("room", "street"), synthetic ones ("synthetic:table?seed=3") or scene folders instead of videos; "room"
    if neither is given."""
    model: str = "auto"
    """World model: "auto" takes the best one whose weights and device are there; "warp" needs no weights."""
    held_out: float = 0.0
    """Share of the videos (or scenes) to keep for the evaluation, 0 to 1: a training goes without them, and an evaluation with
    the same share and videos plays them alone. Which they are depends on each one's content and on nothing else."""
    task: str | None = None
    """What is asked of the agent; by default what the environment's id says."""
    control: Literal["free", "rotation", "discrete", "time"] | None = None
    """What the agent sets: camera and time, where to look, one of the named moves, or time alone; by default what the
    environment's id says, else camera and time."""
    time_control: bool = False
    """Let rotation and discrete control set time too, where the environment's id does not say so already."""
    mount: Literal["source", "world"] = "source"
    """Ride the recorded camera, or move in the first camera's frame."""
    size: tuple[int, int] = (48, 80)
    """Height and width of the observation in pixels; most of a training's time goes by its area."""
    frames_per_step: int = 12
    """Frames that an action is held for."""
    max_episode_steps: int | None = None
    """Steps after which an episode is cut; by default what the environment's recipe says, else 250."""

    def world(self) -> dict[str, Any]:
        """The keyword arguments of `gymnasium.make` and `make_vec`, as JSON values, `env` and `max_episode_steps` too.

        Raises ValueError if both videos and scenes are given, for an unknown environment, and if none of the videos or
        scenes is left.
        """
        if self.video and self.scene:
            raise ValueError("expected videos or scenes, got both: pass --video or --scene")
        own = own_world(self.env)
        chosen = {f.name: getattr(self, f.name) for f in fields(WorldConfig) if f.name not in ("env", "held_out")}
        chosen |= {name: own[name] for name in own if chosen[name] is None}
        chosen["time_control"] |= own["time_control"]
        chosen["id"] = self.env
        chosen["size"] = list(self.size)
        chosen["video"] = [str(source) for source in self._part(self.video)] or None
        chosen["scene"] = None if self.video else [str(source) for source in self._part(self.scene or ("room",))]
        return chosen

    def _part(self, sources: Sequence[Any]) -> Sequence[Any]:
        """Those to train on, if some are held out."""
        return self._split(sources, "train", "pass more of them, or a smaller --held-out")

    def _split(self, sources: Sequence[Any], side: Literal["train", "held_out"], way_out: str) -> Sequence[Any]:
        if not self.held_out or not sources:
            return sources
        from inspatio_gym.envs.videos import split  # brings a decoder with it

        part = getattr(split(sources, self.held_out), side)
        if not part:
            raise ValueError(
                f"expected one or more of {len(sources)} videos or scenes on either side, got none: {way_out}"
            )
        return part


def judged(world: dict[str, Any]) -> dict[str, Any]:
    """The world in which a policy that is trained in `world` is judged: with a curriculum's last task in its place."""
    return {**world, "task": CURRICULA.get(world["task"], world["task"])}


def own_world(env: str) -> dict[str, Any]:
    """What the environment of that id is about unless one is told: task, control, time_control and max_episode_steps.

    Raises ValueError for an unknown id.
    """
    try:
        spec = gym.spec(env)
    except gym.error.Error as problem:
        ids = sorted(name for name in gym.registry if name.startswith("InSpatio"))
        raise ValueError(f"expected an environment's id, such as {', '.join(ids)}, got {env!r}") from problem
    return {
        "task": spec.kwargs.get("task", "explore"),
        "control": spec.kwargs.get("control", "free"),
        "time_control": spec.kwargs.get("time_control", False),
        "max_episode_steps": TUNED.get(env, {}).get("max_episode_steps", spec.max_episode_steps),
    }


@dataclass(frozen=True, kw_only=True)
class TrainConfig(WorldConfig):
    """Train an agent with Stable-Baselines3.

    $ inspatio-gym train --algo ppo --video clip.mp4 --run runs/clip --steps 200000
    $ inspatio-gym train --env InSpatioMoment-v0 --scene room   by the recipe that solves this task
    $ inspatio-gym train --video clips/ --held-out 0.2          on most videos of a folder, to be evaluated on the others
    $ inspatio-gym train --video clip.mp4 --engine ray --num-envs 64 --num-actors 4
    $ inspatio-gym train --run runs/clip --resume               goes on after a stop, with what was asked for then
    $ inspatio-gym evaluate --policy runs/clip                  compares it with random, scripted and constant ones
    $ tensorboard --logdir runs/clip                            returns, the task's metrics, steps/s, videos

    Each task has its own recipe, and --help shows that of the --env beside it. The run's folder holds config.json,
    checkpoints/, policy.safetensors (the best by validation), progress.jsonl and tensorboard/. Ctrl-C stops after writing a
    checkpoint.
    """

    algo: Algorithm = "ppo"
    """Proximal policy optimisation, soft actor-critic, or PPO with a memory."""
    run: Path = Path("runs/ppo")
    """Folder for all that the run leaves; must be new unless --resume is given."""
    resume: bool = False
    """Go on from the run's last checkpoint. All other options come from the run, but --steps, --minutes and --device."""
    steps: int | None = None
    """Steps of all worlds together, from the run's very beginning; 200,000 unless given, or those of a resumed run."""
    minutes: float | None = None
    """Stop after this many minutes even if steps remain; what falls with the steps then falls with the time."""
    num_envs: int = 16
    """Worlds that are stepped together."""
    randomize: bool = False
    """Let light, noise, delay and dropped frames of the camera differ from episode to episode (`inspatio_gym.envs.wrappers`);
    the worlds of the validations stay as they are."""
    engine: Engine = "inprocess"
    """Where they are: in this process, or in the actors of a Ray (the one at RAY_ADDRESS, else a local one). What is learned
    is the same."""
    num_actors: int = 2
    """Processes that --engine ray shares them out to, each with a world model of its own."""
    num_gpus_per_actor: float = 0
    """GPUs of each; 1 for a world model that needs one. The worlds of the validations stay in this process."""
    seed: int = 0
    """Of the network's first weights, the actions and the start states."""
    device: str = "auto"
    """Where the agent's network computes: "cpu", "cuda", or "auto"."""
    checkpoint_every: int = 20_000
    """Steps between checkpoints."""
    validate_every: int = 20_000
    """Steps between validations, which pick the policy that is kept; 0 for none (the last one is kept)."""
    validation_episodes: int = 16
    """Episodes of each, from start states of their own."""
    ppo: PPORecipe = field(default_factory=PPORecipe)
    """Numbers of --algo ppo."""
    sac: SACRecipe = field(default_factory=SACRecipe)
    """Numbers of --algo sac."""
    recurrent_ppo: RecurrentPPORecipe = field(default_factory=RecurrentPPORecipe)
    """Numbers of --algo recurrent-ppo."""

    @classmethod
    def of(cls, env: str, **others: Any) -> Self:
        """The configuration by the recipe of an environment, but for `others`."""
        tuned = {name: value for name, value in TUNED.get(env, {}).items() if name != "max_episode_steps"}
        return cls(**{**tuned, "env": env, **others})

    @classmethod
    def defaults(cls, arguments: Sequence[str]) -> Self:
        """What holds for all that a command line does not say: the recipe of the environment that it names."""
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        parser.add_argument("--env", default=cls.env)
        try:
            return cls.of(parser.parse_known_args(list(arguments))[0].env)
        except argparse.ArgumentError:  # --env without an id, of which the command's own parser will tell
            return cls()

    @property
    def recipe(self) -> Recipe:
        """The numbers of the chosen algorithm."""
        return getattr(self, _field_of(self.algo))

    def check(self) -> None:
        """Raise ValueError for a number that no training can go by."""
        for name, least in LEAST.items():
            asked = getattr(self, name)
            if asked is not None and asked < least:
                option = f"--{name.replace('_', '-')}"
                raise ValueError(
                    f"expected {name} of {least} or more, got {asked}: pass a larger {option}, or leave it out"
                )
        if self.minutes is not None and not self.minutes > 0:
            raise ValueError(
                f"expected some time to train, got {self.minutes:g} minutes: leave --minutes out for no limit"
            )

    def to_json(self) -> str:
        """What `from_json` takes back."""
        return json.dumps(asdict(self), indent=2, default=str)

    @classmethod
    def from_json(cls, text: str) -> "TrainConfig":
        """Raises ValueError, KeyError or TypeError for anything but what `to_json` wrote."""
        record = json.loads(text)
        record |= {_field_of(algo): recipe_from_json(algo, record[_field_of(algo)]) for algo in RECIPES}
        record |= {"video": tuple(map(Path, record["video"])), "scene": tuple(record["scene"])}
        return cls(**{**record, "size": tuple(record["size"]), "run": Path(record["run"])})


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig(WorldConfig):
    """Compare a trained policy with simple agents, over start states that it was never trained on.

    $ inspatio-gym evaluate --policy runs/clip
    $ inspatio-gym evaluate --policy runs/clip --scene street --episodes 100 --json result.json
    $ inspatio-gym evaluate --scene street --control discrete          the simple agents alone
    $ inspatio-gym evaluate --policy zoo:moment-ppo --video mine.mp4   one that came with the package, in a world of yours
    $ inspatio-gym evaluate --policy runs/clips --video clips/ --held-out 0.2     on videos that the training left out
    $ inspatio-gym evaluate --policy runs/clip --model tiny --episodes 12      in another world model than the training's

    Every agent plays the same start states. The table gives each one's mean return and the task's metrics with their 95%
    bootstrap intervals: the policy; random actions; holding still; the best constant action (candidates are searched for on
    other start states, the best of them on these is shown, which favours it); and scripted agents: a look-around, or for
    tasks with a goal an oracle that knows the way, and a servo that compares pictures.
    """

    policy: Path | None = None
    """A run's folder, a policy.safetensors, or zoo:NAME, one of those that `inspatio-gym zoo` lists. The world is then that of
    its training, which stands above the table: only --video, --scene, --held-out and --model may change it."""
    episodes: int = 50
    """Start states."""
    seed: int = 0
    """Picks another set of start states, disjoint from every training's."""
    sampled: bool = False
    """Let the policy draw its actions, instead of taking the most likely one."""
    json: Path | None = None
    """Write everything, each episode's return included, into this file too."""
    device: str = "cpu"
    """Where the policy computes: "cpu", "cuda", or "auto"."""

    def _part(self, sources: Sequence[Any]) -> Sequence[Any]:
        """Those that a training with the same share left out."""
        return self._split(sources, "held_out", "pass more of them, or a larger --held-out")


@dataclass(frozen=True, kw_only=True)
class DemoConfig:
    """The whole path in a few minutes: a video becomes a world, an agent is trained in it, and compared.

    $ inspatio-gym demo
    $ inspatio-gym demo --video clip.mp4

    Leaves in the run's folder: trained_vs_random.mp4, learning_curve.png, report.md, policy.safetensors, tensorboard/.
    """

    video: Path | None = None
    """A video to train in; the bundled room if none is given."""
    run: Path = Path("runs/demo")
    """Where the results go; those of an earlier demo are replaced."""
    minutes: float = 3.5
    """Time for the training."""
    steps: int = 300_000
    """Steps after which the training ends even if time is left."""
    control: Literal["free", "rotation", "discrete"] = "rotation"
    """What the agent sets: camera and time, where to look, or one of the named moves."""
    max_episode_steps: int = 64
    """Steps after which an episode is cut."""
    episodes: int = 50
    """Start states of the evaluation."""
    seed: int = 0
    """Of training and evaluation."""


def _field_of(algo: str) -> str:
    """The field of `TrainConfig` that holds the algorithm's recipe."""
    return algo.replace("-", "_")
