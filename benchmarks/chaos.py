"""Training while actors are killed: whatever dies, the trainer must see the very transitions of a quiet run.

    python -m benchmarks.chaos [--minutes 10] [--every 5]

SB3's PPO trains over `RayVectorEnv`, a random actor is killed (kill -9) at random moments, and all that the trainer asked
for and got is recorded: its resets and actions, and a hash of every observation, reward, and end. Then the same resets and
actions go to worlds in one quiet process, which must answer with the same hashes, row by row: a transition that was lost,
obeyed twice, or belongs to another world would not. What else must hold: no wait without end, no process that stays, no
memory that is kept. Needs: pip install "inspatio-gym[agents,ray]"
"""

import gc
import hashlib
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from gymnasium.vector import VectorEnv, VectorWrapper

from inspatio_gym.doctor import machine
from inspatio_gym.envs import RayVectorEnv
from inspatio_gym.envs.ray_mail import SHARED
from inspatio_gym.envs.ray_slab import KEPT
from inspatio_gym.envs.sb3 import to_sb3
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.extras import extra
from inspatio_gym.processes import alive, descendants, gone, resident
from inspatio_gym.types import Size

with extra("ray"):
    import ray
    from ray._private.internal_api import memory_summary

with extra("agents"):
    import torch
    from stable_baselines3 import PPO

MIB = 2**20
REST = 16  # steps between two kills, at least: else a training would get nowhere where actors start slowly


@dataclass(frozen=True)
class Config:
    """Train, kill, compare."""

    minutes: float = 10.0
    """How long to train; longer if actors have not been killed twice by then."""
    every: float = 5.0
    """Seconds from one kill to the next, on average; more where steps are slow."""
    num_envs: int = 8
    """Worlds in all."""
    num_actors: int = 2
    """Actors, each with one CPU."""
    scene: str = "room"
    """A bundled scene or a scene folder."""
    size: Size = (48, 80)
    """Height and width of the observations."""
    timeout_s: float = 120.0
    """A wait that is longer is a hang."""
    seed: int = 0
    """Of the worlds, the policy, and the murderer."""


@dataclass
class Outcome:
    """What came of it.

    differing: transitions that are not those of the quiet run, by row and order; first_difference: where they begin.
    orphans: processes that stayed. mailboxes, slabs: shared memories that are open once the learner is gone and were not
    before it, beyond one mailbox an actor and the slabs that are kept. store: MiB in Ray's
    object store, memory: MiB that the driver holds, both after the first two rollouts and at the end.
    """

    kills: int = 0
    restarts: int = 0
    transitions: int = 0
    differing: int = 0
    first_difference: str = "none"
    seconds_of_training: float = 0.0
    seconds_of_the_slowest_step: float = 0.0
    orphans: int = 0
    mailboxes: int = 0
    slabs: int = 0
    store_at_first: float = 0.0
    store_at_last: float = 0.0
    memory_at_first: float = 0.0
    memory_at_last: float = 0.0

    @property
    def sound(self) -> bool:
        """Nothing was lost, doubled, or left behind."""
        left = self.differing or self.orphans or self.mailboxes or self.slabs
        return not left and self.store_at_last <= self.store_at_first


class Recorder(VectorWrapper):
    """Keeps what is asked of a vector environment, and a hash of each row of what it answers."""

    def __init__(self, envs: VectorEnv):
        super().__init__(envs)
        self.asked: list[tuple[str, Any]] = []
        self.answered: list[list[bytes]] = []
        self.steps = 0
        self.slowest = 0.0

    def reset(self, *, seed: Any = None, options: Mapping[str, Any] | None = None) -> Any:
        result = self.env.reset(seed=seed, options=options)
        seeds = self.env.np_random_seed if not self.asked else seed  # those of worlds that were given none
        self.asked.append(("reset", {"seed": seeds, "options": options}))
        self.answered.append(rows(result[0]))
        return result

    def step(self, actions: Any) -> Any:
        begun = time.perf_counter()
        result = self.env.step(actions)
        self.slowest = max(self.slowest, time.perf_counter() - begun)
        self.asked.append(("step", actions.copy()))
        self.answered.append(rows(*result[:4]))
        self.steps += 1
        return result


def rows(observations: Mapping[str, np.ndarray], *columns: np.ndarray) -> list[bytes]:
    """A hash of each row of some arrays."""
    arrays = [*(observations[key] for key in sorted(observations)), *columns]
    return [
        hashlib.blake2b(b"".join(array[k].tobytes() for array in arrays), digest_size=8).digest()
        for k in range(len(arrays[0]))
    ]


