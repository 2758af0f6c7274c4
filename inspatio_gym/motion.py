"""The numba kernels that move a camera among surfaces: all frames of a step in one call, `advance`.

`inspatio_gym.camera` says how a rig moves and `inspatio_gym.obstacle` what blocks it; here is how both are computed.
Points inside a surface are measured in the axes of the source camera that sees it, moves are made in the offset's.

How deep a point is inside is z - depth(u, v) + clearance, and zero when it is free. Between texels the *inverse* depth is
interpolated, because in a pinhole image the inverse depth of a plane is an affine function of the pixel: with
X = (u - cx) / fx and Y = (v - cy) / fy,

    1 / z = a X + b Y + c   <=>   (a, b, c) . P = 1,

so slanted walls come out exactly flat, and (a, b, c), read off the gradient, is their normal, pointing away from the
viewer, over their distance.

The kernels lie in one file because numba's cache of a kernel notices changes to its own file alone. They go through arrays
number by number: what numba makes of `a[:3] = b` takes long to compile, for the sake of a message about shapes.
"""

import numpy as np
from numba import njit

from inspatio_gym.geometry.logdepth import decode_code

SLIDE_ROUNDS = 4  # Newton steps out of a surface; a plane needs two


@njit(cache=True, nogil=True)
def _cell(coordinate: float, size: int) -> tuple[int, int, float]:
    """The two texels around a coordinate and the weight of the second; constant beyond the outer centres."""
    first = min(max(int(np.floor(coordinate)), 0), max(size - 2, 0))
    return first, min(first + 1, size - 1), min(max(coordinate - first, 0.0), 1.0)


@njit(cache=True, nogil=True)
def surface(codes, pinhole, frame, x, y, z):
    """The surface that source camera `frame` sees through the point (x, y, z) of its own axes.

    Returns (depth, a, b, c), with depth 0 when the camera does not see that way.
    """
    if z <= 0.0:
        return 0.0, 0.0, 0.0, 0.0
    fx, fy, cx, cy = pinhole[frame]
    height, width = codes.shape[1:]
    u, v = fx * x / z + cx, fy * y / z + cy
    if not (-0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5):
        return 0.0, 0.0, 0.0, 0.0
    left, right, s = _cell(u, width)
    top, bottom, t = _cell(v, height)
    w00, w01 = 1.0 / decode_code(codes[frame, top, left]), 1.0 / decode_code(codes[frame, top, right])
    w10, w11 = 1.0 / decode_code(codes[frame, bottom, left]), 1.0 / decode_code(codes[frame, bottom, right])
    inverse = (w00 * (1 - s) + w01 * s) * (1 - t) + (w10 * (1 - s) + w11 * s) * t
    a = fx * ((w01 - w00) * (1 - t) + (w11 - w10) * t)
    b = fy * ((w10 - w00) * (1 - s) + (w11 - w01) * s)
    return 1.0 / inverse, a, b, inverse - a * x / z - b * y / z


@njit(cache=True, nogil=True)
def _inside(codes, pinhole, frame, x, y, z, clearance, thickness):
    """How deep the point (x, y, z) of source camera `frame` is blocked, in scene units along z; 0 when it is free."""
    depth = surface(codes, pinhole, frame, x, y, z)[0]
    if depth == 0.0:
        return 0.0
    deep = z - depth + clearance
    return deep if 0.0 < deep < clearance + thickness else 0.0


@njit(cache=True, nogil=True)
def _way_out(codes, pinhole, frame, x, y, z, deep):
    """The displacement (3,) along the surface's normal, towards the viewer, that takes `deep` off a blocked point.

    One Newton step: moving by t along the unit normal m changes the depth inside by -t z / |m . P| near the surface.
    """
    _, a, b, c = surface(codes, pinhole, frame, x, y, z)
    length = np.sqrt(a * a + b * b + c * c)
    distance = (a * x + b * y + c * z) / length  # of the viewer to the plane through the point
    push = -(deep * (1.0 + 1e-6) + 1e-9) * abs(distance) / z / length
    return push * a, push * b, push * c


@njit(cache=True, nogil=True)
def _turned(angle_deg: float, by_deg: float, limit_deg: float) -> float:
    """An angle after a turn: clamped to its range, or wrapped to -180..180 where the range is the full circle."""
    angle = angle_deg + by_deg
    if limit_deg >= 180.0:
        return (angle + 180.0) % 360.0 - 180.0
    return min(max(angle, -limit_deg), limit_deg)


@njit(cache=True, nogil=True)
def rotation(yaw_deg, pitch_deg, roll_deg):
    """Ry(yaw) Rx(pitch) Rz(roll), (3, 3); as `poses.rotation_ypr`, for kernels."""
    a, b, c = np.deg2rad(yaw_deg), np.deg2rad(pitch_deg), np.deg2rad(roll_deg)
    ca, sa, cb, sb, cc, sc = np.cos(a), np.sin(a), np.cos(b), np.sin(b), np.cos(c), np.sin(c)
    r = np.empty((3, 3))
    r[0, 0], r[0, 1], r[0, 2] = ca * cc + sa * sb * sc, sa * sb * cc - ca * sc, sa * cb
    r[1, 0], r[1, 1], r[1, 2] = cb * sc, cb * cc, -sb
    r[2, 0], r[2, 1], r[2, 2] = ca * sb * sc - sa * cc, sa * sc + ca * sb * cc, ca * cb
    return r


