"""The forward splat: the reference renders, a slow twin of the formula, and laws."""

import math
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from inspatio_gym.geometry import poses, splat  # noqa: E402

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
DEVICES = ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, no_gpu])]


def world(frames=2, size=(6, 8), seed=0, device="cpu", moved=True):
    """Random frames and depth, seen from cameras a little apart."""
    rng = torch.Generator().manual_seed(seed)
    height, width = size
    k = torch.tensor([[width * 0.9, 0, (width - 1) / 2], [0, width * 0.9, (height - 1) / 2], [0, 0, 1]])
    source = torch.from_numpy(poses.compose(poses.rotation_ypr(torch.arange(frames) * 3.0), (0.1, 0, 0))).float()
    turn = poses.compose(poses.rotation_ypr(4, -3, 2), (0.3, -0.2, 0.4))
    target = (source.double() @ torch.from_numpy(turn)).float() if moved else source
    return [
        t.to(device)
        for t in (
            torch.rand(frames, 3, height, width, generator=rng) * 2 - 1,
            torch.rand(frames, 1, height, width, generator=rng) * 2 + 1,
            source,
            target,
            k.expand(frames, 3, 3),
        )
    ]


def slow_twin(frames, depth, source_c2w, target_c2w, intrinsics, normalizer):
    """The formula, one point at a time, in double precision: render, mask and depth as nested loops."""
    count, _, height, width = frames.shape
    points = []
    for f in range(count):
        move = torch.linalg.inv(target_c2w[f].double()) @ source_c2w[f].double()
        k = intrinsics[f].double()
        for v in range(height):
            for u in range(width):
                ray = torch.linalg.inv(k) @ torch.tensor([u, v, 1], dtype=torch.float64)
                point = move[:3, :3] @ (ray * depth[f, 0, v, u].double()) + move[:3, 3]
                x, y, _ = (k @ point / point[2]).tolist()
                points.append((f, x, y, point[2].item(), frames[f, :, v, u].double()))
    logs = [math.log(1 + min(z, 1000)) for *_, z, _ in points]
    total = torch.zeros(count, 5, height, width, dtype=torch.float64)
    for (f, x, y, z, colour), log in zip(points, logs, strict=True):
        top = max(logs) if normalizer == "batch" else max(m for m, p in zip(logs, points, strict=True) if p[0] == f)
        for column in (math.floor(x), math.ceil(x)):
            for row in (math.floor(y), math.ceil(y)):
                if 0 <= column < width and 0 <= row < height:
                    weight = (1 - abs(x - column)) * (1 - abs(y - row)) / math.exp(50 * log / top)
                    total[f, :, row, column] += weight * torch.tensor([*colour.tolist(), z, 1], dtype=torch.float64)
    mask = total[:, 4:] > 0
    mean = total[:, :4] / total[:, 4:]
    return torch.where(mask, mean[:, :3], -1), mask, torch.where(mask, mean[:, 3:], 0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("normalizer", "key"), [("batch", "render"), ("frame", "render_single")])
