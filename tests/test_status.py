"""What is told of environments that run: heartbeats, `inspatio-gym status`, metrics; and what a lost Ray does to them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from box_room import write_box
from gymnasium.error import ClosedEnvironmentError

from inspatio_gym import envs as house
from inspatio_gym.cli import main
from inspatio_gym.processes import gone
from inspatio_gym.scenes import Scene

ray = pytest.importorskip("ray")
from inspatio_gym.envs import ray_pulse  # noqa: E402  needs ray

ROOT = Path(__file__).resolve().parent.parent
STILL = np.zeros((4, 7), np.float32)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box")


def make(scene: Scene, **arguments) -> house.RayVectorEnv:
    return house.RayVectorEnv(
        "InSpatio-v0", 4, **{"scene": scene, "model": "fake", "size": (48, 80), "num_cpus_per_actor": 0.5, **arguments}
    )


def address() -> str:
    """Of the Ray that this process is connected to; others may run on the machine."""
    return ray.get_runtime_context().gcs_address


def told() -> list[ray_pulse.Heartbeat]:
    return ray_pulse.heartbeats(address())


@pytest.fixture(scope="module")
def envs(scene) -> Iterator["house.RayVectorEnv"]:
    """In two actors of a Ray of their own, the second of which has died once."""
    envs = make(scene, num_actors=2)
    envs.reset(seed=0)
    for _ in range(3):
        envs.step(STILL)
    os.kill(envs.actor_pids[1], signal.SIGKILL)
    assert gone(envs.actor_pids[1:])
    time.sleep(1.0)  # the next heartbeat is due
    envs.step(STILL)
    envs.step_slots([0], STILL[:1])
    yield envs
    envs.close()


def test_a_heartbeat_tells_how_an_environment_is_doing(envs):
    envs._pulse.beat()
    (one,) = told()
    assert (one.env, one.pid, one.worlds, one.steps) == ("InSpatio-v0", os.getpid(), 4, 17)
    assert one.restarts == [0, 1] == list(envs.restarts)
    assert 0 < one.p50_s <= one.p95_s <= one.p99_s < 60
    assert one.p99_s > 3 * one.p50_s  # the restart
    assert 0 < one.steps_per_s < 17 / 1.0
    assert all(2**24 < size < 2**33 for size in (*one.actor_bytes, one.driver_bytes))
    assert abs(time.time() - one.time) < 30


def test_status_is_seen_from_another_process(envs):
    assert address().startswith("127.0.0.1:")  # nobody else on the network is told
    command = [sys.executable, "-m", "inspatio_gym.cli", "status", "--address", address()]
    answer = subprocess.run([*command, "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    (one,) = json.loads(answer.stdout)
    assert one["pid"] == os.getpid()
    assert one["restarts"] == [0, 1]
    envs.step(STILL)  # it was none of its business to end this Ray


def test_status_is_a_table(envs, capsys):
    assert main(["status", "--address", address()]) == 0
    header, line = capsys.readouterr().out.splitlines()
    shown = dict(zip(header.replace("last answer", "last").split(), line.replace(" ms", "").split(), strict=False))
    assert shown["environment"] == "InSpatio-v0"
    assert (shown["worlds"], shown["actors"], shown["restarts"], shown["quarantines"]) == ("4", "2", "1", "0")
    assert line.endswith(" s ago")


def test_status_may_be_watched_until_interrupted(envs, capsys, monkeypatch):
    waits = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("inspatio_gym.status.time.sleep", sleep)
    assert main(["status", "--address", address(), "--watch", "2", "--json"]) == 130
    assert [json.loads(line)[0]["worlds"] for line in capsys.readouterr().out.splitlines()] == [4, 4, 4]
    assert waits == [2.0] * 3


def test_drivers_that_are_dead_are_not_told_of(envs):
    ray_pulse.internal_kv._internal_kv_put("deadbeef/1/0", "{}", namespace=ray_pulse.NAMESPACE)
    assert len(told()) == 1
    assert not ray_pulse.internal_kv._internal_kv_get("deadbeef/1/0", namespace=ray_pulse.NAMESPACE)


def test_prometheus_is_told_the_same(envs):
    (node,) = ray.nodes()
    page = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    end = time.monotonic() + 120
    found: dict[str, float] = {}
    # Ray tells it in parts: counts come some time after the first of them.
    while time.monotonic() < end and (
        found.get("inspatio_gym_steps_total", 0) < 17
        or found.get("inspatio_gym_step_seconds_count", 0) < 9
        or len(found) < 7
    ):
        time.sleep(0.5)
        with suppress(OSError), urllib.request.urlopen(page, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
            ours = [line for line in lines if line.startswith("ray_inspatio_gym_") and "_bucket" not in line]
            found = {line[4:].partition("{")[0]: float(line.rpartition(" ")[2]) for line in ours}
    assert found.pop("inspatio_gym_steps_total", 0) >= 17
    assert found.pop("inspatio_gym_step_seconds_count") >= 9
    assert 0 < found.pop("inspatio_gym_step_seconds_sum") < 120
    assert found.pop("inspatio_gym_memory_bytes") > 2**24
    assert found == {
        "inspatio_gym_restarts_total": 1,
        "inspatio_gym_worlds": 4,
        "inspatio_gym_actors": 2,
    }


def test_a_closed_environment_is_told_of_no_more(envs, scene, capsys):
    other = make(scene)
    assert len(told()) == 2
    other.close()
    assert len(told()) == 1


# --- from here on without that Ray ---------------------------------------------------------------------------------------


def test_whoever_shuts_ray_down_is_told_so_and_may_close(envs, scene):
    pids = envs.actor_pids
    ray.shutdown()
    for call in (lambda: envs.step(STILL), envs.reset, lambda: envs.send(STILL), lambda: envs.snapshot(0)):
        with pytest.raises(
            RuntimeError, match=r"ray\.shutdown\(\) has ended it: close this environment and make another"
        ):
            call()
    assert not ray.is_initialized()
    with closing(make(scene)) as other:  # joins no Ray that is gone
        other.reset(seed=0)
        with pytest.raises(RuntimeError, match="has ended it"):
            envs.step(STILL)
        envs.close()  # takes nothing of the other's with it
        other.step(STILL)
    assert not ray.is_initialized()
    assert gone(pids)
    with pytest.raises(ClosedEnvironmentError):
        envs.step(STILL)


def test_status_without_a_ray_says_so(capsys, monkeypatch):
    for bad in ("127.0.0.1:1", "ray://here"):
        assert main(["status", "--address", bad]) == 1
        assert f"expected a Ray at '{bad}', found none" in capsys.readouterr().err
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for here, said in ((set(), "found none: start a RayVectorEnv"), ({"a:1", "b:2"}, "found ['a:1', 'b:2']: pass the")):
        monkeypatch.setattr(ray_pulse.services, "find_gcs_addresses", lambda here=here: here)
        assert main(["status"]) == 1
        assert said in capsys.readouterr().err
