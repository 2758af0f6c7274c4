"""Metric depth of single pictures by Depth-Anything-V2, with the cameras of the embedded estimators.

    a frame (H, W, 3)  --resized, sides of 14 k-->  DINOv2 and DPT  -->  z-depth in metres, up to 20 indoors, 80 outdoors

Where the camera moves, structure from motion knows every distance but for one factor, and the network knows metres but
wavers from frame to frame. So the cameras are scaled by the median, over sampled frames, of how many metres a unit is
where points were reconstructed, and then each frame's depth by what makes it agree with its own points. Where the camera
keeps its place the depth is taken as it is, in place of the prior. What moves is found as without a network.

The network is transformers' own; its small weights are under Apache-2.0, the others not for commercial use.

Ref: Yang et al., "Depth Anything V2" (NeurIPS 2024).
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.checkpoints import CHECKPOINTS, locate
from inspatio_gym.extras import extra
from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.estimate import Estimate
from inspatio_gym.scenes.estimate.dense import DenseDepth
from inspatio_gym.scenes.estimate.measured import estimate_from, find_structure
from inspatio_gym.scenes.estimate.panning import find_pan
from inspatio_gym.scenes.estimate.prior import assume
from inspatio_gym.scenes.estimate.sfm import NoStructure
from inspatio_gym.scenes.estimate.tracks import follow
from inspatio_gym.types import Mask, Rgb, Size

SAMPLES = 16  # frames that the unit is measured in
MIN_POINTS = 15  # of a frame, to say anything about its depth
NEAREST = 1e-2  # metres
CONFIDENCE = 0.5  # in what one picture tells

Map = NDArray[np.float32]


class MetricDepth:
    """The network with its picture processor; `MetricDepth.load(folder)` makes one."""

    def __init__(self, network: Any, processor: Any):
        self._network, self._processor = network, processor

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "MetricDepth":
        """The network in `folder`, in float32. device: None takes a GPU if there is one.

        Raises FileNotFoundError where files are missing, WeightsError for weights that are cut off or another network's,
        ValueError for a network whose depth is not metric, MissingExtra without transformers.
        """
        with extra("depth"):
            import torch
            from transformers import AutoImageProcessor, DepthAnythingForDepthEstimation

            from inspatio_gym.checkpoints import pretrained
        pretrained.require_files(Path(folder), "preprocessor_config.json")
        network = pretrained.load_pretrained(
            DepthAnythingForDepthEstimation, folder, device=device or pretrained.best_device(), dtype=torch.float32
        )
        kind = network.config.depth_estimation_type
        if kind != "metric":
            raise ValueError(f"expected a network of metric depth in {folder}, got {kind}: take one named Metric")
        with pretrained.silent_transformers():
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)
        return cls(network, processor)

    def depth(self, frame: Rgb, size: Size) -> Map:
        """z-depth in metres, float32 of `size` (h, w), positive, of a frame uint8 (H, W, 3)."""
        pictures = self._processor(images=frame, return_tensors="pt")["pixel_values"]
        found = self._network(pictures.to(self._network.device)).predicted_depth[0]
        return np.maximum(cv2.resize(found.cpu().numpy(), size[::-1], interpolation=cv2.INTER_AREA), NEAREST)


def estimate(
    clip: Clip, *, progress: Callable[[str, float], None], weights: str, folder: str | Path | None = None
) -> Estimate:
    """Cameras and metric depth of a clip. weights: the checkpoint's name. folder: where it is, if not where it belongs.

    Raises WeightsNotFound if it is not there, and what `MetricDepth.load` raises.
    """
    network = MetricDepth.load(locate(weights) if folder is None else folder)
    tracks = follow(clip, lambda share: progress("tracking", share))
    pan = find_pan(tracks)
    try:
        structure = find_structure(clip, tracks, pan, progress)
        dense = DenseDepth(clip, tracks, structure)
        metres = _metres_per_unit(clip, dense, network)
    except NoStructure as problem:
        found = assume(clip, pan, f"{problem}, so each frame's depth is what a network makes of it alone")
        cameras = "rotation" if found.geometry.method.startswith("rotation") else "static"
        confidence, depth_maps = CONFIDENCE, _alone(clip, network, found)
    else:
        found = estimate_from(clip, structure, dense)
        found.c2w[:, :3, 3] *= metres
        cameras, confidence = found.geometry.method, found.geometry.confidence
        depth_maps = _agreeing(clip, network, dense, found, metres)
    geometry = replace(
        found.geometry,
        method=f"{cameras}-and-depth-anything-v2",
        confidence=confidence,
        licence=CHECKPOINTS[weights].licence,
        metres_per_unit=1.0,
    )
    return replace(found, geometry=geometry, depth_maps=depth_maps)


def _metres_per_unit(clip: Clip, dense: DenseDepth, network: MetricDepth) -> float:
    sampled = np.unique(np.linspace(0, clip.num_frames - 1, SAMPLES).astype(int))
    ratios = [_ratio(dense, int(i), network.depth(clip.rgb(int(i)), dense.size)) for i in sampled]
    told = [ratio for ratio in ratios if ratio is not None]
    if not told:
        raise NoStructure("no frame sees enough of the points that were reconstructed")
    return float(np.median(told))


def _ratio(dense: DenseDepth, i: int, depth: Map) -> float | None:
    """How many times farther the points of frame i are in `depth` than in the structure; None if it sees too few."""
    seen, inverse, _ = dense.points(i)
    x, y = np.clip(np.rint(seen).astype(np.intp), 0, np.array(dense.size[::-1]) - 1).T
    return float(np.median(depth[y, x] * inverse)) if len(inverse) >= MIN_POINTS else None


def _agreeing(
    clip: Clip, network: MetricDepth, dense: DenseDepth, found: Estimate, metres: float
) -> Iterator[tuple[Map, Mask]]:
    for i, (_, moving) in enumerate(found.depth_maps):
        depth = network.depth(clip.rgb(i), dense.size)
        ratio = _ratio(dense, i, depth)
        yield depth if ratio is None else depth * np.float32(metres / ratio), moving


def _alone(clip: Clip, network: MetricDepth, found: Estimate) -> Iterator[tuple[Map, Mask]]:
    for i, (_, moving) in enumerate(found.depth_maps):
        yield network.depth(clip.rgb(i), found.depth_size), moving
