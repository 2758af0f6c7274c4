"""Novel views by a z-buffer of points and a backward look-up of colour: the numba kernels under the warp world.

A view of a frame from another camera is made in two passes. Forward: every source pixel (x, y) of depth d lands at

    z (u, v, 1) = d M (x, y, 1) + b        M = K R K^-1,  b = K t,  (R, t) = source camera -> target camera

and leaves its z in the target pixels of its footprint, the nearest z winning. Backward: every target pixel takes its z
through the inverse map into the source frame and samples colour there bilinearly, so pictures stay sharp however the
footprints overlap. The surface found there gives a better z, which is used for a second look-up.

Numerics. Maps are composed in float64 and applied in float32. The only reduction is a minimum, which commutes: results
are bit-equal however rows are split over threads. Footprints are 3/4 of a pixel to each side where the surface is
neither stretched nor shrunk: neighbours one pixel apart leave no cracks up to a stretch of 3/2, and under the identity
a point covers its own pixel alone, which makes the identity exact. Non-finite poses, points behind the camera and
far outside the view fall into the one-pixel border of the z-buffer; nothing is written out of bounds.

    z-buffer    float32 (H + 2, W + 2), pixel (x, y) at [y + 1, x + 1], EMPTY where nothing landed
    rgbx        uint32 (H, W), red | green << 8 | blue << 16
    camera      float32 (24,): M (9), b (3), and the same of the inverse map

Ref: forward and backward warping with layers follows Shade et al., "Layered depth images" (SIGGRAPH 1998).
"""

import numpy as np
from numba import njit

EMPTY = np.float32(1e30)  # z of a pixel that nothing covers
NEAR = np.float32(1e-3)  # scene units; closer points are behind the lens
JOINED = np.float32(1.1)  # neighbouring pixels whose depths differ by less than this factor lie on one surface
STRETCH = np.float32(16.0)  # pixels; a surface torn further apart than this shows holes
CLEARLY = np.float32(1.05)  # the background covers the frame's own surface only when nearer by this factor
BESIDE = np.float32(0.95)  # background behind a moving pixel may be this close: where it touches the ground
TIE = np.float32(0.97)  # a later contributor replaces an earlier one only when nearer by this factor
CRACK = np.float32(1.05)  # a gap between two pixels this close in depth is a crack in one surface


@njit(cache=True, nogil=True)
def relate(source, target, source_pinhole, target_pinhole, camera):
    """Fill `camera` with the map from the source image into the target image, and back.

    source, target: float64 (4, 4) rigid c2w; pinholes: float64 (4,) fx, fy, cx, cy.
    """
    for way in range(2):
        a, b = (source, target) if way == 0 else (target, source)
        p, q = (source_pinhole, target_pinhole) if way == 0 else (target_pinhole, source_pinhole)
        base = 12 * way
        rows = np.empty((3, 4))  # K_b R K_a^-1 | K_b t, in double
        for i in range(3):
            r0 = b[0, i] * a[0, 0] + b[1, i] * a[1, 0] + b[2, i] * a[2, 0]
            r1 = b[0, i] * a[0, 1] + b[1, i] * a[1, 1] + b[2, i] * a[2, 1]
            r2 = b[0, i] * a[0, 2] + b[1, i] * a[1, 2] + b[2, i] * a[2, 2]
            rows[i, 0] = r0 / p[0]
            rows[i, 1] = r1 / p[1]
            rows[i, 2] = r2 - r0 * p[2] / p[0] - r1 * p[3] / p[1]
            rows[i, 3] = b[0, i] * (a[0, 3] - b[0, 3]) + b[1, i] * (a[1, 3] - b[1, 3]) + b[2, i] * (a[2, 3] - b[2, 3])
        for j in range(4):
            rows[0, j] = q[0] * rows[0, j] + q[2] * rows[2, j]
            rows[1, j] = q[1] * rows[1, j] + q[3] * rows[2, j]
        for i in range(3):
            for j in range(3):
                camera[base + 3 * i + j] = rows[i, j]
            camera[base + 9 + i] = rows[i, 3]


