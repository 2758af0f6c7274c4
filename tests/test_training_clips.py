"""Clips for training: pictures are the worlds' truth, renders are the model's, streams follow from their seed."""

import subprocess
import sys
from dataclasses import replace
from itertools import islice

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from inspatio_gym.geometry.poses import invert, ypr_deg  # noqa: E402
from inspatio_gym.geometry.splatting import splat  # noqa: E402
from inspatio_gym.scenes.synthetic import STYLES, WORLDS, make_world, picture  # noqa: E402
from inspatio_gym.scenes.synthetic.address import parse  # noqa: E402
from inspatio_gym.scenes.synthetic.batch import CLEAR, FIRST_TRAINING_SEED, GLANCE  # noqa: E402
from inspatio_gym.scenes.synthetic.sensor import open_shutter, setting  # noqa: E402
from inspatio_gym.scenes.synthetic.sensor_batch import develop, jpeg  # noqa: E402
from inspatio_gym.scenes.synthetic.tracer import cast, trace  # noqa: E402
from inspatio_gym.training.world.background import Recorded, Wanted, fuse  # noqa: E402
from inspatio_gym.training.world.clips import ROWS, films, pairs  # noqa: E402
from inspatio_gym.training.world.takes import NEARER, ClipPlan, draw_films, draw_pairs  # noqa: E402

SIZE = (32, 48)
SMALL = ClipPlan(seed=5, size=SIZE, frames=9, clips=2, samples=1)


def world_of(address: str):
    what = parse(address)
    return make_world(what.world, what.seed, what.style)


def psnr(a, b) -> float:
    return float(-10 * np.log10(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2) / 255**2))


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(WORLDS))
def test_source_and_target_are_the_truth_of_their_cameras_at_the_moments_shown(name: str):
    plan = ClipPlan(seed=2, names=(name,), styles=("plain",), size=SIZE, frames=21, clips=2)
    take, clips = draw_pairs(plan, 0), next(pairs(plan, 2))
    world, recorded = world_of(take.world), take.where.max() + 1
    for clip, frame in ((0, 0), (0, 20), (1, 13)):
        number = take.frames[clip, frame]
        time_s = number / world.fps
        source = world.render(world.path(time_s), time_s, SIZE).rgb
        np.testing.assert_array_equal(clips.source[clip, frame].movedim(0, -1), source)
        novel = take.shots.c2w[recorded + clip * plan.frames + frame]
        target = world.render(novel, time_s, SIZE).rgb
        np.testing.assert_array_equal(clips.target[clip, frame].movedim(0, -1), target)


def test_a_camera_that_stays_sees_the_source():
    plan = ClipPlan(seed=1, styles=("plain",), size=SIZE, frames=9, clips=1, turn_deg=0, move=0, held=0)
    for clips in islice(pairs(plan, 1), 3):
        assert torch.equal(clips.target, clips.source)
        assert clips.mask.all()
        assert (clips.render.int() - clips.source.int()).abs().float().mean() < 0.2


def test_what_is_covered_shows_the_truth_and_holes_are_black():
    plan = ClipPlan(seed=3, names=("room", "table"), styles=("plain",), size=(48, 80), frames=9, clips=2)
    clips = next(pairs(plan, 4))
    covered = clips.mask.expand_as(clips.render)
    assert 0.5 < covered.float().mean() < 1
    assert (clips.render[~covered] == 0).all()
    assert psnr(clips.render[covered], clips.target[covered]) > 24
    assert psnr(clips.render[covered], clips.target.roll(7, -1)[covered]) < 20


def test_a_white_wall_is_white_wherever_a_frame_shows_it():
    """To the edge of every picture; and a thing that moves hides what is near it, on both sides."""
    size = (24, 40)
    poses = torch.eye(4, dtype=torch.float64).repeat(3, 1, 1)
    poses[:, 0, 3] = torch.tensor([-2.03, 0, 2.03])  # 12.2 pixels aside
    lens = torch.tensor([[30.0, 0, 19.5], [0, 30, 11.5], [0, 0, 1]], dtype=torch.float64)
    depth, still = torch.full((3, *size), 5.0), torch.ones(3, *size, dtype=torch.bool)
    film = torch.full((3, 3, *size), 255, dtype=torch.uint8)
    wanted = Wanted(depth[1:2], still[1:2], poses[1:2], poses[1:2], lens[None])
    sides = Recorded(film[[0, 2]], depth[[0, 2]], still[[0, 2]], poses[[0, 2]])
    colours, known = fuse(sides, wanted)
    assert known.all()
    assert (colours == 255).all()
    one = Recorded(*(part[2:] for part in (film, depth, still, poses)))
    shown = fuse(one, wanted)[1]
    moving = still.clone()
    moving[:, 12, 20] = False
    for some, what in ((one, wanted._replace(still=moving[1:2])), (one._replace(still=moving[2:]), wanted)):
        colours, known = fuse(some, what)
        assert (shown & ~known).sum() == 9
        assert (colours == 255 * known).all()


