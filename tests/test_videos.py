"""Folders of videos, and a split that adding a video does not change."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from box_room import write_box
from clips import make_video, scenery

from inspatio_gym.agents.config import EvaluateConfig, TrainConfig
from inspatio_gym.envs import split
from inspatio_gym.envs.env import InSpatioEnv
from inspatio_gym.envs.videos import expand, place_of
from inspatio_gym.scenes import load_scene


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 files that are videos by name, one that is none, and a hidden one."""
    clips = tmp_path / "clips"
    clips.mkdir()
    for k in range(40):
        (clips / f"{k:02d}.mp4").write_bytes(bytes([k]) * 100)
    (clips / "notes.txt").write_text("not a video")
    (clips / ".cut.mp4").write_bytes(b"half of one")
    return clips


def names(sources) -> list[str]:
    return [Path(source).name for source in sources]


def test_a_folder_stands_for_its_videos_by_name(folder: Path):
    assert names(expand(folder)) == [f"{k:02d}.mp4" for k in range(40)]
    assert names(expand([folder / "03.mp4", folder]))[:2] == ["03.mp4", "00.mp4"]
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="expected videos in the folder"):
        expand(empty)


def test_every_video_is_on_one_side_and_the_share_is_about_met(folder: Path):
    train, held_out = split(folder, 0.25)
    assert sorted(names(train + held_out)) == names(expand(folder))
    assert 3 <= len(held_out) <= 17  # 10 expected: within three standard deviations
    assert split(folder, 0.0).held_out == []
    assert split(folder, 1.0).train == []
    assert set(split(folder, 0.1).held_out) <= set(held_out)  # a larger share holds out more, and the same ones
    with pytest.raises(ValueError, match="a share from 0 to 1"):
        split(folder, 1.5)


def test_adding_renaming_and_moving_videos_moves_none_to_the_other_side(folder: Path, tmp_path: Path):
    before = split(folder, 0.3)
    (folder / "later.mp4").write_bytes(b"new")
    after = split(folder, 0.3)
    assert [one for one in after.held_out if one.name != "later.mp4"] == before.held_out
    elsewhere = tmp_path / "elsewhere.mov"
    shutil.copy(folder / "07.mp4", elsewhere)
    assert place_of(elsewhere) == place_of(folder / "07.mp4")
    (folder / "07.mp4").write_bytes(b"something else")
    assert place_of(folder / "07.mp4") != place_of(elsewhere)


def test_scenes_are_split_by_their_content(tmp_path: Path):
    scene = write_box(tmp_path / "box", frames=8)
    moved = Path(shutil.copytree(tmp_path / "box", tmp_path / "moved"))
    assert place_of(scene) == place_of(moved) == place_of(str(moved))
    assert place_of("room") == place_of(load_scene("room"))
    assert 0 <= place_of("room") < 1


def test_commands_train_on_one_side_and_evaluate_on_the_other(folder: Path):
    train, held_out = split(folder, 0.3)
    asked = {"video": (folder,), "held_out": 0.3}
    assert TrainConfig(**asked).world()["video"] == [str(video) for video in train]
    assert EvaluateConfig(**asked).world()["video"] == [str(video) for video in held_out]
    assert TrainConfig(video=(folder,)).world()["video"] == [str(folder)]
    for config, video in ((TrainConfig, held_out[0]), (EvaluateConfig, train[0])):
        with pytest.raises(ValueError, match=r"expected one or more of 1 videos or scenes on either side, got none"):
            config(video=(Path(video),), held_out=0.3).world()


def test_every_episode_draws_one_of_a_folders_videos_by_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("inspatio_gym.scenes.estimate.ESTIMATORS", {"flat": "clips:flat_world"})
    clips = tmp_path / "clips"
    clips.mkdir()
    for seed in range(3):
        make_video(clips / f"{'abc'[seed]}.mp4", scenery(12, seed=seed))
    asked = {"model": "fake", "size": (24, 40), "estimator": "flat", "anchor_options": {"cache": tmp_path / "cache"}}
    envs = [InSpatioEnv(video=clips, **asked) for _ in range(2)]
    drawn = [[env.reset(seed=seed)[1]["scene"] for seed in range(60)] for env in envs]
    assert drawn[0] == drawn[1]
    counts = np.unique(drawn[0], return_counts=True)
    assert counts[0].tolist() == ["a", "b", "c"]
    assert counts[1].min() >= 10  # 20 expected
