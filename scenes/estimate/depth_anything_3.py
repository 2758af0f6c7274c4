"""Cameras and depth of many frames together by Depth-Anything-3, from the package `depth-anything-3`.

    frames (n, H, W, 3)  --long side 504, sides of 14 k-->  (1, n, 3, h, w)
    network  -->  depth (n, h, w), confidence (n, h, w) >= 1, world-to-camera (n, 3, 4), intrinsics (n, 3, 3)

All frames of a window attend to each other, so a long clip goes through in overlapping windows, which `windows` joins;
the path of cameras is then smoothed. One focal length, the median, holds for the clip. The nested network's unit is the
metre; the others' is their own.

The package asks for much that the network does not need, so it is installed without, and only its networks are imported.
Which one a folder holds is said by the name in its config.json, looked up among the package's own configurations: those
in the file itself could name anything to be imported. The parts that make Gaussians are left out, and their weights.

Ref: Lin et al., "Depth Anything 3: Recovering the Visual Space from Any Views" (2025).
"""

import importlib
import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.checkpoints import CHECKPOINTS, locate
from inspatio_gym.extras import MissingExtra, extra
from inspatio_gym.geometry.poses import compose, invert, smooth_poses
from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.estimate import Estimate
from inspatio_gym.scenes.estimate.pinhole import DEPTH_SIDE, pinhole, shrunk
from inspatio_gym.scenes.estimate.windows import Window, join, spans
from inspatio_gym.scenes.scene import SceneGeometry
from inspatio_gym.types import Mask, Rgb, Size

INSTALL = (
    "pip install --no-deps depth-anything-3==0.1.1 (from Python 3.13 on with --ignore-requires-python), and what it "
    'needs here with pip install "inspatio-gym[depth]"'
)
LONG_SIDE, PATCH = 504, 14  # pixels
# Of ImageNet's pictures, as it was trained.
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
WINDOW, OVERLAP = 32, 8  # frames
SMOOTHING = 1.0  # frames
FOCALS = (0.3, 5.0)  # of the long side: outside lies no camera that films worlds
NEAREST = 1e-3  # of the median depth

Map = NDArray[np.float32]


class MultiView:
    """The network; `MultiView.load(folder)` makes one. metric: whether its unit is the metre."""

    def __init__(self, network: Any, metric: bool):
        self._network, self.metric = network, metric

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "MultiView":
        """The network in `folder`, in float32. device: None takes a GPU if there is one, where it computes in bfloat16.

        Raises FileNotFoundError where files are missing, WeightsError for weights that are cut off or another network's,
        ValueError for a network without cameras, MissingExtra without the package.
        """
        from inspatio_gym.checkpoints.pretrained import best_device, require_files
        from inspatio_gym.checkpoints.weights import load_strictly, read_weights

        folder = Path(folder)
        require_files(folder, "config.json", "model.safetensors")
        create_object, load_config, configurations = _package()
        name = json.loads((folder / "config.json").read_text()).get("model_name")
        if name not in configurations:
            raise ValueError(
                f"expected a model_name out of {list(configurations)} in {folder / 'config.json'}, got {name!r}"
            )
        config = load_config(configurations[name])
        metric = "anyview" in config
        views = config.anyview if metric else config
        if "cam_dec" not in views:
            raise ValueError(f"expected a network that finds cameras in {folder}, got {name}: take the base one, say")
        for gaussians in ("gs_head", "gs_adapter"):
            views.pop(gaussians, None)
        network = create_object(config)
        weights = {
            key.removeprefix("model."): value
            for key, value in read_weights(folder / "model.safetensors").items()
            if ".gs_head." not in key and ".gs_adapter." not in key
        }
        load_strictly(network, _with_twins(network, weights), folder / "model.safetensors")
        return cls(network.to(device or best_device()).float().eval().requires_grad_(False), metric)

    def views(self, frames: list[Rgb], first: int, size: Size) -> Window:
        """Cameras and depth of `frames`, uint8 (H, W, 3), which begin at index `first`; depth of `size` (h, w)."""
        import torch

        device = next(self._network.parameters()).device
        with (
            torch.no_grad(),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, torch.bfloat16, enabled=device.type != "cpu"),
        ):
            torch.manual_seed(0)  # quantiles are of random samples
            pictures = torch.from_numpy(np.stack([_prepared(frame) for frame in frames]))
            found = self._network(pictures[None].to(device))
        depth, sure, w2c, intrinsics = (
            found[key][0].float().cpu().numpy() for key in ("depth", "depth_conf", "extrinsics", "intrinsics")
        )
        height, width = depth.shape[1:]
        return Window(
            first,
            invert(compose(w2c[:, :3, :3], w2c[:, :3, 3])),
            _resized(depth, size),
            _resized(sure, size),
            intrinsics[:, [0, 1], [0, 1]] / np.array([width, height], np.float64),
        )