@njit(cache=True, nogil=True)
def _transformed(m, p):
    """The point p (3,) under the motion m (4, 4)."""
    return (
        m[0, 0] * p[0] + m[0, 1] * p[1] + m[0, 2] * p[2] + m[0, 3],
        m[1, 0] * p[0] + m[1, 1] * p[1] + m[1, 2] * p[2] + m[1, 3],
        m[2, 0] * p[0] + m[2, 1] * p[1] + m[2, 2] * p[2] + m[2, 3],
    )


@njit(cache=True, nogil=True)
def _product(a, b, out):
    """out = a @ b for (4, 4) matrices."""
    for i in range(4):
        for j in range(4):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j] + a[i, 3] * b[3, j]


@njit(cache=True, nogil=True)
def _reel_in(p, reach):
    """Clamp the point p (3,), in place, to the ball of radius `reach`."""
    length = np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    if length > reach:
        for i in range(3):
            p[i] *= reach / length


@njit(cache=True, nogil=True)
def _put(values, target):
    """Write the three `values` into `target`."""
    for i in range(3):
        target[i] = values[i]


@njit(cache=True, nogil=True)
def _squared(x, y, z):
    """The square of a length."""
    return x * x + y * y + z * z


@njit(cache=True, nogil=True)
def _move(p, delta, reach, to_source, codes, pinhole, frame, clearance, thickness, slide):
    """Move p (3,), in place, by delta (3,) as far as limits and geometry allow; return whether geometry was in the way.

    `to_source` (4, 4) takes the offset's coordinates to those of source camera `frame`.
    """
    target = np.empty(3)
    for i in range(3):
        target[i] = p[i] + delta[i]
    _reel_in(target, reach)
    x, y, z = _transformed(to_source, p)
    allowed = _inside(codes, pinhole, frame, x, y, z, clearance, thickness)
    x, y, z = _transformed(to_source, target)
    deep = _inside(codes, pinhole, frame, x, y, z, clearance, thickness)
    if deep <= allowed:
        _put(target, p)
        return False
    if not slide:
        return True
    for _ in range(SLIDE_ROUNDS):
        out = _way_out(codes, pinhole, frame, x, y, z, deep - allowed)
        for i in range(3):
            target[i] += to_source[0, i] * out[0] + to_source[1, i] * out[1] + to_source[2, i] * out[2]
        _reel_in(target, reach)
        x, y, z = _transformed(to_source, target)
        deep = _inside(codes, pinhole, frame, x, y, z, clearance, thickness)
        if deep <= allowed:
            gone = _squared(target[0] - p[0], target[1] - p[1], target[2] - p[2])
            if gone <= _squared(delta[0], delta[1], delta[2]):  # sliding gains no speed
                _put(target, p)
            break
    return True


@njit(cache=True, nogil=True)
def advance(state, motion, limits, dt, anchors, codes, w2c, pinhole, source, clearance, thickness, slide, c2w):
    """All frames of a step; `state` (6,) and `c2w` (n, 4, 4) are written. Returns (motion is finite, collided)."""
    command = np.empty(6)
    for i in range(6):
        if not np.isfinite(motion[i]):
            return False, False
        command[i] = min(max(motion[i], -1.0), 1.0)
    travel = limits[0] * dt * np.sqrt(command[0] ** 2 + command[1] ** 2 + command[2] ** 2)
    blocked_world = len(source) > 0
    pieces = max(int(np.ceil(travel / (clearance / 2))), 1) if blocked_world else 1  # short moves cannot skip a surface
    p, angles, middle, delta = state[:3].copy(), state[3:].copy(), np.empty(3), np.empty(3)
    offset, to_source = np.zeros((4, 4)), np.zeros((4, 4))
    offset[3, 3] = 1.0
    collided = False
    for k in range(len(c2w)):
        for i in range(3):
            turn = command[3 + i] * limits[1] * dt
            before = angles[i]
            angles[i] = _turned(before, turn, limits[3 + i])
            middle[i] = 0.5 * (before + angles[i]) if limits[3 + i] < 180.0 else before + 0.5 * turn
        heading = rotation(middle[0], middle[1], middle[2])
        step = limits[0] * dt / pieces
        for i in range(3):
            delta[i] = (heading[i, 0] * command[0] - heading[i, 1] * command[1] + heading[i, 2] * command[2]) * step
        if blocked_world:
            _product(w2c[source[k]], anchors[k], to_source)
            for _ in range(pieces):
                collided |= _move(
                    p, delta, limits[2], to_source, codes, pinhole, source[k], clearance, thickness, slide
                )
        else:
            for i in range(3):
                p[i] += delta[i]
            _reel_in(p, limits[2])
        turned = rotation(angles[0], angles[1], angles[2])
        for i in range(3):
            _put(turned[i], offset[i])
            offset[i, 3] = p[i]
        _product(anchors[k], offset, c2w[k])
    if blocked_world and len(c2w) > 0:
        x, y, z = _transformed(to_source, p)
        collided |= _inside(codes, pinhole, source[-1], x, y, z, clearance, thickness) > clearance
    _put(p, state[:3])
    _put(angles, state[3:])
    return True, collided
