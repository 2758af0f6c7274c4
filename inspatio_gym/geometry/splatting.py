"""The forward splat that the diffusion model was conditioned on: source pixels, lifted by depth, thrown into a camera.

    lift       pixel (u, v) of depth z      -> the point K^-1 (u, v, 1) z of the source camera
    move       target_c2w^-1 source_c2w     -> the point in the target camera, at depth d
    project    K                            -> (x, y) in the target image, between four pixels
    splat      every pixel takes the weighted mean of what landed around it

    weight = bilinear weight / exp(50 log(1 + d) / max log(1 + d))       d clamped to [0, 1000]

so that near points drown far ones: a soft z-buffer. The maximum is taken over the whole batch ("batch", as in offline
clips) or over each frame ("frame", as in a stream, where a frame must not depend on its batch mates), or is a number that
is given (`farthest` of a clip that does not fit into one batch). A coordinate that
falls exactly on a pixel counts for both of the neighbours it lies between, which are then the same pixel. The image is
splatted with a border of one pixel, which catches what lands outside and is cropped. Pixels that nothing reached are
holes: -1 in the render, 0 in the mask.

Sums run in a fixed order, so results repeat bit for bit: on the CPU `scatter_add_` walks each image in order, whatever
the number of threads; on a GPU, where it would use atomics, `index_put_` sorts by pixel first.

Ref: forward warping with soft depth weights as in Niklaus and Liu, "Softmax Splatting for Video Frame Interpolation".
"""

from typing import Literal, get_args

from inspatio_gym.extras import extra

with extra("star"):
    import torch
    from torch import Tensor

Normalizer = Literal["batch", "frame"]

SHARPNESS = 50.0  # exponent of the farthest point's weight
FARTHEST = 1000.0  # depth beyond which points weigh the same
HOLE = -1.0


def splat(
    frames: Tensor,
    depth: Tensor,
    source_c2w: Tensor,
    target_c2w: Tensor,
    intrinsics: Tensor,
    normalizer: Normalizer | float = "batch",
    return_depth: bool = False,
) -> tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]:
    """Render each frame from its target camera; the module's docstring has the formulas.

    frames: (F, 3, H, W) in [-1, 1]. depth: (F, 1, H, W), z-depth in the source camera; pixels whose depth is not a
    positive finite number are left out, as are points behind the target camera. source_c2w, target_c2w: (F, 4, 4).
    intrinsics: (F, 3, 3), of both cameras. All floating point, on one device.

    Returns render (F, 3, H, W) in [-1, 1], holes -1, and mask (F, 1, H, W), 1 where something landed and 0 in holes, of
    the dtype of `frames`; with `return_depth` also the z-depth (F, 1, H, W) in the target camera, splatted by the same
    weights, 0 in holes. Raises ValueError for wrong shapes or an unknown normaliser, TypeError for integer tensors.
    """
    _check(frames, depth, source_c2w, target_c2w, intrinsics, normalizer)
    height, width = frames.shape[2:]
    x, y, z = project(depth, source_c2w, target_c2w, intrinsics)
    valid = _valid(x, y, z, depth)

    far = torch.log1p(torch.where(valid, z, 0).clamp(0, FARTHEST))
    if isinstance(normalizer, str):
        scale = far.amax(dim=1, keepdim=True) if normalizer == "frame" else far.max()
    else:
        scale = far.new_tensor(normalizer)
    weight = torch.where(valid, torch.exp(-SHARPNESS * far / scale.clamp(min=torch.finfo(far.dtype).tiny)), 0)

    carried = [frames.flatten(2)]
    if return_depth:
        carried.append(torch.where(valid, z, 0)[:, None])
    carried.append(torch.ones_like(frames[:, :1]).flatten(2))
    values = torch.cat(carried, 1)  # (F, 3 or 4, then the weight itself, H * W)

    canvas = _canvas(values, (height + 2) * (width + 2))
    x, y = (torch.where(valid, c, 0) + 1 for c in (x, y))  # into the bordered image
    columns = _neighbours(x, width + 1)
    rows = _neighbours(y, height + 1)
    for row, near_row in rows:
        for column, near_column in columns:
            _accumulate(canvas, row * (width + 2) + column, values * (weight * near_row * near_column)[:, None])

    canvas = canvas.unflatten(2, (height + 2, width + 2))[:, :, 1:-1, 1:-1]
    total = canvas[:, -1:]
    hit = total > 0
    mean = canvas[:, :-1] / torch.where(hit, total, 1)
    render, mask = torch.where(hit, mean[:, :3], HOLE), hit.to(frames.dtype)
    return (render, mask, mean[:, 3:]) if return_depth else (render, mask)


def farthest(depth: Tensor, source_c2w: Tensor, target_c2w: Tensor, intrinsics: Tensor) -> float:
    """max log(1 + d) over frames (F, ...), as `splat` takes it: the greatest over the parts of a clip normalises it whole."""
    x, y, z = project(depth, source_c2w, target_c2w, intrinsics)
    return float(torch.log1p(torch.where(_valid(x, y, z, depth), z, 0).clamp(0, FARTHEST)).max())


