"""Batches are what single pictures are, streams follow from their seed, and a name is a scene."""

import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspatio_gym.extras import MissingExtra
from inspatio_gym.geometry.poses import compose, rotation_ypr
from inspatio_gym.scenes import SceneError, load_scene
from inspatio_gym.scenes.synthetic import STYLES, WORLDS, from_scene, make_world, picture
from inspatio_gym.scenes.synthetic.address import Address, parse
from inspatio_gym.scenes.synthetic.batch import FIRST_TRAINING_SEED, Diet, Renderer, draw, stream

SIZE = (24, 40)


@pytest.fixture(scope="module", params=list(WORLDS))
def world(request: pytest.FixtureRequest):
    return make_world(request.param, 6)


@pytest.fixture(scope="module")
def a_table():
    return make_world("table", 2)


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("samples", [1, 2])
def test_a_batch_equals_single_pictures_to_the_bit(samples: int):
    worlds = [make_world(name, seed, style) for name in WORLDS for seed in (1, 4) for style in STYLES]
    worlds = [worlds[k % len(worlds)] for k in (0, 5, 3, 5, 8, 11, 0, 0)]
    times = np.linspace(0, 3, len(worlds))
    cameras = np.stack([world.path(t / 2) for world, t in zip(worlds, times, strict=True)])
    batch = Renderer().render(worlds, cameras, times, SIZE, samples)
    for k, world in enumerate(worlds):
        for one, many in zip(world.render(cameras[k], times[k], SIZE, samples=samples), batch, strict=True):
            np.testing.assert_array_equal(one, many[k])


def test_a_batch_needs_a_camera_and_a_moment_for_each_world(world):
    with pytest.raises(
        ValueError, match=r"expected a camera \(4, 4\) and a moment for each of 2 worlds, got \(1, 4, 4\)"
    ):
        Renderer().render([world] * 2, world.path(0.0)[None], [0.0], SIZE)


