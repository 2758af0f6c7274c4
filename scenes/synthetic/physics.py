"""Rigid bodies that fall, roll and collide: a small simulation whose result is a table of poses over time.

    bodies     balls, boxes and cylinders of full extents `size`, with places and speeds at the start
    obstacles  the same three shapes, which stay where they are
    bake       -> poses (K, B, 7): place and quaternion (w, x, y, z) of B bodies, K moments a second apart by 1 / RATE

A contact is a point of one body inside another or inside an obstacle: a ball has one point, its centre, with its radius
around it; a box its corners and the deepest points of its edges; a cylinder points along its rims and the deepest point
of its axis, with its radius around it. How deep, and which way out, the other's distance function says. Impulses push
contacting points apart, with restitution and Coulomb friction, one contact after the other, a few times round; a share of
the depth is taken back every step. What has hardly moved for a quarter of a second stands still until it is hit.

Steps are fixed and all arithmetic is additions, products, quotients and roots of doubles in one order, which IEEE 754
rounds the same way everywhere: the same start gives the same table on any machine, which an engine with a version of its
own does not promise.

Ref: Catto, Iterative dynamics with temporal coherence, 2005; Baraff, Physically based modeling: rigid body simulation, 2001.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.shapes import BOX, CYLINDER, ELLIPSOID, local, world
from inspatio_gym.scenes.synthetic.solids import rigid
from inspatio_gym.types import Pose

RATE = 120  # poses a second
SUBSTEPS = 8  # steps a pose: 960 a second, in which something that fell half a metre moves 3 mm
ROUNDS = 6  # over all contacts in a step
GRAVITY = 9.81
NEAR = 0.1  # metres that nothing moves in between two poses, and more
SLOP = 2e-4  # metres of depth that are left alone, so that what rests keeps touching
TAKEN_BACK = 0.025  # of the depth beyond that, in a step
BOUNCES_ABOVE = 0.25  # metres a second: slower contacts do not bounce, or nothing would ever rest
SLEEPY = 0.02  # metres a second: what has been slower at its rim for long enough falls asleep and stands still
DROWSY_STEPS = 240  # a quarter of a second
WAKES = 0.05  # metres a second: what is hit faster than this moves again
ROLLING_LOSS = 0.4  # of the angular speed, a second, while touching
RIM = 32  # points of a cylinder's rim
SEARCH = 12  # thirds that a search along a segment takes off: to under a hundredth of it
MOST_POINTS = 2 * RIM
MOST_CONTACTS = 512
_jit = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)  # see `tracer` for why


class Bodies(NamedTuple):
    """Rigid bodies or obstacles: arrays with a row for each."""

    shape: NDArray[np.int64]
    """(B,) BOX, ELLIPSOID (a ball) or CYLINDER (along its z)."""
    half: NDArray[np.float64]
    """(B, 3) half extents."""
    place: NDArray[np.float64]
    """(B, 3) at the start."""
    turn: NDArray[np.float64]
    """(B, 4) quaternions at the start."""
    speed: NDArray[np.float64]
    """(B, 3) at the start, metres a second."""
    spin: NDArray[np.float64]
    """(B, 3) at the start, radians a second in world axes."""
    bounce: NDArray[np.float64]
    """(B,) restitution."""
    grip: NDArray[np.float64]
    """(B,) friction; of a contact the geometric mean of both."""


@_jit
def _row(table, k):
    return table[k, 0], table[k, 1], table[k, 2]


@_jit
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@_jit
def _sum(a, b, share=1.0):
    return a[0] + share * b[0], a[1] + share * b[1], a[2] + share * b[2]


@_jit
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@_jit
def _add(table, k, v, share):
    for i in range(3):
        table[k, i] += share * v[i]


@_jit
def _rotate(turns, k, q):
    """Row k of rotation matrices from a row of quaternions."""
    w, x, y, z = q[k, 0], q[k, 1], q[k, 2], q[k, 3]
    turns[k, 0] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)
    turns[k, 1] = 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    turns[k, 2] = 2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)


@_jit
def _spread(points, k, shape, half):
    """Lay out the points of solid k in its own frame; returns how many there are."""
    if shape == ELLIPSOID:
        points[k, 0] = 0.0, 0.0, 0.0
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
                points[k, count] = half[0] * x, half[0] * y, half[2] * end
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
        length = math.sqrt(_dot(p, p))
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
        length = math.sqrt(_dot(out, out))
        return length, (right * out[0] / length, ahead * out[1] / length, up * out[2] / length)
    if a >= b and a >= cap:
        return a, (right, 0.0, 0.0)
    return (b, (0.0, ahead, 0.0)) if b >= cap else (cap, (0.0, 0.0, up))


class _Solids(NamedTuple):
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


class _State(NamedTuple):
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
    return local(state.turn, b, *_sum(_sum(world(state.turn, a, p), _row(state.place, a)), _row(state.place, b), -1.0))


@_jit
def _touch(solids, state, a, b, contacts, data, made):
    """Add the contacts of solid a's points and segments in solid b, which push a out; returns how many there are."""
    shape, half, mine = solids.shape[b], _row(solids.half, b), _row(solids.half, a)
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
        along = _sum(last, first, -1.0)
        share = min(1.0, max(0.0, -_dot(first, along) / _dot(along, along)))
        nearest = _sum(first, along, share)
        if _dot(nearest, nearest) > (solids.reach[b] + radius) ** 2:
            continue
        low, high = 0.0, 1.0  # the distance is convex along the segment: close in on its least
        for _ in range(SEARCH):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            if (
                _distance(shape, half, _sum(first, along, left))[0]
                < _distance(shape, half, _sum(first, along, right))[0]
            ):
                high = right
            else:
                low = left
        p = _sum(first, along, (low + high) / 2)
        gap, out = _distance(shape, half, p)
        ends = min(_distance(shape, half, first)[0], _distance(shape, half, last)[0])
        if gap < radius and gap < ends - SLOP:  # else points say the same
            made = _add_contact(state, a, b, p, out, radius, gap, contacts, data, made)
    return made


