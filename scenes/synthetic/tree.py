"""A tree of boxes around solids, so that a ray need not try them all.

    low, high (P, 3)  corners of the boxes of P solids  ->  2 P - 1 nodes in depth-first order, see `rays.Tables`

A set of boxes is split where the surface area times the number of members of both halves is least, down to one each.

Ref: Goldsmith and Salmon, Automatic creation of object hierarchies for ray tracing, 1987.
"""

import numpy as np
from numba import njit

_jit = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
_NOTHING = (np.inf, np.inf, np.inf, -np.inf, -np.inf, -np.inf)


@_jit
def _around(box, low, high, k):
    """A box (x0, y0, z0, x1, y1, z1) grown around the k-th."""
    return (
        min(box[0], low[k, 0]), min(box[1], low[k, 1]), min(box[2], low[k, 2]),
        max(box[3], high[k, 0]), max(box[4], high[k, 1]), max(box[5], high[k, 2]),
    )  # fmt: skip


@_jit
def _area(box):
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x


@_jit
def _halve(low, high, members):
    """Order `members` so that the best two halves lie one after the other; return how many the first has."""
    count = len(members)
    best, size, chosen = np.inf, 1, members
    first, middle = np.empty(count), np.empty(count)
    for axis in range(3):
        for k in range(count):
            middle[k] = low[members[k], axis] + high[members[k], axis]
        order = members[np.argsort(middle, kind="mergesort")]
        box = _NOTHING
        for k in range(count):
            box = _around(box, low, high, order[k])
            first[k] = _area(box) * (k + 1)
        box = _NOTHING
        cheapest, where = np.inf, 0
        for k in range(count - 1, 0, -1):
            box = _around(box, low, high, order[k])
            cost = first[k - 1] + _area(box) * (count - k)
            if cost <= cheapest:
                cheapest, where = cost, k
        if cheapest < best:
            best, size, chosen = cheapest, where, order
    for k in range(count):
        members[k] = chosen[k]
    return size


@njit(cache=True, nogil=True)
def trees(low, high, count):
    """`count` trees one after the other, each around as many of the boxes (P, 3), in order."""
    each = len(low) // count
    nodes = max(0, 2 * each - 1)
    node_low, node_high = np.empty((count * nodes, 3)), np.empty((count * nodes, 3))
    skip, leaf = np.empty(count * nodes, np.int64), np.empty(count * nodes, np.int64)
    todo = np.empty((each + 1, 3), np.int64)  # from and to of a set of members, and the place of its node
    for tree in range(count):
        members = np.arange(tree * each, (tree + 1) * each)
        todo[0, 0], todo[0, 1], todo[0, 2] = 0, each, tree * nodes
        open_sets = 1 if each else 0
        while open_sets:
            open_sets -= 1
            first, last, place = todo[open_sets]
            inside = members[first:last]
            box = _NOTHING
            for k in inside:
                box = _around(box, low, high, k)
            for axis in range(3):
                node_low[place, axis], node_high[place, axis] = box[axis], box[3 + axis]
            skip[place] = place + 2 * (last - first) - 1
            leaf[place] = inside[0] if last - first == 1 else -1
            if last - first > 1:
                half = first + _halve(low, high, inside)
                for start, end, node in ((half, last, place + 2 * (half - first)), (first, half, place + 1)):
                    todo[open_sets, 0], todo[open_sets, 1], todo[open_sets, 2] = start, end, node
                    open_sets += 1
    return node_low, node_high, skip, leaf