def estimate(
    clip: Clip, *, progress: Callable[[str, float], None], weights: str, folder: str | Path | None = None
) -> Estimate:
    """Cameras and depth of a clip. weights: the checkpoint's name. folder: where it is, if not where it belongs.

    The depth of all frames is held in memory, 0.4 MB each. Nothing is said to move: the network takes no notice of it.
    Raises WeightsNotFound if the weights are not there, and what `MultiView.load` raises.
    """
    network = MultiView.load(locate(weights) if folder is None else folder)
    size = shrunk(clip.size, DEPTH_SIDE)
    windows = []
    for first, end in spans(clip.num_frames, WINDOW, OVERLAP):
        windows.append(network.views([clip.rgb(i) for i in range(first, end)], first, size))
        progress("geometry", end / clip.num_frames)
    joined = join(windows)
    unit = 1 / float(np.median(joined.scales)) if network.metric else 1.0  # each window measured the metre anew
    c2w = smooth_poses(joined.c2w, SMOOTHING)
    c2w[:, :3, 3] *= unit
    sure = float(np.median([np.median(1 - 1 / np.maximum(window.sure, 1)) for window in windows]))
    agreeing = f" in {len(windows)} windows whose depths differ by {joined.apart:.1%}" if len(windows) > 1 else ""
    return Estimate(
        c2w=c2w,
        intrinsics=np.tile(_camera(windows, clip.size), (clip.num_frames, 1, 1)),
        depth_size=size,
        geometry=SceneGeometry(
            method="depth-anything-3",
            confidence=round(sure * max(0.0, 1 - joined.apart), 3),
            reason=f"cameras and depth of {clip.num_frames} frames by a network that sees many at once{agreeing}",
            licence=CHECKPOINTS[weights].licence,
            metres_per_unit=1.0 if network.metric else None,
        ),
        depth_maps=_depth_maps(joined.depth, unit),
    )


def _package() -> tuple[Callable[[Any], Any], Callable[[str], Any], dict[str, str]]:
    """How the package makes a network, reads a configuration, and where its own configurations are, by name."""
    with extra("depth"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what it imports, about each other
        try:
            importlib.import_module("depth_anything_3.model.da3")  # so that what it needs is missed here, not later
            from depth_anything_3.cfg import create_object, load_config
            from depth_anything_3.registry import MODEL_REGISTRY
            from depth_anything_3.utils.logger import LOG_LEVELS, logger
        except ModuleNotFoundError as missing:
            if (missing.name or "").partition(".")[0] != "depth_anything_3":
                raise
            raise MissingExtra(
                f"expected the package 'depth-anything-3', which is not installed: {INSTALL}", name=missing.name
            ) from missing
    logger.level = LOG_LEVELS["WARN"]  # it prints
    return create_object, load_config, MODEL_REGISTRY


def _with_twins(network: Any, weights: dict[str, Any]) -> dict[str, Any]:
    """The weights with those added that the network has under several names and the file, which has each once, under one."""
    names: dict[int, list[str]] = {}
    for name, parameter in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    for twins in names.values():
        stored = next((weights[name] for name in twins if name in weights), None)
        if stored is not None:
            weights.update({name: stored for name in twins if name not in weights})
    return weights


def _prepared(frame: Rgb) -> Map:
    """A frame as the network takes it, float32 (3, h, w)."""
    height, width = (max(round(side * LONG_SIDE / max(frame.shape) / PATCH), 1) * PATCH for side in frame.shape[:2])
    shrinks = max(frame.shape) > LONG_SIDE
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.ascontiguousarray(((small / np.float32(255) - MEAN) / DEVIATION).transpose(2, 0, 1))


def _resized(maps: Map, size: Size) -> Map:
    return np.stack([cv2.resize(each, size[::-1], interpolation=cv2.INTER_AREA) for each in maps])


def _camera(windows: list[Window], size: Size) -> NDArray[np.float64]:
    """The clip's pinhole matrix (3, 3): the median of what the windows found, within reason."""
    share = np.median(np.concatenate([window.focal for window in windows]), axis=0)
    return pinhole(np.clip(share * size[::-1], *(np.array(FOCALS) * max(size))), size)


def _depth_maps(depth: Map, unit: float) -> Iterator[tuple[Map, Mask]]:
    nearest = NEAREST * np.median(depth)
    for each in depth:
        yield np.maximum(each, nearest) * np.float32(unit), np.zeros(each.shape, bool)
