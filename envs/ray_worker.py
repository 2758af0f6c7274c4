"""The far end of `RayVectorEnv`: the worlds of one actor, and the orders that they obey.

A `Worker` is an `InSpatioVectorEnv` in another process. Whatever it is told arrives as an `Order`, whatever it says goes
back as an `Answer`. It decides nothing and remembers nothing that its `Recipe` could not bring back: the driver has
checked every argument, drawn every seed, and keeps the recipe. There is no ray in this file.
"""

import os
import pickle
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.envs.actions import Control
from inspatio_gym.envs.ray_mail import Outbox, Parcel
from inspatio_gym.envs.ray_slab import Bench, Part
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.envs.worlds import Results
from inspatio_gym.processes import resident
from inspatio_gym.scenes import Scene
from inspatio_gym.types import Arrays, Rgb


class Order(NamedTuple):
    """A method of `Worker` and its arguments. Worlds are numbered from the worker's first one."""

    verb: str
    arguments: tuple[Any, ...] = ()

    @property
    def moves(self) -> bool:
        """It leaves the worlds other than they were."""
        return self.verb in ("reset", "step", "restore")

    @property
    def batched(self) -> bool:
        """What it returns are parts of a batch, which the driver puts together at once, in arrays of its own."""
        return self.verb in ("reset", "step", "frames")


class Recipe(NamedTuple):
    """What it takes to make a worker's worlds, as they were when the last order of the log had been obeyed.

    env_id, arguments: of `gymnasium.make_vec`. seeds: one for each world. kept: what `Worker._keep` returned last, or None.
    log: the orders since that moved the worlds. mailbox: the name of the memory that answers go through.
    """

    env_id: str
    arguments: Mapping[str, Any]
    seeds: Sequence[int]
    kept: bytes | None
    log: Sequence[Order]
    mailbox: str


class Call(NamedTuple):
    """What an actor is sent: an order; how to make the worlds first, if they must be; whether all worlds as they are then
    are asked for; and where a step's observations belong (the answer has None in their place, if that memory is here)."""

    order: Order
    recipe: Recipe | None
    keep: bool
    part: Part | None


class Answer(NamedTuple):
    """What an order returned, the worlds after it (if that was asked for), how long it took, and which process it was.

    memory: bytes that the process holds.
    quarantines: how often a world was set apart meanwhile. Replaying the order need not bring the same about (what raised
    may have been a file that is back by then), so the worlds after it come along unasked.
    """

    result: Any
    kept: NDArray[np.uint8] | None
    seconds: float
    pid: int
    memory: int
    quarantines: int


class Description(NamedTuple):
    """What the driver must know of worlds that are elsewhere."""

    control: Control
    observation_space: gym.spaces.Dict
    render_fps: int
    scenes: list[str]


class Worker:
    """The worlds of one actor; `do` is all that is called from outside."""

    def __init__(self) -> None:
        self._outbox: Outbox | None = None
        self._bench = Bench()

    def do(self, call: bytes) -> Parcel | Answer:
        """Obey the order of a pickled `Call`."""
        order, recipe, keep, part = Call(*pickle.loads(call))
        if recipe is not None:
            self._outbox = self._outbox or Outbox(recipe.mailbox)
            self._make(recipe)
        assert self._outbox is not None
        begun, before = time.perf_counter(), self.envs.quarantines
        out = self._bench.arrays(self.envs.stage.observation_space, part) if part else None
        result = self._obey(order, out)
        seconds, quarantines = time.perf_counter() - begun, self.envs.quarantines - before
        kept = self._keep() if keep or quarantines else None
        return self._outbox.pack(Answer(result, kept, seconds, os.getpid(), resident(), quarantines))

    def describe(self) -> Description:
        stage = self.envs.stage
        return Description(
            stage.control, stage.observation_space, stage.render_fps, [scene.name for scene in stage.scenes]
        )

    def reset(
        self, mask: NDArray[np.bool_], seeds: Sequence[int | None], options: Mapping[str, Any]
    ) -> tuple[Arrays, dict[str, Any]]:
        return self.envs.reset_worlds(mask, seeds, options)

    def step(
        self,
        chosen: Sequence[int],
        going: Sequence[int],
        motions: NDArray[np.float64],
        rates: Sequence[float],
        out: Arrays | None = None,
    ) -> Results:
        return self.envs.step_worlds(chosen, going, list(zip(motions, rates, strict=True)), out)

    def snapshot(self, world: int) -> tuple[dict[str, Any], Scene]:
        """The snapshot, and the scene: another worker might not know it."""
        snapshot = self.envs.snapshot(world)
        return snapshot, self.envs.stage.places[snapshot["scene"]].scene

    def restore(self, worlds: Sequence[int], snapshot: Mapping[str, Any], scene: Scene | None) -> Arrays:
        """Take the snapshot back into all of `worlds`; returns its observation."""
        if scene is not None:
            self.envs.stage.place(scene)
        for k in worlds:
            observation = self.envs.restore(k, snapshot)
        return observation

    def frames(self) -> Sequence[Rgb]:
        return self.envs.last_frames()

    def generators(self) -> tuple[np.random.Generator, ...]:
        return self.envs.np_random

    def _obey(self, order: Order, out: Arrays | None = None) -> Any:
        if out is None:
            return getattr(self, order.verb)(*order.arguments)
        chosen, going, motions, rates = order.arguments
        return None, *self.step(chosen, going, motions, rates, out)[1:]

    def _make(self, recipe: Recipe) -> None:
        envs = gym.make_vec(
            recipe.env_id,
            num_envs=len(recipe.seeds),
            vectorization_mode="vector_entry_point",
            **recipe.arguments,
        ).unwrapped
        if not isinstance(envs, InSpatioVectorEnv):
            raise TypeError(f"expected the id of an environment of worlds, got {recipe.env_id!r}: pass 'InSpatio-v0'")
        self.envs = envs
        envs.seed_worlds(recipe.seeds)
        if recipe.kept is not None:
            scenes, snapshots = pickle.loads(recipe.kept)
            for scene in scenes:
                envs.stage.place(scene)
            for k, snapshot in snapshots.items():
                envs.restore(k, snapshot)
        allowed, envs.max_faults = envs.max_faults, 0  # the log is of worlds that did not raise
        for order in recipe.log:
            self._obey(order)
        envs.max_faults = allowed

    def _keep(self) -> NDArray[np.uint8]:
        """Every world's snapshot, and the scenes beside the environment's own that a reset has named."""
        stage = self.envs.stage
        guests = [place.scene for place in stage.places.values() if place.scene not in stage.scenes]
        worlds = np.flatnonzero(self.envs.begun)
        kept = pickle.dumps((guests, {int(k): self.envs.keep(int(k)) for k in worlds}), pickle.HIGHEST_PROTOCOL)
        return np.frombuffer(kept, np.uint8)  # which goes the way of arrays
