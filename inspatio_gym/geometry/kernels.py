"""Novel views by a z-buffer of points and a backward look-up of colour: the numba kernels under the warp world.

A view of a frame from another camera is made in two passes. Forward (`splat`): every source pixel (x, y) of depth d
lands at

    z (u, v, 1) = d M (x, y, 1) + b        M = K R K^-1,  b = K t,  (R, t) = source camera -> target camera

and leaves its z in the target pixels of its footprint, the nearest z winning. Backward (`resolve`): every target pixel
takes its z through the inverse map into the source frame and samples colour there bilinearly, so pictures stay sharp
however the footprints overlap. The surface found there gives a better z.

A footprint reaches half way to each neighbour on the same surface plus a quarter of a pixel, and half its own width
where the surface ends. That leaves no cracks, keeps rims where they are, and under the identity a point covers its own
pixel alone, which makes the identity exact.

    layer       depth float32, rgbx uint32 (H + 2, W): rows 0..H-1 and two copies of the last, so that the corners of a
                bilinear cell need no bounds checks; depth 0 where there is no point; rgbx = red | green << 8 | blue << 16
    chunks      float32 (H, ceil(W / CHUNK), 2): least and greatest depth of CHUNK pixels of a row, 0 0 where empty
    z-buffer    float32 (H + 2, W + 2): pixel (x, y) at [y + 1, x + 1], EMPTY where nothing landed
    plan        int64 (2, 6), of the front and the back layer: height, width, first pixel and first chunk in a slot's
                flat arrays, rows and columns of padding before the frame's own first pixel
    camera      float32 (25,): M (9), b (3), the same of the inverse map, and how much a roll widens footprints

Numerics. Maps are composed in float64 and applied in float32. The only reduction is a minimum, which commutes: results
are bit-equal however rows are split over threads. Points behind the camera, outside the view or nowhere (a pose of
NaN) fall into the border of the z-buffer; nothing is written out of bounds.

Speed. Loops run over rows in stages, each over flat buffers with one kind of work, because that is what LLVM turns
into vector code; the scattered minimum is the one loop that stays scalar.

One file on purpose: of what a cached function calls, numba notices changes in the function's own file only. After a
change in `inpaint`, clear `__pycache__`.

Ref: layers after Shade et al., "Layered depth images" (SIGGRAPH 1998).
"""

import numpy as np
from numba import njit

from inspatio_gym.geometry.inpaint import fill, pyramid_levels

EMPTY = np.float32(1e30)  # z of a pixel that nothing covers
NEAR = np.float32(1e-3)  # scene units; closer points are behind the lens
JOINED = np.float32(1.1)  # neighbouring pixels whose depths differ by less than this factor lie on one surface
ALIKE = np.float32(0.1)  # a pixel whose depth is off by less than this fraction shows the surface we look for
STRETCH = np.float32(16.0)  # pixels; a surface torn further apart than this shows holes
CLEARLY = np.float32(1.05)  # the background covers the frame's own surface only when nearer by this factor
BESIDE = np.float32(0.96)  # background behind a moving pixel may be this close, over 1 / CLEARLY: where it stands
TIE = np.float32(0.97)  # a later contributor replaces an earlier one only when nearer by this factor
CRACK = np.float32(1.05)  # a gap between two pixels this close in depth is a crack in one surface
SETTLED = np.float32(1e-3)  # a z this close to the surface, as a fraction, lies on it
SETTLE_ROUNDS = 8  # a plane needs two
CHUNK = 32  # pixels of a row that are skipped together when empty or out of view

_FRONT, _BACK, _TOP = np.int64(0), np.int64(1), np.int64(0)  # layers, a row; for literal numbers numba compiles anew
_AFTER = np.uint64(1)  # indices are unsigned, which spares a test for negative ones and lets loops vectorise
_ZERO, _HALF, _ONE, _TWO, _QUARTER = (np.float32(k) for k in (0, 0.5, 1, 2, 0.25))


