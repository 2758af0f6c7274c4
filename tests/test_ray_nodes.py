"""Several machines, as Ray nodes on this one: worlds spread over them, and go on when a machine is lost."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspatio_gym import envs as house
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.processes import alive, gone

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

WORLDS = {"scene": "room", "model": "warp", "size": (48, 80), "max_episode_steps": 6}


@pytest.fixture
def cluster() -> Iterator:
    """Three machines with room for three actors each, and a head with none."""
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=3) for _ in range(3)]
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster, nodes
    finally:
        ray.shutdown()
        cluster.shutdown()


def homes(pids) -> dict[int, int]:
    """The machine that each process runs on: a worker's parent is its node's."""
    return {pid: int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in pids}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="several nodes on one machine are for Linux")
def test_worlds_spread_over_machines_and_outlive_them(cluster):
    cluster, nodes = cluster
    ours = house.RayVectorEnv("InSpatio-v0", 6, num_actors=3, scheduling_strategy="SPREAD", **WORLDS)
    theirs = InSpatioVectorEnv(6, **WORLDS)
    assert len(set(homes(ours.actor_pids).values())) == 3

    def same_for(steps: int) -> None:
        for _ in range(steps):
            action = theirs.action_space.sample()
            for seen, expected in zip(ours.step(action)[:4], theirs.step(action)[:4], strict=True):
                for key in expected if isinstance(expected, dict) else (...,):
                    assert np.array_equal(seen[key], expected[key])

    theirs.action_space.seed(0)
    ours.reset(seed=0)
    theirs.reset(seed=0)
    same_for(4)
    for left in (2, 1):
        before = homes(ours.actor_pids)
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        same_for(1)  # actors take a moment to notice that they have lost their machine
        assert gone([pid for pid, home in before.items() if not alive(home)])
        same_for(3)
        assert len(set(homes(ours.actor_pids).values())) <= left
    assert sum(ours.restarts) >= 2
    ours.close()
    assert ray.is_initialized()
