"""Procedural surfaces: a colour for every point, with detail that a tracker can hold on to at every distance.

A texture maps a point of a surface, (u, v) in metres from the lower left corner of a face of extent (eu, ev), to a
linear RGB reflectance. Each is filtered analytically: (fu, fv) is the width of a pixel on the surface, edges are
averaged over it (box filter) and octaves of noise that are finer than it fade to their mean, so that a far wall is
smooth rather than glittering and two views of it agree. Nothing is stored; all randomness is a hash of integer cells.

A material is a row of `MATERIAL_WIDTH` numbers: pattern, three linear colours, two lengths in metres, seed, glow.
"""

import math

from numba import njit

from inspatio_gym.scenes.synthetic.noise import band, fractal, hashed, hue, inside, mix, scale
from inspatio_gym.scenes.synthetic.surfaces import MARBLE, second

PLAIN, PLASTER, PLANKS, BRICKS, CHECKS, STRIPES, FACADE, ROAD, PICTURE, BOOKS, RUG, LEAVES, BALL, PANES, CAR = range(15)
MATERIAL_WIDTH = 14  # pattern, a (3), b (3), c (3), length_u, length_v, seed, glow

_jit = njit(cache=True, nogil=True, error_model="numpy")


@_jit
def _planks(a, b, c, u, v, fu, fv, width, length, seed):
    """Boards along v: a tint for each, grain stretched along it, dark joints."""
    i = int(math.floor(u / width))
    shift = hashed(i, 7, seed) * length
    j = int(math.floor((v + shift) / length))
    small = math.sqrt(fu * fv)
    tint = hashed(i, j, seed + 1)
    grain = fractal(u / 0.05 + 31 * tint, v / 0.5, seed + 2, small / 0.05)
    knots = fractal(u / 0.16, v / 0.3 + 9 * tint, seed + 3, small / 0.16)
    colour = mix(a, b, 0.15 + 0.3 * tint + 0.35 * grain + 0.2 * knots)
    joint = max(band(u / width, 0.0, 0.03, fu / width), band((v + shift) / length, 0.0, 0.006 / length, fv / length))
    return mix(scale(colour, 0.7 + 0.6 * tint), c, 0.85 * joint)


@_jit
def _bricks(a, b, c, u, v, fu, fv, length, height, seed):
    """Running bond with mortar `c`; large bricks make paving slabs."""
    j = int(math.floor(v / height))
    shifted = u / length + 0.5 * (j & 1)
    i = int(math.floor(shifted))
    small = math.sqrt(fu * fv)
    tint = hashed(i, j, seed)
    grain = fractal(u / 0.09, v / 0.09, seed + 1, small / 0.09)
    stain = fractal(u / 1.7, v / 1.7, seed + 2, small / 1.7)
    colour = scale(mix(a, b, 0.65 * tint + 0.35 * grain), 0.6 + 0.5 * grain + 0.45 * (stain - 0.4))
    gap = 0.012 if length < 0.4 else 0.02
    mortar = max(band(shifted, 0.0, gap / length, fu / length), band(v / height, 0.0, gap / height, fv / height))
    return mix(colour, scale(c, 0.7 + 0.5 * grain), min(1.0, mortar))


