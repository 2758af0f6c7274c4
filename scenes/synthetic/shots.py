"""Many cameras in many worlds as one set of arrays, which is what the tracer reads, on a CPU or a GPU.

shots = gather([world_a, world_a, world_b], c2w, times_s, intrinsics, samples=1)
rgb, depth, object_id = tracer.trace(shots, size, samples=1)

What stands still in a world is in the arrays once, however many cameras look at it; what moves is there once a shot.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from inspatio_gym.scenes.synthetic.rays import Tables
from inspatio_gym.scenes.synthetic.shading import Light
from inspatio_gym.scenes.synthetic.solids import join
from inspatio_gym.scenes.synthetic.tracer import Shots
from inspatio_gym.scenes.synthetic.world import SyntheticWorld
from inspatio_gym.types import Intrinsics, Poses


def gather(
    worlds: Sequence[SyntheticWorld], c2w: Poses, times_s: ArrayLike, intrinsics: Intrinsics, samples: int
) -> Shots:
    """One shot for each of N worlds (the same one may come again), cameras (N, 4, 4) and moments (N,).

    intrinsics: (3, 3) or (N, 3, 3). Raises ValueError if their numbers differ.
    """
    moments, count = np.asarray(times_s, np.float64), len(worlds)
    if np.shape(c2w) != (count, 4, 4) or moments.shape != (count,):
        raise ValueError(
            f"expected a camera (4, 4) and a moment for each of {count} worlds, got {np.shape(c2w)} and {moments.shape}"
        )
    intrinsics = np.broadcast_to(intrinsics, (count, 3, 3))
    shots_of: dict[int, list[int]] = {}
    for n, world in enumerate(worlds):
        shots_of.setdefault(id(world), []).append(n)
    pieces = [
        worlds[chosen[0]].shots(c2w[chosen], moments[chosen], intrinsics[chosen], samples)
        for chosen in shots_of.values()
    ]
    return take(concatenate(pieces), np.argsort([n for chosen in shots_of.values() for n in chosen]))


def concatenate(pieces: Sequence[Shots]) -> Shots:
    """Shots one after the other, as one set."""
    nodes = np.cumsum([0, *(len(piece.tables.skip) for piece in pieces)])
    counts = [len(piece.walk) for piece in pieces]
    return Shots(
        tables=join([piece.tables for piece in pieces]),
        light=Light._make(np.concatenate(fields) for fields in zip(*(piece.light for piece in pieces), strict=True)),
        walk=np.concatenate([piece.walk for piece in pieces]) + np.repeat(nodes[:-1], counts)[:, None],
        c2w=np.concatenate([piece.c2w for piece in pieces]),
        intrinsics=np.concatenate([piece.intrinsics for piece in pieces]),
    )


def arrays(shots: Shots) -> Iterator[NDArray]:
    """Every array of a set of shots, in a fixed order; `rebuilt` is the inverse."""
    yield from shots.tables
    yield from shots.light
    yield from shots[2:]


def rebuilt(each: Sequence) -> Shots:
    """Shots of arrays in the order of `arrays`, on whatever device they are."""
    tables, light = len(Tables._fields), len(Light._fields)
    return Shots(Tables(*each[:tables]), Light(*each[tables : tables + light]), *each[tables + light :])


def take(shots: Shots, which: NDArray[np.intp]) -> Shots:
    """Some of the shots (N,), in any order; one may come often, and what it shows is in the tables once."""
    return Shots(
        shots.tables,
        Light._make(field[which] for field in shots.light),
        shots.walk[which],
        shots.c2w[which],
        shots.intrinsics[which],
    )