@njit(cache=True, nogil=True, error_model="numpy")
def relate(source, target, source_pinhole, target_pinhole, camera):
    """Fill `camera` with the map from the source image into the target image, and back.

    source, target: float64 (4, 4) rigid c2w; pinholes: float64 (4,) fx, fy, cx, cy.
    """
    rows = np.empty((3, 4))
    for way in range(2):
        a, b = (source, target) if way == 0 else (target, source)
        p, q = (source_pinhole, target_pinhole) if way == 0 else (target_pinhole, source_pinhole)
        for i in range(3):
            r0 = b[0, i] * a[0, 0] + b[1, i] * a[1, 0] + b[2, i] * a[2, 0]
            r1 = b[0, i] * a[0, 1] + b[1, i] * a[1, 1] + b[2, i] * a[2, 1]
            r2 = b[0, i] * a[0, 2] + b[1, i] * a[1, 2] + b[2, i] * a[2, 2]
            rows[i, 0] = r0 / p[0]
            rows[i, 1] = r1 / p[1]
            rows[i, 2] = r2 - r0 * p[2] / p[0] - r1 * p[3] / p[1]
            rows[i, 3] = b[0, i] * (a[0, 3] - b[0, 3]) + b[1, i] * (a[1, 3] - b[1, 3]) + b[2, i] * (a[2, 3] - b[2, 3])
            if way == 0 and i == 0:
                across = abs(r0)
            if way == 0 and i == 1:
                camera[24] = 1 + min(abs(r0) / max(across, 1e-3), 1.0)
        base = 12 * way
        for j in range(4):
            at = base + j if j < 3 else base + 9
            step = 3 if j < 3 else 1
            camera[at] = q[0] * rows[0, j] + q[2] * rows[2, j]
            camera[at + step] = q[1] * rows[1, j] + q[3] * rows[2, j]
            camera[at + 2 * step] = rows[2, j]


@njit(cache=True, nogil=True, error_model="numpy")
def chunk_ranges(depth, plan, layer, chunks):
    """Least and greatest depth of every chunk of a layer's rows; see the module's docstring."""
    height, width, start, at = plan[layer, 0], plan[layer, 1], plan[layer, 2], plan[layer, 3]
    for y in range(height):
        for x0 in range(0, width, CHUNK):
            least, most = EMPTY, _ZERO
            for x in range(x0, min(x0 + CHUNK, width)):
                d = depth[start + y * width + x]
                if d > _ZERO:
                    least, most = min(least, d), max(most, d)
            chunks[at, 0] = least if most > _ZERO else _ZERO
            chunks[at, 1] = most
            at += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _in_view(x0, x1, y, least, most, camera, right, bottom):
    """Whether the points of a row between columns x0 and x1, depths least..most, may land in a view.

    The four corners bound them all: they span a flat quadrilateral, which stays one under projection.
    """
    above = below = before = behind = 0
    for k in range(4):
        x = np.float32(x0 if k & 1 else x1)
        d = least if k & 2 else most
        z = d * (camera[6] * x + camera[7] * y + camera[8]) + camera[11]
        if not z > NEAR:
            return True
        u = d * (camera[0] * x + camera[1] * y + camera[2]) + camera[9]
        v = d * (camera[3] * x + camera[4] * y + camera[5]) + camera[10]
        before += u < -STRETCH * z
        behind += u > (right + STRETCH) * z
        above += v < -STRETCH * z
        below += v > (bottom + STRETCH) * z
    return before < 4 and behind < 4 and above < 4 and below < 4


@njit(cache=True, nogil=True, error_model="numpy")
def _project(depth, start, y, first, last, camera, us, vs, zs, ds):
    """Project pixels first..last-1 of row y into buffers shifted by one; depth 0 marks what cannot be seen."""
    row, p = np.float32(y), y & 1
    m0, m3, m6 = camera[0], camera[3], camera[6]
    r0 = camera[1] * row + camera[2]
    r1 = camera[4] * row + camera[5]
    r2 = camera[7] * row + camera[8]
    b0, b1, b2 = camera[9], camera[10], camera[11]
    for x in range(np.uint64(first), np.uint64(last)):
        column = np.float32(np.int64(x))
        d = depth[np.uint64(start) + x]
        z = d * (m6 * column + r2) + b2
        seen = z > NEAR and d > _ZERO
        inverse = _ONE / (z if seen else _ONE)
        us[p, x + _AFTER] = (d * (m0 * column + r0) + b0) * inverse
        vs[p, x + _AFTER] = (d * (m3 * column + r1) + b1) * inverse
        zs[p, x + _AFTER] = z if seen else EMPTY
        ds[p, x + _AFTER] = d if seen else _ZERO


