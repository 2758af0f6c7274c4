"""Captions: from Florence-2 where its weights are, or a user's own words; stored, and part of what a scene is."""

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
from clips import make_video, scenery

from inspatio_gym.cli import main
from inspatio_gym.scenes import anchor
from inspatio_gym.scenes import caption as caption_module
from inspatio_gym.scenes import estimate as estimate_package
from inspatio_gym.scenes.caption import Captioner, caption

anchor_module: Any = importlib.import_module("inspatio_gym.scenes.anchor")


@pytest.fixture(scope="module")
def florence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.florence(tmp_path_factory.mktemp("florence"))


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(estimate_package, "ESTIMATORS", {"flat": "clips:flat_world"})
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caption_module, "present", lambda name: False)
    return make_video(tmp_path / "clip.mp4", scenery(9))


@pytest.fixture
def weights(florence: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Florence-2's weights are where they are looked for."""
    monkeypatch.setattr(caption_module, "MAX_TOKENS", 20)
    monkeypatch.setattr(caption_module, "present", lambda name: name == "florence-2")
    monkeypatch.setattr(caption_module, "locate", lambda name: florence)


def test_a_frame_becomes_words_and_always_the_same(florence: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(caption_module, "MAX_TOKENS", 20)
    one, other = np.zeros((48, 64, 3), np.uint8), scenery(1)[0]
    captioner = Captioner.load(florence)
    words = captioner.caption(one)
    assert isinstance(words, str)
    assert 0 < len(words) <= 4 * 20
    assert not any(mark in words for mark in ("<s>", "</s>", "<pad>", "<image>", "\n"))
    assert captioner.caption(other) != words  # it looks
    assert caption(one, florence) == words


def test_without_weights_a_scene_has_no_caption_and_the_key_that_it_always_had(video: Path):
    scenes = [anchor(video, estimator="flat", caption=wanted) for wanted in ("auto", "none", "")]
    assert [scene.caption for scene in scenes] == ["", "", ""]
    assert len({scene.path for scene in scenes}) == 1
    assert scenes[0].provenance["options"] == {"estimator": "flat", "max_frames": 300, "start": 0.0}


def test_the_caption_of_the_middle_frame_is_stored(video: Path, florence: Path, weights: None):
    scene = anchor(video, estimator="flat")
    assert scene.caption == caption(scene.rgb(4), florence)
    assert json.loads((scene.path / "scene.json").read_text())["caption"] == scene.caption
    assert scene.provenance["options"]["caption"] == {"by": "florence-2"}
    assert anchor(video, estimator="flat").path == scene.path
    without = anchor(video, estimator="flat", caption="none")
    assert (without.caption, without.path == scene.path) == ("", False)


def test_the_captioner_is_not_loaded_for_a_scene_that_there_is(video: Path, weights: None, monkeypatch):
    scene = anchor(video, estimator="flat")
    monkeypatch.setattr(caption_module, "locate", None)
    assert anchor(video, estimator="flat").digest == scene.digest


def test_a_users_words_are_stored_as_they_are(video: Path, weights: None):
    words = "  a street,\nin the rain &amp; fog "
    scene = anchor(video, estimator="flat", caption=words)
    assert scene.caption == words
    assert anchor(video, estimator="flat", caption="florence-2").path not in (
        scene.path,
        anchor(video, estimator="flat").path,
    )


def test_the_command_line_takes_and_says_the_caption(video: Path, capsys: pytest.CaptureFixture):
    assert main(["anchor", str(video), "--estimator", "flat", "--caption", "a wall"]) == 0
    assert "caption   a wall\n" in capsys.readouterr().out
    assert main(["anchor", str(video), "--estimator", "flat"]) == 0
    assert "caption" not in capsys.readouterr().out


def test_missing_files_are_named(tmp_path: Path):
    with pytest.raises(
        FileNotFoundError, match=r"expected \*processor_config.json, tokenizer.json in .*no such folder"
    ):
        Captioner.load(tmp_path / "nowhere")
