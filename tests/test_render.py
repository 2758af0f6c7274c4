"""`inspatio-gym render`: what a film shows, when it counts as done, and what one bad video does to the others."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from inspatio_gym import cli, world
from inspatio_gym.render.config import RenderConfig
from inspatio_gym.render.job import RECORD, Studio, Task
from inspatio_gym.render.pictures import FILMS
from inspatio_gym.render.plan import at_speed, make_plan
from inspatio_gym.render.reach import buried, foreground, open_radius
from inspatio_gym.trajectory import PRESETS, Trajectory
from tests.clips import make_video, scenery

SIZE = ("--size", "48", "80")
SHORT = ("--frames", "12", *SIZE)


def render(*words: object) -> int:
    return cli.main(["render", *map(str, words)])


def frames_of(film: Path) -> np.ndarray:
    with av.open(str(film)) as file:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def folders(output: Path) -> list[Path]:
    return sorted(record.parent for record in output.rglob(RECORD))


class TestPlan:
    def test_the_default_is_the_adaptive_length_riding_the_recorded_camera(self, room_scene):
        plan = make_plan(RenderConfig(trajectory="orbit", radius=1.0), room_scene)
        path = Trajectory.preset("orbit")
        np.testing.assert_array_equal(plan.source, path.adaptive_indices(room_scene.num_frames))
        np.testing.assert_allclose(plan.c2w, room_scene.c2w[plan.source] @ path.poses(len(plan), 1.0))

    def test_mount_world_stays_where_the_path_says(self, room_scene):
        plan = make_plan(RenderConfig(trajectory="orbit", radius=1.0, mount="world", frames=20), room_scene)
        np.testing.assert_allclose(plan.c2w, Trajectory.preset("orbit").poses(20, 1.0))

    def test_rotation_only_stays_in_place(self, room_scene):
        plan = make_plan(RenderConfig(trajectory="orbit", rotation_only=True, mount="world", frames=20), room_scene)
        assert not plan.c2w[:, :3, 3].any()
        assert np.ptp(plan.c2w[:, 0, 0]) > 0.01

    def test_reverse_is_the_mirror(self, room_scene):
        there, back = (
            make_plan(RenderConfig(frames=30, radius=1.0, reverse=reverse), room_scene) for reverse in (False, True)
        )
        np.testing.assert_array_equal(back.source, room_scene.num_frames - 1 - there.source)

    def test_frozen_time_stands_still_while_the_camera_moves(self, room_scene):
        plan = make_plan(RenderConfig(freeze_frame=-1, freeze_repeat=25), room_scene)
        assert set(plan.source) == {room_scene.num_frames - 1}
        assert len(plan) == 25
        assert np.ptp(plan.c2w[:, 0, 3]) > 0
        with pytest.raises(ValueError, match=r"--freeze-frame in 0..83, got 84"):
            make_plan(RenderConfig(freeze_frame=84), room_scene)

    @pytest.mark.parametrize(
        ("speed", "expected"),
        [
            ((1.0,), [0, 1, 2, 3, 4, 5, 6, 7]),
            ((0.5,), [0, 1, 1, 2, 2, 3, 3, 4]),
            ((0.0,), [0] * 8),
            ((2.0,), [0, 2, 4, 6, 8, 9, 7, 5]),  # time turns round at the end of ten frames
        ],
    )
    def test_a_constant_speed(self, speed, expected):
        got = at_speed(speed, 8, 10, fps=8.0)
        assert np.abs(got - expected).max() <= 1  # where half a frame is rounded to

    def test_a_curve_of_speeds_slows_stops_and_comes_back(self):
        source = at_speed((2.0, 0.0, -1.5), 101, 1000, fps=10.0)
        turn = int(source.argmax())
        assert 45 <= turn <= 55
        assert (np.diff(source[:turn]) >= 0).all()
        assert (np.diff(source[turn:]) <= 0).all()
        assert 10 <= source[-1] <= 15  # three quarters of the way back

    def test_blocks_are_whole_and_observe_the_film_alone(self, room_scene):
        plan = make_plan(RenderConfig(frames=25, radius=1.0), room_scene)
        requests = list(world.blocks(plan, 9, 12))
        assert [len(request.source) for request in requests] == [9, 12, 12]
        shown = np.concatenate([request.source[request.observe] for request in requests])
        np.testing.assert_array_equal(shown, plan.source)
        np.testing.assert_array_equal(requests[-1].source[4:], np.full(8, plan.source[-1]))

    def test_the_released_paths_are_there(self, shared):
        cases = json.loads((shared / "fixtures/trajectory/cases.json").read_text())["trajectories"]
        for name, lines in cases.items():
            assert name in PRESETS
            assert Trajectory.preset(name) == Trajectory.parse(lines)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"freeze_repeat": 3}, "--freeze-frame with --freeze-repeat"),
            ({"freeze_frame": 0, "reverse": True}, "--freeze-frame or --reverse"),
            ({"freeze_frame": 0, "speed": (0.5,)}, "--freeze-frame or --speed"),
            ({"gpus": 2, "workers": 2}, "--gpus or --workers"),
            ({"frames": 0}, "--frames of at least 1"),
            ({"radius": -1.0}, "--radius > 0"),
        ],
    )
    def test_options_that_contradict_each_other(self, options, message):
        with pytest.raises(ValueError, match=message):
            RenderConfig(**options)


class TestReach:
    def test_below_the_street_is_buried_and_above_it_is_not(self, street_scene):
        c2w = street_scene.c2w[30]
        below, above = (c2w[:3, 3] + c2w[:3, :3] @ np.array([0, y, 0.4]) for y in (0.2, 0.05))
        assert buried(street_scene, np.stack([below, above, c2w[:3, 3]])).tolist() == [True, False, False]

    def test_a_path_that_dips_below_the_street_is_shortened(self, street_scene):
        def dip(radius):
            poses = np.tile(np.eye(4), (5, 1, 1)) @ street_scene.c2w[30]
            down_ahead = street_scene.c2w[30][:3, :3] @ [0, 0.5, 1]
            poses[:, :3, 3] += down_ahead * np.linspace(0, 2 * radius, 5)[:, None]
            return poses

        radius = open_radius(street_scene, dip)
        assert radius < foreground(street_scene)
        assert not buried(street_scene, dip(radius)[:, :3, 3]).any()

    def test_a_path_in_the_open_has_the_foregrounds_radius(self, room_scene):
        path = Trajectory.preset("orbit")
        radius = open_radius(room_scene, lambda r: room_scene.c2w[40] @ path.poses(20, r))
        assert radius == foreground(room_scene)


class TestCommand:
    def test_four_films_and_what_made_them(self, tmp_path, capsys):
        assert render("--scene", "room", *SHORT, "--model", "warp", "--output", tmp_path) == 0
        (folder,) = folders(tmp_path)
        assert sorted(file.name for file in folder.iterdir()) == sorted([RECORD, *(f"{name}.mp4" for name in FILMS)])
        assert frames_of(folder / "prediction.mp4").shape == (12, 48, 80, 3)
        assert frames_of(folder / "side_by_side.mp4").shape[2] > 3 * 80
        record = json.loads((folder / RECORD).read_text())
        assert record["frames"] == len(record["source"]) == 12
        assert str(folder) in capsys.readouterr().out

    def test_the_recorded_camera_shows_the_recorded_frames(self, tmp_path):
        still = tmp_path / "still.txt"
        still.write_text("0\n0\n0\n")
        assert render("--scene", "room", *SHORT, "--model", "warp", "--trajectory", still, "--output", tmp_path) == 0
        (folder,) = folders(tmp_path)
        films = {name: frames_of(folder / f"{name}.mp4").astype(int) for name in FILMS}
        for name in ("prediction", "render"):
            error = np.abs(films[name] - films["source"])[:, 2:-2, 2:-2]
            assert error.mean() < 3, name
        assert films["source"].std() > 20

    def test_frozen_and_reversed_films_show_the_frames_they_say(self, tmp_path):
        assert render("--scene", "room", *SHORT, "--model", "warp", "--output", tmp_path / "on") == 0
        assert render("--scene", "room", *SHORT, "--model", "warp", "--reverse", "--output", tmp_path / "back") == 0
        frozen = ("--freeze-frame", 7, "--freeze-repeat", 12)
        assert render("--scene", "room", *SIZE, "--model", "warp", *frozen, "--output", tmp_path / "frozen") == 0
        on, back, still = (
            frames_of(folders(tmp_path / name)[0] / "source.mp4").astype(int) for name in ("on", "back", "frozen")
        )
        assert np.abs(on - back[::-1]).mean() < 8  # another place in the mp4, hence other artefacts
        assert np.abs(on - back).mean() > np.abs(on - back[::-1]).mean()
        assert np.abs(still - still[0]).mean() < 4
        moving = frames_of(folders(tmp_path / "frozen")[0] / "prediction.mp4").astype(int)
        assert np.abs(moving - moving[0]).mean() > 4

    def test_what_is_there_is_skipped_and_made_again_if_wanted(self, tmp_path, capsys):
        words = ("--scene", "room", *SHORT, "--model", "warp", "--output", tmp_path)
        assert render(*words) == 0
        (folder,) = folders(tmp_path)
        made = (folder / RECORD).stat().st_mtime_ns
        assert render(*words) == 0
        assert "skipped" in capsys.readouterr().out
        assert (folder / RECORD).stat().st_mtime_ns == made
        assert render(*words, "--overwrite") == 0
        assert (folder / RECORD).stat().st_mtime_ns > made
        assert render(*words, "--seed", 1) == 0  # another film
        assert len(folders(tmp_path)) == 2
        os.truncate(folder / "prediction.mp4", 10)  # not whole any more
        assert render(*words) == 0
        assert len(frames_of(folder / "prediction.mp4")) == 12

    def test_one_bad_video_of_three(self, tmp_path, capsys, flat):
        for name, seed in (("a", 1), ("c", 2)):
            make_video(tmp_path / f"{name}.mp4", scenery(12, seed=seed))
        (tmp_path / "b.mp4").write_bytes(b"no video at all")
        status = render(
            "--video", tmp_path, *SHORT, "--model", "warp", "--estimator", flat, "--output", tmp_path / "out"
        )
        printed = capsys.readouterr().out
        assert status == 1
        assert sorted(folder.parent.name for folder in folders(tmp_path / "out")) == ["a", "c"]
        assert "2 done, 0 skipped, 1 failed" in printed
        assert "b.mp4" in printed

    def test_killed_half_way_nothing_counts_as_done(self, tmp_path):
        words = [
            "--scene",
            "room",
            "--size",
            "240",
            "416",
            "--frames",
            "300",
            "--model",
            "warp",
            "--output",
            str(tmp_path),
        ]
        process = subprocess.Popen([sys.executable, "-m", "inspatio_gym.cli", "render", *words])
        deadline = time.monotonic() + 60
        while not any(file.stat().st_size for file in tmp_path.rglob("prediction.mp4")):
            assert process.poll() is None, "it was over before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert folders(tmp_path) == []
        assert render(*words[:2], *SHORT, "--model", "warp", "--output", tmp_path) == 0
        assert [folder.name for folder in (tmp_path / "room").iterdir()] == [folders(tmp_path)[0].name]  # swept

    def test_mistakes_are_one_line(self, tmp_path, capsys):
        for words, message in (
            (("--scene", "room", "--trajectory", "nowhere.txt"), "preset out of"),
            ((), "expected --video or --scene, got neither"),
            (("--video", tmp_path), "expected videos in the folder"),
            (("--scene", "room", "--model", "nonsense"), "expected --model out of"),
            (("--scene", "room", "--model", "warp", "--normalizer", "clip"), "expected a diffusion model"),
            (("--scene", "room", "--model", "warp", "--prompt", "a room"), "options of the model 'warp'"),
            (("--scene", "room", "--model", "inspatio-1.3b"), "checkpoints download inspatio-1.3b"),
        ):
            assert render(*words, "--output", tmp_path / "out") == 1
            assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


@pytest.fixture
def flat(monkeypatch):
    """An estimator that costs nothing."""
    from inspatio_gym.scenes import estimate
    from tests import clips

    monkeypatch.setitem(estimate.ESTIMATORS, "flat", f"{clips.__name__}:flat_world")
    return "flat"


class TestModels:
    def film(self, config: RenderConfig, entry: world.ModelEntry, monkeypatch) -> dict:
        monkeypatch.setitem(world.MODELS, "test", entry)
        outcome = Studio(config).film(Task("scene", "room", 0), lambda done, frames: None)
        assert outcome.folder is not None
        return json.loads((outcome.folder / RECORD).read_text()) | {"folder": outcome.folder}

    def test_a_model_of_blocks(self, tmp_path, monkeypatch):
        config = RenderConfig(model="test", size=(32, 48), frames=25, output=tmp_path)
        record = self.film(config, world.ModelEntry("tests.star_worlds:fake_of_blocks"), monkeypatch)
        assert len(frames_of(record["folder"] / "prediction.mp4")) == record["frames"] == 25

    @pytest.mark.parametrize("normalizer", ["frame", "clip"])
    def test_a_diffusion_model(self, tmp_path, monkeypatch, normalizer):
        monkeypatch.setattr(world, "best_model", lambda device: "test")
        config = RenderConfig(
            model="test",
            size=(32, 48),
            frames=21,
            output=tmp_path,
            normalizer=normalizer,
            prompt="a room",
            device="cpu",
        )
        entry = world.ModelEntry("tests.star_worlds:load_tiny", checkpoints=("none that is asked for",))
        record = self.film(config, entry, monkeypatch)
        film = frames_of(record["folder"] / "prediction.mp4")
        assert film.shape == (21, 32, 48, 3)
        assert film.std() > 5
        assert frames_of(record["folder"] / "render.mp4").std() > 5


@pytest.mark.slow
def test_workers_share_the_videos(tmp_path, capsys):
    pytest.importorskip("ray")
    copy = shutil.copytree(Path(world.__file__).parents[1] / "scenes/samples/room", tmp_path / "other")
    words = ("--scene", "room", copy, *SHORT, "--model", "warp", "--workers", 2, "--output", tmp_path / "out")
    assert render(*words, "--samples", 2) == 0
    assert len(folders(tmp_path / "out")) >= 2
    assert "failed" not in capsys.readouterr().out.replace("0 failed", "")