@njit(cache=True, nogil=True)
def _project_row(depth, y, camera, us, vs, zs, ds):
    """Project source row y; entries 1..W of the buffers are its pixels, z <= 0 marks what cannot be seen."""
    width = depth.shape[1]
    fy = np.float32(y)
    m0, m3, m6 = camera[0], camera[3], camera[6]
    r0 = camera[1] * fy + camera[2]
    r1 = camera[4] * fy + camera[5]
    r2 = camera[7] * fy + camera[8]
    b0, b1, b2 = camera[9], camera[10], camera[11]
    one = np.float32(1)
    for x in range(width):
        fx = np.float32(x)
        d = depth[y, x]
        z = d * (m6 * fx + r2) + b2
        seen = z > NEAR and d > np.float32(0)
        inverse = one / (z if seen else one)
        us[x + 1] = (d * (m0 * fx + r0) + b0) * inverse
        vs[x + 1] = (d * (m3 * fx + r1) + b1) * inverse
        zs[x + 1] = z if seen else np.float32(0)
        ds[x + 1] = d


@njit(cache=True, nogil=True)
def _joined(a, b):
    return a < b * JOINED and b < a * JOINED


@njit(cache=True, nogil=True)
def _reach(step, joined, otherwise):
    """How far a footprint reaches towards a neighbour that landed `step` pixels away."""
    stretch = step if joined else otherwise
    stretch = stretch if stretch < STRETCH else STRETCH
    half = np.float32(0.25) + np.float32(0.5) * stretch
    return half if half > np.float32(0.5) else np.float32(0.5)


@njit(cache=True, nogil=True)
def _footprints(us, vs, zs, ds, a, b, c, width, bound_x, bound_y, spans):
    """Target pixels [left, right] x [top, bottom] of row b's points; a and c are the rows above and below it.

    Returns whether all of them are at most two pixels wide and high.
    """
    widest = np.int32(0)
    zero = np.float32(0)
    for x in range(1, width + 1):
        u, v, z, d = us[b, x], vs[b, x], zs[b, x], ds[b, x]
        seen = z > zero
        own = d / (z if seen else np.float32(1))
        left = _reach(abs(u - us[b, x - 1]), _joined(d, ds[b, x - 1]) and zs[b, x - 1] > zero, own)
        right = _reach(abs(u - us[b, x + 1]), _joined(d, ds[b, x + 1]) and zs[b, x + 1] > zero, own)
        top = _reach(abs(v - vs[a, x]), _joined(d, ds[a, x]) and zs[a, x] > zero, own)
        bottom = _reach(abs(v - vs[c, x]), _joined(d, ds[c, x]) and zs[c, x] > zero, own)
        x0 = u - left + np.float32(2)
        x1 = u + right + np.float32(1)
        y0 = v - top + np.float32(2)
        y1 = v + bottom + np.float32(1)
        # comparisons with NaN are false, so each of these ends in bounds whatever the pose
        x0 = x0 if seen and x0 > zero else zero
        x1 = x1 if seen and x1 > zero else zero
        y0 = y0 if seen and y0 > zero else zero
        y1 = y1 if seen and y1 > zero else zero
        i0 = np.int32(x0 if x0 < bound_x else bound_x)
        i1 = np.int32(x1 if x1 < bound_x else bound_x)
        j0 = np.int32(y0 if y0 < bound_y else bound_y)
        j1 = np.int32(y1 if y1 < bound_y else bound_y)
        spans[0, x] = i0
        spans[1, x] = i1
        spans[2, x] = j0
        spans[3, x] = j1
        widest = max(widest, max(i1 - i0, j1 - j0))
    return widest <= 1


