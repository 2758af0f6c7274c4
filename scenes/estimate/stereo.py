"""Inverse depth of every pixel from its flow into several neighbouring frames whose cameras are known.

A pixel p of inverse depth w appears in neighbour k at  A_k p + w b_k  with A_k = K R K^-1 and b_k = K t: on a line, the
farther along the larger w. Flow says where it appears. Along the line that is one linear equation for w; across it, it
is a test that things moving by themselves fail. Each neighbour thus votes for a w, with a variance that follows from

- how well flow is known at all, which gets worse with its length;
- how much texture there is *along the line*: a lane marking that points at the camera says nothing about its distance;
- how far w moves the pixel: neighbours nearby say little.

The mode of the votes wins over their mean, because where a neighbour is hidden its vote is arbitrary.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

FLOW_NOISE, FLOW_NOISE_GROWTH = 0.35, 0.02  # pixels, and for every pixel of flow
GREY_NOISE = 5.0  # grey levels, over the window of the structure tensor
ACROSS, ACROSS_GROWTH = 0.6, 0.03  # pixels off the line that are tolerated, and for every pixel of flow
LEAST_AGREEMENT = 0.02  # of a neighbour's flow there and back, to vote


class Votes(NamedTuple):
    """What the neighbours say of each pixel, float32 (h, w) each.

    inverse: inverse depth, 0 where nobody votes; negative where the pixel moves as nothing before the camera could.
    information: 1 / variance of it. contradiction: share, 0..1, of the votes that are off the line or far from the mode.
    texture: most grey levels squared that any line crosses.
    """

    inverse: Array
    information: Array
    contradiction: Array
    texture: Array


def triangulate_flow(flow: Array, agreement: Array, turn: Wide, shift: Wide, tensor: Array) -> Votes:
    """Votes of n neighbours. flow: (n, h, w, 2) pixels. agreement: (n, h, w), 0 (hidden) to 1. turn: A, (n, 3, 3).
    shift: b, (n, 3). tensor: structure tensor (h, w, 3) of the frame: sums of gx gx, gx gy, gy gy over a window.
    """
    votes = Votes(*(np.zeros(tensor.shape[:2], np.float32) for _ in Votes._fields))
    _vote(flow, agreement, turn, shift, tensor, *votes)
    return votes


@njit(cache=True, nogil=True)
def _vote(flow, agreement, turn, shift, tensor, inverse, information, contradiction, texture):
    count, height, width, _ = flow.shape
    vote, precision, off, seen = np.empty(count), np.empty(count), np.empty(count), np.empty(count)
    for y in range(height):
        for x in range(width):
            votes = 0
            for k in range(count):
                if agreement[k, y, x] <= LEAST_AGREEMENT:
                    continue
                a, b = turn[k], shift[k]
                u, v = x + flow[k, y, x, 0], y + flow[k, y, x, 1]
                far_x = a[0, 0] * x + a[0, 1] * y + a[0, 2]
                far_y = a[1, 0] * x + a[1, 1] * y + a[1, 2]
                far_z = a[2, 0] * x + a[2, 1] * y + a[2, 2]
                # (u, v) z = far + w b, with z eliminated: w * line = gap, both 2-vectors
                line_x, line_y = b[0] - u * b[2], b[1] - v * b[2]
                gap_x, gap_y = u * far_z - far_x, v * far_z - far_y
                length = np.sqrt(line_x * line_x + line_y * line_y)
                if length < 1e-7 or far_z <= 1e-6:
                    continue
                line_x, line_y = line_x / length, line_y / length
                w = (line_x * gap_x + line_y * gap_y) / length
                z = far_z + max(w, 0.0) * b[2]
                if z < 0.05:
                    continue
                moved = np.sqrt(flow[k, y, x, 0] ** 2 + flow[k, y, x, 1] ** 2)
                across = abs(gap_y * line_x - gap_x * line_y) / z / (ACROSS + ACROSS_GROWTH * moved)
                energy = (
                    tensor[y, x, 0] * line_x * line_x
                    + 2 * tensor[y, x, 1] * line_x * line_y
                    + tensor[y, x, 2] * line_y * line_y
                )
                variance = (FLOW_NOISE + FLOW_NOISE_GROWTH * moved) ** 2 + GREY_NOISE**2 / (energy + 1e-3)
                trust = agreement[k, y, x] / (1 + across * across) ** 2
                vote[votes], precision[votes] = w, trust * (length / z) ** 2 / variance
                off[votes], seen[votes] = across, agreement[k, y, x]
                texture[y, x] = max(texture[y, x], energy)
                votes += 1
            if votes == 0:
                continue
            inverse[y, x], information[y, x] = _mode(vote[:votes], precision[:votes])
            against = total = 0.0
            for i in range(votes):
                apart = (vote[i] - inverse[y, x]) ** 2 * precision[i] / 9
                beside = (off[i] / 1.5) ** 4
                against += seen[i] * max(1 - 1 / (1 + beside), 1 - 1 / (1 + apart))
                total += seen[i]
            contradiction[y, x] = against / max(total, 1e-6)


@njit(cache=True, nogil=True)
def _mode(vote, precision):
    """The vote that most others are near, refined by its neighbourhood's weighted mean; and the precision gathered."""
    best, most = 0.0, -1.0
    for i in range(len(vote)):
        support = 0.0
        for j in range(len(vote)):
            apart = (vote[j] - vote[i]) ** 2 * precision[j] / 4
            support += np.sqrt(precision[j]) / (1 + apart) ** 2
        if support > most:
            best, most = vote[i], support
    gathered = 0.0
    for _ in range(3):
        mean = gathered = 0.0
        for j in range(len(vote)):
            apart = (vote[j] - best) ** 2 * precision[j] / 4
            share = precision[j] / (1 + apart) ** 2
            mean += share * vote[j]
            gathered += share
        if gathered > 0:
            best = mean / gathered
    return best, gathered
