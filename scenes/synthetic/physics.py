"""Rigid bodies that fall, roll and collide: a small simulation whose result is a table of poses over time.

    bodies     balls, boxes and cylinders of full extents `size`, with places and speeds at the start
    obstacles  the same three shapes, which stay where they are
    bake       -> poses (K, B, 7): place and quaternion (w, x, y, z) of B bodies, K moments a second apart by 1 / RATE

What touches what is for `contacts` to say. Impulses push contacting points apart, with restitution and Coulomb friction,
one contact after the other, a few times round; a share of the depth is taken back every step. What has hardly moved for a
quarter of a second stands still until it is hit.

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

from inspatio_gym.scenes.synthetic.contacts import (
    MOST_CONTACTS,
    MOST_POINTS,
    SLOP,
    Solids,
    State,
    cross,
    dot,
    find_pairs,
    lay_out,
    plus,
    put,
    rotate,
    row,
    touch,
)
from inspatio_gym.scenes.synthetic.shapes import CYLINDER, ELLIPSOID, world
from inspatio_gym.scenes.synthetic.solids import rigid
from inspatio_gym.types import Pose

RATE = 120  # poses a second
SUBSTEPS = 8  # steps a pose: 960 a second, in which something that fell half a metre moves 3 mm
ROUNDS = 6  # over all contacts in a step
GRAVITY = 9.81
TAKEN_BACK = 0.025  # of the depth beyond that, in a step
BOUNCES_ABOVE = 0.25  # metres a second: slower contacts do not bounce, or nothing would ever rest
SLEEPY = 0.02  # metres a second: what has been slower at its rim for long enough falls asleep and stands still
DROWSY_STEPS = 240  # a quarter of a second
WAKES = 0.05  # metres a second: what is hit faster than this moves again
ROLLING_LOSS = 0.4  # of the angular speed, a second, while touching
_jit = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)  # see `rays` for why


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
def _add(table, k, v, share):
    for i in range(3):
        table[k, i] += share * v[i]


@_jit
def _leaving(state, a, b, at):
    """How fast solid a's point leaves that of solid b, at a place."""
    v = plus(row(state.speed, a), cross(row(state.spin, a), plus(at, row(state.place, a), -1.0)))
    w = plus(row(state.speed, b), cross(row(state.spin, b), plus(at, row(state.place, b), -1.0)))
    return plus(v, w, -1.0)


@_jit
def _yielding(state, k, at, along):
    """How much a unit impulse at a place changes the speed of solid k there, along it."""
    arm = plus(at, row(state.place, k), -1.0)
    return state.light[k] + dot(cross(world(state.inverse, k, cross(arm, along)), arm), along)


@_jit
def _apply(state, k, at, along, impulse):
    _add(state.speed, k, along, state.light[k] * impulse)
    arm = plus(at, row(state.place, k), -1.0)
    _add(state.spin, k, world(state.inverse, k, cross(arm, along)), impulse)


@_jit
def _push(solids, state, a, b, at, out, wanted, pushed, rubbed):
    """One contact's impulses: apart until it leaves as wanted, and against sliding within the cone of friction."""
    heft = _yielding(state, a, at, out) + _yielding(state, b, at, out)
    total = max(0.0, pushed + (wanted - dot(_leaving(state, a, b, at), out)) / heft)
    _apply(state, a, at, out, total - pushed)
    _apply(state, b, at, out, pushed - total)
    v = _leaving(state, a, b, at)
    slide = plus(v, out, -dot(v, out))
    length = math.sqrt(dot(slide, slide))
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
    speed, spin, reach = row(state.speed, k), row(state.spin, k), solids.reach[k]
    lively = dot(speed, speed) + reach * reach * dot(spin, spin) > SLEEPY * SLEEPY
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
        _add(state.place, k, row(state.speed, k), step)
        w, x, y, z = quaternion[k, 0], quaternion[k, 1], quaternion[k, 2], quaternion[k, 3]
        p, q, r = 0.5 * step * spin[k, 0], 0.5 * step * spin[k, 1], 0.5 * step * spin[k, 2]
        w, x, y, z = (
            w - p * x - q * y - r * z,
            x + p * w + q * z - r * y,
            y + q * w + r * x - p * z,
            z + r * w + p * y - q * x,
        )
        length = math.sqrt(w * w + x * x + y * y + z * z)
        put(quaternion, k, (w / length, x / length, y / length, z / length))
        rotate(state.turn, k, quaternion)
        _turn_inertia(solids, state, k)


@njit(cache=True, nogil=True, error_model="numpy")
def _simulate(solids, state, table):
    step = 1.0 / (RATE * SUBSTEPS)
    contacts, data = np.zeros((MOST_CONTACTS, 2), np.int64), np.zeros((MOST_CONTACTS, 7))
    impulses, wanted = np.zeros((MOST_CONTACTS, 2)), np.zeros(MOST_CONTACTS)
    _advance(solids, state, 0.0)
    pairs = np.zeros((len(solids.shape) ** 2, 2), np.int64)
    for moment in range(len(table)):
        count = find_pairs(solids, state, pairs)
        for k in range(solids.bodies):
            put(table[moment], k, row(state.place, k))
            for i in range(4):
                table[moment, k, 3 + i] = state.quaternion[k, i]
        for _ in range(SUBSTEPS):
            for k in range(solids.bodies):
                if state.slow[k] < DROWSY_STEPS:
                    state.speed[k, 2] -= GRAVITY * step
            made = np.int64(0)  # typed, or numba compiles `touch` for the literal number, too
            for k in range(count):
                a, b = pairs[k, 0], pairs[k, 1]
                if min(state.slow[a], state.slow[b]) < DROWSY_STEPS:
                    made = touch(solids, state, a, b, contacts, data, made)
            for c in range(made):
                a, b, at, out = contacts[c, 0], contacts[c, 1], row(data, c), row(data[:, 3:], c)
                leaving = dot(_leaving(state, a, b, at), out)
                if leaving < -WAKES:
                    _wake(solids, state, a)
                    _wake(solids, state, b)
                bounce = min(solids.bounce[a], solids.bounce[b])
                wanted[c] = -bounce * leaving if leaving < -BOUNCES_ABOVE else 0.0
                wanted[c] = max(wanted[c], TAKEN_BACK * max(0.0, data[c, 6] - SLOP) / step)
                impulses[c] = 0.0
            for _ in range(ROUNDS):
                for c in range(made):
                    a, b, at, out = contacts[c, 0], contacts[c, 1], row(data, c), row(data[:, 3:], c)
                    impulses[c, 0], impulses[c, 1] = _push(
                        solids, state, a, b, at, out, wanted[c], impulses[c, 0], impulses[c, 1]
                    )
            for c in range(made):
                for k in range(2):
                    _add(state.spin, contacts[c, k], row(state.spin, contacts[c, k]), -ROLLING_LOSS * step)
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
        counts[k] = lay_out(points, k, both.shape[k], both.half[k])
        rotate(turn, k, both.turn)
    for k in range(count):
        light[k], lightness[k] = _lightness(int(both.shape[k]), both.half[k])
    balls = both.shape == ELLIPSOID
    x, y, z = both.half.T
    reach = np.where(balls, x, np.sqrt(x * x + y * y + z * z))
    solids = Solids(count, both.shape, both.half, reach, points, counts, light, lightness, both.bounce, both.grip)
    table = np.empty((moments, count, 7))
    state = State(
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
