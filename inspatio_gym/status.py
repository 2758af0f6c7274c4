"""`inspatio-gym status`: how the environments of a running Ray are doing.

Each `RayVectorEnv` leaves its figures in the Ray that it runs on (`inspatio_gym.envs.ray_pulse`); this asks that Ray for
them and prints them. It does not join it, and changes nothing.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inspatio_gym.envs.ray_pulse import Heartbeat


@dataclass(frozen=True)
class StatusConfig:
    """Show how the worlds in Ray actors are doing.

    $ inspatio-gym status
    $ inspatio-gym status --watch 2
    $ inspatio-gym status --address 10.0.0.1:6379 --json

    Steps/s are those of all worlds, of the last ten seconds or so; p50, p95 and p99 are quantiles of the time from an order
    to step to an actor's answer; memory is that of the actors and the driver together.
    """

    address: str = "auto"
    """Of the Ray: host:port of its head, or "auto": the one at $RAY_ADDRESS, else the one on this machine."""
    json: bool = False
    """Print one JSON list, an object for each environment, instead of a table."""
    watch: float = 0.0
    """Print again every so many seconds, until Ctrl-C; 0 prints once."""


COLUMNS = ("environment", "driver", "worlds", "actors", "steps/s", "p50", "p95", "p99", "restarts", "quarantines")


def status(config: StatusConfig) -> None:
    """Print as `config` says. Raises ConnectionError where no Ray is found, ValueError for a negative `watch`."""
    if config.watch < 0:
        raise ValueError(f"expected watch of at least 0 seconds, got {config.watch:g}: 0 prints once")
    from inspatio_gym.envs.ray_pulse import find_ray, heartbeats

    address = find_ray(config.address)
    while True:
        found = heartbeats(address)
        text = json.dumps([asdict(one) for one in found]) if config.json else table(found, time.time())
        print(text, flush=True)
        if not config.watch:
            return
        time.sleep(config.watch)


def table(found: "Sequence[Heartbeat]", now: float) -> str:
    """The heartbeats as a table; now: seconds since 1970."""
    if not found:
        return "no RayVectorEnv runs on this Ray"
    lines: list[tuple[str, ...]] = [(*COLUMNS, "memory", "last answer")]
    for one in found:
        lines.append(
            (
                one.env,
                f"{one.host}:{one.pid}",
                str(one.worlds),
                str(len(one.restarts)),
                f"{one.steps_per_s:,.1f}",
                *(f"{1000 * seconds:,.1f} ms" for seconds in (one.p50_s, one.p95_s, one.p99_s)),
                str(sum(one.restarts)),
                str(one.quarantines),
                f"{(sum(one.actor_bytes) + one.driver_bytes) / 2**30:.2f} GiB",
                f"{max(0.0, now - one.time):.0f} s ago",
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