@pytest.mark.parametrize("name", list(WORLDS))
def test_holes_show_what_other_frames_of_the_film_do_and_nothing_that_moves(name: str):
    plan = ClipPlan(seed=3, names=(name,), styles=("plain",), size=(48, 80), frames=21, clips=4)
    take, clips = draw_pairs(plan, 0), next(pairs(plan, 4))
    bare = next(pairs(replace(plan, background=False), 4))
    filled = clips.mask & ~bare.mask
    assert (clips.mask >= bare.mask).all()
    assert torch.equal(clips.render * bare.mask, bare.render)
    assert (clips.render * ~clips.mask == 0).all()
    assert filled.sum() > 0.02 * (~bare.mask).sum()
    assert filled.sum() < 0.8 * (~bare.mask).sum()
    colours = filled.expand_as(clips.render)
    assert psnr(clips.render[colours], clips.target[colours]) > 20
    world = world_of(take.world)
    ids = trace(take.shots, plan.size, plan.samples)[2][take.where.max() + 1 :]
    assert not (filled.flatten(0, 1)[:, 0].numpy() & world.moving(ids)).any()


def test_a_render_is_what_an_environment_would_show_the_model():
    """Computed again from the scene's own units: the world's scale, its cameras and its depth."""
    plan = ClipPlan(seed=3, names=("table",), styles=("plain",), size=SIZE, frames=9, clips=1, background=False)
    take, clips = draw_pairs(plan, 0), next(pairs(plan, 1))
    world, recorded = world_of(take.world), take.where.max() + 1
    times_s = take.frames[0] / world.fps
    views = [world.render(world.path(t), t, SIZE) for t in times_s]
    frames = torch.from_numpy(np.stack([view.rgb for view in views])).movedim(-1, 1).float() / 127.5 - 1
    depth = torch.from_numpy(np.stack([view.depth for view in views]) * np.float32(world.scale))[:, None]
    source_c2w = torch.from_numpy(world.to_scene(np.stack([world.path(t) for t in times_s])))
    target_c2w = torch.from_numpy(world.to_scene(take.shots.c2w[recorded:]))
    lenses = torch.from_numpy(world.intrinsics(SIZE)).expand(9, 3, 3)
    render, mask = splat(frames, depth, source_c2w, target_c2w, lenses, "frame")[:2]
    assert (clips.mask[0] == (mask > 0)).float().mean() > 0.999
    assert psnr(clips.render[0], (render + 1) * 127.5) > 40


def test_what_style_camera_recorded_went_through_the_sensor_and_targets_did_not():
    plan = ClipPlan(
        seed=3, names=("room",), styles=("camera",), size=(64, 112), frames=9, clips=1, turn_deg=0, move=0, held=0
    )
    take, clips = draw_pairs(plan, 0), next(pairs(plan, 1))
    world, frame = world_of(take.world), int(take.frames[0, 4])
    true = world.render(world.path(frame / world.fps), frame / world.fps, plan.size).rgb
    filmed = picture(world, frame, plan.size)
    np.testing.assert_array_equal(clips.target[0, 4].movedim(0, -1), true)
    assert psnr(clips.source[0, 4].movedim(0, -1), filmed) > psnr(true, filmed) + 3
    assert psnr(clips.render[0, 4], clips.source[0, 4]) > 40


# --- moments and cameras ----------------------------------------------------------------------------------------------


def test_time_plays_pauses_slows_and_runs_back():
    plan = ClipPlan(seed=1, names=("room",), size=SIZE, clips=24)
    frames = draw_pairs(plan, 0).frames
    steps = np.diff(frames, axis=1)
    assert frames.min() >= 0
    assert frames.max() <= 83
    assert np.abs(steps).max() == 1
    assert 0.5 < (steps == 1).mean() < 0.9
    paused, slow, back = (steps == 0).sum(1), (np.diff(steps, axis=1) != 0).sum(1), (steps == -1).sum(1)
    assert (paused >= 12).any()
    assert (slow > 10).any()
    assert (back >= 20).any()


