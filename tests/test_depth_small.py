"""The small depth network: its file, its place among the estimators, and how it is trained."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from inspatio_gym.checkpoints import locate  # noqa: E402
from inspatio_gym.checkpoints.weights import WeightsError  # noqa: E402
from inspatio_gym.extras import MissingExtra  # noqa: E402
from inspatio_gym.geometry.poses import compose, rotation_ypr  # noqa: E402
from inspatio_gym.scenes import anchor, load_scene, save_video  # noqa: E402
from inspatio_gym.scenes.estimate import estimate_geometry, learnt  # noqa: E402
from inspatio_gym.scenes.estimate.depth_net import DepthNet, InverseDepth, shown_size  # noqa: E402
from inspatio_gym.scenes.estimate.panning import Pan  # noqa: E402
from inspatio_gym.scenes.synthetic import from_scene, make_world  # noqa: E402
from inspatio_gym.training import depth, depth_data  # noqa: E402
from inspatio_gym.training.depth_score import score  # noqa: E402


def clip_of(frames: list[Any]) -> Any:
    """Frames as a clip."""
    return SimpleNamespace(num_frames=len(frames), size=frames[0].shape[:2], fps=24.0, rgb=lambda i: frames[i])


def silent(*_: Any) -> None:
    """No progress."""


@pytest.fixture(scope="module")
def network() -> InverseDepth:
    return InverseDepth.load(locate("depth-small"))


def test_it_is_small_and_whole():
    assert locate("depth-small").stat().st_size < 10e6
    assert sum(p.numel() for p in DepthNet().parameters()) < 5e6


def test_the_same_frame_has_the_same_depth_bit_for_bit(network: InverseDepth):
    frame = load_scene("room").rgb(0)
    first = network(frame, (60, 104))
    assert first.shape == (60, 104)
    assert first.min() > 0
    assert (first == network(frame, (60, 104))).all()


def test_it_tells_near_from_far_on_a_table_better_than_the_prior(network: InverseDepth):
    better = []
    for seed in (910, 911, 912):
        world = make_world("table", seed)
        view = world.render(world.path(0.0), 0.0, (120, 208), samples=1)
        (assumed, _), *_ = learnt.assume(clip_of([view.rgb] * 3), None, "").depth_maps
        found = score(network(view.rgb, (120, 208)), view.depth)
        better.append(score(1 / assumed, view.depth).abs_rel - found.abs_rel)
    assert np.mean(better) > 0.05


def test_shown_sizes_are_multiples_of_32_with_the_frame_s_shape():
    assert shown_size((480, 832)) == (256, 416)
    assert shown_size((832, 480)) == (416, 256)
    assert shown_size((10, 1000)) == (32, 416)


def test_a_file_that_is_cut_off_or_of_another_network_is_named(tmp_path: Path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(locate("depth-small").read_bytes()[:-1000])
    with pytest.raises(WeightsError, match=r"cut\.safetensors.*cut off"):
        InverseDepth.load(cut)
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"misses stem.*has weight"):
        InverseDepth.load(tmp_path / "other.safetensors")


def test_a_camera_at_rest_is_looked_at_by_the_network_and_does_not_flicker():
    still = load_scene("room").rgb(0)
    rng = np.random.default_rng(0)
    frames = [np.clip(still + rng.normal(0, 3, still.shape), 0, 255).astype(np.uint8) for _ in range(6)]
    estimate = learnt.estimate(clip_of(frames), progress=silent)
    assert estimate.geometry.method == "static-and-depth-small"
    assert estimate.geometry.licence == "Apache-2.0"
    assert 0.2 < estimate.geometry.confidence < 0.5
    maps = [found for found, moving in estimate.depth_maps if not moving.any()]
    assert len(maps) > 3
    assert all((found == maps[0]).all() for found in maps)
    assert np.median(maps[0]) == pytest.approx(1, rel=0.01)
    assert maps[0].min() >= learnt.NEAREST
    assert maps[0].max() <= learnt.FARTHEST


def test_without_torch_the_extra_is_named_and_what_is_not_asked_for_still_works(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "inspatio_gym.scenes.estimate.depth_net")
    monkeypatch.setitem(sys.modules, "torch", None)
    clip = clip_of([load_scene("room").rgb(0)] * 3)
    with pytest.raises(MissingExtra, match=r"inspatio-gym\[depth\]"):
        learnt.estimate(clip, progress=silent)
    assert estimate_geometry(clip, progress=silent).geometry.method == "static-prior"


def test_a_turning_camera_sees_a_point_at_one_distance_from_every_frame():
    """A network that is right but for a factor of its own in every frame gives back the truth."""
    scene = load_scene("room")
    world = from_scene(scene)
    turns = rotation_ypr(np.linspace(-12, 12, 13), np.zeros(13))
    poses = scene.c2w[30] @ compose(turns, np.zeros((13, 3)))
    shots = [world.render_scene(pose, 30, (90, 156), samples=1) for pose in poses]
    index = {shot.rgb.tobytes(): i for i, shot in enumerate(shots)}

    def right(frame: Any, size: Any) -> Any:
        i = index[np.asarray(frame).tobytes()]
        return (1 + 0.05 * i) / shots[i].depth

    pan = Pan(turns[0].T @ turns, float(world.intrinsics((90, 156))[0, 0]), 1.0)
    clip = clip_of([shot.rgb for shot in shots])
    maps = [found for found, _ in learnt.look(clip, pan, "", right).depth_maps]  # type: ignore[arg-type]
    unit = np.median(maps[0] / shots[0].depth)
    for found, shot in zip(maps, shots, strict=True):
        assert np.median(np.abs(found / (unit * shot.depth) - 1)) < 0.03


def test_anchoring_with_it_by_name_says_so_in_the_scene_s_record(tmp_path: Path):
    video = save_video(tmp_path / "still.mp4", [load_scene("room").rgb(0)] * 6, 24)
    scene = anchor(video, estimator="depth-small", caption="none", cache=tmp_path / "cache")
    record = json.loads((scene.path / "scene.json").read_text())
    assert record["geometry"]["method"] == "static-and-depth-small"
    assert record["geometry"]["licence"] == "Apache-2.0"


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> depth.TrainDepthConfig:
    """A training of seconds."""
    monkeypatch.setattr(depth_data, "FRAMES", 8)
    monkeypatch.setattr(depth_data, "RENDERED", (32, 64))
    monkeypatch.setattr(depth_data, "SHOWN", ((32, 64), (64, 32)))
    monkeypatch.setattr(depth, "HELD_OUT", (900,))
    monkeypatch.setattr(depth, "LOOKS", 1)
    source = depth_data.Source(batch=8, pool=16, repeats=2, names=("room",), styles=("plain",))
    return depth.TrainDepthConfig(run=tmp_path / "run", steps=3, source=source)


def test_it_is_trained_from_nothing_and_goes_on_where_it_stopped(tiny: depth.TrainDepthConfig):
    depth.train_depth(tiny)
    assert (tiny.run / "depth.safetensors").stat().st_size < 10e6
    first = depth._state(tiny)
    assert first.step == 3
    depth.train_depth(replace(tiny, steps=5))
    second = depth._state(tiny)
    assert second.step == 5
    assert second.seconds > first.seconds
    assert not torch.equal(first.network.head.weight, second.network.head.weight)
    assert InverseDepth.load(tiny.run / "depth.safetensors")(np.zeros((40, 60, 3), np.uint8), (20, 30)).min() > 0
    assert json.loads((tiny.run / "config.json").read_text())["steps"] == 5
    assert list((tiny.run / "tensorboard").iterdir())
    other = replace(tiny, source=replace(tiny.source, styles=("camera",)))
    with pytest.raises(ValueError, match=r"source\.styles.*another --run"):
        depth.train_depth(other)


def test_losses_that_are_not_finite_end_the_training_and_change_no_weight(
    tiny: depth.TrainDepthConfig, monkeypatch: pytest.MonkeyPatch
):
    state = depth._state(tiny)
    before = state.network.head.weight.clone()
    clips = next(depth_data.batches(tiny.source, "cpu"))
    values, _ = depth._step(state, clips._replace(rgb=clips.rgb * float("nan")))
    assert not np.isfinite(values["total"])
    assert torch.equal(state.network.head.weight, before)
    assert all(torch.isfinite(value).all() for value in state.network.state_dict().values())
    monkeypatch.setattr(depth, "MAX_BAD", 1)
    monkeypatch.setattr(depth, "batches", lambda *_: (clips._replace(rgb=clips.rgb * float("nan")) for _ in range(9)))
    with pytest.raises(FloatingPointError, match="lower --learning-rate"):
        depth.train_depth(tiny)
