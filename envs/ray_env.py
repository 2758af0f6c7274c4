"""Many worlds in many processes or machines: `InSpatioVectorEnv` over Ray actors.

    driver                                        actor (one process, one world model)
    checks actions, draws seeds                   InSpatioVectorEnv with its share of the worlds
    Order("step", ...)             ──────────►    steps them as one batch
    rows of one array a key        ◄──────────    Answer: the arrays of all its worlds, in memory that the two share
    snapshots and the log since                   (nothing that would be missed)

Every world is what it would be in one `InSpatioVectorEnv` with the same seeds and actions, however many actors there are
and whichever of them die: bit for bit on the CPU. `ray_shard` says how the dead come back, `ray_cluster` where they live.
"""

import copy
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import ClosedEnvironmentError
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from inspatio_gym.envs import ray_cluster
from inspatio_gym.envs.infos import Rows, merge
from inspatio_gym.envs.ray_pulse import Pulse
from inspatio_gym.envs.ray_shard import Flight, Shard, land
from inspatio_gym.envs.ray_worker import Description, Order, Worker
from inspatio_gym.envs.spaces import empty_observation
from inspatio_gym.envs.worlds import Command, Results, WorldsVectorEnv
from inspatio_gym.extras import extra
from inspatio_gym.recycling import Recycler
from inspatio_gym.scenes import Scene, load_scene, sample_names
from inspatio_gym.types import Arrays, Rgb

with extra("ray"):
    import ray


