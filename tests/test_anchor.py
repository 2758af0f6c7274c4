"""Anchoring: found the second time, atomic under interruption and races, and frank about what it leaves out."""

import importlib
import shutil
import signal
import subprocess
import sys
import time
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_video, scenery, which

from inspatio_gym.scenes import GeometryWarning, Scene, anchor
from inspatio_gym.scenes import estimate as estimate_package
from inspatio_gym.scenes.cache import partial_folder

anchor_module: Any = importlib.import_module("inspatio_gym.scenes.anchor")  # the package has a function of that name
TESTS = Path(__file__).resolve().parent


@pytest.fixture(autouse=True)
def flat_estimators(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = {"flat": "clips:flat_world", "still": "clips:still_prior", "broken": "clips:broken_world"}
    monkeypatch.setattr(estimate_package, "ESTIMATORS", registry, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", scenery(30))


def test_a_video_becomes_a_scene(video: Path, cache: Path):
    scene = anchor(video, cache=cache, estimator="flat")
    assert (scene.name, scene.num_frames, scene.fps, scene.size) == ("clip", 30, 25.0, (64, 96))
    assert scene.geometry.method == "structure-from-motion"
    assert scene.path.parent == cache
    assert [which(scene.rgb(i), scenery(30)) for i in range(30)] == list(range(30))
    assert np.median(scene.depth(0)) == pytest.approx(1, rel=0.02)
    assert scene.provenance["video"] == "clip.mp4"
    assert scene.provenance["options"] == {"estimator": "flat", "max_frames": 300, "start": 0.0}
    assert scene.provenance["seconds"] == pytest.approx([0, 1.2])
    assert [path.name for path in cache.iterdir()] == [scene.path.name]  # nothing but the scene


def test_the_second_time_nothing_is_decoded(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    video = make_video(tmp_path / "clip.mp4", scenery(200))
    first = anchor(video, cache=cache, estimator="flat")
    monkeypatch.setattr("av.open", None)
    began = time.perf_counter()
    second = anchor(video, cache=cache, estimator="flat")
    assert time.perf_counter() - began < 0.5
    assert second.digest == first.digest
    renamed = video.rename(tmp_path / "other name.mp4")
    assert anchor(renamed, cache=cache, estimator="flat").digest == first.digest  # its content counts


def test_other_options_make_another_scene(video: Path, cache: Path):
    options: list[dict[str, Any]] = [{}, {"max_frames": 10}, {"start": 0.4}, {"estimator": "still"}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeometryWarning)
        scenes = [anchor(video, cache=cache, **({"estimator": "flat"} | option)) for option in options]
    assert len({scene.path for scene in scenes}) == 4
    assert [scene.num_frames for scene in scenes] == [30, 10, 20, 30]


def test_better_estimators_make_another_scene(video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    before = anchor(video, cache=cache, estimator="flat")
    monkeypatch.setattr(estimate_package, "VERSION", estimate_package.VERSION + 1)
    after = anchor(video, cache=cache, estimator="flat")
    assert after.path != before.path
    assert after.provenance["estimator_version"] == before.provenance["estimator_version"] + 1


def test_the_environment_names_the_cache(video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_CACHE", str(cache))
    assert anchor(str(video), estimator="flat").path.parent == cache


def test_a_damaged_scene_is_made_again(video: Path, cache: Path, caplog: pytest.LogCaptureFixture):
    scene = anchor(video, cache=cache, estimator="flat")
    (scene.path / "source.mp4").unlink()
    again = anchor(video, cache=cache, estimator="flat")
    assert "making it again: expected whole files" in caplog.text
    assert again.digest == scene.digest
    assert again.rgb(3).shape == (64, 96, 3)
    assert len(list(cache.iterdir())) == 1


# --- what is left out is said ------------------------------------------------------------------------------------------


def test_a_long_video_is_cut_and_says_so(video: Path, cache: Path, caplog: pytest.LogCaptureFixture):
    long = make_video(video.with_name("long.mp4"), scenery(200, (48, 64)))
    scene = anchor(long, cache=cache, estimator="flat", max_frames=50, start=1.0)
    assert scene.num_frames == 50
    (message,) = caplog.messages
    assert "kept 50 frames (2.0 s, from 1.0 s on) of 8.0 s; choose others with max_frames= and start=" in message
    assert which(scene.rgb(0), scenery(200, (48, 64))) == 25


def test_the_longest_shot_is_kept_and_said(tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture):
    black = [np.zeros((64, 96, 3), np.uint8)] * 5
    shots = black + scenery(10) + scenery(25, seed=1) + scenery(12, seed=2)
    scene = anchor(make_video(tmp_path / "cuts.mp4", shots), cache=cache, estimator="flat")
    assert scene.num_frames == 25
    (message,) = caplog.messages
    assert "kept the longest shot, 25 of 52 frames (0.6 to 1.6 s); cuts at 0.6 s, 1.6 s" in message
    assert scene.provenance["shots"] == [[5, 10], [15, 25], [40, 12]]
    assert scene.provenance["seconds"] == pytest.approx([0.6, 1.6])
    assert [which(scene.rgb(i), shots) for i in (0, 24)] == [15, 39]


@pytest.mark.parametrize("where", ["before", "after"])
def test_black_frames_are_left_out_and_said(tmp_path: Path, cache: Path, where: str, caplog: pytest.LogCaptureFixture):
    black = [np.zeros((64, 96, 3), np.uint8)] * 10
    film = black + scenery(40) if where == "before" else scenery(40) + black
    scene = anchor(make_video(tmp_path / "fade.mp4", film), cache=cache, estimator="flat")
    assert scene.num_frames == 40
    (message,) = caplog.messages  # nothing is damaged
    assert "one world cannot span cuts or blank frames; kept the longest shot, 40 of 50 frames" in message


def test_sound_that_goes_on_is_no_damage(tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture):
    video = make_video(tmp_path / "clip.mkv", scenery(50), sound_seconds=4)
    assert anchor(video, cache=cache, estimator="flat").num_frames == 50
    assert caplog.messages == []


def test_a_whole_video_of_one_shot_says_nothing(video: Path, cache: Path, caplog: pytest.LogCaptureFixture):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anchor(video, cache=cache, estimator="flat")
    assert caplog.messages == []


def test_an_assumption_warns_once(video: Path, cache: Path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        anchor(video, cache=cache, estimator="still", max_frames=11)
        anchor(video, cache=cache, estimator="still", max_frames=11)
    assert len(caught) == 1
    message = str(caught[0].message)
    assert caught[0].filename == __file__
    assert "static-prior, confidence 0.25): a test asked for it." in message
    assert "Depth-Anything-3" in message
    assert "Depth-Anything-V2 metric" in message
    # A cached scene warns too, in a process that has not heard it yet.
    call = f"anchor({str(video)!r}, cache={str(cache)!r}, estimator='still', max_frames=11)"
    code = f"from inspatio_gym.scenes import anchor; {call}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("GeometryWarning") == 1


def test_progress_is_for_terminals(video: Path, cache: Path, capsys: pytest.CaptureFixture, monkeypatch):
    anchor(video, cache=cache, estimator="flat", progress=True)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    anchor(video, cache=cache, estimator="flat", progress=True, max_frames=12)
    shown = capsys.readouterr().err
    assert shown.index("decode") < shown.index("geometry") < shown.index("depth")
    assert "100%" in shown


def test_options_out_of_range(video: Path, cache: Path):
    with pytest.raises(ValueError, match="expected max_frames of at least 2, got 1"):
        anchor(video, cache=cache, max_frames=1)
    for start in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected start in seconds, 0 or more, got"):
            anchor(video, cache=cache, start=start)
    with pytest.raises(
        ValueError, match=r"expected an estimator out of \['auto', 'broken', 'flat', 'still'\], got 'x'"
    ):
        anchor(video, cache=cache, estimator="x")
    assert not cache.exists()


def test_memory_does_not_grow_with_the_clip(tmp_path: Path, cache: Path):
    """180 more frames of 184 kB cost their coarse depth (5 kB each, a few times over), not themselves."""
    peaks = []
    for count in (60, 240):
        video = make_video(tmp_path / f"{count}.mp4", scenery(count, (192, 320)), options={"preset": "ultrafast"})
        tracemalloc.start()
        anchor(video, cache=cache, estimator="flat")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 180 * 40_000


# --- interruptions and races -------------------------------------------------------------------------------------------

WAITING = """
import sys
sys.path.insert(0, {tests!r})
import clips
from inspatio_gym.scenes import anchor, estimate

def waiting(clip, *, progress):
    print("waiting", flush=True)
    sys.stdin.readline()
    return clips.flat_world(clip, progress=progress)

clips.waiting = waiting
estimate.ESTIMATORS = {{"waiting": "clips:waiting"}}
print(anchor({video!r}, cache={cache!r}, estimator="waiting").digest)
"""


def start_waiting(video: Path, cache: Path) -> list[subprocess.Popen]:
    """Two processes in the midst of anchoring the video, until they get a line."""
    code = WAITING.format(tests=str(TESTS), video=str(video), cache=str(cache))
    pipes: dict[str, Any] = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    processes = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "waiting\n", process.stderr.read()
    return processes


def test_another_process_ends_before_this_one_begins_to_write(
    video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[Scene] = []
    probe = anchor_module.probe

    def slow_probe(*args: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(anchor_module, "probe", probe)
            made.append(anchor(video, cache=cache, estimator="flat"))
        return probe(*args, **options)

    monkeypatch.setattr(anchor_module, "probe", slow_probe)
    assert anchor(video, cache=cache, estimator="flat").digest == made[0].digest
    assert list(cache.iterdir()) == [made[0].path]


def test_two_processes_find_the_same_damaged_scene(video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    scene = anchor(video, cache=cache, estimator="flat")
    (scene.path / "source.mp4").unlink()

    def remove_first(target: Path) -> Path:
        shutil.rmtree(target, ignore_errors=True)
        return partial_folder(target)

    monkeypatch.setattr("inspatio_gym.scenes.store.partial_folder", remove_first)
    assert anchor(video, cache=cache, estimator="flat").digest == scene.digest


@pytest.mark.parametrize("stage", ["decode", "geometry", "depth"])
def test_an_interruption_leaves_nothing(video: Path, cache: Path, stage: str, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    name = {
        "decode": "inspatio_gym.scenes.footage.FootageWriter.write",
        "geometry": "clips.flat_world",
        "depth": "inspatio_gym.scenes.store.SceneWriter.write_depth",
    }[stage]
    with monkeypatch.context() as patch:
        patch.setattr(name, interrupt)
        with pytest.raises(KeyboardInterrupt):
            anchor(video, cache=cache, estimator="flat")
    assert list(cache.iterdir()) == []
    assert anchor(video, cache=cache, estimator="flat").num_frames == 30


def test_a_failing_estimator_leaves_nothing(video: Path, cache: Path):
    with pytest.raises(RuntimeError, match="a bug"):
        anchor(video, cache=cache, estimator="broken")
    assert list(cache.iterdir()) == []


def test_control_c_leaves_nothing_and_a_kill_is_swept(video: Path, cache: Path):
    interrupted, killed = start_waiting(video, cache)
    assert len(list(cache.iterdir())) == 2
    interrupted.send_signal(signal.SIGINT)
    _, problem = interrupted.communicate(timeout=20)
    assert interrupted.returncode != 0
    assert "KeyboardInterrupt" in problem
    assert len(list(cache.iterdir())) == 1
    killed.kill()
    killed.communicate(timeout=20)
    assert len(list(cache.iterdir())) == 1  # nobody could clean up
    scene = anchor(video, cache=cache, estimator="flat")
    assert list(cache.iterdir()) == [scene.path]


def test_two_processes_anchor_the_same_video(video: Path, cache: Path):
    processes = start_waiting(video, cache)
    answers = [process.communicate("\n", timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    digests = {answer[0].splitlines()[-1] for answer in answers}
    (folder,) = cache.iterdir()
    assert digests == {Scene.load(folder).digest}