def _valid(x: Tensor, y: Tensor, z: Tensor, depth: Tensor) -> Tensor:
    """Which points (F, H * W) can be drawn."""
    return (z > 0) & torch.isfinite(x) & torch.isfinite(y) & (depth.flatten(1) > 0)


def project(depth: Tensor, source_c2w: Tensor, target_c2w: Tensor, intrinsics: Tensor) -> tuple[Tensor, ...]:
    """Pixel coordinates x, y and depth z in the target camera of every source pixel, each (F, H * W); arguments as of `splat`."""
    _, _, height, width = depth.shape
    wide = torch.float64  # the matrices, not the pixels: their product decides on which side of a border a point lands
    lift = torch.linalg.inv(intrinsics.to(wide))
    move = torch.linalg.inv(target_c2w.to(wide)) @ source_c2w.to(wide)
    # x ~ K (R K^-1 u z + t): one matrix for the pixel, one vector for the move
    turn = (intrinsics.to(wide) @ move[:, :3, :3] @ lift).to(depth.dtype)
    shift = (intrinsics.to(wide) @ move[:, :3, 3:]).to(depth.dtype)
    v = torch.arange(height, dtype=depth.dtype, device=depth.device)[:, None]
    u = torch.arange(width, dtype=depth.dtype, device=depth.device)
    # written out, because a library's product of matrices may round differently for another batch size
    x, y, z = (
        ((turn[:, i, 0, None, None] * u + turn[:, i, 1, None, None] * v + turn[:, i, 2, None, None]) * depth[:, 0])
        + shift[:, i, :, None]
        for i in range(3)
    )
    return (x / z).flatten(1), (y / z).flatten(1), z.flatten(1)


def _neighbours(coordinate: Tensor, last: int) -> list[tuple[Tensor, Tensor]]:
    """The pixels below and above a coordinate, clamped to 0..last, each with its share 1 - distance, 0 beyond reach."""
    pair = []
    for pixel in (coordinate.floor(), coordinate.ceil()):
        held = pixel.clamp(0, last)
        pair.append((held.long(), torch.where(held == pixel, 1 - (coordinate - pixel).abs(), 0)))
    return pair


def _canvas(values: Tensor, pixels: int) -> Tensor:
    """Zeros (F, C, pixels) for values (F, C, P), laid out in memory as `_accumulate` walks them."""
    count, channels, _ = values.shape
    if values.device.type == "cpu":
        return values.new_zeros(count, channels, pixels)
    return values.new_zeros(count, pixels, channels).transpose(1, 2)


def _accumulate(canvas: Tensor, index: Tensor, values: Tensor) -> None:
    """canvas[f, c, index[f, p]] += values[f, c, p], in a fixed order; canvas (F, C, pixels), index (F, P)."""
    if canvas.device.type == "cpu":
        canvas.scatter_add_(2, index[:, None].expand_as(values), values)
        return
    count, channels, pixels = canvas.shape
    index = index + torch.arange(count, device=canvas.device)[:, None] * pixels
    rows = values.transpose(1, 2).reshape(-1, channels)
    canvas.transpose(1, 2).view(-1, channels).index_put_((index.flatten(),), rows, accumulate=True)


def _check(
    frames: Tensor, depth: Tensor, source_c2w: Tensor, target_c2w: Tensor, intrinsics: Tensor, normalizer: str | float
) -> None:
    """Raise for arguments that do not fit together."""
    if frames.ndim != 4 or frames.shape[1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames: expected (F, 3, H, W), at least one of each, got {tuple(frames.shape)}")
    count, _, height, width = frames.shape
    expected = {
        "depth": (depth, (count, 1, height, width)),
        "source_c2w": (source_c2w, (count, 4, 4)),
        "target_c2w": (target_c2w, (count, 4, 4)),
        "intrinsics": (intrinsics, (count, 3, 3)),
    }
    for name, (tensor, shape) in expected.items():
        if tensor.shape != shape:
            raise ValueError(
                f"{name}: expected {shape} to go with frames {tuple(frames.shape)}, got {tuple(tensor.shape)}"
            )
        if tensor.device != frames.device:
            raise ValueError(f"{name}: expected the device of frames, {frames.device}, got {tensor.device}")
    for name, tensor in {"frames": frames, **{name: tensor for name, (tensor, _) in expected.items()}}.items():
        if not tensor.is_floating_point():
            raise TypeError(f"{name}: expected floating point, got {tensor.dtype}: images go in as [-1, 1]")
    if isinstance(normalizer, str) and normalizer not in get_args(Normalizer):
        raise ValueError(f"normalizer: expected one of {get_args(Normalizer)} or a number, got {normalizer!r}")