@njit(cache=True, nogil=True)
def splat(depth, camera, first, last, zbuffer):
    """Leave the z of source rows first..last-1 of `depth` (float32 (h, w), <= 0 where there is no point) in `zbuffer`."""
    height, width = depth.shape
    bound_x = np.float32(zbuffer.shape[1] - 1)
    bound_y = np.float32(zbuffer.shape[0] - 1)
    us = np.zeros((3, width + 2), np.float32)
    vs = np.zeros((3, width + 2), np.float32)
    zs = np.zeros((3, width + 2), np.float32)
    ds = np.zeros((3, width + 2), np.float32)
    spans = np.empty((4, width + 2), np.int32)
    for y in range(first - 1, last + 1):
        c = (y + 3) % 3
        if 0 <= y < height:
            _project_row(depth, y, camera, us[c], vs[c], zs[c], ds[c])
        else:
            zs[c, :] = 0
        if y <= first:
            continue
        a, b = (c + 1) % 3, (c + 2) % 3
        small = _footprints(us, vs, zs, ds, a, b, c, width, bound_x, bound_y, spans)
        if small:
            for x in range(1, width + 1):
                z = zs[b, x]
                if z > np.float32(0):
                    i0, i1, j0, j1 = spans[0, x], spans[1, x], spans[2, x], spans[3, x]
                    zbuffer[j0, i0] = min(zbuffer[j0, i0], z)
                    zbuffer[j0, i1] = min(zbuffer[j0, i1], z)
                    zbuffer[j1, i0] = min(zbuffer[j1, i0], z)
                    zbuffer[j1, i1] = min(zbuffer[j1, i1], z)
        else:
            for x in range(1, width + 1):
                z = zs[b, x]
                if z > np.float32(0):
                    for j in range(spans[2, x], spans[3, x] + 1):
                        for i in range(spans[0, x], spans[1, x] + 1):
                            zbuffer[j, i] = min(zbuffer[j, i], z)


@njit(cache=True, nogil=True)
def _byte(colour, shift):
    return np.float32((colour >> np.uint32(shift)) & np.uint32(255))


@njit(cache=True, nogil=True)
def _look_up(depth, sx, sy, expected, corners):
    """Bilinear corners and weights around (sx, sy), without those on another surface than depth `expected`.

    Returns (x0, x1, y0, y1, depth): the corners' columns and rows, and the depth found there, 0 if no corner agrees.
    `corners` receives the four weights, which sum to one: top left, top right, bottom left, bottom right.
    """
    height, width = depth.shape
    one, zero = np.float32(1), np.float32(0)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    sx = sx if sx > zero else zero
    sy = sy if sy > zero else zero
    sx = sx if sx < right else right
    sy = sy if sy < bottom else bottom
    x0, y0 = np.int64(sx), np.int64(sy)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    fx, fy = sx - np.float32(x0), sy - np.float32(y0)
    d00, d01, d10, d11 = depth[y0, x0], depth[y0, x1], depth[y1, x0], depth[y1, x1]
    w00, w01, w10, w11 = (one - fx) * (one - fy), fx * (one - fy), (one - fx) * fy, fx * fy
    w00 = w00 if _joined(d00, expected) else zero
    w01 = w01 if _joined(d01, expected) else zero
    w10 = w10 if _joined(d10, expected) else zero
    w11 = w11 if _joined(d11, expected) else zero
    total = w00 + w01 + w10 + w11
    found = zero
    if total > zero:
        scale = one / total
        w00, w01, w10, w11 = w00 * scale, w01 * scale, w10 * scale, w11 * scale
        found = w00 * d00 + w01 * d01 + w10 * d10 + w11 * d11
    else:  # nothing agrees: the nearest pixel, whatever lies there
        near_right, near_below = fx >= np.float32(0.5), fy >= np.float32(0.5)
        w00 = one if not near_right and not near_below else zero
        w01 = one if near_right and not near_below else zero
        w10 = one if not near_right and near_below else zero
        w11 = one if near_right and near_below else zero
    corners[0], corners[1], corners[2], corners[3] = w00, w01, w10, w11
    return x0, x1, y0, y1, found


