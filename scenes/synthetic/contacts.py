"""Where solids touch: points and edges of one inside another.

A ball has one point, its centre, with its radius around it; a box its corners and the deepest points of its edges; a
cylinder points along its rims and the deepest point of its axis, with its radius around it. How deep, and which way out,
the other's distance function says. Solids that come no nearer than `NEAR` before the next pose are not looked at.

Vectors are tuples of three numbers. All arithmetic is sums, products, quotients and roots in one order: see `physics`.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.shapes import BOX, CYLINDER, ELLIPSOID, local, world

NEAR = 0.1  # metres that nothing moves in between two poses, and more
SLOP = 2e-4  # metres of depth that are left alone, so that what rests keeps touching
RIM = 32  # points of a cylinder's rim
SEARCH = 12  # thirds that a search along a segment takes off: to under a hundredth of it
MOST_POINTS = 2 * RIM
MOST_CONTACTS = 512
_jit = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)  # see `rays` for why


@_jit
def row(table, k):
    return table[k, 0], table[k, 1], table[k, 2]


@_jit
def put(table, k, values):
    """Write row k number by number: numba compiles `table[k] = values` long, for the sake of an error's words."""
    for i in range(len(values)):
        table[k, i] = values[i]


@_jit
def dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@_jit
def plus(a, b, share=1.0):
    return a[0] + share * b[0], a[1] + share * b[1], a[2] + share * b[2]


@_jit
def cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@_jit
def rotate(turns, k, q):
    """Row k of rotation matrices from a row of quaternions."""
    w, x, y, z = q[k, 0], q[k, 1], q[k, 2], q[k, 3]
    put(turns[k], 0, (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)))
    put(turns[k], 1, (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)))
    put(turns[k], 2, (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)))


@_jit
def lay_out(points, k, shape, half):
    """Lay out the points of solid k in its own frame; returns how many there are."""
    if shape == ELLIPSOID:
        put(points[k], 0, (0.0, 0.0, 0.0))
        return 1
    count = 0
    if shape == CYLINDER:
        for turn in range(RIM):
            # Rational points of the circle in each quarter: no sine, so the same everywhere.
            quarter, t = turn // (RIM // 4), (turn % (RIM // 4)) / (RIM // 4)
            x, y = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
            for _ in range(quarter):
                x, y = -y, x
            for end in (-1.0, 1.0):
                put(points[k], count, (half[0] * x, half[0] * y, half[2] * end))
                count += 1
        return count
    for corner in range(8):
        for axis in range(3):
            points[k, corner, axis] = half[axis] if corner >> axis & 1 else -half[axis]
    return 8


