"""Which Ray the actors live in, and what goes along with them.

A Ray that is initialised already is used as it is; else the one at RAY_ADDRESS; else a local one is started, without a
dashboard and on the loopback interface, so that nobody else on the network can send it code. `leave` undoes what `join`
did and nothing more: a Ray that was there before stays.
"""

import logging
import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import inspatio_gym
from inspatio_gym.extras import extra

with extra("ray"):
    import ray
    from ray._private import ray_constants

Home = tuple[str, str]
_lock = threading.Lock()
_home: Home | None = None  # the Ray that was joined last
_guests = 0  # environments that have joined it and not left
_ours = False  # the first of them has connected


def join(num_cpus: float, runtime_env: Mapping[str, Any] | None) -> bool:
    """Connect to a Ray, unless somebody has; return whether it was us. A local one gets at least `num_cpus`."""
    global _home, _guests, _ours
    with _lock:
        joined = not ray.is_initialized()
        if joined:
            options: dict[str, Any] = {"runtime_env": dict(runtime_env or {}), "logging_level": logging.WARNING}
            if os.environ.get("RAY_ADDRESS"):
                ray.init(**options)
            else:
                # A CPU is a unit of account to Ray: with fewer than are asked for, the last actors would wait for ever.
                cpus = max(os.cpu_count() or 1, math.ceil(num_cpus))
                with _loopback():
                    ray.init(address="local", num_cpus=cpus, include_dashboard=False, **options)
        if here() != _home:  # environments that joined another Ray have lost it
            _home, _guests = here(), 0
        _ours = joined or (_ours and _guests > 0)
        _guests += 1
        return joined


def here() -> Home | None:
    """The Ray that this process is connected to, by the numbers of node and driver; None if to none."""
    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


@contextmanager
def _loopback() -> Iterator[None]:
    """Let a Ray that is started here listen on the loopback interface alone.

    Ray takes 127.0.0.1 for a slip and puts the machine's address in its place, unless it is told, as it is by default on
    systems with a fussy firewall, that there will be one machine only. Where a Ray has no such switch, nothing happens.
    """
    before = getattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def leave(home: Home) -> None:
    """Disconnect if nobody else is there and it was `join` that connected; a local Ray is stopped thereby.

    home: what was `here` after joining. If that is gone, there is nothing to leave.
    """
    global _guests
    with _lock:
        if home != _home:
            return
        _guests -= 1
        if _ours and _guests == 0 and here() == home:
            ray.shutdown()


def environment(num_cpus: float, runtime_env: Mapping[str, Any] | None, *, joined: bool) -> dict[str, Any]:
    """The runtime environment of an actor: the user's, and in it the variables that make it work as the driver does.

    Those are the settings of this package, as many threads as the actor has CPUs, and the way to the source tree, if this
    is one (a worker elsewhere finds the package installed, or in the `working_dir` of the user's `runtime_env`).
    joined: the user's went to `ray.init` already, which unlike an actor takes local folders.
    """
    variables = {name: value for name, value in os.environ.items() if name.startswith("INSPATIO_GYM_")}
    variables["INSPATIO_GYM_THREADS"] = str(max(1, int(num_cpus)))
    theirs = dict((runtime_env or {}).get("env_vars", {}))
    tree = str(Path(inspatio_gym.__file__).resolve().parent.parent)
    if tree in inspatio_gym.__path__:
        paths = [tree, theirs.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))]
        theirs["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return {**({} if joined else runtime_env or {}), "env_vars": variables | theirs}