@njit(cache=True, nogil=True, error_model="numpy")
def _steps(first, last, p, q, shift, at, ds, steps):
    """How far pixels [p, x] and [q, x + np.uint64(shift)] landed apart; -1 where they are not of one surface."""
    for x in range(np.uint64(first), np.uint64(last)):
        a, b = ds[p, x], ds[q, x + np.uint64(shift)]
        step = abs(at[p, x] - at[q, x + np.uint64(shift)])
        joined = a < b * JOINED and b < a * JOINED
        steps[p, x] = step if joined else -_ONE


@njit(cache=True, nogil=True, error_model="numpy")
def _reach(step, own, shear):
    """How far a footprint reaches towards a neighbour that landed `step` pixels away, or -1 beyond which the surface ends."""
    stretch = step if step >= _ZERO else own
    stretch = stretch if stretch < STRETCH else STRETCH
    half = _HALF * stretch
    plain, rolled = half + (_QUARTER if step >= _ZERO else _ZERO), half * shear + np.float32(0.05)
    half = plain if plain > rolled else rolled
    return half if half > _HALF else _HALF


@njit(cache=True, nogil=True, error_model="numpy")
def _inside(value, bound):
    """Round down into 0..bound; comparisons with NaN are false, so it ends in there whatever the pose."""
    value = value if value > _ZERO else _ZERO
    return np.int32(value if value < bound else bound)


@njit(cache=True, nogil=True, error_model="numpy")
def _footprints(first, last, p, us, vs, zs, ds, across, down, shear, stride, bound_x, bound_y, corner, wide, high):
    """First cell, further columns and further rows of each point's footprint; returns the greatest of the latter two."""
    most = np.int32(0)
    for x in range(np.uint64(first), np.uint64(last)):
        u, v, z = us[p, x], vs[p, x], zs[p, x]
        own = ds[p, x] / z
        i0 = _inside(u - _reach(across[p, x - _AFTER], own, shear) + _TWO, bound_x)
        i1 = _inside(u + _reach(across[p, x], own, shear) + _ONE, bound_x)
        j0 = _inside(v - _reach(down[1 - p, x], own, shear) + _TWO, bound_y)
        j1 = _inside(v + _reach(down[p, x], own, shear) + _ONE, bound_y)
        corner[x] = j0 * stride + i0
        columns, rows = i1 - i0, j1 - j0
        columns = columns if columns > 0 else np.int32(0)
        rows = rows if rows > 0 else np.int32(0)
        wide[x] = columns
        high[x] = rows
        most = max(most, max(columns, rows))
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def _scatter(first, last, p, most, zs, corner, wide, high, stride, cells):
    """Leave the nearest z in the cells of each footprint."""
    if most <= 1:  # one to four cells: four minima, some of them twice, without a branch
        for x in range(np.uint64(first), np.uint64(last)):
            z = zs[p, x]
            a = np.uint64(np.uint32(corner[x]))
            b = a + np.uint64(np.uint32(wide[x]))
            down = np.uint64(np.uint32(high[x])) * np.uint64(stride)
            c, d = a + down, b + down
            za, zb, zc, zd = cells[a], cells[b], cells[c], cells[d]
            cells[a] = z if z < za else za
            cells[b] = z if z < zb else zb
            cells[c] = z if z < zc else zc
            cells[d] = z if z < zd else zd
    else:
        for x in range(np.uint64(first), np.uint64(last)):
            z = zs[p, x]
            if z < EMPTY:
                for j in range(high[x] + 1):
                    start = corner[x] + j * stride
                    for i in range(start, start + wide[x] + 1):
                        a = np.uint64(i)
                        cells[a] = min(cells[a], z)


