"""A clip's geometry, measured: structure from motion, then depth that agrees with it."""

import logging
from collections.abc import Callable

import numpy as np

from inspatio_gym.geometry.poses import invert, relative_to_first
from inspatio_gym.scenes.decode import Clip
from inspatio_gym.scenes.errors import VideoError
from inspatio_gym.scenes.estimate import Estimate
from inspatio_gym.scenes.estimate.dense import DenseDepth
from inspatio_gym.scenes.estimate.panning import Pan, find_pan
from inspatio_gym.scenes.estimate.pinhole import first_focal, pinhole
from inspatio_gym.scenes.estimate.sfm import NoStructure, Structure, reconstruct
from inspatio_gym.scenes.estimate.tracks import Tracks, follow
from inspatio_gym.scenes.scene import SceneGeometry

logger = logging.getLogger(__name__)

WIDE_ANGLE_DEG = 3.0  # under which points are seen in a well-conditioned reconstruction


def estimate_structure(clip: Clip, *, progress: Callable[[str, float], None]) -> Estimate:
    """`measure`, for those who ask for it by name: raises VideoError where it does not succeed."""
    tracks = follow(clip, lambda share: progress("tracking", share))
    try:
        return measure(clip, tracks, find_pan(tracks), progress)
    except NoStructure as problem:
        raise VideoError(
            f"expected a camera that moves through a world with texture, got: {problem}; estimator='auto' falls back to a "
            "stated assumption"
        ) from None


def measure(clip: Clip, tracks: Tracks, pan: Pan, progress: Callable[[str, float], None]) -> Estimate:
    """Cameras and depth of a clip from its tracks. pan: how the camera turned, if turning were all that it does.

    Raises NoStructure with the reason where that cannot be done.
    """
    structure = find_structure(clip, tracks, pan, progress)
    return estimate_from(clip, structure, DenseDepth(clip, tracks, structure))


def find_structure(clip: Clip, tracks: Tracks, pan: Pan, progress: Callable[[str, float], None]) -> Structure:
    """Cameras and points of a clip whose camera moves. Raises NoStructure with the reason where there are none."""
    if pan.keeps_its_place:
        raise NoStructure(f"the camera {'turns but keeps its place' if pan.turns else 'stands still'}")
    try:
        return reconstruct(tracks, first_focal(clip.size), lambda share: progress("cameras", share))
    except (np.linalg.LinAlgError, RuntimeError) as problem:  # degenerate beyond what was foreseen
        logger.warning("structure from motion failed", exc_info=True)
        raise NoStructure(f"structure from motion failed ({problem})") from problem


def estimate_from(clip: Clip, structure: Structure, depth: DenseDepth) -> Estimate:
    """The estimate that a structure and its depth make."""
    return Estimate(
        c2w=relative_to_first(invert(structure.cameras)),
        intrinsics=np.tile(pinhole(structure.focal, clip.size), (clip.num_frames, 1, 1)),
        depth_size=depth.size,
        geometry=SceneGeometry(
            method="structure-from-motion",
            confidence=confidence(structure),
            reason=_reason(structure),
            licence="none",
            metres_per_unit=None,
        ),
        depth_maps=depth.maps(),
    )


def confidence(structure: Structure) -> float:
    """0..1: how many frames could be placed, how much of what was seen is explained, under how wide an angle."""
    angle = float(np.median(structure.angles_deg[structure.angles_deg > 0]))
    return round(structure.registered * structure.inliers * min(1.0, angle / WIDE_ANGLE_DEG), 3)


def _reason(structure: Structure) -> str:
    points = int(np.isfinite(structure.points[:, 0]).sum())
    return (
        f"the camera moves: {structure.registered:.0%} of the frames placed by {points:,} points, {structure.inliers:.0%} of "
        f"the observations explained, median error {structure.error:.2f} pixels"
    )