@_jit
def _add_contact(state, a, b, p, out, radius, gap, contacts, data, made):
    if made == MOST_CONTACTS:
        return made
    n, at = world(state.turn, b, out), _sum(world(state.turn, b, p), _row(state.place, b))
    contacts[made, 0], contacts[made, 1] = a, b
    data[made, :3] = _sum(at, n, -radius)
    data[made, 3:6] = n
    data[made, 6] = radius - gap
    return made + 1


@_jit
def _near(solids, state, a, b):
    """Whether solid a may touch solid b before the next pose."""
    gap, _ = _distance(solids.shape[b], _row(solids.half, b), _from_a_to_b(state, a, b, (0.0, 0.0, 0.0)))
    return gap < solids.reach[a] + NEAR


@_jit
def _pairs(solids, state, pairs):
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
                pairs[made] = a, b
                made += 1
    return made


@_jit
def _leaving(state, a, b, at):
    """How fast solid a's point leaves that of solid b, at a place."""
    v = _sum(_row(state.speed, a), _cross(_row(state.spin, a), _sum(at, _row(state.place, a), -1.0)))
    w = _sum(_row(state.speed, b), _cross(_row(state.spin, b), _sum(at, _row(state.place, b), -1.0)))
    return _sum(v, w, -1.0)


@_jit
def _yielding(state, k, at, along):
    """How much a unit impulse at a place changes the speed of solid k there, along it."""
    arm = _sum(at, _row(state.place, k), -1.0)
    return state.light[k] + _dot(_cross(world(state.inverse, k, _cross(arm, along)), arm), along)


@_jit
def _apply(state, k, at, along, impulse):
    _add(state.speed, k, along, state.light[k] * impulse)
    arm = _sum(at, _row(state.place, k), -1.0)
    _add(state.spin, k, world(state.inverse, k, _cross(arm, along)), impulse)