@njit(cache=True, nogil=True, error_model="numpy")
def splat(depth, chunks, plan, layer, camera, first, last, zbuffer):
    """Leave the z of a layer's rows first..last-1 in `zbuffer`, whose border is left dirty."""
    height, width, start, at = plan[layer, 0], plan[layer, 1], plan[layer, 2], plan[layer, 3]
    stride = np.int32(zbuffer.shape[1])
    right, bottom = np.float32(zbuffer.shape[1] - 3), np.float32(zbuffer.shape[0] - 3)
    bound_x, bound_y = np.float32(zbuffer.shape[1] - 1), np.float32(zbuffer.shape[0] - 1)
    cells = zbuffer.reshape(-1)
    shear = camera[24]
    us, vs, zs, ds, across, down = (
        np.zeros((2, width + 2), np.float32),
        np.zeros((2, width + 2), np.float32),
        np.zeros((2, width + 2), np.float32),
        np.zeros((2, width + 2), np.float32),
        np.full((2, width + 2), -_ONE),
        np.full((2, width + 2), -_ONE),
    )
    corner, wide, high = (np.zeros(width + 2, np.int32), np.zeros(width + 2, np.int32), np.zeros(width + 2, np.int32))
    across_chunks = (width + CHUNK - 1) // CHUNK
    active = np.zeros((2, across_chunks), np.bool_)
    for y in range(max(first - 1, 0), last + 1):
        # Project row y, after which row y - 1 knows its neighbours on all sides. Even rows lie at [0], odd ones at [1].
        q, p = y & 1, 1 - (y & 1)
        for c in range(across_chunks):
            x0, x1 = c * CHUNK, min(c * CHUNK + CHUNK, width)
            active[q, c] = False
            if y < height:
                least, most = chunks[at + y * across_chunks + c, 0], chunks[at + y * across_chunks + c, 1]
                active[q, c] = most > _ZERO and _in_view(x0, x1 - 1, np.float32(y), least, most, camera, right, bottom)
            if active[q, c]:
                _project(depth, start + y * width, y, x0, x1, camera, us, vs, zs, ds)
            else:
                ds[q, x0 + 1 : x1 + 1] = 0
        _steps(1, width + 1, p, q, 0, vs, ds, down)
        if y <= first:
            continue
        _steps(1, width, p, p, 1, us, ds, across)
        for c in range(across_chunks):
            if active[p, c]:
                x0, x1 = c * CHUNK + 1, min(c * CHUNK + CHUNK, width) + 1
                most_cells = _footprints(
                    x0, x1, p, us, vs, zs, ds, across, down, shear, stride, bound_x, bound_y, corner, wide, high
                )
                _scatter(x0, x1, p, most_cells, zs, corner, wide, high, stride, cells)


@njit(cache=True, nogil=True, error_model="numpy")
def clear_border(zbuffer):
    """Empty the border, where points outside the view were left."""
    zbuffer[0, :] = EMPTY
    zbuffer[-1, :] = EMPTY
    zbuffer[:, 0] = EMPTY
    zbuffer[:, -1] = EMPTY


@njit(cache=True, nogil=True, error_model="numpy")
def _bridge(z, left, right, above, below):
    """z, or where it is EMPTY the mean of two opposite neighbours on one surface: a crack between them."""
    across = left < EMPTY and right < EMPTY and left < right * CRACK and right < left * CRACK
    along = above < EMPTY and below < EMPTY and above < below * CRACK and below < above * CRACK
    bridge = _HALF * (left + right) if across else (_HALF * (above + below) if along else EMPTY)
    return z if z < EMPTY else bridge


@njit(cache=True, nogil=True, error_model="numpy")
def _choose(front_z, back_z, y, width, zs, kinds):
    """Per pixel of row y the surface seen: its z, and 0 for the front layer, 1 for the back, 2 for none."""
    for x in range(width):
        near = _bridge(
            front_z[y + 1, x + 1], front_z[y + 1, x], front_z[y + 1, x + 2], front_z[y, x + 1], front_z[y + 2, x + 1]
        )
        far = _bridge(
            back_z[y + 1, x + 1], back_z[y + 1, x], back_z[y + 1, x + 2], back_z[y, x + 1], back_z[y + 2, x + 1]
        )
        # A crack in the background is no crack where the frame shows what lies there.
        front = near < EMPTY and near <= back_z[y + 1, x + 1] * CLEARLY
        z = near if front else far
        zs[x] = z
        kinds[y, x] = 0 if front else (1 if z < EMPTY else 2)


@njit(cache=True, nogil=True, error_model="numpy")
def _byte(word, shift):
    return np.float32(np.int32((word >> np.uint32(shift)) & np.uint32(255)))


@njit(cache=True, nogil=True, error_model="numpy")
def _word(value, shift):
    return np.uint32(np.int32(value + _HALF)) << np.uint32(shift)