@_jit
def _facade(a, b, c, u, v, fu, fv, eu, ev, pitch, storey, seed):
    """A house front: brick or render, a string course a storey, and windows that differ from each other."""
    small = math.sqrt(fu * fv)
    if hashed(3, 5, seed) < 0.6:
        wall = _bricks(a, b, mix(a, (0.5, 0.48, 0.45), 0.6), u, v, fu, fv, 0.5, 0.17, seed)
    else:
        rough = fractal(u / 0.9, v / 0.9, seed + 9, small / 0.9)
        wall = scale(mix(a, b, 0.5 * rough), 0.75 + 0.4 * rough)
    columns = max(1, int((eu - 0.6) / pitch))
    x = (u - 0.5 * (eu - columns * pitch)) / pitch
    y = (v - 0.4) / storey
    floors = int((ev - 0.5) / storey)
    i, j = int(math.floor(x)), int(math.floor(y))
    wall = mix(wall, c, 0.8 * band(y, 0.0, 0.05, fv / storey))
    if i < 0 or i >= columns or j < 0 or j >= floors:
        return wall
    p, q = x - i, y - j
    wu, wv = fu / pitch, fv / storey
    shop = 1.0 if j == 0 else 0.0
    left, right = 0.24 - 0.14 * shop, 0.76 + 0.14 * shop
    low, high = 0.3 - 0.18 * shop, 0.84
    frame = inside(p, left - 0.05, right + 0.05, wu) * inside(q, low - 0.06, high + 0.04, wv)
    glass = inside(p, left, right, wu) * inside(q, low, high, wv)
    bar = max(inside(p, 0.485, 0.515, wu), inside(q, low + 0.28, low + 0.305, wv))
    kind = hashed(i, j, seed + 4)
    shade = 0.35 + 0.65 * fractal(p * 3 + 11 * i, q * 3 + 5 * j, seed + 5, small)
    pane = (0.035 * shade + 0.02, 0.05 * shade + 0.03, 0.075 * shade + 0.05)
    if kind < 0.22:
        pane = scale((0.75, 0.5, 0.24), shade)  # somebody is at home
    elif kind < 0.5:
        pane = mix(pane, (0.55, 0.52, 0.46), inside(q, low + 0.5 * kind, high, wv) * 0.9)  # a blind half down
    elif kind < 0.72:
        drape = inside(p, left, left + 0.13, wu) + inside(p, right - 0.13, right, wu)
        pane = mix(pane, scale(hue(hashed(j, i, seed + 6)), 0.7), drape)
    if shop > 0.5:
        goods = hashed(int(math.floor(p * 11)), i, seed + 31)
        show = inside(q, low, low + 0.2 + 0.25 * goods, wv) * (0.15 + 0.45 * goods)
        pane = mix(pane, scale(mix(hue(goods), (0.5, 0.4, 0.28), 0.6), shade), show)
        sign = inside(q, 0.85, 0.985, wv) * inside(p, 0.04, 0.96, wu)
        letters = hashed(int(math.floor(p * 22)), i, seed + 8)
        ink = 1.0 if letters > 0.45 and 0.16 < p < 0.84 else 0.0
        board = hue(hashed(i, 77, seed))
        ink *= inside(q, 0.885, 0.95, wv)
        wall = mix(wall, mix(scale(board, 0.6), (0.8, 0.78, 0.7), ink), sign)
    pane = mix(pane, scale(c, 0.8), bar * (1.0 - shop))
    return mix(mix(wall, c, frame), pane, glass)


@_jit
def _road(a, b, c, u, v, fu, fv, eu, ev, dash, crossing, seed):
    """Asphalt with patches and cracks; dashes in the middle, edge lines, and a zebra crossing at v = `crossing`."""
    small = math.sqrt(fu * fv)
    fine = fractal(u / 0.07, v / 0.07, seed, small / 0.07)
    coarse = fractal(u / 1.9, v / 1.9, seed + 1, small / 1.9)
    vein = abs(fractal(u / 2.6, v / 2.6, seed + 2, small / 2.6) - 0.5)
    i, j = int(math.floor(u / 2.3)), int(math.floor(v / 5.1))
    patch = 1.0 if hashed(i, j, seed + 3) < 0.2 else 0.0
    patch *= band(u / 2.3, 0.1, 0.8, fu / 2.3) * band(v / 5.1, 0.2, 0.7, fv / 5.1)
    colour = scale(mix(a, b, 0.55 * fine + 0.45 * coarse), 0.6 + 0.7 * fine)
    colour = scale(colour, (1.0 - 0.32 * patch) * (1.0 - 0.4 * max(0.0, 1.0 - vein / 0.012)))
    worn = 0.35 + 0.65 * fractal(u / 0.4, v / 0.4, seed + 4, small / 0.4)
    middle = inside(u, 0.5 * eu - 0.09, 0.5 * eu + 0.09, fu) * band(v / dash, 0.0, 0.45, fv / dash)
    edges = inside(u, 2.25, 2.37, fu) + inside(u, eu - 2.37, eu - 2.25, fu)
    zebra = inside(v, crossing, crossing + 3.0, fv)
    bars = zebra * band(u / 1.0, 0.0, 0.5, fu)
    stop = inside(v, crossing - 1.6, crossing - 1.2, fv) * inside(u, 0.5 * eu, eu - 2.3, fu)
    paint = max((1.0 - zebra) * max(middle, edges), max(bars, stop))
    return mix(colour, c, 0.92 * worn * paint)