@settings(max_examples=15, deadline=None)
@given(yaw_deg=st.floats(-20, 20), dx=st.floats(-0.2, 0.2), time_s=st.floats(0, 3.4))
def test_depth_agrees_with_what_another_camera_sees_of_the_same_points(a_table, yaw_deg, dx, time_s):
    """A point lifted from one picture lies in any other camera on the surface that is seen there, or behind it."""
    first = a_table.path(time_s)
    second = first @ compose(rotation_ypr(yaw_deg), (dx, 0, 0))
    (depth, _), (other, _) = (a_table.depth(pose, time_s, (48, 80)) for pose in (first, second))
    k = a_table.intrinsics((48, 80))
    v, u = np.mgrid[:48, :80]
    points = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones_like(u, float)]) * depth
    there = np.linalg.inv(second) @ first
    x, y, z = there[:3, :3] @ points.reshape(3, -1) + there[:3, 3:]
    ahead = z > 0.05
    column = np.rint(x[ahead] / z[ahead] * k[0, 0] + k[0, 2]).astype(int)
    row = np.rint(y[ahead] / z[ahead] * k[1, 1] + k[1, 2]).astype(int)
    inside = (column > 0) & (column < 79) & (row > 0) & (row < 47)
    row, column, z = row[inside], column[inside], z[ahead][inside]
    around = np.stack([other[row + i, column + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    assert len(z) > 500
    assert (z > 0.97 * around.min(axis=0)).mean() > 0.995


def test_a_gpu_that_is_not_there_and_packages_that_are_not_are_named(monkeypatch: pytest.MonkeyPatch):
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"expected a GPU that torch sees for the device 'cuda', got none"):
            Renderer("cuda")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"inspatio-gym\[synth\]"):
        Renderer("cuda")


# --- streams ----------------------------------------------------------------------------------------------------------


def test_a_stream_follows_from_its_seed_wherever_it_begins_and_whoever_makes_its_worlds():
    diet = {"seed": 3, "batch": 6, "frames": 2, "size": (12, 20)}
    here = stream(**diet)
    first, second = next(here), next(here)
    here.close()
    later, elsewhere = stream(**diet, start=1), stream(**diet, workers=1, start=1)
    for other in (next(later), next(elsewhere)):
        assert other.world == second.world
        for name in ("rgb", "depth", "object_id", "c2w", "intrinsics", "time_s"):
            np.testing.assert_array_equal(getattr(other, name), getattr(second, name))
    later.close()
    elsewhere.close()
    assert first.world != second.world
    different = stream(**{**diet, "seed": 4})
    assert next(different).world != first.world
    different.close()


def test_worlds_of_a_stream_are_never_those_kept_for_tests():
    for k in range(12):
        scoop = draw(Diet(frames=1, size=SIZE), k)
        assert parse(scoop.world).seed >= FIRST_TRAINING_SEED


def test_clips_are_consecutive_frames_of_one_camera():
    batches = stream(batch=6, frames=6, clip=3, size=SIZE, names=("room",), styles=("plain",))
    batch = next(batches)
    batches.close()
    world = make_world("room", parse(batch.world[0]).seed)
    np.testing.assert_allclose(np.diff(batch.time_s)[[0, 1, 3, 4]], 1 / world.fps)
    offsets = [np.linalg.inv(world.path(t)) @ c2w for t, c2w in zip(batch.time_s, batch.c2w, strict=True)]
    np.testing.assert_allclose(offsets[0], offsets[2], atol=1e-9)
    assert np.abs(offsets[0] - offsets[3]).max() > 1e-3


def test_a_stream_shows_what_its_names_say():
    batches = stream(batch=4, frames=2, size=SIZE)
    batch = next(batches)
    batches.close()
    for k in range(4):
        what = parse(batch.world[k])
        view = make_world(what.world, what.seed, what.style).render(
            batch.c2w[k], batch.time_s[k], SIZE, batch.intrinsics[k], samples=1
        )
        np.testing.assert_array_equal(view.rgb, batch.rgb[k])
        np.testing.assert_array_equal(view.depth, batch.depth[k])


@pytest.mark.parametrize(
    ("wrong", "said"), [({"batch": 5}, "multiple of 8 shots, got 5"), ({"clip": 3}, "multiple of clip, got 8 and 3")]
)
def test_a_stream_that_does_not_add_up_says_so(wrong: dict, said: str):
    with pytest.raises(ValueError, match=said):
        next(stream(**wrong))


# --- styles -----------------------------------------------------------------------------------------------------------


def test_another_style_is_another_picture_of_the_same_things(world):
    filmed = make_world(world.name, world.seed, "camera")
    plain, other = (each.render(each.path(1.0), 1.0, SIZE) for each in (world, filmed))
    np.testing.assert_array_equal(plain.depth, other.depth)
    np.testing.assert_array_equal(plain.object_id, other.object_id)
    assert np.abs(plain.rgb.astype(int) - other.rgb).mean() > 10
    assert filmed.address == f"synthetic:{world.name}?seed=6&style=camera"


def test_a_sensor_differs_from_the_truth_but_shows_it(world):
    filmed = make_world(world.name, world.seed, "camera")
    truth = filmed.render(filmed.path(0.5), 0.5, (60, 104), samples=3).rgb.astype(float)
    seen = picture(filmed, 12, (60, 104), samples=2)
    psnr = -10 * np.log10(np.mean((seen - truth) ** 2) / 255**2)
    assert 17 < psnr < 32
    np.testing.assert_array_equal(seen, picture(filmed, 12, (60, 104), samples=2))
    still = picture(world, 12, (60, 104), samples=3)
    np.testing.assert_array_equal(still, world.render(world.path(0.5), 0.5, (60, 104), samples=3).rgb)


def test_something_moves_in_every_world():
    for name in WORLDS:
        for seed in range(4):
            world = make_world(name, seed)
            looks = [world.depth(world.path(1.0), t, SIZE) for t in (0.0, 0.4, 0.8, 1.2)]
            assert any((a[0] != b[0]).any() for a, b in pairwise(looks)), world.address


# --- names ------------------------------------------------------------------------------------------------------------


def test_a_name_is_made_once_and_knows_its_world(monkeypatch: pytest.MonkeyPatch):
    scene = load_scene("synthetic:table?seed=5&style=camera&size=24x40")
    world = from_scene(scene)
    assert (world.name, world.seed, world.style) == ("table", 5, "camera")
    np.testing.assert_allclose(scene.c2w, world.scene_path, atol=1e-9)
    view = world.render_scene(scene.c2w[20], 20, scene.size)
    np.testing.assert_allclose(scene.depth(20), view.depth, rtol=2e-4)
    monkeypatch.setattr("inspatio_gym.scenes.synthetic.address.write_scene", None)
    assert load_scene("synthetic:table?seed=5&style=camera&size=24x40").digest == scene.digest


def test_a_damaged_scene_is_made_again(caplog: pytest.LogCaptureFixture):
    scene = load_scene("synthetic:room?seed=2&size=12x20")
    (scene.path / "depth.mkv").write_bytes(b"")
    again = load_scene("synthetic:room?seed=2&size=12x20")
    assert "making it again" in caplog.text
    np.testing.assert_array_equal(again.depth(3), load_scene(again.path).depth(3))


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("synthetic:cave", "worlds are room, street, table"),
        ("synthetic:", "worlds are room, street, table"),
        ("synthetic:room?sead=3", "there is no sead"),
        ("synthetic:room?seed=-3", "a seed is a whole number"),
        ("synthetic:room?seed=3&seed=4", "may come once"),
        ("synthetic:room?seed", "may come once, as key=value"),
        ("synthetic:room?style=oil", "styles are plain, camera"),
        ("synthetic:room?size=3x5", "an even height and width"),
    ],
)
def test_a_name_of_nothing_says_what_there_is(address: str, said: str):
    with pytest.raises(SceneError, match=said):
        load_scene(address)


def test_what_a_name_leaves_out_has_a_default():
    assert parse("synthetic:street") == Address("street", 0, "plain", (240, 416))
    assert parse("synthetic:room?seed=7&size=128x224") == Address("room", 7, "plain", (128, 224))


def test_an_environment_takes_a_name():
    import gymnasium as gym

    import inspatio_gym  # noqa: F401

    env = gym.make("InSpatio-v0", scene="synthetic:table?seed=5&style=camera&size=24x40", size=(24, 40))
    observation, _ = env.reset(seed=0)
    assert observation["rgb"].shape == (24, 40, 3)
    env.close()
