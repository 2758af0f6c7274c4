"""What `inspatio-gym collect` can be told; light to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from inspatio_gym.agents.config import TRAINING_SEEDS, WorldConfig

FORMATS = {
    "minari": "inspatio_gym.collect.minari:MinariFormat",
    "lerobot": "inspatio_gym.collect.lerobot:LeRobotFormat",
    "plain": "inspatio_gym.collect.plain:PlainFormat",
}
"""Name of each format -> what writes it, imported when it is asked for."""

MOST_EPISODES = 1_000_000  # of a seed


@dataclass(frozen=True, kw_only=True)
class CollectConfig(WorldConfig):
    """Roll a policy over many worlds and write datasets.

    $ inspatio-gym collect --scene room --episodes 100 --output data/room
    $ inspatio-gym collect --video a.mp4 b.mp4 --policy scripted:look-around --format minari,lerobot,plain --output data/ab
    $ inspatio-gym collect --policy runs/clip --engine ray --num-envs 64 --episodes 1000 --output data/clip

    Episode k is the same however many worlds there are and wherever they are. Stop it or kill it at any moment: the same
    command goes on where it was, and a larger --episodes adds to a dataset. Needs: pip install "inspatio-gym[datasets]"
    """

    output: Path = Path("data/collected")
    """Folder for the datasets, one folder in it for each format; new, or one that this very command began."""
    format: tuple[str, ...] = ("plain",)
    """One or several of minari, lerobot (v3.0), and plain (mp4, depth video, parquet)."""
    policy: str = "random"
    """Who acts: "random", "scripted:look-around", "scripted:hold-still", the folder of a training run, or zoo:NAME,
    whose world is then played: only --video, --scene, --model and --max-episode-steps may change it."""
    episodes: int = 10
    """Episodes to write."""
    max_episode_steps: Annotated[int | None, tyro.conf.arg(aliases=("--max-steps",))] = None
    """Steps after which an episode is cut; by default what the environment's recipe says, else 250."""
    num_envs: int = 8
    """Worlds that are stepped together. Their episodes are in memory until they end."""
    engine: Literal["inprocess", "ray"] = "inprocess"
    """Worlds in this process, or in Ray actors (needs the extra `ray`)."""
    num_actors: int = 2
    """Ray actors that the worlds are shared out over."""
    device: str = "cpu"
    """Where the world model computes: "cpu" or "cuda", which takes a GPU for each actor."""
    seed: int = 0
    """Picks another set of start states, from 0 to 999; sets do not meet."""

    @property
    def formats(self) -> tuple[str, ...]:
        """The names of the formats, one by one."""
        return tuple(name for names in self.format for name in names.split(",") if name)

    @property
    def seeds(self) -> range:
        """The seed of each episode."""
        first = TRAINING_SEEDS.start + self.seed * MOST_EPISODES
        return range(first, first + self.episodes)

    def check(self) -> None:
        """Raise ValueError for what no dataset can be made of."""
        unknown = [name for name in self.formats if name not in FORMATS]
        if unknown or not self.formats or len(set(self.formats)) != len(self.formats):
            raise ValueError(
                f"expected --format as distinct ones out of {list(FORMATS)}, got {list(self.formats)}: "
                "pass --format minari,plain, say"
            )
        for name, most in (
            ("episodes", MOST_EPISODES),
            ("num_envs", None),
            ("max_episode_steps", None),
            ("num_actors", None),
        ):
            asked = getattr(self, name)
            if asked is not None and (asked < 1 or (most is not None and asked > most)):
                wanted = "1 or more" if most is None else f"1 to {most:,}"
                raise ValueError(f"expected --{name.replace('_', '-')} of {wanted}, got {asked}")
        sets = len(TRAINING_SEEDS) // MOST_EPISODES
        if not 0 <= self.seed < sets:
            raise ValueError(f"expected --seed from 0 to {sets - 1}, got {self.seed}")