@njit(cache=True, nogil=True)
def _shade(x, y, z, camera, depth, rgbx, corners, rgb):
    """Colour target pixel (x, y), seen at z, from a layer; returns the z of the surface found there."""
    one = np.float32(1)
    fx, fy = np.float32(x), np.float32(y)
    i0 = camera[12] * fx + camera[13] * fy + camera[14]
    i1 = camera[15] * fx + camera[16] * fy + camera[17]
    i2 = camera[18] * fx + camera[19] * fy + camera[20]
    expected = z * i2 + camera[23]
    inverse = one / (expected if expected > NEAR else NEAR)
    sx = (z * i0 + camera[21]) * inverse
    sy = (z * i1 + camera[22]) * inverse
    x0, x1, y0, y1, found = _look_up(depth, sx, sy, expected, corners)
    if found > np.float32(0):
        better = found * (camera[6] * sx + camera[7] * sy + camera[8]) + camera[11]
        if _joined(better, z):
            z = better
            expected = z * i2 + camera[23]
            inverse = one / (expected if expected > NEAR else NEAR)
            sx = (z * i0 + camera[21]) * inverse
            sy = (z * i1 + camera[22]) * inverse
            x0, x1, y0, y1, found = _look_up(depth, sx, sy, expected, corners)
    a, b, c, d = rgbx[y0, x0], rgbx[y0, x1], rgbx[y1, x0], rgbx[y1, x1]
    for channel in range(3):
        s = 8 * channel
        value = (
            corners[0] * _byte(a, s) + corners[1] * _byte(b, s) + corners[2] * _byte(c, s) + corners[3] * _byte(d, s)
        )
        rgb[channel] = np.uint8(value + np.float32(0.5))
    return z


@njit(cache=True, nogil=True)
def clear_border(zbuffer):
    """Empty the border, where points outside the view were left."""
    zbuffer[0, :] = EMPTY
    zbuffer[-1, :] = EMPTY
    zbuffer[:, 0] = EMPTY
    zbuffer[:, -1] = EMPTY


@njit(cache=True, nogil=True)
def _bridged(zbuffer, x, y):
    """z at [y, x] of a padded z-buffer; a crack between two pixels of one surface takes their mean."""
    z = zbuffer[y, x]
    if z == EMPTY:
        a, b = zbuffer[y, x - 1], zbuffer[y, x + 1]
        if a < EMPTY and b < EMPTY and a < b * CRACK and b < a * CRACK:
            return np.float32(0.5) * (a + b)
        a, b = zbuffer[y - 1, x], zbuffer[y + 1, x]
        if a < EMPTY and b < EMPTY and a < b * CRACK and b < a * CRACK:
            return np.float32(0.5) * (a + b)
    return z


@njit(cache=True, nogil=True)
def resolve(front_z, back_z, cameras, front_depth, front_rgbx, back_depth, back_rgbx, first, last, rgb, depth, covered):
    """Shade target rows first..last-1 from the two z-buffers; returns how many pixels stay uncovered (depth 0)."""
    width = depth.shape[1]
    corners = np.empty(4, np.float32)
    holes = 0
    for y in range(first, last):
        for x in range(width):
            z1 = _bridged(front_z, x + 1, y + 1)
            z2 = back_z[y + 1, x + 1]
            if z1 < EMPTY and z1 <= z2 * CLEARLY:
                depth[y, x] = _shade(x, y, z1, cameras[0], front_depth, front_rgbx, corners, rgb[y, x])
                covered[y, x] = True
                continue
            z2 = _bridged(back_z, x + 1, y + 1)
            if z2 < EMPTY:
                depth[y, x] = _shade(x, y, z2, cameras[1], back_depth, back_rgbx, corners, rgb[y, x])
                covered[y, x] = True
            else:
                depth[y, x] = 0
                covered[y, x] = False
                holes += 1
    return holes


