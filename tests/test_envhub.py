"""The LeRobot EnvHub package in examples/envhub: what LeRobot finds there, and steps."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from box_room import write_box

ROOT = Path(__file__).resolve().parent.parent
SIZE = (48, 80)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small scene."""
    folder = tmp_path_factory.mktemp("scenes") / "box"
    write_box(folder)
    return str(folder)


@pytest.fixture
def hub() -> ModuleType:
    """examples/envhub/env.py, imported as LeRobot imports it: by its path."""
    spec = importlib.util.spec_from_file_location("hub_env", ROOT / "examples/envhub/env.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("use_async_envs", [False, True])
def test_an_envhub_package_makes_what_lerobot_steps(hub, box, use_async_envs):
    envs = hub.make_env(
        n_envs=2, use_async_envs=use_async_envs, scene=box, model="fake", size=SIZE, max_episode_steps=3
    )
    assert list(envs) == ["inspatio"]
    envs = envs["inspatio"][0]
    try:
        assert envs.num_envs == 2
        observations, _ = envs.reset(seed=[1, 2])
        assert observations["pixels"]["rgb"].shape == (2, *SIZE, 3)
        assert observations["pixels"]["rgb"].dtype == np.uint8
        assert observations["agent_pos"].shape == (2, 9)
        assert observations in envs.observation_space
        # What its evaluation asks of the worlds.
        assert envs.call("_max_episode_steps") == (3, 3)
        assert envs.call("task_description") == ("explore the scene", "explore the scene")
        assert [picture.shape for picture in envs.call("render")] == [(*SIZE, 3)] * 2
        for _ in range(3):
            observations, _, terminated, truncated, infos = envs.step(np.zeros((2, 7), np.float32))
        assert (terminated | truncated).all()
        assert infos["final_info"]["is_success"].tolist() == [False, False]
    finally:
        envs.close()


def test_lerobot_calls_it_by_these_words(hub, box):
    class Config:
        task = "explore"

    envs = hub.make_env(n_envs=1, use_async_envs=False, cfg=Config(), scene=box, model="fake")
    assert envs["inspatio"][0].call("task") == ("explore",)
