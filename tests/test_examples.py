"""Every example runs as it stands, and leaves what it says it leaves."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clips import make_video, scenery

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(name: str, *options: str, folder: Path) -> str:
    """What the example prints, run in `folder`; for the sake of speed with kernels compiled once."""
    command = [sys.executable, str(EXAMPLES / name), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    wrote = re.search(r"wrote (\S+)", done.stdout)
    assert wrote is None or (folder / wrote[1]).stat().st_size > 1000
    return done.stdout


def test_the_examples_are_numbered_and_no_other():
    assert [path.name[:2] for path in sorted(EXAMPLES.glob("*.py"))] == [
        "01",
        "02",
        "03",
        "04",
        "05",
        "06",
        "07",
        "08",
        "09",
    ]


def test_hello_world(tmp_path: Path):
    assert "hello_world.mp4" in run("01_hello_world.py", "--steps", "5", folder=tmp_path)


def test_hello_world_on_a_video(tmp_path: Path):
    make_video(tmp_path / "clip.mp4", scenery(30))
    assert "hello_world.mp4" in run("01_hello_world.py", "--steps", "5", "--video", "clip.mp4", folder=tmp_path)


def test_time_control(tmp_path: Path):
    said = run("02_time_control.py", folder=tmp_path)
    spans = [tuple(map(float, span)) for span in re.findall(r"from ([\d.]+) s to ([\d.]+) s", said)]
    played, slowed, paused, reversed_ = (end - start for start, end in spans)
    assert played == pytest.approx(4 * slowed, abs=0.02)
    assert paused == 0
    assert reversed_ == pytest.approx(-played, abs=0.02)


def test_trajectory(tmp_path: Path):
    assert "trajectory.mp4" in run("03_trajectory.py", "--path", "push_in", folder=tmp_path)


def test_a_task_of_ones_own_rewards_whoever_looks_at_the_landmark(tmp_path: Path):
    said = run("04_your_own_task.py", "--episodes", "10", folder=tmp_path)
    scripted, random = (int(share) for share in re.findall(r"(\d+)%", said))
    assert scripted >= 80
    assert random <= scripted - 40


def test_stable_baselines(tmp_path: Path):
    assert "after 600 steps" in run("05_stable_baselines.py", "--steps", "600", "--num-envs", "4", folder=tmp_path)


def test_ray(tmp_path: Path):
    pytest.importorskip("ray")
    said = run("06_ray.py", "--num-envs", "4", "--steps", "6", folder=tmp_path)
    assert "4 worlds, 2 processes, one killed" in said
    assert said.count("%") == 4


def test_rllib(tmp_path: Path):
    pytest.importorskip("tree", reason="needs the extra rllib")
    said = run("07_rllib.py", "--steps", "500", "--num-envs", "4", "--num-env-runners", "1", folder=tmp_path)
    assert len(re.findall(r"after \d+ steps: return of an episode -?\d+\.\d+ views", said)) == 2


def test_torchrl(tmp_path: Path):
    pytest.importorskip("torchrl", reason="needs the extra torchrl")
    said = run("08_torchrl.py", "--steps", "500", "--num-envs", "4", folder=tmp_path)
    assert len(re.findall(r"after \d+ steps: return of an episode -?\d+\.\d+ views", said)) == 2


@pytest.mark.parametrize("actors", [0, 2])
def test_cleanrl_ppo(tmp_path: Path, actors: int):
    if actors:
        pytest.importorskip("ray")
    said = run("09_cleanrl_ppo.py", "--steps", "500", "--num-envs", "4", "--num-actors", str(actors), folder=tmp_path)
    first, second = (
        int(steps) for steps in re.findall(r"after (\d+) steps: return of an episode -?\d+\.\d+ views", said)
    )
    assert first <= 4 * 64 - 4  # what only begins an episode is no step
    assert first < second <= 2 * 4 * 64 - 4