@_jit
def _segment(shape, half, e):
    """The ends of a box's e-th edge, or of a cylinder's axis, and the radius around it."""
    if shape == CYLINDER:
        return (0.0, 0.0, -half[2]), (0.0, 0.0, half[2]), half[0]
    p, q = half[(e // 4 + 1) % 3] * (e % 2 * 2 - 1), half[(e // 4 + 2) % 3] * (e % 4 // 2 * 2 - 1)
    if e < 4:
        return (-half[0], p, q), (half[0], p, q), 0.0
    return ((q, -half[1], p), (q, half[1], p), 0.0) if e < 8 else ((p, q, -half[2]), (p, q, half[2]), 0.0)


@_jit
def _distance(shape, half, p):
    """Signed distance of p from a solid's surface, in its own frame, and the way out there."""
    if shape == ELLIPSOID:
        length = math.sqrt(dot(p, p))
        if length == 0:
            return -half[0], (0.0, 0.0, 1.0)
        return length - half[0], (p[0] / length, p[1] / length, p[2] / length)
    up = 1.0 if p[2] >= 0 else -1.0
    cap = abs(p[2]) - half[2]
    if shape == CYLINDER:
        radial = math.sqrt(p[0] * p[0] + p[1] * p[1])
        x, y = (p[0] / radial, p[1] / radial) if radial > 0 else (1.0, 0.0)
        side = radial - half[0]
        if side > 0 and cap > 0:
            length = math.sqrt(side * side + cap * cap)
            return length, (x * side / length, y * side / length, up * cap / length)
        return (side, (x, y, 0.0)) if side > cap else (cap, (0.0, 0.0, up))
    right, ahead = 1.0 if p[0] >= 0 else -1.0, 1.0 if p[1] >= 0 else -1.0
    a, b = abs(p[0]) - half[0], abs(p[1]) - half[1]
    if a > 0 or b > 0 or cap > 0:
        out = (max(a, 0.0), max(b, 0.0), max(cap, 0.0))
        length = math.sqrt(dot(out, out))
        return length, (right * out[0] / length, ahead * out[1] / length, up * out[2] / length)
    if a >= b and a >= cap:
        return a, (right, 0.0, 0.0)
    return (b, (0.0, ahead, 0.0)) if b >= cap else (cap, (0.0, 0.0, up))


class Solids(NamedTuple):
    """What does not change, of bodies and obstacles: rows 0..bodies-1 move."""

    bodies: int
    shape: NDArray[np.int64]
    half: NDArray[np.float64]
    reach: NDArray[np.float64]
    points: NDArray[np.float64]
    counts: NDArray[np.int64]
    light: NDArray[np.float64]
    """One over the mass, 0 for obstacles."""
    lightness: NDArray[np.float64]
    """One over the moments of inertia about the axes, 0 for obstacles."""
    bounce: NDArray[np.float64]
    grip: NDArray[np.float64]


class State(NamedTuple):
    """Rows for bodies and obstacles, which sleep from the start."""

    place: NDArray[np.float64]
    quaternion: NDArray[np.float64]
    turn: NDArray[np.float64]
    speed: NDArray[np.float64]
    spin: NDArray[np.float64]
    light: NDArray[np.float64]
    """One over the mass of what is awake, else 0."""
    inverse: NDArray[np.float64]
    """The inverse inertia of what is awake in world axes, else 0."""
    slow: NDArray[np.int64]
    """Steps since something moved; DROWSY_STEPS is asleep."""


@_jit
def _from_a_to_b(state, a, b, p):
    """A point of solid a's frame in solid b's."""
    return local(state.turn, b, *plus(plus(world(state.turn, a, p), row(state.place, a)), row(state.place, b), -1.0))


@_jit
def touch(solids, state, a, b, contacts, data, made):
    """Add the contacts of solid a's points and segments in solid b, which push a out; returns how many there are."""
    shape, half, mine = solids.shape[b], row(solids.half, b), row(solids.half, a)
    radius = mine[0] if solids.shape[a] == ELLIPSOID else 0.0
    for k in range(solids.counts[a]):
        p = _from_a_to_b(state, a, b, (solids.points[a, k, 0], solids.points[a, k, 1], solids.points[a, k, 2]))
        gap, out = _distance(shape, half, p)
        if gap < radius:
            made = _add_contact(state, a, b, p, out, radius, gap, contacts, data, made)
    segments = 12 if solids.shape[a] == BOX else 1 if solids.shape[a] == CYLINDER else 0
    for e in range(segments):
        first, last, radius = _segment(solids.shape[a], mine, e)
        first, last = _from_a_to_b(state, a, b, first), _from_a_to_b(state, a, b, last)
        along = plus(last, first, -1.0)
        share = min(1.0, max(0.0, -dot(first, along) / dot(along, along)))
        nearest = plus(first, along, share)
        if dot(nearest, nearest) > (solids.reach[b] + radius) ** 2:
            continue
        low, high = 0.0, 1.0  # the distance is convex along the segment: close in on its least
        for _ in range(SEARCH):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            if (
                _distance(shape, half, plus(first, along, left))[0]
                < _distance(shape, half, plus(first, along, right))[0]
            ):
                high = right
            else:
                low = left
        p = plus(first, along, (low + high) / 2)
        gap, out = _distance(shape, half, p)
        ends = min(_distance(shape, half, first)[0], _distance(shape, half, last)[0])
        if gap < radius and gap < ends - SLOP:  # else points say the same
            made = _add_contact(state, a, b, p, out, radius, gap, contacts, data, made)
    return made


@_jit
def _add_contact(state, a, b, p, out, radius, gap, contacts, data, made):
    if made == MOST_CONTACTS:
        return made
    n, at = world(state.turn, b, out), plus(world(state.turn, b, p), row(state.place, b))
    contacts[made, 0], contacts[made, 1] = a, b
    put(data, made, plus(at, n, -radius))
    put(data[:, 3:], made, n)
    data[made, 6] = radius - gap
    return made + 1


@_jit
def _near(solids, state, a, b):
    """Whether solid a may touch solid b before the next pose."""
    gap, _ = _distance(solids.shape[b], row(solids.half, b), _from_a_to_b(state, a, b, (0.0, 0.0, 0.0)))
    return gap < solids.reach[a] + NEAR


@_jit
def find_pairs(solids, state, pairs):
    """Who may touch whom before the next pose, and is not the one of the two to be left out; returns how many."""
    made, total = 0, len(solids.shape)
    for a in range(total):
        for b in range(total):
            if a == b or (a >= solids.bodies and b >= solids.bodies):
                continue
            ball, other = solids.shape[a] == ELLIPSOID, solids.shape[b] == ELLIPSOID
            if other and (not ball or b < a):
                continue  # the ball's one point says it all when it is its turn, and of two balls once is enough
            if _near(solids, state, a, b) and _near(solids, state, b, a):
                put(pairs, made, (a, b))
                made += 1
    return made