def test_frames_shown_again_are_equal_whether_time_stands_or_runs_back():
    plan = ClipPlan(seed=4, names=("table",), size=(16, 16), frames=33, clips=6, samples=1)
    take, clips = draw_pairs(plan, 0), next(pairs(plan, 6))
    stood = turned = 0
    for frames, source in zip(take.frames, clips.source, strict=True):
        for k in range(1, 32):
            if frames[k] == frames[k + 1]:
                stood += 1
                assert torch.equal(source[k], source[k + 1])
            elif frames[k - 1] == frames[k + 1]:
                turned += 1
                assert torch.equal(source[k - 1], source[k + 1])
                assert not torch.equal(source[k], source[k + 1])
    assert stood
    assert turned


def test_cameras_stay_within_their_limits_and_begin_near_the_recorded_one():
    plan = ClipPlan(seed=6, names=("room",), size=SIZE, clips=24, held=0)
    take = draw_pairs(plan, 0)
    recorded = take.where.max() + 1
    offsets = invert(take.shots.c2w[take.where]) @ take.shots.c2w[recorded:].reshape(24, 33, 4, 4)
    turned = np.abs(ypr_deg(offsets[..., :3, :3]))
    moved = np.linalg.norm(offsets[..., :3, 3], axis=-1) * take.scale
    assert (turned.max(axis=(0, 1)) <= [30 + 1e-6, 15 + 1e-6, 5 + 1e-6]).all()
    assert turned[..., 0].max() > 10
    assert 0.15 < moved.max() < 0.3 * 1.5 * 1.2  # a box's corner, and the depth of the clip rather than of the world
    assert turned[:, 0, 0].max() <= 15 + 1e-6
    assert (moved[:, 0] < 1e-9).mean() > 0.3
    assert ((moved.max(1) < 1e-9) & (turned.max(axis=(1, 2)) > 3)).any(), "some turn alone"
    assert (np.abs(moved[:, 0] - moved[:, -1]) < 1e-9).mean() < 0.9
    speed = np.linalg.norm(np.diff(offsets[..., :3, 3], axis=1), axis=-1) * take.scale
    assert speed.max() < 0.06, "no jumps"


def test_some_clips_begin_with_a_camera_that_is_held_as_a_reset_holds_it():
    plan = ClipPlan(seed=6, names=("room",), size=SIZE, clips=12, frames=21)
    take = draw_pairs(plan, 0)
    novel = take.shots.c2w[take.where.max() + 1 :].reshape(12, 21, 4, 4)
    held = np.abs(novel[:, :9] - novel[:, 8:9]).max(axis=(1, 2, 3)) == 0
    assert 2 < held.sum() < 10
    assert (np.abs(novel[:, 9] - novel[:, 8]).max(axis=(1, 2)) > 0).all()


@pytest.mark.parametrize("name", list(WORLDS))
def test_cameras_stand_clear_of_everything(name: str):
    for index in range(3):
        plan = ClipPlan(seed=7, names=(name,), size=SIZE, clips=3)
        take = draw_pairs(plan, index)
        world, recorded = world_of(take.world), take.where.max() + 1
        lenses = np.repeat(world.intrinsics(GLANCE)[None], len(take.shots.c2w), axis=0)
        depth = cast(take.shots._replace(intrinsics=lenses), GLANCE)[0]
        for where, seen in zip(take.where, depth[recorded:].reshape(3, 33, *GLANCE), strict=True):
            least = min(CLEAR * np.median(depth[where]), NEARER * depth[where].min())
            assert seen[::4].min() > least
            assert seen.min() > 0.7 * least  # between the frames that were looked at


# --- streams ----------------------------------------------------------------------------------------------------------


def test_clips_are_the_same_whatever_the_batch_the_start_and_the_workers():
    def first(count: int, batch: int, **options):
        batches = pairs(SMALL, batch, **options)
        parts = list(islice(batches, count // batch))
        batches.close()
        return [torch.cat(part) for part in zip(*parts, strict=True)]

    whole = first(6, 6)
    for name, other, since in (
        ("batch", first(6, 3), 0),
        ("start", first(3, 1, start=3), 3),
        ("workers", first(2, 2, start=4, workers=1), 4),
    ):
        for a, b in zip(whole, other, strict=True):
            assert torch.equal(a[since : since + len(b)], b), name
    assert not torch.equal(whole[0][0], whole[0][2])


def test_worlds_are_never_those_kept_for_tests_and_styles_are_told():
    for draw in (draw_pairs, draw_films):
        seeds = [parse(draw(SMALL, k).world).seed for k in range(4)]
        assert min(seeds) >= FIRST_TRAINING_SEED
        assert 900 <= parse(draw(replace(SMALL, worlds=(900, 902)), 0).world).seed < 902
    for style in STYLES:
        clips = next(pairs(ClipPlan(styles=(style,), size=SIZE, frames=9, clips=1, samples=1), 1))
        assert ROWS[int(clips.style)] == style


def test_who_makes_worlds_ahead_needs_no_torch():
    code = "import sys, inspatio_gym.training.world.takes; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"frames": 12}, r"9 \+ 12 k frames \(9, 21, 33, ...\), got 12"),
        ({"size": (120, 224)}, r"multiples of 16, got \(120, 224\)"),
        ({"clips": 0}, "at least one of a world, got 0"),
    ],
)
def test_a_plan_that_makes_no_clips_says_so(wrong: dict, said: str):
    with pytest.raises(ValueError, match=said):
        ClipPlan(**wrong)