@_jit
def _picture(a, b, c, u, v, fu, fv, eu, ev, seed):
    """A framed abstract painting: a horizon, some discs and slanted strokes."""
    border = 0.05
    edge = min(min(u, eu - u), min(v, ev - v))
    if edge < border:
        return scale(c, 0.8 + 0.5 * (edge / border))
    if edge < border + 0.04:
        return 0.72, 0.7, 0.65
    x, y = u / ev, v / ev
    w = max(fu, fv) / ev
    ground = 0.25 + 0.3 * hashed(1, 1, seed) + 0.1 * fractal(x * 3, 0.5, seed + 1, w * 3)
    sky = mix(a, b, min(1.0, max(0.0, (y - ground) / (1 - ground))))
    colour = mix(scale(hue(hashed(2, 1, seed)), 0.8), sky, min(1.0, max(0.0, 0.5 + (y - ground) / (w + 0.01))))
    for k in range(5):
        px, py = hashed(k, 2, seed) * eu / ev, 0.15 + 0.7 * hashed(k, 3, seed)
        radius = 0.06 + 0.13 * hashed(k, 4, seed)
        dx, dy = x - px, y - py
        if k & 1:
            slant = 0.7 * (hashed(k, 5, seed) - 0.5)
            distance = max(abs(dx - slant * dy) - 0.3 * radius, abs(dy) - 2.2 * radius)
        else:
            distance = math.sqrt(dx * dx + dy * dy) - radius
        cover = min(1.0, max(0.0, 0.5 - distance / (w + 0.004)))
        colour = mix(colour, hue(hashed(k, 6, seed)), cover)
    return scale(colour, 0.75 + 0.4 * fractal(u / 0.08, v / 0.08, seed + 7, w * ev / 0.08))


@_jit
def _books(a, b, c, u, v, fu, fv, eu, ev, thickness, seed):
    """A row of spines of different colour, thickness and height before a dark back."""
    wide = 4.0 * thickness
    group = int(math.floor(u / wide))
    split = 0.2 + 0.3 * hashed(group, 1, seed), 0.6 + 0.2 * hashed(group, 2, seed)
    x = u / wide - group
    if x < split[0]:
        k, low, high = 0, 0.0, split[0]
    elif x < split[1]:
        k, low, high = 1, split[0], split[1]
    else:
        k, low, high = 2, split[1], 1.0
    h = hashed(group, 10 + k, seed)
    top = ev * (0.62 + 0.33 * hashed(group, 20 + k, seed))
    spine = scale(mix(hue(h), (0.34, 0.26, 0.2), 0.45), 0.35 + 0.75 * hashed(group, 30 + k, seed))
    rel = (x - low) / (high - low)
    spine = scale(spine, 0.45 + 0.75 * math.sin(math.pi * min(0.97, max(0.03, rel))))
    label = inside(v, 0.62 * top, 0.8 * top, fv) + inside(v, 0.1 * top, 0.14 * top, fv)
    spine = mix(spine, (0.75, 0.65, 0.4), 0.7 * label * (0.15 < rel < 0.85))
    return mix(scale(c, 0.3), spine, inside(v, -1.0, top, fv))


@_jit
def _rug(a, b, c, u, v, fu, fv, eu, ev, seed):
    """A woven carpet: borders and a lattice of diamonds."""
    w = max(fu, fv)
    edge = min(min(u, eu - u), min(v, ev - v))
    border = inside(edge, 0.06, 0.12, w) + inside(edge, 0.2, 0.23, w)
    p, q = (u - eu / 2) / 0.34, (v - ev / 2) / 0.34
    s = abs(p - math.floor(p) - 0.5) + abs(q - math.floor(q) - 0.5)
    ring = inside(s, 0.34, 0.46, w / 0.34) + inside(s, 0.0, 0.16, w / 0.34)
    cell = hashed(int(math.floor(p)), int(math.floor(q)), seed)
    field = mix(a, mix(b, c, cell), ring if edge > 0.23 else 0.0)
    weave = fractal(u / 0.03, v / 0.03, seed + 1, w / 0.03)
    return scale(mix(field, c, min(1.0, border)), 0.65 + 0.6 * weave)


