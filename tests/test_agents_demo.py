"""The demo: what it promises lies in its folder, the page says what was measured, and nobody else's folder is touched."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from inspatio_gym.agents.config import EVALUATION_SEEDS, DemoConfig, TrainConfig
from inspatio_gym.agents.demo import demo
from inspatio_gym.agents.evaluate import Comparison
from inspatio_gym.agents.film import STRIP, WIDTH
from inspatio_gym.agents.policy import load_policy

TINY = DemoConfig(steps=300, max_episode_steps=4, episodes=4)
RIVALS = {(214, 39, 40), (127, 127, 127), (255, 127, 14), (44, 160, 44)}  # colours of the simple agents' lines


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Comparison]:
    run = tmp_path_factory.mktemp("demo") / "a run"
    return run, demo(replace(TINY, run=run))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_has_the_figures_that_were_measured(made: tuple[Path, Comparison]):
    run, comparison = made
    measured = json.loads((run / "evaluation.json").read_text())
    assert measured == json.loads(comparison.to_json())
    assert measured["seeds"] == list(EVALUATION_SEEDS[: TINY.episodes])
    page = (run / "report.md").read_text()
    assert "World room, model warp, task explore, control rotation;" in page
    assert "Returns are in views" in page
    assert f"**{comparison.verdict()}**" in page
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    for agent in measured["agents"]:
        assert agent["mean"] == np.mean(agent["returns"])
        cells = [f"{agent['mean']:.2f} [{agent['low']:.2f}, {agent['high']:.2f}]", f"{np.mean(agent['lengths']):.1f}"]
        for name, values in agent["metrics"].items():
            mean, low, high = agent["intervals"][name].values()
            assert mean == pytest.approx(np.mean(values))
            cells.append(f"{mean:.3g}" if low == high else f"{mean:.3g} [{low:.3g}, {high:.3g}]")
        assert f"| {agent['agent']} | {' | '.join(cells)} |" in rows


def test_the_commands_on_the_page_may_be_pasted(made: tuple[Path, Comparison]):
    run, _ = made
    page = (run / "report.md").read_text()
    commands = re.search(r"```console\n(.+?)\n```", page, re.DOTALL)[1].splitlines()
    assert [shlex.split(command)[-1 if "tensorboard" in command else 3] for command in commands] == [
        str(run),
        str(run),
        str(run / "tensorboard"),
    ]


def test_the_page_shows_pictures_that_are_there(made: tuple[Path, Comparison]):
    run, _ = made
    shown = re.findall(r"\]\((.+?)\)", (run / "report.md").read_text())
    assert set(shown) == {"learning_curve.png", "trained_vs_random.mp4", "trained_vs_random.jpg"}
    with Image.open(run / "learning_curve.png") as curve:
        drawn = {colour for _, colour in curve.convert("RGB").getcolors(2**20)}
    assert drawn >= RIVALS


def test_the_film_shows_every_frame_of_an_episode(made: tuple[Path, Comparison], room_scene):
    run, _ = made
    with av.open(str(run / "trained_vs_random.mp4")) as film:
        assert film.streams.video[0].average_rate == room_scene.fps
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == TINY.max_episode_steps * TrainConfig.frames_per_step
    with Image.open(run / "trained_vs_random.jpg") as still:
        assert frames[0].shape == (still.height, still.width, 3)
    seen = np.array(frames, np.int16)[:, STRIP:]
    assert np.abs(seen[:, :, :WIDTH] - seen[:, :, -WIDTH:]).mean() > 5  # two agents, not one twice


def test_the_folder_is_a_run_to_go_on_with(made: tuple[Path, Comparison]):
    run, _ = made
    _, card = load_policy(run)
    assert (card.algo, card.world["scene"], card.world["control"]) == ("ppo", ["room"], "rotation")
    assert TrainConfig.from_json((run / "config.json").read_text()).steps == TINY.steps
    assert [int(path.stem) for path in (run / "checkpoints").iterdir()] == [card.steps]
    tags = EventAccumulator(str(run / "tensorboard")).Reload().Tags()
    assert {"rollout/ep_rew_mean", "task/explored_fraction", "validation/return"} <= set(tags["scalars"])
    assert tags["images"] == ["validation/episode"]


def test_a_demo_replaces_an_earlier_one(made: tuple[Path, Comparison], tmp_path: Path):
    run = shutil.copytree(made[0], tmp_path / "run")
    (run / "notes.txt").write_text("of the earlier one")
    (tmp_path / "elsewhere").mkdir()
    (run / "link").symlink_to(tmp_path / "elsewhere")
    demo(replace(TINY, run=run, seed=1))
    assert {path.name for path in run.iterdir()} == {path.name for path in made[0].iterdir()}
    assert (tmp_path / "elsewhere").is_dir()
    assert len(list((run / "tensorboard").iterdir())) == 1
    assert json.loads((run / "evaluation.json").read_text())["seeds"] == list(EVALUATION_SEEDS[4:8])


def test_a_demo_of_what_is_no_video_leaves_the_earlier_one(made: tuple[Path, Comparison], tmp_path: Path):
    before = contents(made[0])
    with pytest.raises(ValueError, match="does not exist"):
        demo(replace(TINY, run=made[0], video=tmp_path / "missing.mp4"))
    assert contents(made[0]) == before


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"episodes": 1}, "at least 2 episodes"),
        ({"seed": 10**9}, "a small seed"),
        ({"seed": -1}, "seed of 0 or more"),
        ({"minutes": 0.0}, "some time to train"),
        ({"steps": 0}, "steps of 1 or more"),
        ({"max_episode_steps": 0}, "max_episode_steps of 1 or more"),
    ],
)
def test_a_demo_by_numbers_that_cannot_be_leaves_the_earlier_one(
    made: tuple[Path, Comparison], wrong: dict[str, Any], words: str
):
    before = contents(made[0])
    with pytest.raises(ValueError, match=words):
        demo(replace(TINY, run=made[0], **wrong))
    assert contents(made[0]) == before


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text("of another run")
    (tmp_path / "file").write_text("no folder")
    before = contents(tmp_path)
    for taken in (tmp_path / "run", tmp_path / "file"):
        with pytest.raises(ValueError, match="expected a new folder or an earlier demo's"):
            demo(replace(TINY, run=taken))
    assert contents(tmp_path) == before
