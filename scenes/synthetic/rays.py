"""Solids as arrays, and what a ray hits first of them.

tables  solids as rows of arrays, of one world at one moment or of many worlds at many moments   (`Tables`)
tree    bounding boxes in depth-first order; `skip` is where to go on when a box is missed, so no stack is needed
walk    two stretches of the tree: of what stands still and of what moves
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from inspatio_gym.scenes.synthetic.shapes import BOX, ELLIPSOID, hit_box, hit_cylinder, hit_ellipsoid, local

# A call hands over every array and counts its references, which costs more than a ray's tests: hence by force.
inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)


class Tables(NamedTuple):
    """Solids as arrays in world units (metres, z up), and trees of boxes around them."""

    shape: NDArray[np.int64]
    """(P,) BOX, ELLIPSOID or CYLINDER (along its z)."""
    rotation: NDArray[np.float64]
    """(P, 3, 3) part-to-world."""
    centre: NDArray[np.float64]
    """(P, 3)"""
    half: NDArray[np.float64]
    """(P, 3) half extents."""
    top: NDArray[np.float64]
    """(P, 2) the size of the top face relative to the bottom one, in x and y; cylinders use the first."""
    opaque: NDArray[np.bool_]
    """(P,) whether it throws a shadow."""
    material: NDArray[np.float64]
    """(P, MATERIAL_WIDTH)"""
    owner: NDArray[np.int32]
    """(P,) object id."""
    low: NDArray[np.float64]
    """(K, 3) corners of the tree's boxes."""
    high: NDArray[np.float64]
    """(K, 3)"""
    skip: NDArray[np.int64]
    """(K,) the node after this one's subtree."""
    leaf: NDArray[np.int64]
    """(K,) a leaf's part, -1 inside the tree."""


@inlined
def nearest(tables, walk, o, d, limit, shadow):
    """The first part hit before t = limit and its t; -1 and limit for none. Shadow rays pass what is not opaque and
    stop at the first thing they meet."""
    best, found = limit, -1
    low, high, skip, leaf = tables.low, tables.high, tables.skip, tables.leaf
    shape, rotation, centre, half, top = tables.shape, tables.rotation, tables.centre, tables.half, tables.top
    ix = 1.0 / d[0] if d[0] != 0 else 1e30
    iy = 1.0 / d[1] if d[1] != 0 else 1e30
    iz = 1.0 / d[2] if d[2] != 0 else 1e30
    for stretch in range(2):
        node, end = walk[2 * stretch], walk[2 * stretch + 1]
        while node < end:
            x0, x1 = (low[node, 0] - o[0]) * ix, (high[node, 0] - o[0]) * ix
            y0, y1 = (low[node, 1] - o[1]) * iy, (high[node, 1] - o[1]) * iy
            z0, z1 = (low[node, 2] - o[2]) * iz, (high[node, 2] - o[2]) * iz
            enter = max(max(min(x0, x1), min(y0, y1)), max(min(z0, z1), 0.0))
            leave = min(min(max(x0, x1), max(y0, y1)), min(max(z0, z1), best))
            if enter > leave:
                node = skip[node]
                continue
            k = leaf[node]
            node += 1
            if k < 0 or (shadow and not tables.opaque[k]):
                continue
            p = local(rotation, k, o[0] - centre[k, 0], o[1] - centre[k, 1], o[2] - centre[k, 2])
            q = local(rotation, k, d[0], d[1], d[2])
            h, taper = (half[k, 0], half[k, 1], half[k, 2]), (top[k, 0], top[k, 1])
            if shape[k] == BOX:
                t = hit_box(p, q, h, taper)
            elif shape[k] == ELLIPSOID:
                t = hit_ellipsoid(p, q, h)
            else:
                t = hit_cylinder(p, q, h, taper)
            if t < best:
                best, found = t, k
                if shadow:
                    return found, best
    return found, best


@inlined
def dome_at(o, d, dome):
    """Where a ray from inside meets the backdrop."""
    x, y, z = o[0] - dome[0], o[1] - dome[1], o[2] - dome[2]
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = x * d[0] + y * d[1] + z * d[2]
    c = x * x + y * y + z * z - dome[3] * dome[3]
    return (-b + math.sqrt(max(0.0, b * b - a * c))) / a