@njit(cache=True, nogil=True, error_model="numpy")
def resolve(front_z, back_z, depth, rgbx, plan, cameras, first, last, words, out_z, kinds):
    """Shade target rows first..last-1 from the two layers' z-buffers.

    words: uint32 (H, W) colours. out_z: float32 (H, W), EMPTY where nothing is seen. kinds: uint8 (H, W) as `_choose`.
    """
    width = out_z.shape[1]
    cell = np.empty(width, np.int32)
    fx, fy, want = np.empty(width, np.float32), np.empty(width, np.float32), np.empty(width, np.float32)
    d0, d1, d2, d3 = (
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
        np.empty(width, np.float32),
    )
    c0, c1, c2, c3 = (
        np.empty(width, np.uint32),
        np.empty(width, np.uint32),
        np.empty(width, np.uint32),
        np.empty(width, np.uint32),
    )
    zs = np.empty(width, np.float32)
    for y in range(first, last):
        _choose(front_z, back_z, y, width, zs, kinds)
        row = np.float32(y)
        run = 0
        while run < width:  # a run of pixels of one layer
            kind = kinds[y, run]
            x0 = np.uint64(run)
            while run < width and kinds[y, run] == kind:
                run += 1
            x1 = np.uint64(run)
            if kind == 2:
                for x in range(x0, x1):
                    words[y, x] = 0
                    out_z[y, x] = EMPTY
                continue
            stride, start = np.int32(plan[kind, 1]), np.int32(plan[kind, 2])
            right, bottom = np.float32(plan[kind, 1] - 1), np.float32(plan[kind, 0] - 1)
            one_right, one_down = np.uint64(1), np.uint64(stride)
            b2 = cameras[kind, 11]
            i0, i3, i6 = cameras[kind, 12], cameras[kind, 15], cameras[kind, 18]
            r0 = cameras[kind, 13] * row + cameras[kind, 14]
            r1 = cameras[kind, 16] * row + cameras[kind, 17]
            r2 = cameras[kind, 19] * row + cameras[kind, 20]
            t0, t1, t2 = cameras[kind, 21], cameras[kind, 22], cameras[kind, 23]
            for x in range(x0, x1):  # where in the layer
                column = np.float32(np.int64(x))
                z = zs[x]
                d = z * (i6 * column + r2) + t2
                d = d if d > NEAR else NEAR
                inverse = _ONE / d
                sx = (z * (i0 * column + r0) + t0) * inverse
                sy = (z * (i3 * column + r1) + t1) * inverse
                sx = sx if sx > _ZERO else _ZERO
                sy = sy if sy > _ZERO else _ZERO
                sx = sx if sx < right else right
                sy = sy if sy < bottom else bottom
                ix, iy = np.int32(sx), np.int32(sy)
                cell[x] = start + iy * stride + ix
                fx[x] = sx - np.float32(ix)
                fy[x] = sy - np.float32(iy)
                want[x] = d
            for x in range(x0, x1):  # the depths around it
                a = np.uint64(np.uint32(cell[x]))
                d0[x], d1[x] = depth[a], depth[a + one_right]
                a += one_down
                d2[x], d3[x] = depth[a], depth[a + one_right]
            for x in range(x0, x1):  # bilinear weights of those on the surface we look for
                d, u, v = want[x], fx[x], fy[x]
                p0, p1, p2, p3 = d0[x], d1[x], d2[x], d3[x]
                w3 = u * v
                w1, w2 = u - w3, v - w3
                w0 = _ONE - u - w2
                slack = d * ALIKE
                w0 = w0 if abs(p0 - d) < slack else _ZERO
                w1 = w1 if abs(p1 - d) < slack else _ZERO
                w2 = w2 if abs(p2 - d) < slack else _ZERO
                w3 = w3 if abs(p3 - d) < slack else _ZERO
                total = w0 + w1 + w2 + w3
                some = total > _ZERO
                scale = _ONE / (total if some else _ONE)
                found = (w0 * p0 + w1 * p1 + w2 * p2 + w3 * p3) * scale
                # the surface found, as seen from the target; (sx, sy) = (column, row of the cell) + (u, v)
                z = zs[x]
                better = z + (found - d) * (z - b2) / d
                zs[x] = better if some else z
                u, v = np.float32(u >= _HALF), np.float32(v >= _HALF)  # none agrees: the nearest, whatever it is
                d0[x] = w0 * scale if some else (_ONE - u) * (_ONE - v)
                d1[x] = w1 * scale if some else u * (_ONE - v)
                d2[x] = w2 * scale if some else (_ONE - u) * v
                d3[x] = w3 * scale if some else u * v
            for x in range(x0, x1):  # the colours around it
                a = np.uint64(np.uint32(cell[x]))
                c0[x], c1[x] = rgbx[a], rgbx[a + one_right]
                a += one_down
                c2[x], c3[x] = rgbx[a], rgbx[a + one_right]
            for x in range(x0, x1):
                p0, p1, p2, p3 = c0[x], c1[x], c2[x], c3[x]
                w0, w1, w2, w3 = d0[x], d1[x], d2[x], d3[x]
                red = w0 * _byte(p0, 0) + w1 * _byte(p1, 0) + w2 * _byte(p2, 0) + w3 * _byte(p3, 0)
                green = w0 * _byte(p0, 8) + w1 * _byte(p1, 8) + w2 * _byte(p2, 8) + w3 * _byte(p3, 8)
                blue = w0 * _byte(p0, 16) + w1 * _byte(p1, 16) + w2 * _byte(p2, 16) + w3 * _byte(p3, 16)
                words[y, x] = _word(red, 0) | _word(green, 8) | _word(blue, 16)
                out_z[y, x] = zs[x]


