"""Bundle adjustment by pycolmap: cameras, points and the focal length that together explain what was seen.

pycolmap's pixels start at the picture's corner, ours at the centre of the first pixel: coordinates differ by 1/2.
"""

from dataclasses import dataclass, replace

import numpy as np
import pycolmap
from numpy.typing import NDArray

from inspatio_gym.scenes.estimate.pinhole import middle
from inspatio_gym.scenes.estimate.points import Array, project
from inspatio_gym.types import Size

LOSS_PIXELS = 1.0  # at a long side of 832; residuals beyond it count less and less (Cauchy)
MAX_ERROR = 3.0  # likewise; an observation further off is none of this point
MAX_ITERATIONS = 40
pycolmap.logging.minloglevel = pycolmap.logging.Level.FATAL.value  # its progress and doubts are not our user's


@dataclass(frozen=True)
class Model:
    """Cameras and points, and which observations they rest on.

    cameras (K, 4, 4) world-to-camera; points (T, 3), NaN where there is none; focal in pixels of a picture of `size`,
    whose principal point is its middle. camera, track (M,), xy (M, 2) pixels: observations of points.
    """

    cameras: Array
    points: Array
    focal: float
    size: Size
    camera: NDArray[np.int64]
    track: NDArray[np.int64]
    xy: Array

    @property
    def middle(self) -> Array:
        return middle(self.size)

    def errors(self) -> Array:
        """Distance (M,) in pixels between seen and predicted; infinite behind a camera, NaN without a point."""
        seen, depth = project(self.cameras[self.camera], self.points[self.track])
        error = np.linalg.norm(seen * self.focal + self.middle - self.xy, axis=1)
        return np.where(depth > 0, error, np.where(np.isnan(depth), np.nan, np.inf))

    def keep(self, rows: NDArray[np.bool_]) -> "Model":
        """With some of the observations; points left with fewer than two are dropped."""
        count = np.bincount(self.track[rows], minlength=len(self.points))
        points = np.where((count >= 2)[:, None], self.points, np.nan)
        rows = rows & (count >= 2)[self.track]
        return replace(self, points=points, camera=self.camera[rows], track=self.track[rows], xy=self.xy[rows])

    def pruned(self) -> "Model":
        """Without observations that the model does not explain."""
        return self.keep(self.errors() < MAX_ERROR * max(self.size) / 832)


def adjust(model: Model, *, refine_focal: bool) -> Model:
    """Minimise the robust reprojection error over cameras, points and, if asked, the focal length.

    Place and scale of the whole are held by two of the cameras.
    """
    height, width = model.size
    scene = pycolmap.Reconstruction()
    camera = pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=width, height=height, params=[model.focal, width / 2, height / 2], camera_id=1
    )
    scene.add_camera_with_trivial_rig(camera)
    order = np.lexsort((model.track, model.camera))
    owner, track, xy = model.camera[order], model.track[order], model.xy[order] + 0.5
    first = np.searchsorted(owner, np.arange(len(model.cameras) + 1))
    used = [k for k in range(len(model.cameras)) if first[k + 1] > first[k]]
    for k in used:
        image = pycolmap.Image(name=str(k), keypoints=xy[first[k] : first[k + 1]], camera_id=1, image_id=k + 1)
        pose = pycolmap.Rigid3d(model.cameras[k, :3])
        scene.add_image_with_trivial_frame(image, pose)
    place = np.arange(len(order)) - first[owner]
    by_track = np.argsort(track, kind="stable")
    starts = np.flatnonzero(np.diff(track[by_track], prepend=-1))
    ids = {}
    for rows in np.split(by_track, starts[1:]):
        elements = [pycolmap.TrackElement(int(owner[r]) + 1, int(place[r])) for r in rows]
        ids[int(track[rows[0]])] = scene.add_point3D(model.points[track[rows[0]]], pycolmap.Track(elements))
    config = pycolmap.BundleAdjustmentConfig()
    for k in used:
        config.add_image(k + 1)
    config.fix_gauge(pycolmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    if not refine_focal:
        config.set_constant_cam_intrinsics(1)
    pycolmap.create_default_bundle_adjuster(_options(max(model.size)), config, scene).solve()
    cameras, points = model.cameras.copy(), np.full_like(model.points, np.nan)
    for k in used:
        cameras[k, :3] = scene.images[k + 1].cam_from_world().matrix()
    for key, point in ids.items():
        points[key] = scene.points3D[point].xyz
    return replace(model, cameras=cameras, points=points, focal=float(scene.cameras[1].params[0]))


def _options(long_side: int) -> pycolmap.BundleAdjustmentOptions:
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    ceres = options.ceres
    ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    ceres.loss_function_scale = LOSS_PIXELS * long_side / 832
    ceres.solver_options.max_num_iterations = MAX_ITERATIONS
    ceres.solver_options.function_tolerance = 1e-4
    ceres.solver_options.num_threads = 1  # sums in one order: the same video gives the same cameras
    return options