class RayVectorEnv(WorldsVectorEnv):
    """`num_envs` worlds, shared out over `num_actors` Ray actors; see the module's docstring.

    envs = RayVectorEnv("InSpatio-v0", num_envs=64, num_actors=2, video="clip.mp4")

    num_cpus_per_actor, num_gpus_per_actor: what each actor asks Ray for; it uses as many threads as CPUs.
    runtime_env, scheduling_strategy: as in `ray.init` and `ray.remote`.
    snapshot_every: most steps (or resets) of an actor from one snapshot of its worlds to the next, which a restart has to
    do again; ten seconds of them are the most in any case.
    max_restarts: deaths of an actor in a row that are made good.
    max_faults: times in a row that a world which raises is quarantined, without hurting its neighbours, before WorldLost is
    raised; 0 lets what it raises through. `InSpatioVectorEnv` says more.
    timeout_s: the longest wait for an answer; the first one may take the anchoring of a video.
    All other arguments are those of `InSpatioVectorEnv`; a model is named, a scene travels as its path.

    Joins the Ray that is there, or the one at RAY_ADDRESS, else starts a local one; `close` stops what was started. Raises
    what `InSpatioVectorEnv` raises, ActorsLost if actors keep dying, TimeoutError if they do not answer. Whenever
    something is raised, no world has moved.
    """

    def __init__(
        self,
        env_id: str = "InSpatio-v0",
        num_envs: int = 1,
        *,
        num_actors: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        render_mode: str | None = None,
        num_cpus_per_actor: float = 1,
        num_gpus_per_actor: float = 0,
        runtime_env: Mapping[str, Any] | None = None,
        scheduling_strategy: Any = None,
        snapshot_every: int = 100,
        max_restarts: int = 3,
        max_faults: int = 3,
        timeout_s: float = 600.0,
        **arguments: Any,
    ):
        self._home: ray_cluster.Home | None = None
        self._pulse: Pulse | None = None
        self._shards: list[Shard] = []
        super().__init__(num_envs, autoreset_mode, render_mode)
        if not 1 <= num_actors <= num_envs:
            raise ValueError(f"expected num_actors in 1..{num_envs}, a world for each at least, got {num_actors}")
        if snapshot_every < 1 or max_restarts < 0 or not timeout_s > 0:
            raise ValueError(
                "expected snapshot_every of at least 1, max_restarts of at least 0 and timeout_s above 0, got "
                f"{snapshot_every}, {max_restarts} and {timeout_s}: the defaults are 100, 3 and 600"
            )
        self._timeout_s, self._max_restarts = timeout_s, max_restarts
        arguments = {
            **arguments_by_path(arguments),
            "autoreset_mode": self._mode.value,
            "max_faults": max_faults,
            "render_mode": None if render_mode is None else "rgb_array",
        }
        # Drawn here and not in an actor, so that an actor that is started again begins with the same.
        self._seeds = [int(seeding.np_random()[1]) for _ in range(num_envs)]
        self._recycler = Recycler()
        self._scenes: dict[str, Scene] = {}  # of snapshots, by digest
        self._flights: dict[Any, Flight] = {}
        self._landed: list[tuple[Flight, Results]] = []  # and not received yet
        try:
            joined = ray_cluster.join(num_actors * num_cpus_per_actor, runtime_env)
            self._home = ray_cluster.here()
            actor = ray.remote(Worker).options(
                num_cpus=num_cpus_per_actor,
                num_gpus=num_gpus_per_actor,
                scheduling_strategy=scheduling_strategy,
                runtime_env=ray_cluster.environment(num_cpus_per_actor, runtime_env, joined=joined),
                max_restarts=0,  # Ray's restart would be an actor without worlds
            )
            for k in range(num_actors):
                rows = slice(num_envs * k // num_actors, num_envs * (k + 1) // num_actors)
                self._shards.append(Shard(rows, actor.remote, env_id, arguments, self._seeds[rows], snapshot_every))
            self._describe(one_first="video" in arguments)
            self._pulse = Pulse(env_id, num_envs, self._shards)
        except BaseException:
            self.close()
            raise

    def _describe(self, *, one_first: bool) -> None:
        """Make the worlds, and learn the spaces from them. one_first: the others find in the cache what the first made."""
        order = Order("describe")
        first = 1 if one_first else len(self._shards)
        description: Description = self._ask([(shard, order) for shard in self._shards[:first]])[0]
        self._ask([(shard, order) for shard in self._shards[first:]])
        self._names = description.scenes
        self._set_spaces(description.control, description.observation_space, description.render_fps)

    @property
    def actor_pids(self) -> tuple[int, ...]:
        """The process of each actor, as of its last answer."""
        return tuple(shard.pid for shard in self._shards)

    @property
    def actor_memory(self) -> tuple[int, ...]:
        """Bytes that the process of each actor holds, as of its last answer."""
        return tuple(shard.memory for shard in self._shards)

    @property
    def restarts(self) -> tuple[int, ...]:
        """How often each actor has died so far."""
        return tuple(shard.restarts for shard in self._shards)

    @property  # type: ignore[misc]
    def np_random(self) -> tuple[np.random.Generator, ...]:  # type: ignore[override]
        """A copy of each world's generator as it is now; drawing from it changes no world."""
        answers = self._ask([(shard, Order("generators")) for shard in self._shards])
        return tuple(generator for answer in answers for generator in answer)

    @property
    def np_random_seed(self) -> tuple[int, ...]:  # type: ignore[override]
        """The seed of each world's generator."""
        return tuple(self._seeds)

    def reset_worlds(
        self, mask: NDArray[np.bool_], seeds: Sequence[int | None], options: Mapping[str, Any]
    ) -> tuple[Arrays, dict[str, Any]]:
        # Copies, because the log keeps them, whatever the caller does to his.
        mask, chosen = mask.copy(), copy.deepcopy(dict(options))
        if "scene" in chosen and str(chosen["scene"]) not in self._names:
            chosen["scene"] = by_path(chosen["scene"])
        answers = self._ask(
            [(shard, Order("reset", (mask[shard.rows], seeds[shard.rows], chosen))) for shard in self._shards]
        )
        self._seeds = [old if new is None else int(new) for old, new in zip(self._seeds, seeds, strict=True)]
        self.begun |= mask
        self._ended &= ~mask
        rows = [shard.rows for shard in self._shards]
        return (
            self._batch(list(zip(rows, [observations for observations, _ in answers], strict=True)), self.num_envs),
            merge(list(zip(rows, [infos for _, infos in answers], strict=True)), self.num_envs, self._recycler),
        )

    def step_worlds(self, chosen: Sequence[int], going: Sequence[int], commands: Sequence[Command]) -> Results:
        plan = self._plan(chosen, going, commands)
        answers = self._ask([(flight.shard, flight.order) for _, flight in plan])
        return self._results(chosen, [(rows, answer) for (rows, _), answer in zip(plan, answers, strict=True)])

    def send(self, actions: Any, indices: Sequence[int] | NDArray[np.integer] | None = None) -> None:
        """Begin `step_slots` of the worlds `indices` (all, by default) and do not wait: `recv` returns what comes of it.

        Until then nothing else can be asked of the actors that these worlds are in. Raises what `step_slots` raises, and
        RuntimeError for worlds of an actor that is busy.
        """
        worlds = self._check_indices(range(self.num_envs) if indices is None else indices)
        self._check_idle([shard for shard in self._shards if any(k in shard for k in worlds)])
        for _, flight in self._plan(*self._check_step(worlds, actions)):
            self._flights[flight.shard.send(flight.order)] = flight

    def recv(self, min_ready: int = 1) -> tuple[NDArray[np.int64], Results]:
        """The first results of what was sent, of at least `min_ready` worlds or of all that are under way.

        Returns the worlds, and what `step_slots` of them returns, in that order: actor by actor as they came. What is
        raised in an actor leaves its own worlds as they were; the results of others can still be received. Raises
        RuntimeError if nothing was sent.
        """
        if min_ready < 1:
            raise ValueError(f"expected min_ready of at least 1, got {min_ready}")
        if not self._flights and not self._landed:
            raise RuntimeError(
                "expected send() before recv(), got recv() with nothing under way: call envs.send(actions)"
            )
        while self._flights and sum(len(flight.worlds) for flight, _ in self._landed) < min_ready:
            flight, answer = self._land(self._flights)
            flight.shard.book(flight.order, answer)
            self._landed.append((flight, answer.result))
        landed, self._landed = self._landed, []
        chosen = [k for flight, _ in landed for k in flight.worlds]
        stops = np.cumsum([len(flight.worlds) for flight, _ in landed])
        parts = [
            (slice(stop - len(flight.worlds), stop), result)
            for stop, (flight, result) in zip(stops, landed, strict=True)
        ]
        return np.array(chosen), self._results(chosen, parts)

    def last_frames(self) -> Sequence[Rgb]:
        answers = self._ask([(shard, Order("frames")) for shard in self._shards])
        return [frame for frames in answers for frame in frames]

    def _snapshot(self, k: int) -> dict[str, Any]:
        shard = self._shard_of(k)
        ((snapshot, scene),) = self._ask([(shard, Order("snapshot", (k - shard.rows.start,)))])
        self._scenes[snapshot["scene"]] = scene
        return snapshot

    def _restore(self, k: int, snapshot: Mapping[str, Any]) -> Arrays:
        return self._restore_all([k], snapshot)

    def _fork(self, k: int, others: Sequence[int]) -> None:
        if others:
            self._restore_all(others, self._snapshot(k))

    def _restore_all(self, worlds: Sequence[int], snapshot: Mapping[str, Any]) -> Arrays:
        """Take a snapshot back into all of `worlds`; returns its observation."""
        snapshot = copy.deepcopy(dict(snapshot))
        scene = self._scenes.get(snapshot.get("scene", ""))
        orders = []
        for shard in self._shards:
            if own := [k - shard.rows.start for k in worlds if k in shard]:
                orders.append((shard, Order("restore", (own, snapshot, scene))))
        observation = self._ask(orders)[0]
        self.begun[list(worlds)], self._ended[list(worlds)] = True, snapshot.get("ended", False)
        return observation

    def close_extras(self, **_: Any) -> None:
        """End the actors, and the local Ray if it was started for them."""
        there = ray_cluster.here() == self._home
        if self._pulse is not None and there:
            self._pulse.stop()
        for shard in self._shards:
            if there:
                shard.drop()
            else:
                shard.forget()
        if self._home is not None:
            ray_cluster.leave(self._home)
        self._shards, self._pulse, self._home = [], None, None

    # --- orders and answers --------------------------------------------------------------------------------------------

    def _plan(
        self, chosen: Sequence[int], going: Sequence[int], commands: Sequence[Command]
    ) -> list[tuple[Rows, Flight]]:
        """A step as an order to each shard that has a part in it, with the rows of the batch that this is."""
        said = dict(zip(going, commands, strict=True))
        plan = []
        for shard in self._shards:
            if rows := [row for row, k in enumerate(chosen) if k in shard]:
                own = [chosen[row] for row in rows]
                moving = [part for part, row in enumerate(rows) if row in said]
                motions = np.array([said[rows[part]][0] for part in moving]).reshape(-1, 6)
                rates = [said[rows[part]][1] for part in moving]
                order = Order("step", ([k - shard.rows.start for k in own], moving, motions, rates))
                plan.append((as_rows(rows), Flight(shard, order, own)))
        return plan

    def _ask(self, orders: Sequence[tuple[Shard, Order]]) -> list[Any]:
        """What all shards answer to their orders; if one raises instead, none has obeyed. See `ray_shard`.

        What is `batched` must be used before the next order: it lies in memory that the next answer is written into.
        """
        self._check_idle([shard for shard, _ in orders])
        flights = {shard.send(order): Flight(shard, order) for shard, order in orders}
        answers = {}
        while flights:
            flight, answer = self._land(flights)
            answers[flight.shard] = answer
        for shard, order in orders:
            shard.book(order, answers[shard])
        return [
            answers[shard].result if order.batched else copy.deepcopy(answers[shard].result) for shard, order in orders
        ]

    def _land(self, flights: dict[Any, Flight]) -> tuple[Flight, Any]:
        self._check_there()
        flight, answer = land(flights, timeout_s=self._timeout_s, max_restarts=self._max_restarts)
        if self._pulse is not None:
            self._pulse.answered(flight.order, answer, time.perf_counter() - flight.sent)
        return flight, answer

    def _results(self, chosen: Sequence[int], parts: Sequence[tuple[Rows, Results]]) -> Results:
        """Results of some worlds each as those of the `chosen` worlds together, in fresh arrays."""
        count = len(chosen)
        rewards, terminations, truncations = np.zeros(count), np.zeros(count, np.bool_), np.zeros(count, np.bool_)
        for rows, result in parts:
            rewards[rows], terminations[rows], truncations[rows] = result[1:4]
        self._ended[list(chosen)] = (terminations | truncations) & (self._mode is not AutoresetMode.SAME_STEP)
        observations = self._batch([(rows, result[0]) for rows, result in parts], count)
        infos = merge([(rows, result[4]) for rows, result in parts], count, self._recycler)
        return observations, rewards, terminations, truncations, infos

    def _batch(self, parts: Sequence[tuple[Rows, Arrays]], count: int) -> Arrays:
        """Observations of some worlds each as those of all `count`."""
        space = self.single_observation_space
        assert isinstance(space, gym.spaces.Dict)
        batch = empty_observation(space, self._recycler, count)
        for rows, observations in parts:
            for name, array in batch.items():
                array[rows] = observations[name]
        return batch

    def _shard_of(self, k: int) -> Shard:
        return next(shard for shard in self._shards if k in shard)

    def _check_there(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("expected an environment that is open, got one that was closed: make another")
        if ray_cluster.here() != self._home:
            raise RuntimeError(
                "expected the Ray that the worlds were made in, but ray.shutdown() has ended it: close this environment and "
                "make another; envs.close() ends a Ray that was started for it, and leaves one that was there"
            )

    def _check_idle(self, shards: Iterable[Shard]) -> None:
        self._check_there()
        flying = [flight.shard for flight in (*self._flights.values(), *(flight for flight, _ in self._landed))]
        if busy := [str(shard) for shard in shards if shard in flying]:
            raise RuntimeError(f"expected actors that are idle, got those of {', '.join(busy)}: call envs.recv() first")


def as_rows(rows: list[int]) -> Rows:
    """Rows of an array, as a slice if they follow one another, because that is copied in one go."""
    first = rows[0]
    if rows == list(range(first, first + len(rows))):
        return slice(first, first + len(rows))
    return np.array(rows)


def arguments_by_path(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of an environment as they can travel. Raises TypeError for a model that is loaded already."""
    model = arguments.get("model", "auto")
    if not isinstance(model, str):
        raise TypeError(f"expected a model's name, got {model!r}: every actor loads its own, so pass model='warp'")
    travelling = dict(arguments)
    for key in ("video", "scene"):
        if (choice := arguments.get(key)) is not None:
            one = isinstance(choice, str | Path | Scene)
            travelling[key] = by_path(choice) if one else [by_path(each) for each in choice]
    return travelling


def by_path(choice: Any) -> Any:
    """A scene or video as an actor finds it, whose working directory is another: by its whole path, if it is here.

    A bundled scene keeps its name, a `Scene` is pickled as its path; what is not here is left to the actor to find. A
    synthetic scene is made here, once, so that actors on this machine find it in the cache rather than all make it.
    """
    if str(choice).startswith("synthetic:"):
        load_scene(choice, progress=True)
    if not isinstance(choice, str | Path) or str(choice) in sample_names() or not Path(choice).exists():
        return choice
    return str(Path(choice).resolve())
