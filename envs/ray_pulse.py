"""How each `RayVectorEnv` is doing: its figures, where other processes find them.

    driver    Pulse.answered(...) for every answer    counts
              every second of answers, a Heartbeat    JSON into the key-value store that every Ray keeps for itself
              and Ray's metrics                       Prometheus, on the port of each node's agent
    anybody   heartbeats(find_ray())                  those of all environments on that Ray

A heartbeat costs a quarter of a millisecond and needs no process of its own. It stays when its driver dies, but Ray knows
which drivers live: whoever reads takes the others away.

Ref: https://docs.ray.io/en/latest/ray-observability/user-guides/add-app-metrics.html
"""

import itertools
import json
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from inspatio_gym.envs.ray_shard import Shard
from inspatio_gym.envs.ray_worker import Answer, Order
from inspatio_gym.extras import extra
from inspatio_gym.processes import resident

with extra("ray"):
    import ray
    from ray._private import services
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.experimental import internal_kv
    from ray.util.metrics import Counter, Gauge, Histogram

logger = logging.getLogger(__name__)

NAMESPACE = "inspatio_gym"
BEAT_S = 1.0
TIMES = 1000  # answers whose quantiles are told
SPAN = 10  # heartbeats over which steps are counted for a rate
BOUNDARIES_S = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]  # half-decades: from warps to a restart
_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """An environment's figures at `time` (seconds since 1970), when its last answer came.

    job: Ray's number of the driver; host and pid: where it runs. steps: of worlds, so far; steps_per_s: of late, the time
    between steps included. p50_s, p95_s, p99_s: seconds from an order to step to an actor's answer, its restart included,
    quantiles of the last thousand. restarts: of each actor. quarantines: of worlds. actor_bytes, driver_bytes: memory that
    the processes hold.
    """

    env: str
    job: str
    host: str
    pid: int
    time: float
    worlds: int
    steps: int
    steps_per_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    restarts: list[int]
    quarantines: int
    actor_bytes: list[int]
    driver_bytes: int


class Pulse:
    """Counts what the actors of one environment answer, and tells it; needs a Ray that is connected.

    worlds: how many. shards: its actors', whose restarts and memory are told too.
    """

    def __init__(self, env_id: str, worlds: int, shards: Sequence[Shard]):
        self._env_id, self._worlds, self._shards = env_id, worlds, shards
        self._job, self._host = ray.get_runtime_context().get_job_id(), socket.gethostname()
        self._key = f"{self._job}/{os.getpid()}/{next(_numbers)}"
        self._steps = self._quarantines = 0
        self._restarts = 0  # told to the counter so far
        self._times: deque[float] = deque(maxlen=TIMES)
        self._marks: deque[tuple[float, int]] = deque([(time.time(), 0)], maxlen=SPAN)
        tags = {"tag_keys": ("env", "id")}
        self._tags = {"env": env_id, "id": self._key}
        self._counters = {
            name: Counter(f"inspatio_gym_{name}", text, **tags)
            for name, text in (
                ("steps", "Steps of worlds."),
                ("restarts", "Actors that died."),
                ("quarantines", "Worlds that raised and were set apart."),
            )
        }
        self._gauges = {
            name: Gauge(f"inspatio_gym_{name}", text, **tags)
            for name, text in (
                ("worlds", "Worlds of the environment."),
                ("actors", "Its actors."),
                ("memory_bytes", "Memory that its actors and its driver hold."),
            )
        }
        self._seconds = Histogram(
            "inspatio_gym_step_seconds", "From an order to step to an actor's answer.", BOUNDARIES_S, **tags
        )
        self.beat()

    def answered(self, order: Order, answer: Answer, seconds: float) -> None:
        """Count an answer that took `seconds`."""
        if order.verb == "step":
            worlds = len(order.arguments[0])
            self._steps += worlds
            self._times.append(seconds)
            self._counters["steps"].inc(worlds, self._tags)
            self._seconds.observe(seconds, self._tags)
        if answer.quarantines:
            self._quarantines += answer.quarantines
            self._counters["quarantines"].inc(answer.quarantines, self._tags)
        if time.time() - self._marks[-1][0] >= BEAT_S:
            self.beat()

    def beat(self) -> None:
        """Tell the figures as they are now."""
        (then, before), now = self._marks[0], time.time()
        self._marks.append((now, self._steps))
        p50, p95, p99 = np.quantile(self._times or [0.0], [0.5, 0.95, 0.99]).tolist()
        heartbeat = Heartbeat(
            env=self._env_id,
            job=self._job,
            host=self._host,
            pid=os.getpid(),
            time=now,
            worlds=self._worlds,
            steps=self._steps,
            steps_per_s=(self._steps - before) / max(now - then, 1e-9),
            p50_s=p50,
            p95_s=p95,
            p99_s=p99,
            restarts=[shard.restarts for shard in self._shards],
            quarantines=self._quarantines,
            actor_bytes=[shard.memory for shard in self._shards],
            driver_bytes=resident(),
        )
        if died := sum(heartbeat.restarts) - self._restarts:
            self._restarts += died
            self._counters["restarts"].inc(died, self._tags)
        for name, value in (
            ("worlds", self._worlds),
            ("actors", len(self._shards)),
            ("memory_bytes", sum(heartbeat.actor_bytes) + heartbeat.driver_bytes),
        ):
            self._gauges[name].set(value, self._tags)
        try:
            internal_kv._internal_kv_put(self._key, json.dumps(asdict(heartbeat)), namespace=NAMESPACE)
        except Exception:  # nothing that worlds need
            logger.debug("no heartbeat", exc_info=True)

    def stop(self) -> None:
        """The environment is closed: it has no worlds any more, and is not told of."""
        for gauge in self._gauges.values():
            gauge.set(0, self._tags)
        internal_kv._internal_kv_del(self._key, namespace=NAMESPACE)


def find_ray(address: str = "auto") -> str:
    """The host:port at which a Ray is there to be asked: `address`, or for "auto" the one at RAY_ADDRESS, else the one on
    this machine. Raises ConnectionError if it is not, or if there are several."""
    if address == "auto":
        address = os.environ.get("RAY_ADDRESS", "auto")
    if address == "auto":
        # Not Ray's own way to resolve it, which takes 127.0.0.1 for a slip.
        here = sorted(services.find_gcs_addresses())
        if len(here) != 1:
            raise ConnectionError(
                f"expected one Ray on this machine, found {here or 'none'}: "
                + ("pass the address of one" if here else "start a RayVectorEnv first, or pass the host:port of a head")
            )
        (address,) = here
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection(
            (host.strip("[]"), int(port)), timeout=5.0
        ).close()  # Ray itself would try for a minute
    except (OSError, ValueError) as error:
        raise ConnectionError(
            f"expected a Ray at {address!r}, found none ({error}): pass the host:port of its head, as in 10.0.0.1:6379"
        ) from error
    return address


def heartbeats(address: str) -> list[Heartbeat]:
    """The last heartbeat of every environment on the Ray at host:port, in order of their drivers.

    Asks without joining: a driver on another network interface than a local Ray's would wait for ever.
    """
    client, space = GcsClient(address=address), NAMESPACE.encode()
    living = {job.hex() for job, info in client.get_all_job_info().items() if not info.is_dead}
    found = []
    for key in sorted(client.internal_kv_keys(b"", space)):
        if key.decode().partition("/")[0] not in living:
            client.internal_kv_del(key, False, space)
        elif value := client.internal_kv_get(key, space):
            found.append(Heartbeat(**json.loads(value)))
    return found
