"""The warp world's laws: what a view must be whatever the scene, and what must not change it."""

import cv2
import numpy as np
import pytest

from inspatio_gym.geometry.poses import compose, invert, rotation_ypr
from inspatio_gym.layers import LayerStore, contributors
from inspatio_gym.warp import WarpModel, at_size
from inspatio_gym.world import Block, BlockRequest

SIZE = (48, 80)
CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))  # a pixel and its four neighbours
OFFSETS = [
    *(compose(rotation_ypr(yaw), (0, 0, 0)) for yaw in (-20, -7, 7, 20)),
    *(compose(np.eye(3), (shift, 0, 0)) for shift in (-0.2, -0.1, 0.1, 0.2)),
    compose(rotation_ypr(5, -8, 12), (0.05, -0.05, 0.1)),
    compose(np.eye(3), (0, 0, -0.3)),
]


class Clip:
    """A scene in memory at SIZE: functions of the frame's index, and a camera that steps to the right."""

    size = SIZE

    def __init__(self, rgb, depth, moving=None, *, frames=12, focal=64.0, stride=0.02):
        height, width = SIZE
        self.digest = f"clip {id(self)}"
        self.num_frames = frames
        self.rgb, self.depth = rgb, depth
        self.moving = moving or (lambda i: np.zeros(SIZE, bool))
        self.c2w = np.repeat(np.eye(4)[None], frames, 0)
        self.c2w[:, 0, 3] = stride * np.arange(frames)
        matrix = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        self.intrinsics = np.repeat(matrix[None], frames, 0)


class Painted:
    """A scene's geometry in other colours."""

    def __init__(self, view, rgb):
        self.view, self.size, self.digest = view, view.size, f"painted {view.digest} {id(self)}"
        self.num_frames, self.c2w, self.intrinsics = view.num_frames, view.c2w, view.intrinsics
        self.depth, self.moving, self.rgb = view.depth, view.moving, rgb


def noise(seed: int, low: int = 0, high: int = 256):
    return np.random.default_rng(seed).integers(low, high, (*SIZE, 3), np.uint8)


def ask(frame: int, cameras) -> BlockRequest:
    return BlockRequest(np.full(len(cameras), frame), np.stack(cameras), np.arange(len(cameras)))


def look(model: WarpModel, view, frame: int, cameras) -> Block:
    """Views of one frame."""
    return model.start([view], [0], [ask(frame, cameras)])[1][0]


def around(view, frame: int):
    return [view.c2w[frame] @ offset for offset in OFFSETS]


