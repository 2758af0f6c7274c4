"""The sensor of style "camera": what a small camera makes of a world. All of its faults are here.

    shutter    the picture is the mean of moments within a fortieth of a second or so, along the recorded path: motion blurs
    lens       out of focus in front of and behind a distance that drifts; darker towards the corners
    exposure   gain and white balance drift, as an automatic exposure's do
    noise      of photons, by the root of the light, and of reading; smoothed a little, as cheap cameras do
    JPEG       blocks and ringing; a scene's H.264 comes on top

Only the recorded camera has a sensor: `SyntheticWorld.render` is the world's true light from anywhere, so a picture of
style "camera" differs from the truth even at the camera that took it, by what `film` did to it (about 25 dB).
All of it follows from the world's seed and the frame's number.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.tracer import trace
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Depth, Rgb, Size

_REFERENCE = 416  # columns; blurs are given for a picture so wide
_LINEAR = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.arange(256) / 255])
_LINEAR = _LINEAR.astype(np.float32)


def film(world: SyntheticWorld, frame: int, size: Size, samples: int = 2) -> Rgb:
    """Frame number `frame` of the recorded video, uint8 (H, W, 3), of samples x samples rays a pixel."""
    habits = np.random.default_rng([8, world.seed])
    shutter_s, drift = habits.uniform(0.005, 0.025), habits.uniform(0, 2 * math.pi, 4)
    photons, focus, aperture = habits.uniform(400, 3000), habits.uniform(0.5, 1.5), habits.uniform(0.3, 1.5)
    quality, shade = int(habits.integers(35, 80)), habits.uniform(0.1, 0.4)
    time_s = frame / world.fps
    light, depth = _exposed(world, time_s, shutter_s, size, samples)
    focus *= float(np.median(depth)) * (1 + 0.3 * math.sin(0.9 * time_s + drift[0]))
    light = _out_of_focus(light, depth, focus, aperture * size[1] / _REFERENCE)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    gain = 1 + 0.18 * math.sin(1.3 * time_s + drift[1]) + 0.06 * math.sin(4.1 * time_s + drift[2])
    white = np.array([1 + 0.06 * math.sin(0.7 * time_s + drift[3]), 1.0, 1 - 0.06 * math.sin(0.7 * time_s + drift[3])])
    light = light * (gain * white * (1 - shade * (x * x + y * y) / 2)[..., None])
    rng = np.random.default_rng([9, world.seed, frame])
    noise = rng.standard_normal(light.shape) * np.sqrt(np.maximum(light, 0) / photons + 4 / photons**2)
    light = light + cv2.GaussianBlur(noise, (0, 0), 0.6)
    code = np.clip(light, 0, 1)
    code = np.where(code <= 0.0031308, 12.92 * code, 1.055 * code ** (1 / 2.4) - 0.055)
    bgr = np.ascontiguousarray((255 * code + 0.5).astype(np.uint8)[..., ::-1])
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB).astype(np.uint8)


def _exposed(
    world: SyntheticWorld, time_s: float, shutter_s: float, size: Size, samples: int
) -> tuple[NDArray[np.float32], Depth]:
    """Mean linear light while the shutter is open, and the depth in the middle; each moment has its place in the pixel."""
    count = samples * samples
    order = np.random.default_rng([10, world.seed]).permutation(count)
    times_s = time_s + shutter_s * ((np.arange(count) + 0.5) / count - 0.5)
    matrices = np.repeat(world.intrinsics(size)[None], count, axis=0)
    matrices[:, 0, 2] -= (order % samples + 0.5) / samples - 0.5
    matrices[:, 1, 2] -= (order // samples + 0.5) / samples - 0.5
    poses = np.stack([world.path(float(t)) for t in times_s])
    rgb, depth, _ = trace(world.shots(poses, times_s, matrices, 1), size, 1)
    return _LINEAR[rgb].mean(axis=0), depth[count // 2]


def _out_of_focus(light: NDArray[np.float32], depth: Depth, focus: float, aperture: float) -> NDArray[np.float32]:
    """Blur by the circle of confusion, aperture * |1 - focus / depth| pixels, blended between four widths."""
    circle = np.clip(aperture * np.abs(1 - focus / depth), 0, 3)
    circle = cv2.GaussianBlur(circle.astype(np.float32), (0, 0), 1.5)
    widths = (0.0, 0.6, 1.4, 3.0)
    blurred = [light, *(cv2.GaussianBlur(light, (0, 0), width) for width in widths[1:])]
    weights = [np.interp(circle, widths, np.eye(4)[k])[..., None] for k in range(4)]
    return sum(weight * image for weight, image in zip(weights, blurred, strict=True)).astype(np.float32)