@_jit
def _car(a, b, c, u, v, fu, fv, eu, ev, seed):
    """Painted sheet metal: door gaps, a sill, lamps at the ends of a narrow face."""
    shade = 0.8 + 0.3 * fractal(u / 0.5, v / 0.35, seed, max(fu, fv) / 0.4)
    colour = scale(a, shade)
    sill = inside(v, -1.0, 0.16 * ev, fv) + inside(v, 0.62 * ev, 0.66 * ev, fv)
    if eu > 2.6:
        gap = inside(u, 0.36 * eu, 0.367 * eu, fu) + inside(u, 0.62 * eu, 0.627 * eu, fu)
        handle = inside(v, 0.7 * ev, 0.76 * ev, fv) * (
            inside(u, 0.4 * eu, 0.44 * eu, fu) + inside(u, 0.65 * eu, 0.69 * eu, fu)
        )
        return mix(mix(colour, (0.02, 0.02, 0.02), min(1.0, sill + gap)), (0.5, 0.5, 0.5), handle)
    lamp = (inside(u, 0.06 * eu, 0.24 * eu, fu) + inside(u, 0.76 * eu, 0.94 * eu, fu)) * inside(
        v, 0.5 * ev, 0.78 * ev, fv
    )
    plate = inside(u, 0.38 * eu, 0.62 * eu, fu) * inside(v, 0.3 * ev, 0.46 * ev, fv)
    letters = hashed(int(u / 0.05), 3, seed) * 0.7
    colour = mix(mix(colour, (0.02, 0.02, 0.02), sill), b, min(1.0, lamp))
    return mix(colour, (0.75 - letters, 0.75 - letters, 0.6 - 0.8 * letters), plate)


@_jit
def _panes(a, b, c, u, v, fu, fv, eu, ev, seed):
    """A window seen from inside: sky over a soft hedge, behind bars."""
    frame = 0.05
    colour = mix(a, b, min(1.0, max(0.0, (v / ev - 0.35) / 0.5)))
    hedge = 0.3 + 0.25 * fractal(u / 0.5, 0.3, seed, fu / 0.5)
    leaf = fractal(u / 0.12, v / 0.12, seed + 1, max(fu, fv) / 0.12)
    colour = mix(colour, (0.10 + 0.12 * leaf, 0.2 + 0.25 * leaf, 0.07), inside(v / ev, -1.0, hedge, fv / ev + 0.03))
    bars = 1.0 - inside(u, frame, eu - frame, fu) * inside(v, frame, ev - frame, fv)
    bars = max(bars, inside(u, 0.5 * eu - 0.02, 0.5 * eu + 0.02, fu))
    return mix(colour, c, max(bars, inside(v, 0.6 * ev - 0.02, 0.6 * ev + 0.02, fv)))


@_jit
def _ball(a, b, c, p, f, seed):
    """Sectors around the z axis with a band at the equator; p on the unit sphere."""
    turn = (math.atan2(p[1], p[0]) / 6.2832 + 0.5) * 3.0
    colour = mix(mix(a, b, band(turn, 0.0, 0.5, 0.5 * f)), c, inside(abs(p[2]), 0.86, 2.0, f))
    colour = mix(colour, c, inside(abs(p[2]), -1.0, 0.09, f))
    return scale(colour, 0.75 + 0.4 * fractal(p[0] * 5 + p[2] * 3, p[1] * 5 - p[2] * 4, seed, 5 * f))


@_jit
def _leaves(a, b, c, p, f, grain, seed):
    """Foliage: clumps of light and shade in three dimensions; p in metres."""
    x, y, z, w = p[0] / grain, p[1] / grain, p[2] / grain, f / grain
    n = fractal(x + 0.6 * z, y + 0.5 * z, seed, w) + fractal(y - 0.4 * x, z + 0.3 * x, seed + 9, w)
    n = min(1.0, max(0.0, 0.45 + 1.7 * (0.5 * n - 0.5)))
    return mix(mix(scale(a, 0.6), b, n), c, max(0.0, 1.6 * (n - 0.66)))


