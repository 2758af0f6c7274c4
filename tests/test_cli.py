"""The command line: help that teaches, errors in one line, exit statuses."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from inspatio_gym.cli import COMMANDS, main
from tests.clips import make_video, scenery


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path / "scenes"))
    return tmp_path / "scenes"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on standard error, with nothing on standard output."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: expected ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_its_use(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"$ inspatio-gym {command}" in capsys.readouterr().out


def test_the_overview_names_every_command(capsys: pytest.CaptureFixture[str]):
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    assert all(f"\n  {command} " in overview for command in COMMANDS)


@pytest.mark.parametrize("arguments", [[], ["anker", "clip.mp4"]])
def test_no_such_command(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert main(arguments) == 2
    assert "error: expected a command out of ['anchor', " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["doctor"]])
def test_nobody_reads_on(arguments: list[str]):
    """`inspatio-gym ... | true`"""
    done = subprocess.run(
        ["bash", "-c", '"$0" -m inspatio_gym.cli "$@" | true; exit ${PIPESTATUS[0]}', sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0
    assert done.stderr == ""


def test_an_option_that_does_not_exist(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["anchor", "clip.mp4", "--frames", "3"])
    assert end.value.code == 2
    assert "--frames" in capsys.readouterr().err


def test_anchor_says_what_became_of_the_video(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]):
    video = make_video(tmp_path / "clip.mp4", scenery(20))
    assert main(["anchor", str(video), "--estimator", "prior"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("clip: 20 frames of ")
    assert "static-prior" in out
    assert err.startswith("warning: the geometry of 'clip' is an assumption")
    (scene,) = cache.iterdir()
    assert str(scene) in out
    assert (scene / "preview.jpg").is_file()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("missing.mp4", None, "does not exist: check the path"),
        ("empty.mp4", b"", "which is empty"),
        ("text.mp4", b"hello\n" * 200, "in which no video can be found"),
        ("noise.mp4", np.random.default_rng(0).bytes(5000), "in which no video can be found"),
    ],
)
def test_a_file_that_is_no_video_is_one_line(
    tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | None, why: str
):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["anchor", str(tmp_path / name)]) == 1
    assert why in said(capsys)
    assert not cache.exists() or not list(cache.iterdir())


def test_a_folder_is_one_line(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["anchor", str(tmp_path)]) == 1
    assert "got the folder" in said(capsys)


def test_no_video_at_all_is_one_line(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["anchor"]) == 1
    assert "inspatio-gym anchor clip.mp4" in said(capsys)


def test_a_cache_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path / "file" / "scenes"))
    video = make_video(tmp_path / "clip.mp4", scenery(20))
    assert main(["anchor", str(video), "--estimator", "prior"]) == 1
    assert "set INSPATIO_GYM_CACHE" in said(capsys)


def test_the_way_to_the_traceback(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_TRACEBACK", "1")
    with pytest.raises(ValueError, match="does not exist"):
        main(["anchor", str(tmp_path / "missing.mp4")])


def test_ctrl_c_while_anchoring_leaves_nothing(tmp_path: Path, cache: Path):
    video = make_video(tmp_path / "clip.mp4", scenery(280, (240, 416)))
    process = subprocess.Popen(
        [sys.executable, "-m", "inspatio_gym.cli", "anchor", str(video)], stderr=subprocess.PIPE, text=True
    )
    while not (cache.exists() and list(cache.iterdir())):  # until the scene is in the making
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not list(cache.iterdir())


def test_doctor_finds_the_core_at_work(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "InSpatio-v0" in out
    assert "all that the core needs works" in out


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_doctor_finds_a_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "closed").mkdir(mode=0o500)
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(tmp_path / "closed"))
    assert main(["doctor"]) == 1
    assert "set INSPATIO_GYM_CACHE" in capsys.readouterr().out


def test_doctor_says_when_no_world_can_be_made(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "inspatio_gym.warp", None)  # importing it raises ImportError
    assert main(["doctor"]) == 1
    assert "does not work: see BAD above" in capsys.readouterr().out