@dataclass
class Murderer:
    """Kills a random actor of `envs` every now and then, from a thread of its own, until it is stopped.

    every: seconds between two kills, on average, unless the recorder's `REST` steps between them take longer.
    """

    envs: RayVectorEnv
    recorder: Recorder
    every: float
    seed: int
    kills: int = 0
    seen: set[int] = field(default_factory=set)
    """Every process that the driver has had."""

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Murderer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        chance, due = random.Random(self.seed), 0
        while not self._stop.wait(chance.uniform(0.2, 1.8) * self.every):
            self.seen |= set(descendants(os.getpid()))
            if self.recorder.steps < due:
                continue
            pid = chance.choice(self.envs.actor_pids)
            with suppress(FileNotFoundError, ProcessLookupError):  # not quite back from the last time
                if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::"):
                    os.kill(pid, signal.SIGKILL)
                    due = self.recorder.steps + REST
                    self.kills += 1


def chaos(config: Config) -> Outcome:
    """Train, kill, and compare with a quiet run; starts a Ray of its own, to see all of its processes end.

    Raises what the training raises: TimeoutError for a hang, say.
    """
    torch.set_num_threads(1)
    outcome, others = Outcome(), set(descendants(os.getpid()))
    mail, slabs = memories("mail"), memories("slab")  # those of other environments
    worlds = {
        "scene": config.scene,
        "model": "warp",
        "size": config.size,
        "control": "rotation",
        "max_episode_steps": 40,
    }
    envs = RayVectorEnv(
        "InSpatio-v0",
        config.num_envs,
        num_actors=config.num_actors,
        max_restarts=100,
        timeout_s=config.timeout_s,
        **worlds,
    )
    recorder = Recorder(envs)
    murderer = Murderer(envs, recorder, config.every, config.seed)
    algorithm = PPO("MultiInputPolicy", to_sb3(recorder), n_steps=32, batch_size=128, n_epochs=1, seed=config.seed)
    begun = time.monotonic()

    def on(_: Mapping[str, Any], __: Mapping[str, Any]) -> bool:
        if recorder.steps == 64:
            outcome.store_at_first, outcome.memory_at_first = stored(), resident() / MIB
        return recorder.steps < 64 or murderer.kills < 2 or time.monotonic() - begun < 60 * config.minutes

    try:
        with murderer:
            algorithm.learn(10**12, callback=on)
        outcome.seconds_of_training = time.monotonic() - begun
        recorder.step(np.stack([envs.single_action_space.sample() for _ in range(config.num_envs)]))  # all are back
        outcome.store_at_last, outcome.memory_at_last = stored(), resident() / MIB
        del algorithm  # whoever holds an array of a memory keeps it open
        outcome.mailboxes = len(memories("mail") - mail) - config.num_actors
        outcome.slabs = max(0, len(memories("slab") - slabs) - KEPT)
        outcome.kills, outcome.restarts = murderer.kills, sum(envs.restarts)
        outcome.transitions = recorder.steps * config.num_envs
        outcome.seconds_of_the_slowest_step = recorder.slowest
        murderer.seen |= set(descendants(os.getpid()))
    finally:
        envs.close()
    own = murderer.seen - others
    gone(own)
    outcome.orphans = sum(map(alive, own))
    compare(recorder, InSpatioVectorEnv(config.num_envs, **worlds), outcome)
    return outcome


def compare(recorder: Recorder, quiet: InSpatioVectorEnv, outcome: Outcome) -> None:
    """Ask worlds in one process for what the recorder was asked, and count the rows that differ."""
    for t, ((verb, arguments), answer) in enumerate(zip(recorder.asked, recorder.answered, strict=True)):
        result = quiet.reset(**arguments)[:1] if verb == "reset" else quiet.step(arguments)[:4]
        for k, (ours, theirs) in enumerate(zip(answer, rows(*result), strict=True)):
            if ours != theirs:
                outcome.differing += 1
                if outcome.differing == 1:
                    outcome.first_difference = f"world {k} at call {t}, a {verb}"


def stored() -> float:
    """MiB of objects in Ray's store."""
    summary = memory_summary(ray.get_runtime_context().gcs_address, stats_only=True)
    return float(summary.partition("Plasma memory usage ")[2].partition(" MiB")[0])


def memories(kind: str) -> set[str]:
    """The memories of a kind, "mail" or "slab", that driver and actors share and that are open here."""
    gc.collect()
    links = set()  # a memory that is mapped has two descriptors
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.add(os.readlink(fd).removesuffix(" (deleted)"))
    return {link for link in links if link.startswith(str(SHARED / f"inspatio-gym-{kind}-"))}


def main(config: Config) -> int:
    """Print what came of it; returns 1 unless it is sound."""
    print(machine())
    outcome = chaos(config)
    for name, value in vars(outcome).items():
        print(f"{name.replace('_', ' '):<30}{value if isinstance(value, str) else f'{value:,.6g}'}")
    print("sound" if outcome.sound else "NOT SOUND")
    return 0 if outcome.sound else 1


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Config)))
