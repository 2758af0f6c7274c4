"""Cameras and depth by Depth-Anything-3: random weights in the real layout, through the package's own network."""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from clips import make_video, scenery
from numpy.typing import NDArray

from inspatio_gym.checkpoints import WeightsNotFound
from inspatio_gym.checkpoints.weights import WeightsError
from inspatio_gym.extras import MissingExtra
from inspatio_gym.geometry.poses import compose, require_rigid, rotation_ypr
from inspatio_gym.scenes import anchor
from inspatio_gym.scenes.estimate import depth_anything_3 as module
from inspatio_gym.scenes.estimate.depth_anything_3 import MultiView, estimate

pytest.importorskip("depth_anything_3", reason="pip install --no-deps depth-anything-3")
NAME = "depth-anything-3-small"


def silent(*_: Any) -> None:
    pass


def clip_of(frames: Sequence[NDArray[np.uint8]]) -> Any:
    return SimpleNamespace(num_frames=len(frames), fps=24.0, size=frames[0].shape[:2], rgb=lambda i: frames[i])


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONG_SIDE", 56)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of checkpoints that holds one, of 130 MB."""
    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_models.depth_anything_3(folder / NAME)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def network(checkpoints: Path) -> MultiView:
    return MultiView.load(checkpoints / NAME, "cpu")