@njit(cache=True, nogil=True)
def pyramid_cells(height, width):
    """Cells that `fill` needs of scratch for a view of this size."""
    cells = 0
    while height > 1 or width > 1:
        height, width = (height + 1) // 2, (width + 1) // 2
        cells += height * width
    return cells


@njit(cache=True, nogil=True)
def _pull(fine, height, width, coarse):
    """Sum 2x2 cells: colour and z weighted towards what is far, that weight, and the covered fraction."""
    half_height, half_width = (height + 1) // 2, (width + 1) // 2
    for y in range(half_height):
        for x in range(half_width):
            for k in range(6):
                total = np.float32(0)
                for j in range(2 * y, min(2 * y + 2, height)):
                    for i in range(2 * x, min(2 * x + 2, width)):
                        total += fine[j * width + i, k]
                coarse[y * half_width + x, k] = total
            cell = coarse[y * half_width + x]
            cell[5] = min(np.float32(1), cell[5])


@njit(cache=True, nogil=True)
def fill(rgb, depth, covered, scratch):
    """Fill uncovered pixels by a pull-push pyramid that prefers what is far, which is what a gap usually shows.

    scratch: float32 (pyramid_cells(H, W) + 1, 6).

    Ref: Gortler et al., "The lumigraph" (SIGGRAPH 1996), section 3.4, pull-push.
    """
    height, width = depth.shape
    # Level 1 straight from the pixels.
    h, w = (height + 1) // 2, (width + 1) // 2
    scratch[: h * w] = 0
    for y in range(height):
        for x in range(width):
            if covered[y, x]:
                z = depth[y, x]
                weight = z * z
                weight *= weight
                cell = scratch[(y // 2) * w + x // 2]
                cell[0] += weight * np.float32(rgb[y, x, 0])
                cell[1] += weight * np.float32(rgb[y, x, 1])
                cell[2] += weight * np.float32(rgb[y, x, 2])
                cell[3] += weight * z
                cell[4] += weight
                cell[5] += np.float32(0.25)
    starts = np.zeros(32, np.int64)
    heights = np.zeros(32, np.int64)
    widths = np.zeros(32, np.int64)
    levels = 1
    heights[0], widths[0] = h, w
    while h > 1 or w > 1:
        start = starts[levels - 1] + h * w
        _pull(scratch[starts[levels - 1] : start], h, w, scratch[start:])
        h, w = (h + 1) // 2, (w + 1) // 2
        starts[levels], heights[levels], widths[levels] = start, h, w
        levels += 1
    # Push down: blend each level's own mean with the coarser level by its covered fraction.
    for level in range(levels - 1, -1, -1):
        h, w, start = heights[level], widths[level], starts[level]
        for y in range(h):
            for x in range(w):
                cell = scratch[start + y * w + x]
                own = cell[5]
                inverse = own / cell[4] if cell[4] > 0 else np.float32(0)
                if level + 1 < levels and own < 1:
                    hw, hh, coarse = widths[level + 1], heights[level + 1], starts[level + 1]
                    cx, cy = x // 2, y // 2
                    nx = min(max(cx + (1 if x % 2 else -1), 0), hw - 1)
                    ny = min(max(cy + (1 if y % 2 else -1), 0), hh - 1)
                    rest = (np.float32(1) - own) * np.float32(0.0625)
                    p, q = scratch[coarse + cy * hw + cx], scratch[coarse + cy * hw + nx]
                    r, s = scratch[coarse + ny * hw + cx], scratch[coarse + ny * hw + nx]
                    for k in range(4):
                        mixed = np.float32(9) * p[k] + np.float32(3) * (q[k] + r[k]) + s[k]
                        cell[k] = cell[k] * inverse + rest * mixed
                elif cell[4] > 0:
                    for k in range(4):
                        cell[k] = cell[k] / cell[4]
    h, w = heights[0], widths[0]
    for y in range(height):
        for x in range(width):
            if not covered[y, x]:
                cx, cy = x // 2, y // 2
                nx = min(max(cx + (1 if x % 2 else -1), 0), w - 1)
                ny = min(max(cy + (1 if y % 2 else -1), 0), h - 1)
                p, q = scratch[cy * w + cx], scratch[cy * w + nx]
                r, s = scratch[ny * w + cx], scratch[ny * w + nx]
                for k in range(4):
                    mixed = np.float32(0.0625) * (np.float32(9) * p[k] + np.float32(3) * (q[k] + r[k]) + s[k])
                    if k < 3:
                        rgb[y, x, k] = np.uint8(mixed + np.float32(0.5))
                    else:
                        depth[y, x] = mixed


@njit(cache=True, nogil=True)
def fuse(zbuffer, camera, depth, rgbx, front_depth, moving, pad_y, pad_x, back_depth, back_rgbx):
    """Merge one contributing frame, already splatted into `zbuffer`, into a frame's background layer.

    depth, rgbx: the contributor's static pixels (depth 0 elsewhere). front_depth, moving: (H, W) of the frame whose
    background this is. back_depth (0 where empty), back_rgbx: (H + 2 pad_y, W + 2 pad_x), updated in place.

    Inside the frame's view only what it cannot see is kept: points behind its surface, or behind its moving pixels.
    Points in front of its surface contradict it and are dropped. Earlier contributors win ties.
    """
    height, width = back_depth.shape
    corners = np.empty(4, np.float32)
    colour = np.empty(3, np.uint8)
    for y in range(height):
        for x in range(width):
            z = _bridged(zbuffer, x + 1, y + 1)
            if z == EMPTY:
                continue
            i, j = x - pad_x, y - pad_y
            if 0 <= i < front_depth.shape[1] and 0 <= j < front_depth.shape[0]:
                limit = front_depth[j, i] * (BESIDE if moving[j, i] else CLEARLY)
                if z <= limit:
                    continue
            held = back_depth[y, x]
            if held > 0 and z >= held * TIE:
                continue
            back_depth[y, x] = _shade(x, y, z, camera, depth, rgbx, corners, colour)
            back_rgbx[y, x] = np.uint32(colour[0]) | np.uint32(colour[1]) << 8 | np.uint32(colour[2]) << 16


@njit(cache=True, nogil=True)
def render_worlds(
    first, last, slots, targets, poses, pinholes, front, front_rgbx, back, back_rgbx, pads, rgb, depth, covered
):
    """Views of worlds first..last-1: layers `slots[world]` seen from c2w `targets[world]`."""
    height, width = depth.shape[1:]
    front_z = np.empty((height + 2, width + 2), np.float32)
    back_z = np.empty((height + 2, width + 2), np.float32)
    cameras = np.empty((2, 24), np.float32)
    scratch = np.empty((pyramid_cells(height, width) + 1, 6), np.float32)
    padded = np.empty(4)
    for world in range(first, last):
        slot = slots[world]
        padded[:] = pinholes[slot]
        padded[2] += pads[1]
        padded[3] += pads[0]
        relate(poses[slot], targets[world], pinholes[slot], pinholes[slot], cameras[0])
        relate(poses[slot], targets[world], padded, pinholes[slot], cameras[1])
        front_z[:] = EMPTY
        back_z[:] = EMPTY
        splat(front[slot], cameras[0], 0, front.shape[1], front_z)
        clear_border(front_z)
        splat(back[slot], cameras[1], 0, back.shape[1], back_z)
        clear_border(back_z)
        holes = resolve(
            front_z,
            back_z,
            cameras,
            front[slot],
            front_rgbx[slot],
            back[slot],
            back_rgbx[slot],
            0,
            height,
            rgb[world],
            depth[world],
            covered[world],
        )
        if holes:
            fill(rgb[world], depth[world], covered[world], scratch)