def test_the_reference_renders_agree(shared, device, normalizer, key):
    from safetensors.torch import load_file

    reference = load_file(shared / "fixtures/warp/warp.safetensors", device=device)
    names = ("frame", "depth", "source_c2w", "target_c2w", "intrinsics")
    render, mask = splat(*(reference[name] for name in names), normalizer=normalizer)
    error = (render - reference[key]).abs().amax(1)
    assert (error <= 1e-4).float().mean() >= 0.999
    assert error.max() <= 0.05  # a point that lands on a pixel's border may round to its other side
    assert (mask == reference["mask"]).float().mean() >= 0.999


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("normalizer", ["batch", "frame"])
def test_the_formula_holds_point_by_point(device, normalizer):
    scene = world(device=device)
    scene[1][1] *= 3  # so that the two normalisers differ
    render, mask, depth = splat(*scene, normalizer=normalizer, return_depth=True)
    expected = slow_twin(*(t.cpu() for t in scene), normalizer)
    assert (mask.cpu().bool() == expected[1]).all()
    assert 0 < mask.mean() < 1
    torch.testing.assert_close(render.cpu().double(), expected[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(depth.cpu().double(), expected[2], rtol=0, atol=1e-4)


def test_a_camera_that_stays_sees_the_frame_itself():
    frames, depth, *cameras = world(size=(20, 30), moved=False)
    render, mask, seen = splat(frames.double(), depth.double(), *(c.double() for c in cameras), return_depth=True)
    assert (mask == 1).all()
    inner = (..., slice(1, -1), slice(1, -1))
    smooth = torch.full_like(depth, 2).double()
    still, _, plane = splat(frames.double(), smooth, *(c.double() for c in cameras), return_depth=True)
    torch.testing.assert_close(still[inner], frames.double()[inner], rtol=0, atol=1e-9)
    torch.testing.assert_close(plane, smooth, rtol=0, atol=1e-9)
    assert seen.min() >= depth.min() - 1e-6
    assert render.abs().max() <= 1


def test_the_near_point_hides_the_far_one():
    """A camera steps sideways, and a near pixel lands on a far one."""
    k = torch.tensor([[[10.0, 0, 4], [0, 10, 0], [0, 0, 1]]])
    depth = torch.full((1, 1, 1, 9), 10.0)
    depth[..., 4] = 1.0
    frames = torch.zeros(1, 3, 1, 9)
    frames[..., 4] = 1.0
    target = torch.eye(4)[None].clone()
    target[0, 0, 3] = 0.2  # moves the near pixel by 2 and the far ones by 0.2
    render, _, seen = splat(frames, depth, torch.eye(4)[None], target, k, return_depth=True)
    assert render[0, :, 0, 2].tolist() == pytest.approx([1, 1, 1], abs=1e-3)
    assert seen[0, 0, 0, 2].item() == pytest.approx(1, abs=1e-2)


def test_pixels_without_depth_and_points_behind_the_camera_are_left_out():
    frames, depth, source, target, k = world(frames=1, size=(12, 12), moved=False)
    depth[:] = 2
    depth[0, 0, 0, :6] = torch.tensor([0, -1, math.nan, math.inf, -math.inf, 0])
    render, mask = splat(frames, depth, source, target, k)
    assert torch.isfinite(render).all()
    assert (render[0, :, 0, :5] == -1).all()
    assert (mask[0, 0, 0, :5] == 0).all()
    assert (mask[0, 0, 2:] == 1).all()
    ahead = torch.from_numpy(poses.compose(torch.eye(3), (0, 0, 5.0))).float()[None]
    render, mask, seen = splat(frames, depth, source, source @ ahead, k, return_depth=True)
    assert (render == -1).all()
    assert (mask == 0).all()
    assert (seen == 0).all()


def test_a_frame_normalised_by_itself_does_not_depend_on_its_batch_mates():
    scene = world(frames=3)
    whole, _ = splat(*scene, normalizer="frame")
    for f in range(3):
        alone, _ = splat(*(t[f : f + 1] for t in scene), normalizer="frame")
        assert (alone[0] == whole[f]).all()


@pytest.mark.parametrize("device", DEVICES)
def test_results_repeat_bit_for_bit(device):
    scene = world(frames=4, size=(96, 160), device=device)
    first = splat(*scene, return_depth=True)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            for a, b in zip(first, splat(*scene, return_depth=True), strict=True):
                assert (a == b).all()
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("position", "replacement", "message"),
    [
        (0, torch.zeros(2, 1, 6, 8), r"frames: expected \(F, 3, H, W\)"),
        (0, torch.zeros(0, 3, 6, 8), "at least one of each"),
        (1, torch.zeros(2, 6, 8), r"depth: expected \(2, 1, 6, 8\)"),
        (2, torch.eye(4), r"source_c2w: expected \(2, 4, 4\)"),
        (3, torch.eye(4).expand(3, 4, 4), r"target_c2w: expected \(2, 4, 4\).*got \(3, 4, 4\)"),
        (4, torch.eye(4).expand(2, 4, 4), r"intrinsics: expected \(2, 3, 3\)"),
    ],
)
def test_wrong_shapes_are_refused_by_name(position, replacement, message):
    arguments = world()
    arguments[position] = replacement
    with pytest.raises(ValueError, match=message):
        splat(*arguments)


def test_wrong_types_and_normalisers_are_refused():
    frames, *rest = world()
    with pytest.raises(TypeError, match=r"frames: expected floating point, got torch\.uint8"):
        splat(frames.to(torch.uint8), *rest)
    with pytest.raises(ValueError, match=r"normalizer: expected one of .*'batch', 'frame'.*got 'clip'"):
        splat(frames, *rest, normalizer="clip")


def test_without_torch_the_error_names_the_extra_and_the_rest_imports():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import inspatio_gym, inspatio_gym.geometry, inspatio_gym.camera, inspatio_gym.clock\n"
        "try: from inspatio_gym.geometry import splat\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "inspatio-gym[star]" in done.stdout