@_jit
def _push(solids, state, a, b, at, out, wanted, pushed, rubbed):
    """One contact's impulses: apart until it leaves as wanted, and against sliding within the cone of friction."""
    heft = _yielding(state, a, at, out) + _yielding(state, b, at, out)
    total = max(0.0, pushed + (wanted - _dot(_leaving(state, a, b, at), out)) / heft)
    _apply(state, a, at, out, total - pushed)
    _apply(state, b, at, out, pushed - total)
    v = _leaving(state, a, b, at)
    slide = _sum(v, out, -_dot(v, out))
    length = math.sqrt(_dot(slide, slide))
    if length < 1e-9:
        return total, rubbed
    along = (slide[0] / length, slide[1] / length, slide[2] / length)
    heft = _yielding(state, a, at, along) + _yielding(state, b, at, along)
    room = math.sqrt(solids.grip[a] * solids.grip[b]) * total - rubbed  # of this contact's friction in this step
    impulse = min(length / heft, max(0.0, room))
    _apply(state, a, at, along, -impulse)
    _apply(state, b, at, along, impulse)
    return total, rubbed + impulse


@_jit
def _rest(solids, state, k):
    """Let what has been slow for long fall asleep."""
    speed, spin, reach = _row(state.speed, k), _row(state.spin, k), solids.reach[k]
    lively = _dot(speed, speed) + reach * reach * _dot(spin, spin) > SLEEPY * SLEEPY
    state.slow[k] = 0 if lively else state.slow[k] + 1
    if state.slow[k] >= DROWSY_STEPS:
        state.speed[k], state.spin[k], state.light[k], state.inverse[k] = 0.0, 0.0, 0.0, 0.0


@_jit
def _wake(solids, state, k):
    """Give what sleeps its mass and inertia back; obstacles have none."""
    if k < solids.bodies and state.slow[k] >= DROWSY_STEPS:
        state.slow[k], state.light[k] = 0, solids.light[k]
        _turn_inertia(solids, state, k)


@_jit
def _turn_inertia(solids, state, k):
    for i in range(3):
        for j in range(3):
            total = 0.0
            for m in range(3):
                total += state.turn[k, i, m] * solids.lightness[k, m] * state.turn[k, j, m]
            state.inverse[k, i, j] = total


@_jit
def _advance(solids, state, step):
    """Move what is awake by its speed, and turn it by its spin."""
    quaternion, spin = state.quaternion, state.spin
    for k in range(solids.bodies):
        if state.slow[k] >= DROWSY_STEPS:
            continue
        _add(state.place, k, _row(state.speed, k), step)
        w, x, y, z = quaternion[k, 0], quaternion[k, 1], quaternion[k, 2], quaternion[k, 3]
        p, q, r = 0.5 * step * spin[k, 0], 0.5 * step * spin[k, 1], 0.5 * step * spin[k, 2]
        w, x, y, z = (
            w - p * x - q * y - r * z,
            x + p * w + q * z - r * y,
            y + q * w + r * x - p * z,
            z + r * w + p * y - q * x,
        )
        length = math.sqrt(w * w + x * x + y * y + z * z)
        quaternion[k] = w / length, x / length, y / length, z / length
        _rotate(state.turn, k, quaternion)
        _turn_inertia(solids, state, k)


