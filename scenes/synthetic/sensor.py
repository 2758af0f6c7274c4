"""The sensor of style "camera": what a small camera makes of a world. All of its faults are here.

    shutter    the picture is the mean of moments within a fortieth of a second or so, along the recorded path: motion blurs
    lens       out of focus in front of and behind a distance that drifts; darker towards the corners
    exposure   gain and white balance drift, as an automatic exposure's do
    noise      of photons, by the root of the light, and of reading; smoothed a little, as cheap cameras do
    JPEG       blocks and ringing; a scene's H.264 comes on top

Only the recorded camera has a sensor: `SyntheticWorld.render` is the world's true light from anywhere, so a picture of
style "camera" differs from the truth even at the camera that took it, by what `film` did to it (about 25 dB).
All of it follows from the world's seed and the frame's number. `sensor_batch` does the same to many frames on a GPU.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.solids import Times
from inspatio_gym.scenes.synthetic.tracer import Shots, trace
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Depth, Rgb, Size

REFERENCE = 416  # columns; blurs are given for a picture so wide
WIDTHS = (0.0, 0.6, 1.4, 3.0)  # of the blurs that a picture out of focus is blended from, pixels
SMOOTH = 1.5  # blur of the map of circles of confusion, and
GRAIN = 0.6  # of the noise, pixels
_LINEAR = np.array([c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.arange(256) / 255])
LINEAR = _LINEAR.astype(np.float32)
"""(256,) linear light of an sRGB byte."""


class Setting(NamedTuple):
    """What the sensor is set to at one frame."""

    shutter_s: float
    photons: float
    """Of the brightest light: fewer are noisier."""
    focus: float
    breath: float
    """It is sharp at focus * median depth * breath."""
    aperture: float
    """Widest circle of confusion of things beyond the focus, in pixels of a picture 416 wide."""
    gain: NDArray[np.float64]
    """(3,) of red, green and blue: exposure and white balance."""
    shade: float
    """How much darker the corners are."""
    quality: int
    """Of JPEG."""


def setting(seed: int, time_s: float) -> Setting:
    """Of the sensor that films the world of a seed, at a moment."""
    habits = np.random.default_rng([8, seed])
    shutter_s, drift = habits.uniform(0.005, 0.025), habits.uniform(0, 2 * math.pi, 4)
    photons, focus, aperture = habits.uniform(400, 3000), habits.uniform(0.5, 1.5), habits.uniform(0.3, 1.5)
    quality, shade = int(habits.integers(35, 80)), habits.uniform(0.1, 0.4)
    gain = 1 + 0.18 * math.sin(1.3 * time_s + drift[1]) + 0.06 * math.sin(4.1 * time_s + drift[2])
    warm = 0.06 * math.sin(0.7 * time_s + drift[3])
    return Setting(
        shutter_s=shutter_s,
        photons=photons,
        focus=focus,
        breath=1 + 0.3 * math.sin(0.9 * time_s + drift[0]),
        aperture=aperture,
        gain=gain * np.array([1 + warm, 1.0, 1 - warm]),
        shade=shade,
        quality=quality,
    )


def film(world: SyntheticWorld, frame: int, size: Size, samples: int = 2) -> Rgb:
    """Frame number `frame` of the recorded video, uint8 (H, W, 3), of samples x samples rays a pixel."""
    time_s = frame / world.fps
    at = setting(world.seed, time_s)
    rgb, depth, _ = trace(open_shutter(world, [time_s], size, samples), size, 1)
    light, depth = LINEAR[rgb].mean(axis=0), depth[len(depth) // 2]
    focus = at.focus * (float(np.median(depth)) * at.breath)
    light = _out_of_focus(light, depth, focus, at.aperture * size[1] / REFERENCE)
    y, x = np.mgrid[-1 : 1 : size[0] * 1j, -1 : 1 : size[1] * 1j]
    light = light * (at.gain * (1 - at.shade * (x * x + y * y) / 2)[..., None])
    rng = np.random.default_rng([9, world.seed, frame])
    noise = rng.standard_normal(light.shape) * np.sqrt(np.maximum(light, 0) / at.photons + 4 / at.photons**2)
    light = light + cv2.GaussianBlur(noise, (0, 0), GRAIN)
    code = np.clip(light, 0, 1)
    code = np.where(code <= 0.0031308, 12.92 * code, 1.055 * code ** (1 / 2.4) - 0.055)
    bgr = np.ascontiguousarray((255 * code + 0.5).astype(np.uint8)[..., ::-1])
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, at.quality])
    return cv2.cvtColor(np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8), cv2.COLOR_BGR2RGB).astype(np.uint8)


def open_shutter(world: SyntheticWorld, times_s: Times, size: Size, samples: int = 2) -> Shots:
    """For each of T frames the samples x samples moments while its shutter is open, to be traced with one ray each: their
    mean light is the exposure, the depth is that of number samples^2 // 2. Each has its own place in the pixel."""
    count, frames = samples * samples, len(times_s)
    order = np.random.default_rng([10, world.seed]).permutation(count)
    open_s = setting(world.seed, 0.0).shutter_s * ((np.arange(count) + 0.5) / count - 0.5)
    moments_s = (np.asarray(times_s, np.float64)[:, None] + open_s).ravel()
    matrices = np.repeat(world.intrinsics(size)[None], count, axis=0)
    matrices[:, 0, 2] -= (order % samples + 0.5) / samples - 0.5
    matrices[:, 1, 2] -= (order // samples + 0.5) / samples - 0.5
    poses = np.stack([world.path(float(t)) for t in moments_s])
    return world.shots(poses, moments_s, np.tile(matrices, (frames, 1, 1)), 1)


def _out_of_focus(light: NDArray[np.float32], depth: Depth, focus: float, aperture: float) -> NDArray[np.float32]:
    """Blur by the circle of confusion, aperture * |1 - focus / depth| pixels, blended between four widths."""
    circle = np.clip(aperture * np.abs(1 - focus / depth), 0, WIDTHS[-1])
    circle = cv2.GaussianBlur(circle.astype(np.float32), (0, 0), SMOOTH)
    blurred = [light, *(cv2.GaussianBlur(light, (0, 0), width) for width in WIDTHS[1:])]
    weights = [np.interp(circle, WIDTHS, np.eye(4)[k])[..., None] for k in range(4)]
    return sum(weight * image for weight, image in zip(weights, blurred, strict=True)).astype(np.float32)