@pytest.fixture
def loaded(network: MultiView, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is there already."""
    monkeypatch.setattr(MultiView, "load", lambda folder: network)
    monkeypatch.setattr(module, "locate", lambda name: Path(name))


def sane(found: Any, frames: int, size: tuple[int, int]) -> None:
    require_rigid(found.c2w)
    assert found.c2w.shape == (frames, 4, 4)
    assert (found.c2w[0] == np.eye(4)).all()
    assert found.intrinsics.shape == (frames, 3, 3)
    assert (found.intrinsics == found.intrinsics[0]).all()
    focal = found.intrinsics[0, [0, 1], [0, 1]]
    assert (focal >= 0.3 * max(size)).all()
    assert (focal <= 5 * max(size)).all()
    np.testing.assert_allclose(found.intrinsics[0, :2, 2], [(size[1] - 1) / 2, (size[0] - 1) / 2])
    maps = list(found.depth_maps)
    assert len(maps) == frames
    for depth, moving in maps:
        assert (depth.shape, depth.dtype) == (found.depth_size, np.float32)
        assert (moving.shape, moving.dtype) == (found.depth_size, bool)
        assert np.isfinite(depth).all()
        assert depth.min() > 0
    assert 0 <= found.geometry.confidence <= 1


def test_a_clip_gets_cameras_and_depth(loaded: None, network: MultiView):
    frames = scenery(8, (48, 72))
    found = estimate(clip_of(frames), progress=silent, weights=NAME)
    sane(found, 8, (48, 72))
    assert found.depth_size == (48, 72)
    assert (found.geometry.method, found.geometry.metres_per_unit) == ("depth-anything-3", None)
    assert found.geometry.licence == "Apache-2.0"
    assert found.geometry.reason == "cameras and depth of 8 frames by a network that sees many at once"
    assert np.ptp(found.c2w[:, :3, 3], axis=0).max() > 0
    again = network.views(frames, 0, (48, 72))
    assert np.array_equal(again.depth, network.views(frames, 0, (48, 72)).depth)


def test_a_long_clip_goes_through_in_windows(loaded: None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "WINDOW", 6)
    monkeypatch.setattr(module, "OVERLAP", 2)
    shares: list[float] = []
    found = estimate(clip_of(scenery(13, (48, 72))), progress=lambda stage, share: shares.append(share), weights=NAME)
    sane(found, 13, (48, 72))
    assert shares == [6 / 13, 10 / 13, 1.0]
    assert "in 3 windows whose depths differ by" in found.geometry.reason


class Oracle(torch.nn.Module):
    """Knows where each frame, of one grey each, was taken; every window has another first camera and another unit."""

    def __init__(self, c2w: NDArray[np.float64], units: Sequence[float]):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.c2w, self.units = c2w, list(units)

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        grey = pictures[0, :, 0].mean((1, 2)).numpy() * module.DEVIATION[0] + module.MEAN[0]
        frames = np.rint(grey * 255 / 10).astype(int)
        c2w = np.linalg.inv(self.c2w[frames[2]]) @ self.c2w[frames]
        unit = self.units.pop(0)
        c2w[:, :3, 3] *= unit
        height, width = pictures.shape[-2:]
        depth = torch.full((1, len(frames), height, width), 2.0 * unit)
        camera = torch.tensor([[0.8 * width, 0, width / 2], [0, 1.3 * height, height / 2], [0, 0, 1]])
        return {
            "depth": depth,
            "depth_conf": torch.full_like(depth, 5.0),
            "extrinsics": torch.tensor(np.linalg.inv(c2w)[None, :, :3], dtype=torch.float32),
            "intrinsics": camera.expand(1, len(frames), 3, 3),
        }


@pytest.mark.parametrize(("metric", "unit"), [(True, 1.0), (False, 0.5)])
def test_what_the_network_says_becomes_poses_from_the_first_frame_in_one_unit(
    metric: bool, unit: float, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "WINDOW", 6)
    monkeypatch.setattr(module, "OVERLAP", 2)
    time = np.arange(14)
    true = compose(rotation_ypr(2 * time), time[:, None] * (0.1, 0.0, 0.3))
    network = MultiView(Oracle(true, [0.5, 1.0, 1.1]), metric)
    monkeypatch.setattr(MultiView, "load", lambda folder: network)
    frames = [np.full((48, 72, 3), 10 * i, np.uint8) for i in time]
    found = estimate(clip_of(frames), progress=silent, weights=NAME, folder="anywhere")
    expected = true.copy()
    expected[:, :3, 3] *= unit  # of the first window, or of the median one where all mean metres
    np.testing.assert_allclose(found.c2w, expected, atol=1e-4)
    assert all(np.allclose(depth, 2 * unit, rtol=1e-4) for depth, _ in found.depth_maps)
    np.testing.assert_allclose(found.intrinsics[0], [[0.8 * 72, 0, 35.5], [0, 1.3 * 48, 23.5], [0, 0, 1]], rtol=1e-5)
    assert found.geometry.confidence == pytest.approx(0.8, abs=0.01)


def test_it_is_an_estimator_that_anchor_knows_by_name(
    tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
):
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(checkpoints))
    scene = anchor(make_video(tmp_path / "clip.mp4", scenery(6)), cache=tmp_path / "cache", estimator=NAME)
    assert scene.geometry.method == "depth-anything-3"
    assert scene.median_depth == pytest.approx(1, rel=0.01)
    assert scene.num_frames == 6
    assert capfd.readouterr() == ("", "")


def test_the_nested_network_is_metric_and_its_gaussians_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from depth_anything_3.registry import MODEL_REGISTRY

    nested = """
__object__: {path: depth_anything_3.model.da3, name: NestedDepthAnything3Net, args: as_params}
anyview: {__inherit__: depth_anything_3.configs.da3-small GAUSSIANS}
metric:
  __object__: {path: depth_anything_3.model.da3, name: DepthAnything3Net, args: as_params}
  net:
    __object__: {path: depth_anything_3.model.dinov2.dinov2, name: DinoV2, args: as_params}
    name: vits
    out_layers: [5, 7, 9, 11]
    alt_start: -1
    qknorm_start: -1
    rope_start: -1
    cat_token: False
  head:
    __object__: {path: depth_anything_3.model.dpt, name: DPT, args: as_params}
    dim_in: 384
    output_dim: 1
    features: 16
    out_channels: [8, 8, 8, 8]
"""
    name = "da3nested-giant-large"
    (tmp_path / "plain.yaml").write_text(nested.replace("GAUSSIANS", ""))
    monkeypatch.setitem(MODEL_REGISTRY, name, str(tmp_path / "plain.yaml"))
    folder = tiny_models.depth_anything_3(tmp_path / "nested", name)
    gaussians = ", gs_head: {__object__: {path: nowhere}}, gs_adapter: {__object__: {path: nowhere}}"
    (tmp_path / "with.yaml").write_text(nested.replace(" GAUSSIANS", gaussians))
    monkeypatch.setitem(MODEL_REGISTRY, name, str(tmp_path / "with.yaml"))
    found = estimate(clip_of(scenery(6)), progress=silent, weights="depth-anything-3-nested-giant", folder=folder)
    sane(found, 6, (64, 96))
    assert found.geometry.metres_per_unit == 1.0
    assert found.geometry.licence.startswith("CC BY-NC 4.0")


def test_what_is_missing_or_wrong_is_named(tmp_path: Path, checkpoints: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INSPATIO_GYM_CHECKPOINTS", str(tmp_path))
    with pytest.raises(WeightsNotFound, match=f"checkpoints download {NAME}"):
        estimate(clip_of(scenery(6)), progress=silent, weights=NAME)
    with pytest.raises(FileNotFoundError, match=r"expected config.json, model.safetensors in .*no such folder"):
        MultiView.load(tmp_path / "nowhere")
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").symlink_to(checkpoints / NAME / "model.safetensors")
    for name, problem, words in (
        ("da3-base", WeightsError, "expected the weights of DepthAnything3Net in"),
        ("da3metric-large", ValueError, "expected a network that finds cameras in .*, got da3metric-large"),
        ("os.system", ValueError, "expected a model_name out of .*'da3-small'.*, got 'os.system'"),
    ):
        (other / "config.json").write_text(json.dumps({"model_name": name}))
        with pytest.raises(problem, match=words):
            MultiView.load(other)


@pytest.mark.parametrize(
    ("gone", "words"),
    [
        ("depth_anything_3", r"'depth-anything-3', which is not installed: pip install --no-deps depth-anything-3"),
        ("addict", r"'addict', which is not installed: pip install \"inspatio-gym\[depth\]\""),
    ],
)
def test_a_missing_package_is_named(checkpoints: Path, gone: str, words: str, monkeypatch: pytest.MonkeyPatch):
    for name in list(sys.modules):
        if name.partition(".")[0] in ("depth_anything_3", gone):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, gone, None)
    with pytest.raises(MissingExtra, match=words):
        MultiView.load(checkpoints / NAME)