@njit(cache=True, nogil=True, error_model="numpy")
def _simulate(solids, state, table):
    step = 1.0 / (RATE * SUBSTEPS)
    contacts, data = np.zeros((MOST_CONTACTS, 2), np.int64), np.zeros((MOST_CONTACTS, 7))
    impulses, wanted = np.zeros((MOST_CONTACTS, 2)), np.zeros(MOST_CONTACTS)
    _advance(solids, state, 0.0)
    pairs = np.zeros((len(solids.shape) ** 2, 2), np.int64)
    for moment in range(len(table)):
        count = _pairs(solids, state, pairs)
        for k in range(solids.bodies):
            table[moment, k, :3], table[moment, k, 3:] = state.place[k], state.quaternion[k]
        for _ in range(SUBSTEPS):
            for k in range(solids.bodies):
                if state.slow[k] < DROWSY_STEPS:
                    state.speed[k, 2] -= GRAVITY * step
            made = 0
            for k in range(count):
                a, b = pairs[k, 0], pairs[k, 1]
                if min(state.slow[a], state.slow[b]) < DROWSY_STEPS:
                    made = _touch(solids, state, a, b, contacts, data, made)
            for c in range(made):
                a, b, at, out = contacts[c, 0], contacts[c, 1], _row(data, c), _row(data[:, 3:], c)
                leaving = _dot(_leaving(state, a, b, at), out)
                if leaving < -WAKES:
                    _wake(solids, state, a)
                    _wake(solids, state, b)
                bounce = min(solids.bounce[a], solids.bounce[b])
                wanted[c] = -bounce * leaving if leaving < -BOUNCES_ABOVE else 0.0
                wanted[c] = max(wanted[c], TAKEN_BACK * max(0.0, data[c, 6] - SLOP) / step)
                impulses[c] = 0.0
            for _ in range(ROUNDS):
                for c in range(made):
                    a, b, at, out = contacts[c, 0], contacts[c, 1], _row(data, c), _row(data[:, 3:], c)
                    impulses[c, 0], impulses[c, 1] = _push(
                        solids, state, a, b, at, out, wanted[c], impulses[c, 0], impulses[c, 1]
                    )
            for c in range(made):
                for k in range(2):
                    _add(state.spin, contacts[c, k], _row(state.spin, contacts[c, k]), -ROLLING_LOSS * step)
            _advance(solids, state, step)
            for k in range(solids.bodies):
                _rest(solids, state, k)


def bake(bodies: Bodies, obstacles: Bodies, moments: int) -> NDArray[np.float64]:
    """Poses (moments, B, 7) of bodies, 1 / RATE seconds apart, from the start on; see the module's docstring."""
    count = len(bodies.shape)
    both = Bodies(*(np.concatenate(fields) for fields in zip(bodies, obstacles, strict=True)))
    total = len(both.shape)
    points, counts = np.zeros((total, MOST_POINTS, 3)), np.zeros(total, np.int64)
    turn = np.zeros((total, 3, 3))
    light, lightness = np.zeros(total), np.zeros((total, 3))
    for k in range(total):
        counts[k] = _spread(points, k, both.shape[k], both.half[k])
        _rotate(turn, k, both.turn)
    for k in range(count):
        light[k], lightness[k] = _lightness(int(both.shape[k]), both.half[k])
    balls = both.shape == ELLIPSOID
    x, y, z = both.half.T
    reach = np.where(balls, x, np.sqrt(x * x + y * y + z * z))
    solids = _Solids(count, both.shape, both.half, reach, points, counts, light, lightness, both.bounce, both.grip)
    table = np.empty((moments, count, 7))
    state = _State(
        both.place.copy(), both.turn.copy(), turn, both.speed.copy(), both.spin.copy(), light.copy(),
        np.zeros((total, 3, 3)), np.where(np.arange(total) < count, 0, DROWSY_STEPS),
    )  # fmt: skip
    _simulate(solids, state, table)
    return table


def _lightness(shape: int, half: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """One over the mass, and over the moments of inertia about the body's axes, at the density of water."""
    x, y, z = (float(side) for side in half)
    if shape == ELLIPSOID:
        mass = 4000 / 3 * math.pi * x * x * x
        inertia = np.full(3, 0.4 * mass * x * x)
    elif shape == CYLINDER:
        mass = 2000 * math.pi * x * x * z
        across = mass * (3 * x * x + 4 * z * z) / 12
        inertia = np.array([across, across, mass * x * x / 2])
    else:
        mass = 8000 * x * y * z
        inertia = mass / 3 * np.array([y * y + z * z, x * x + z * z, x * x + y * y])
    return 1 / mass, 1 / inertia


def pose_at(table: NDArray[np.float64], body: int, time_s: float) -> Pose:
    """The pose of a body between two rows of a table, held before the first and after the last."""
    moment = min(max(time_s * RATE, 0.0), len(table) - 1.0)
    k = min(int(moment), len(table) - 2)
    share = moment - k
    before, after = table[k, body], table[k + 1, body]
    w, x, y, z = q = before[3:] * (1 - share) + after[3:] * share * (1 if before[3:] @ after[3:] >= 0 else -1)
    w, x, y, z = q / math.sqrt(w * w + x * x + y * y + z * z)
    turn = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return rigid(turn, before[:3] * (1 - share) + after[:3] * share)
