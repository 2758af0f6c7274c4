"""One actor's worlds as the driver knows them, and what happens when the actor dies.

The driver owns everything that it takes to make the worlds anew: the last snapshot of each, and the orders that moved
them since. An actor owns nothing that would be missed. So there is one rule for every mishap, be it a death, an exception
in an actor, a timeout or Ctrl-C:

    An order counts once it is booked. A shard whose last order was sent and not booked is made anew, from the snapshot and
    the log, before it obeys the next one.

An order that died with its actor is therefore obeyed once, by worlds that have not heard of it: it is never tried again on
worlds that may have obeyed it already. And an order to several shards is booked when all have answered, so that an error
in one leaves no world moved.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from inspatio_gym.envs.quarantine import WorldLost
from inspatio_gym.envs.ray_mail import Inbox
from inspatio_gym.envs.ray_slab import Part
from inspatio_gym.envs.ray_worker import Answer, Call, Order, Recipe
from inspatio_gym.extras import extra

with extra("ray"):
    import ray
    from ray import cloudpickle, exceptions

logger = logging.getLogger(__name__)

# What a call raises when the process, or the machine, that was to answer is gone, or its answer with it.
DEATHS = (
    exceptions.RayActorError,
    exceptions.ObjectLostError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.OutOfMemoryError,
)


AGAIN_S = 10.0  # of the log: a snapshot is due, since whoever restarts an actor waits for as long


class ActorsLost(RuntimeError):
    """An actor died again and again; the cause is in the message and in `__cause__`."""


class Shard:
    """The worlds `rows` of the whole, in one actor at a time.

    start: makes an actor with a `Worker`. snapshot_every: orders in the log that make a snapshot due, if `AGAIN_S` do not.
    """

    def __init__(
        self,
        rows: slice,
        start: Callable[[], Any],
        env_id: str,
        arguments: Mapping[str, Any],
        seeds: Sequence[int],
        snapshot_every: int,
    ):
        self.rows = rows
        self.pid = 0
        self.deaths = 0  # in a row
        self.restarts = 0
        self.memory = 0  # bytes, of the actor
        self._start, self._env_id, self._arguments, self._seeds = start, env_id, arguments, seeds
        self._snapshot_every = snapshot_every
        self._actor: Any = None
        self._inbox: Inbox
        self._kept: bytes | None = None
        self._log: list[Order] = []
        self._log_seconds = 0.0
        self._booked = False  # the actor's worlds are as the log says

    def send(self, order: Order, part: Part | None = None) -> Any:
        """Send an order; returns the reference of its answer. part: see `Worker.do`."""
        if self._actor is None:
            self._actor = self._start()
            self._inbox = Inbox()  # a new one: the last actor, if it is not quite dead, may still write into its own
        recipe = None
        if not self._booked:
            recipe = Recipe(self._env_id, self._arguments, self._seeds, self._kept, self._log, self._inbox.path)
        self._booked = False
        due = len(self._log) + order.moves >= self._snapshot_every or self._log_seconds >= AGAIN_S
        # Pickled here, as one argument instead of four: that saves a third of what a call costs.
        return self._actor.do.remote(cloudpickle.dumps(Call(order, recipe, due, part)))

    def receive(self, parcel: Any) -> Answer:
        """The answer, whose arrays are views of memory that the next one is written into."""
        answer = self._inbox.open(parcel)
        self._inbox.hide()
        self.pid, self.memory, self.deaths = answer.pid, answer.memory, 0
        return answer

    def book(self, order: Order, answer: Answer) -> None:
        """The order has been obeyed, and everything that belongs to it too."""
        if order.moves:
            self._log.append(order)
            self._log_seconds += answer.seconds
        if answer.kept is not None:
            self._kept, self._log, self._log_seconds = answer.kept.tobytes(), [], 0.0
        self._booked = True

    def drop(self) -> None:
        """End the actor, if it has not ended yet; the worlds remain, in the driver's keeping."""
        if self._actor is not None:
            ray.kill(self._actor)
        self.forget()

    def forget(self) -> None:
        """The actor is no more; the worlds remain, in the driver's keeping."""
        if self._actor is not None:
            self._inbox.hide()
        self._actor, self._booked = None, False

    def __contains__(self, world: int) -> bool:
        return self.rows.start <= world < self.rows.stop

    def __str__(self) -> str:
        return f"worlds {self.rows.start} to {self.rows.stop - 1}"


@dataclass(frozen=True, slots=True)
class Flight:
    """An order under way to a shard. worlds: those of the whole that it is about. sent: when, by `time.perf_counter`."""

    shard: Shard
    order: Order
    worlds: Sequence[int] = ()
    sent: float = field(default_factory=time.perf_counter)


def land(flights: dict[Any, Flight], *, timeout_s: float, max_restarts: int) -> tuple[Flight, Answer]:
    """Wait for the next answer to one of the flights (by reference), and take that flight out.

    An actor that turns out to be dead is started anew, with its worlds as they were, and gets its order again; the others
    fly on meanwhile. Raises whatever was raised in an actor, ActorsLost for one that has died more than `max_restarts`
    times in a row, TimeoutError if none answers in `timeout_s`.
    """
    while True:
        ready, _ = ray.wait(list(flights), timeout=timeout_s)
        if not ready:
            late = [flight.shard for flight in flights.values()]
            flights.clear()
            for shard in late:
                shard.drop()  # it hangs, or never began
            raise TimeoutError(
                f"expected an answer within {timeout_s:g} s, got none from {', '.join(map(str, late))}: pass a longer "
                "timeout_s, or see whether the cluster has the CPUs and GPUs that every actor asks for"
            )
        flight = flights.pop(ready[0])
        shard = flight.shard
        try:
            return flight, shard.receive(ray.get(ready[0]))
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, WorldLost):
                lost = error.cause
                raise WorldLost(shard.rows.start + lost.world, lost.faults, lost.cause) from error
            if isinstance(error.cause, Exception):
                raise error.cause from error
            raise
        except DEATHS as error:
            shard.drop()
            shard.deaths += 1
            shard.restarts += 1
            if shard.deaths > max_restarts:
                deaths, shard.deaths = shard.deaths, 0
                raise ActorsLost(
                    f"expected the actor of {shard} to answer {flight.order.verb!r}, but it died {deaths} times in a row; "
                    f"the last time: {error}"
                ) from error
            logger.warning("the actor of %s died; starting it again, restart %d", shard, shard.deaths)
            flights[shard.send(flight.order)] = flight