def test_films_are_not_longer_than_a_world():
    with pytest.raises(ValueError, match="at most the 84 of a world's film, got 93"):
        next(films(ClipPlan(frames=93), 1))


# --- films ------------------------------------------------------------------------------------------------------------


def test_films_go_forward_through_a_sensor_and_are_the_same_each_time():
    film, again = next(films(SMALL, 3)), next(films(SMALL, 2, start=1))
    assert torch.equal(film[1:], again)
    take = draw_films(SMALL, 0)
    world = world_of(take.world)
    assert world.style == "camera"
    assert (np.diff(take.frames, axis=1) == 1).all()
    frame = int(take.frames[0, 4])
    true = world.render(world.path(frame / world.fps), frame / world.fps, SIZE).rgb
    shown, known = film[0, 4].movedim(0, -1), picture(world, frame, SIZE)
    assert psnr(shown, known) > psnr(shown, true)
    assert psnr(shown, known) > 25


@pytest.mark.parametrize("name", list(WORLDS))
def test_the_sensor_of_many_frames_is_that_of_one(name: str):
    """Given the noise that `film` draws; what is left is how JPEG rounds."""
    world, frames, size = make_world(name, 6, "camera"), [0, 40], (64, 112)
    rgb, depth, _ = trace(open_shutter(world, np.array(frames) / world.fps, size), size, 1)
    noise = [np.random.default_rng([9, world.seed, frame]).standard_normal((*size, 3)) for frame in frames]
    developed = develop(
        torch.from_numpy(rgb).unflatten(0, (2, 4)),
        torch.from_numpy(depth).unflatten(0, (2, 4))[:, 2],
        [setting(world.seed, frame / world.fps) for frame in frames],
        torch.from_numpy(np.stack(noise)).float().movedim(-1, 1),
    )
    for frame, found in zip(frames, developed, strict=True):
        known, time_s = picture(world, frame, size), frame / world.fps
        assert psnr(found.movedim(0, -1), known) > 38
        assert psnr(world.render(world.path(time_s), time_s, size).rgb, known) < 30


@pytest.mark.parametrize("quality", [20, 50, 90])
def test_jpeg_loses_what_a_file_loses(quality: int):
    world = make_world("room", 6)
    image = np.ascontiguousarray(world.render(world.path(1.0), 1.0, (64, 112)).rgb)
    _, file = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    known = cv2.imdecode(file, cv2.IMREAD_COLOR)
    # cv2 takes the first channel for blue, so both are handed the same planes in its order.
    planes = torch.from_numpy(image[..., ::-1].copy()).movedim(-1, 0)[None]
    found = jpeg(planes, torch.tensor(float(quality)).view(1, 1, 1, 1))[0].flip(0).movedim(0, -1)
    lost = np.abs(image.astype(int) - known).mean()
    assert np.abs(found.numpy().astype(int) - known).mean() < 0.25 * lost
    with pytest.raises(ValueError, match="multiples of 16"):
        jpeg(planes[..., :24], torch.tensor(50.0).view(1, 1, 1, 1))


# --- on a GPU ---------------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch sees")
def test_clips_of_a_gpu_are_those_of_the_cpu():
    plan = ClipPlan(seed=8, size=(64, 112), frames=9, clips=2)
    plain = replace(plan, styles=("plain",))  # the sensor's noise is another one on a GPU
    for here, there in zip(next(pairs(plain, 4)), next(pairs(plain, 4, "cuda")), strict=True):
        assert there.is_cuda
        # Roundings throw few pixels to the other side of an edge; where two surfaces splat into one, a few more.
        assert ((here.int() - there.cpu().int()).abs() > 2).float().mean() < 0.01
    film, known = next(films(plan, 2, "cuda")), next(films(plan, 2))
    assert torch.equal(film, next(films(plan, 2, "cuda")))
    assert psnr(film.cpu(), known) > 25