@njit(cache=True, nogil=True, error_model="numpy")
def settle(zbuffer, depth, plan, camera, front, moving, pad_y, pad_x, back):
    """Move every z of a z-buffer onto the surface itself, or empty the pixel where there is none on its ray.

    Pixels that land on the surface `front` of the frame itself, or behind the background found so far, are emptied
    unseen: see `fuse`, for which this is. A footprint's z is its nearest, so what lies behind will do so after all.

    A footprint of many pixels carries one z, which is far off where the surface is slanted. A plane's inverse depth is
    linear in the picture, 1 / d = a x + b y + c, so a ray, d (x, y, 1) = z A + t, meets the plane of a cell at
    z = (1 - (a, b, c) . t) / ((a, b, c) . A), where the next cell is looked at.
    """
    height, width, start = plan[0, 0], plan[0, 1], plan[0, 2]
    for y in range(1, zbuffer.shape[0] - 1):
        for x in range(1, zbuffer.shape[1] - 1):
            z = zbuffer[y, x]
            if z == EMPTY:
                continue
            known = back[y - 1, x - 1]
            if known > _ZERO and z >= known * TIE:
                zbuffer[y, x] = EMPTY
                continue
            i, j = x - 1 - pad_x, y - 1 - pad_y
            inside = 0 <= i < front.shape[1] and 0 <= j < front.shape[0]
            if inside and not moving[j, i] and front[j, i] * TIE < z < front[j, i] * CLEARLY:
                zbuffer[y, x] = EMPTY
                continue
            u, v = np.float32(x - 1), np.float32(y - 1)
            a0 = camera[12] * u + camera[13] * v + camera[14]
            a1 = camera[15] * u + camera[16] * v + camera[17]
            a2 = camera[18] * u + camera[19] * v + camera[20]
            t0, t1, t2 = camera[21], camera[22], camera[23]
            there = False
            for _ in range(SETTLE_ROUNDS):
                d = z * a2 + t2
                if not d > NEAR:
                    break
                sx = min(max((z * a0 + t0) / d, _ZERO), np.float32(width - 1))
                sy = min(max((z * a1 + t1) / d, _ZERO), np.float32(height - 1))
                ix, iy = min(np.int64(sx), max(width - 2, 0)), min(np.int64(sy), max(height - 2, 0))
                fx, fy = sx - np.float32(ix), sy - np.float32(iy)
                cell = start + iy * width + ix
                p0, p1, p2, p3 = depth[cell], depth[cell + 1], depth[cell + width], depth[cell + width + 1]
                near = (p3 if fx >= _HALF else p2) if fy >= _HALF else (p1 if fx >= _HALF else p0)
                least, most = min(min(p0, p1), min(p2, p3)), max(max(p0, p1), max(p2, p3))
                if least > _ZERO and most < least * JOINED:
                    q0, q1, q2, q3 = _ONE / p0, _ONE / p1, _ONE / p2, _ONE / p3
                    a = (q1 - q0) * (_ONE - fy) + (q3 - q2) * fy
                    b = (q2 - q0) * (_ONE - fx) + (q3 - q1) * fx
                    inverse = (q0 * (_ONE - fx) + q1 * fx) * (_ONE - fy) + (q2 * (_ONE - fx) + q3 * fx) * fy
                    there = abs(d * inverse - _ONE) < SETTLED
                    if there:
                        break
                    c = inverse - a * sx - b * sy
                    z = (_ONE - a * t0 - b * t1 - c * t2) / (a * a0 + b * a1 + c * a2)
                else:  # a rim: a surface as deep as its pixel
                    there = abs(near - d) < d * SETTLED
                    if there or not near > _ZERO:
                        break
                    z = (near - t2) / a2
                if not NEAR < z < EMPTY:
                    break
            zbuffer[y, x] = z if there else EMPTY


