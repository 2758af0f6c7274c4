"""The tracer on a GPU: `tracer.seen` and `tracer.colour`, compiled once more, one thread a pixel.

numba-cuda compiles functions made for the CPU into any kernel that calls them, so there is one source. Numbers are doubles
here as there; what differs are multiply-adds that the GPU fuses and the last bits of its powers and sines, so a pixel at
an edge may fall to the other side. Results are torch tensors, and nothing is copied back.

    shots  ->  rgb (N, H, W, 3) uint8, depth (N, H, W) float32, object_id (N, H, W) int32, on the device
"""

import torch
from numba import cuda

from inspatio_gym.scenes.synthetic.shots import arrays, rebuilt
from inspatio_gym.scenes.synthetic.tracer import Shots, camera, colour, seen
from inspatio_gym.types import Size

_TILE = (16, 8)  # columns and rows of pixels in a block of threads: rays of a tile meet the same solids
_MOST = 65_535  # shots in one launch, the limit of a grid's third side


def trace(shots: Shots, size: Size, samples: int, device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`tracer.trace` on a CUDA device. Raises ValueError beyond 65,535 shots."""
    height, width = size
    count = len(shots.c2w)
    if count > _MOST:
        raise ValueError(f"expected at most {_MOST} shots in one call, got {count}: render them in several")
    with torch.cuda.device(device):
        rgb = torch.empty((count, height, width, 3), dtype=torch.uint8, device=device)
        depth = torch.empty((count, height, width), dtype=torch.float32, device=device)
        object_id = torch.empty((count, height, width), dtype=torch.int32, device=device)
        moved = [cuda.as_cuda_array(torch.from_numpy(array).to(device)) for array in arrays(shots)]
        grid = (-(-width // _TILE[0]), -(-height // _TILE[1]), count)
        outputs = [cuda.as_cuda_array(image) for image in (rgb, depth, object_id)]
        # torch's current stream, so that whatever the caller does next with the tensors comes after.
        current = torch.cuda.current_stream().cuda_stream
        stream = cuda.external_stream(current) if current else cuda.default_stream()
        _kernel[grid, _TILE, stream](rebuilt(moved), samples, *outputs)
    return rgb, depth, object_id


def trace_pixel(shots, samples, rgb, depth, object_id):
    """One pixel of one shot: columns, rows and shots are the three sides of the grid."""
    column, row, n = cuda.grid(3)  # type: ignore[call-arg,var-annotated]
    if row < depth.shape[1] and column < depth.shape[2]:
        tables, light = shots.tables, shots.light
        eye = camera(shots.c2w[n], shots.intrinsics[n], shots.walk[n])
        k, t = seen(tables, light, n, eye, row, column)
        depth[n, row, column] = t
        object_id[n, row, column] = tables.owner[k] if k >= 0 else 0
        red, green, blue = colour(tables, light, n, eye, row, column, samples, k, t)
        rgb[n, row, column, 0] = red
        rgb[n, row, column, 1] = green
        rgb[n, row, column, 2] = blue


_kernel = cuda.jit(trace_pixel)