def same(a: Block, b: Block) -> None:
    for name in ("rgb", "depth", "covered"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.fixture(params=[False, True], ids=["single", "fused"])
def model(request: pytest.FixtureRequest) -> WarpModel:
    return WarpModel(SIZE, background=request.param)


@pytest.fixture(params=["room", "street"])
def view(request: pytest.FixtureRequest):
    return at_size(request.getfixturevalue(f"{request.param}_scene"), SIZE)


def test_the_recorded_camera_sees_the_frame_itself(model, view):
    for frame in range(0, view.num_frames, 7):
        block = look(model, view, frame, [view.c2w[frame]])
        np.testing.assert_array_equal(block.rgb[0], view.rgb(frame))
        np.testing.assert_allclose(block.depth[0], view.depth(frame), rtol=1e-5)
        assert block.covered.all()


def test_a_world_of_one_colour_has_that_colour_everywhere(model, view):
    colour = np.uint8([200, 120, 40])
    plain = Painted(view, lambda i: np.broadcast_to(colour, (*SIZE, 3)))
    for frame in (0, 40, 70):
        block = look(model, plain, frame, around(view, frame))
        assert not block.covered.all()
        np.testing.assert_array_equal(block.rgb, np.broadcast_to(colour, block.rgb.shape))


def test_no_view_is_darker_or_brighter_than_the_film(model, view):
    """Specks are colours of pixels where there is nothing; filled regions blend what lies around them."""
    painted = Painted(view, lambda i: noise(i, 90, 160))
    for frame in (0, 40, 70):
        block = look(model, painted, frame, around(view, frame))
        assert block.rgb.min() >= 90
        assert block.rgb.max() < 160
        for rgb, covered in zip(block.rgb, block.covered, strict=True):
            assert (rgb[~covered] >= rgb[covered].min(0)).all()
            assert (rgb[~covered] <= rgb[covered].max(0)).all()


@pytest.mark.parametrize("turn", [True, False])
@pytest.mark.parametrize("pixels", [-9, -1, 3, 20])
def test_a_far_plane_shifts_by_whole_pixels(turn, pixels):
    """Through a long lens a turn is a shift."""
    model, frame, far = WarpModel(SIZE, background=False), noise(1), 40.0
    clip = Clip(lambda i: frame, lambda i: np.full(SIZE, far, np.float32), focal=16000.0)
    angle = np.degrees(np.arctan(pixels / 16000))
    camera = compose(rotation_ypr(angle), (0, 0, 0)) if turn else compose(np.eye(3), (pixels * far / 16000, 0, 0))
    block = look(model, clip, 0, [camera])
    shown, source = slice(max(-pixels, 0), SIZE[1] - max(pixels, 0)), slice(max(pixels, 0), SIZE[1] - max(-pixels, 0))
    np.testing.assert_allclose(block.rgb[0][:, shown].astype(int), frame[:, source], atol=2)
    np.testing.assert_allclose(block.depth, far, rtol=1e-4)
    assert block.covered[0][:, shown].all()
    assert block.covered.sum() == SIZE[0] * (SIZE[1] - abs(pixels))


@pytest.mark.parametrize("slant", [(0, 0), (0.4, 0), (-0.3, 0.5)])
def test_depth_is_that_of_the_surface(model, slant):
    """A plane n . P = 1 seen by K has inverse depth n . K^-1 (x, y, 1), from any camera."""
    normal = np.array([*slant, 1.0]) / 2
    v, u = np.mgrid[: SIZE[0], : SIZE[1]]
    clip = Clip(lambda i: noise(0), None, stride=0.0)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(clip.intrinsics[0]).T
    clip.depth = lambda i: (1 / (rays @ normal)).astype(np.float32)
    block = look(model, clip, 0, around(clip, 0))
    for camera, depth, covered in zip(around(clip, 0), block.depth, block.covered, strict=True):
        seen = camera[:3, :3].T @ normal / (1 - normal @ camera[:3, 3])
        np.testing.assert_allclose(depth[covered], (1 / (rays @ seen))[covered], rtol=0.01)
        assert covered.mean() > 0.5


def test_worlds_do_not_see_their_batch_mates(model, room_scene, street_scene):
    views = [at_size(scene, SIZE) for scene in (room_scene, street_scene, room_scene)]
    frames = (10, 60, 3)
    requests = [ask(frame, around(view, frame)) for view, frame in zip(views, frames, strict=True)]
    requests[1] = BlockRequest(requests[1].source, requests[1].c2w, np.array([4, 1]))
    sessions, together = model.start(views, [0, 1, 2], requests)
    assert [len(block.rgb) for block in together] == [len(OFFSETS), 2, len(OFFSETS)]
    for session, request, block in zip(sessions, requests, together, strict=True):
        same(model.step([session], [request])[0], block)
    same(look(model, views[1], 60, [requests[1].c2w[4], requests[1].c2w[1]]), together[1])


def test_threads_change_nothing(model, view, monkeypatch: pytest.MonkeyPatch):
    first = look(model, view, 30, around(view, 30))
    before = cv2.getNumThreads()
    try:
        for count in (1, 2, 3):
            monkeypatch.setenv("INSPATIO_GYM_THREADS", str(count))
            cv2.setNumThreads(count)
            model.layers = LayerStore(SIZE, background=model.layers.background)
            same(look(model, view, 30, around(view, 30)), first)
    finally:
        cv2.setNumThreads(before)


def test_forgetting_layers_changes_nothing(model, view):
    frames = [5, 6, 30, 5, 31, 32, 6, 5]
    cameras = np.stack([view.c2w[frame] @ offset for frame, offset in zip(frames, OFFSETS, strict=False)])
    request = BlockRequest(np.array(frames), cameras, np.arange(len(frames)))
    first = model.start([view], [0], [request])[1][0]
    model.layers = LayerStore(SIZE, background=model.layers.background, budget=1)
    assert model.layers.capacity == 2
    same(model.start([view], [0], [request])[1][0], first)
    same(model.start([view], [0], [request])[1][0], first)


def test_an_interruption_while_layers_are_made_mixes_no_frames_up(model, view, monkeypatch):
    expected = look(model, view, 2, [view.c2w[2]])
    model.layers = LayerStore(SIZE, background=model.layers.background, budget=3 * model.layers.slot_bytes)
    for frame in range(3):
        look(model, view, frame, [view.c2w[frame]])
    build = LayerStore._build

    def interrupted(*_):
        monkeypatch.setattr(LayerStore, "_build", build)
        raise KeyboardInterrupt

    monkeypatch.setattr(LayerStore, "_build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        look(model, view, 3, [view.c2w[3]])
    look(model, view, 4, [view.c2w[4]])
    same(look(model, view, 2, [view.c2w[2]]), expected)


def test_a_long_clip_stays_in_its_budget():
    colours = noise(2)
    clip = Clip(lambda i: colours, lambda i: np.full(SIZE, 2, np.float32), frames=300, stride=0.001)
    budget = 2**20
    model = WarpModel(SIZE)
    store = model.layers = LayerStore(SIZE, budget=budget)
    for frame in range(clip.num_frames):
        look(model, clip, frame, [clip.c2w[frame]])
        assert store.nbytes <= budget
    assert store.nbytes > budget / 2
    assert store.depth.nbytes + store.rgbx.nbytes + store.chunks.nbytes <= budget


def test_what_moves_is_not_in_the_background():
    """A red square crosses a grey wall: behind it lies wall, from the moments when it was elsewhere."""
    grey, red = (120, 130, 140), (230, 20, 10)
    frames = 24

    def square(i):
        mask = np.zeros(SIZE, bool)
        mask[14:34, 2 + 2 * i : 22 + 2 * i] = True
        return mask

    clip = Clip(
        lambda i: np.where(square(i)[..., None], red, grey).astype(np.uint8),
        lambda i: np.where(square(i), 1, 4).astype(np.float32),
        square,
        frames=frames,
        stride=0.0,
    )
    aside = compose(
        np.eye(3), (0.25, 0, 0)
    )  # the square lands 64 * 0.25 / 1 pixels to the left, the wall 64 * 0.25 / 4
    for frame in (0, 12, 23):
        assert len(contributors(frame, frames)) > 2
        block = look(WarpModel(SIZE), clip, frame, [aside])
        rgb, depth, covered = block.rgb[0], block.depth[0], block.covered[0]
        landed, uncovered = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
        landed[:, :-16] = square(frame)[:, 16:]
        uncovered[:, :-4] = square(frame)[:, 4:]
        uncovered &= ~landed
        np.testing.assert_array_equal((rgb == red).all(-1), landed)
        assert covered[uncovered].mean() > 0.95
        rim = uncovered & (cv2.dilate(landed.astype(np.uint8), CROSS) > 0)
        wall = rgb[uncovered & ~rim]
        np.testing.assert_array_equal(wall, np.broadcast_to(np.uint8(grey), wall.shape))
        third = np.abs(rgb[rim] - (np.array(red) + 2 * np.array(grey)) / 3)  # of the square, which ends somewhere there
        assert third[covered[rim]].max() <= 1
        np.testing.assert_allclose(depth[uncovered & covered], 4, rtol=1e-3)


def test_a_camera_that_sees_nothing_gets_a_picture_all_the_same(model, view):
    away = view.c2w[0] @ compose(rotation_ypr(180), (0, 0, 0))
    nowhere = np.full((4, 4), np.nan)
    block = look(model, view, 0, [away, nowhere])
    assert not block.covered.any()
    assert np.isfinite(block.depth).all()
    assert (block.depth > 0).all()


def test_bad_requests_are_refused(view):
    with pytest.raises(ValueError, match="at least"):
        WarpModel((1, 80))
    with pytest.raises(ValueError, match="CPU alone"):
        WarpModel(SIZE, device="cuda")
    with pytest.raises(IndexError, match=rf"0\.\.{view.num_frames - 1}, got {view.num_frames}"):
        look(WarpModel(SIZE), view, view.num_frames, [np.eye(4)])


def test_views_return_home(model, view):
    """Turned away and back is where one was, whatever was seen in between."""
    camera = view.c2w[20]
    first = look(model, view, 20, [camera])
    look(model, view, 50, around(view, 50))
    back = camera @ OFFSETS[0] @ invert(OFFSETS[0])
    same(look(model, view, 20, [camera]), first)
    again = look(model, view, 20, [back])
    np.testing.assert_allclose(again.rgb.astype(int), first.rgb, atol=1)


def test_a_large_view_is_shared_out_over_threads_without_a_trace(monkeypatch: pytest.MonkeyPatch, room_scene):
    model = WarpModel((250, 330))
    view = at_size(room_scene, model.render_size)
    cameras = around(view, 40)
    answers = []
    for number in ("1", "2", "5"):
        monkeypatch.setenv("INSPATIO_GYM_THREADS", number)
        answers.append([look(model, view, 40, camera[None]) for camera in cameras])
    for answer in answers[1:]:
        for one, other in zip(answers[0], answer, strict=True):
            same(one, other)
    assert not all(block.covered.all() for block in answers[0])  # something had to be filled