@njit(cache=True, nogil=True, error_model="numpy")
def fuse(words, z, kinds, front, moving, plan, back, back_rgbx):
    """Merge one contributing frame, already seen from a frame's widened camera, into that frame's background.

    words, z, kinds: the view, as `resolve` leaves it. front, moving: depth (H, W) and moving things (H, W) of the frame
    whose background this is. back (0 where empty), back_rgbx: (H + 2 pad_y, W + 2 pad_x), updated in place.

    Inside the frame's view only what it cannot see is kept: points behind its surface, or behind its moving things.
    Points in front of its surface contradict it and are dropped. Earlier contributors win ties.
    """
    height, width = back.shape
    pad_y, pad_x = plan[1, 4], plan[1, 5]
    for y in range(height):
        for x in range(width):
            if kinds[y, x] != 0:
                continue
            i, j = x - pad_x, y - pad_y
            inside = 0 <= i < front.shape[1] and 0 <= j < front.shape[0]
            if inside and z[y, x] <= front[j, i] * (BESIDE if moving[j, i] else CLEARLY):
                continue
            if back[y, x] > 0 and z[y, x] >= back[y, x] * TIE:
                continue
            back[y, x] = z[y, x]
            back_rgbx[y, x] = words[y, x]


@njit(cache=True, nogil=True, error_model="numpy")
def fuse_frame(seen, rgbx, pose, lens, target, padded, front, moving, plan, back, back_rgbx):
    """Merge a frame's static pixels `seen` (depth (H, W), 0 elsewhere) into the background of another one at `target`."""
    height, width = seen.shape
    tall, broad = back.shape
    layer = np.array([[height, width, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    cells, colours = np.empty((height + 2) * width, np.float32), np.empty((height + 2) * width, np.uint32)
    for y in range(height + 2):
        for x in range(width):
            cells[y * width + x] = seen[min(y, height - 1), x]
            colours[y * width + x] = rgbx[min(y, height - 1), x]
    chunks = np.empty((height * ((width + CHUNK - 1) // CHUNK), 2), np.float32)
    chunk_ranges(cells, layer, _FRONT, chunks)
    cameras = np.empty((2, 25), np.float32)
    relate(pose, target, lens, padded, cameras[0])
    zbuffer = np.full((tall + 2, broad + 2), EMPTY)
    nothing = np.full((tall + 2, broad + 2), EMPTY)
    splat(cells, chunks, layer, _FRONT, cameras[0], _TOP, height, zbuffer)
    clear_border(zbuffer)
    settle(zbuffer, cells, layer, cameras[0], front, moving, plan[1, 4], plan[1, 5], back)
    words = np.empty((tall, broad), np.uint32)
    out_z = np.empty((tall, broad), np.float32)
    kinds = np.empty((tall, broad), np.uint8)
    resolve(zbuffer, nothing, cells, colours, layer, cameras, _TOP, tall, words, out_z, kinds)
    fuse(words, out_z, kinds, front, moving, plan, back, back_rgbx)


@njit(cache=True, nogil=True, error_model="numpy")
def soften(words, kinds):
    """Blend the background into the frame where they meet, in place.

    Neither layer knows to a fraction of a pixel where its surfaces end, so a pixel of the background takes a third of its
    colour from each of its four neighbours that show the frame, and all of it from three. A gap of one pixel, which is
    rather a crack in the frame's own surface, thus nearly closes.
    """
    height, width = kinds.shape
    for y in range(height):
        back = 0
        for kind in kinds[y]:
            back += kind == 1
        if back == 0:
            continue
        for x in range(width):
            if kinds[y, x] != 1:
                continue
            count = red = green = blue = np.uint32(0)
            for side in range(4):
                j, i = y + (side == 1) - (side == 0), x + (side == 3) - (side == 2)
                if 0 <= j < height and 0 <= i < width and kinds[j, i] == 0:
                    word = words[j, i]
                    red += word & np.uint32(255)
                    green += (word >> np.uint32(8)) & np.uint32(255)
                    blue += (word >> np.uint32(16)) & np.uint32(255)
                    count += np.uint32(1)
            if count == 0:
                continue
            share = min(np.float32(count) / np.float32(3), _ONE)
            per, own, word = share / np.float32(count), _ONE - share, words[y, x]
            words[y, x] = (
                _word(own * _byte(word, 0) + per * np.float32(red), 0)
                | _word(own * _byte(word, 8) + per * np.float32(green), 8)
                | _word(own * _byte(word, 16) + per * np.float32(blue), 16)
            )


@njit(cache=True, nogil=True, error_model="numpy")
def _any_hole(kinds):
    holes = 0
    for kind in kinds.reshape(-1):
        holes += kind == 2
    return holes > 0


@njit(cache=True, nogil=True, error_model="numpy")
def _publish(words, kinds, rgb, covered):
    """The finished view as a block has it: bytes, and whether it was measured."""
    flat_words, flat = words.reshape(-1), rgb.reshape(-1)
    for i in range(flat_words.size):
        word = flat_words[i]
        flat[3 * i] = np.uint8(word & np.uint32(255))
        flat[3 * i + 1] = np.uint8((word >> np.uint32(8)) & np.uint32(255))
        flat[3 * i + 2] = np.uint8((word >> np.uint32(16)) & np.uint32(255))
    height, width = kinds.shape
    for y in range(height):
        for x in range(width):
            covered[y, x] = kinds[y, x] < 2


@njit(cache=True, nogil=True, error_model="numpy")
def relate_layers(pose, target, pinhole, plan):
    """The `camera` of both layers of a slot, float32 (2, 25), for a view from c2w `target`."""
    cameras, padded = np.empty((2, 25), np.float32), pinhole.copy()
    padded[2] += plan[1, 5]
    padded[3] += plan[1, 4]
    relate(pose, target, pinhole, pinhole, cameras[0])
    relate(pose, target, padded, pinhole, cameras[1])
    return cameras


@njit(cache=True, nogil=True, error_model="numpy")
def finish(words, kinds, rgb, depth, covered):
    """Finish what `resolve` left of a view: soften rims, fill what is open, and write it as a block has it."""
    soften(words, kinds)
    if _any_hole(kinds):
        levels = pyramid_levels(depth.shape[0], depth.shape[1])
        cells = levels[-1, 2]
        fill(
            words,
            depth,
            kinds,
            levels,
            np.empty((4, cells), np.float32),
            np.empty(cells, np.float32),
            np.empty(cells, np.float32),
        )
    _publish(words, kinds, rgb, covered)


@njit(cache=True, nogil=True, error_model="numpy")
def render_worlds(first, last, slots, targets, poses, pinholes, depths, rgbxs, chunks, plan, rgb, depth, covered):
    """Views of worlds first..last-1: the layers in `slots[world]` seen from c2w `targets[world]`."""
    height, width = depth.shape[1:]
    front_z = np.empty((height + 2, width + 2), np.float32)
    back_z = np.empty((height + 2, width + 2), np.float32)
    words = np.empty((height, width), np.uint32)
    kinds = np.empty((height, width), np.uint8)
    for world in range(first, last):
        slot = slots[world]
        cameras = relate_layers(poses[slot], targets[world], pinholes[slot], plan)
        front_z[:] = EMPTY
        back_z[:] = EMPTY
        splat(depths[slot], chunks[slot], plan, _FRONT, cameras[0], _TOP, plan[0, 0], front_z)
        splat(depths[slot], chunks[slot], plan, _BACK, cameras[1], _TOP, plan[1, 0], back_z)
        clear_border(front_z)
        clear_border(back_z)
        resolve(front_z, back_z, depths[slot], rgbxs[slot], plan, cameras, _TOP, height, words, depth[world], kinds)
        finish(words, kinds, rgb[world], depth[world], covered[world])