@_jit
def reflectance(materials, k, u, v, fu, fv, eu, ev, p, unit):
    """The linear RGB reflectance of the k-th row of materials at (u, v) of a face (eu, ev), pixel widths (fu, fv), in metres.

    p is the point in the part's own frame in metres, `unit` the same with the half extents divided out; round patterns
    use those instead of (u, v).
    """
    pattern, seed = int(materials[k, 0]), int(materials[k, 12])
    a = (materials[k, 1], materials[k, 2], materials[k, 3])
    b = (materials[k, 4], materials[k, 5], materials[k, 6])
    c = (materials[k, 7], materials[k, 8], materials[k, 9])
    lu, lv = materials[k, 10], materials[k, 11]
    small = math.sqrt(fu * fv)
    if pattern == PLASTER:
        rough = fractal(u / lu, v / lv, seed, small / lu)
        return scale(
            mix(a, b, rough), 0.8 + 0.4 * fractal(u / (0.13 * lu), v / (0.13 * lv), seed + 7, small / (0.13 * lu))
        )
    if pattern == PLANKS:
        return _planks(a, b, c, u, v, fu, fv, lu, lv, seed)
    if pattern == BRICKS:
        return _bricks(a, b, c, u, v, fu, fv, lu, lv, seed)
    if pattern in (CHECKS, STRIPES):
        s, t = band(u / lu, 0.0, 0.5, fu / lu), band(v / lv, 0.0, 0.5, fv / lv)
        fine = fractal(u / 0.07, v / 0.07, seed, small / 0.07)
        share = s * (1 - t) + t * (1 - s) if pattern == CHECKS else s
        trim = band(u / lu, 0.22, 0.28, fu / lu) if pattern == STRIPES else 0.0
        return scale(mix(mix(a, b, share), c, trim), 0.7 + 0.5 * fine)
    if pattern == FACADE:
        return _facade(a, b, c, u, v, fu, fv, eu, ev, lu, lv, seed)
    if pattern == ROAD:
        return _road(a, b, c, u, v, fu, fv, eu, ev, lu, lv, seed)
    if pattern == PICTURE:
        return _picture(a, b, c, u, v, fu, fv, eu, ev, seed)
    if pattern == BOOKS:
        return _books(a, b, c, u, v, fu, fv, eu, ev, lu, seed)
    if pattern == RUG:
        return _rug(a, b, c, u, v, fu, fv, eu, ev, seed)
    if pattern == CAR:
        return _car(a, b, c, u, v, fu, fv, eu, ev, seed)
    if pattern == PANES:
        return _panes(a, b, c, u, v, fu, fv, eu, ev, seed)
    if pattern == BALL:
        return _ball(a, b, c, unit, max(fu, fv) / max(0.02, 0.5 * ev), seed)
    if pattern == LEAVES:
        return _leaves(a, b, c, p, small, lu, seed)
    if pattern >= MARBLE:
        return second(pattern, a, b, c, u, v, fu, fv, lu, lv, seed)
    return a


@_jit
def backdrop(d, zenith, horizon, glow, seed):
    """The dome's linear RGB in unit direction d (z up): a gradient, clouds, wooded hills on the horizon, a glow."""
    up = d[2]
    colour = mix(horizon, zenith, min(1.0, max(0.0, up)) ** 0.6)
    if up > 0.02:
        x, y = d[0] / (up + 0.25) * 1.7, d[1] / (up + 0.25) * 1.7
        cloud = fractal(x, y, seed, 0.02 / (up + 0.1))
        shade = fractal(x + 0.15, y + 0.1, seed, 0.02 / (up + 0.1))
        cover = min(1.0, max(0.0, (cloud - 0.48) * 3.5)) * min(1.0, up * 8)
        colour = mix(colour, mix((0.95, 0.93, 0.9), (0.55, 0.58, 0.66), shade), 0.85 * cover)
    facing = max(0.0, d[0] * glow[0] + d[1] * glow[1] + d[2] * glow[2])
    colour = mix(colour, (1.0, 0.9, 0.7), 0.7 * facing**24)
    angle = math.atan2(d[1], d[0])
    for ridge in range(2):
        height = 0.05 - 0.035 * ridge + 0.11 * (fractal(angle * 3, 3.3 + ridge, seed + 20 + ridge, 0.01) - 0.3)
        tree = fractal(angle * 60, up * 60, seed + 30, 0.1)
        hill = mix((0.2, 0.28, 0.36), (0.07 + 0.1 * tree, 0.14 + 0.12 * tree, 0.06), 0.35 + 0.5 * ridge)
        colour = mix(colour, hill, min(1.0, max(0.0, 0.5 + (height - up) / 0.004)))
    return colour
