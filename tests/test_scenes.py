"""The store: what is written comes back, lazily and within a budget; nothing half-written stays; views keep cameras."""

import copy
import errno
import json
import os
import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspatio_gym.geometry.logdepth import decode_depth
from inspatio_gym.scenes import (
    CacheError,
    Scene,
    SceneError,
    SceneGeometry,
    SceneWriter,
    load_scene,
    sample_path,
    save_video,
)
from inspatio_gym.scenes.cache import hash_of, partial_folder, sweep
from inspatio_gym.scenes.footage import ByteCache, FootageWriter, frame_cache
from inspatio_gym.scenes.store import Overtaken

TRUTH = SceneGeometry("synthetic-truth", 1.0, "rendered", "none", None)
SIZE, DEPTH_SIZE, FRAMES = (96, 160), (48, 80), 30


def picture(i: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A smooth coloured frame that tells its index."""
    y, x = np.mgrid[: size[0], : size[1]]
    return np.stack([x + 2 * i, 90 + y // 2, np.full_like(x, 200 - 5 * i)], -1).clip(0, 255).astype(np.uint8)


def surface(i: int) -> np.ndarray:
    y, x = np.mgrid[: DEPTH_SIZE[0], : DEPTH_SIZE[1]]
    return (1 + 0.01 * x + 0.002 * i + 0.001 * y).astype(np.float32)


def mask(i: int) -> np.ndarray:
    moving = np.zeros(DEPTH_SIZE, bool)
    moving[10:20, i : i + 5] = True
    return moving


def cameras() -> tuple[np.ndarray, np.ndarray]:
    c2w = np.tile(np.eye(4), (FRAMES, 1, 1))
    c2w[:, 2, 3] = np.linspace(0, 1, FRAMES)
    return c2w, np.tile(np.array([[100.0, 0, 79.5], [0, 100.0, 47.5], [0, 0, 1]]), (FRAMES, 1, 1))


def write(target: Path, *, scale: float = 1.0, fps: float = 25) -> Scene:
    c2w, intrinsics = cameras()
    with SceneWriter(target, fps=fps, size=SIZE, depth_size=DEPTH_SIZE, name="ramp", caption="a ramp") as writer:
        for i in range(FRAMES):
            writer.write_frame(picture(i))
        for i in range(FRAMES):
            writer.write_depth(surface(i), mask(i))
        return writer.finish(
            c2w=c2w, intrinsics=intrinsics, geometry=TRUTH, scale=scale, provenance={"seed": 1, "options": {"a": [1]}}
        )


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write(tmp_path_factory.mktemp("scenes") / "ramp")


def test_a_scene_gives_back_what_was_written(scene: Scene):
    assert (scene.num_frames, scene.fps, scene.size, scene.name, scene.caption) == (30, 25.0, SIZE, "ramp", "a ramp")
    assert scene.geometry == TRUTH
    assert scene.provenance == {"seed": 1, "options": {"a": [1]}}
    np.testing.assert_array_equal(scene.c2w, cameras()[0])
    np.testing.assert_array_equal(scene.intrinsics, cameras()[1])
    for i in (0, 29, 13, 12, 11, 24):  # across chunk borders, backward
        assert np.abs(scene.rgb(i).astype(int) - picture(i)).mean() < 2.5
        double = surface(i).repeat(2, 0).repeat(2, 1)
        np.testing.assert_allclose(scene.depth(i), double, rtol=2e-4)
        np.testing.assert_array_equal(scene.moving(i), mask(i).repeat(2, 0).repeat(2, 1))
    preview = cv2.imread(str(scene.path / "preview.jpg"))
    assert preview is not None
    assert preview.shape == (2 * 192, 3 * 320, 3)


def test_a_frame_in_a_thousand_seconds(tmp_path: Path):
    slow = write(tmp_path / "slow", fps=0.001)
    assert slow.fps == 0.001
    assert np.abs(slow.rgb(13).astype(int) - picture(13)).mean() < 2.5


def test_saturated_colours_survive(tmp_path: Path):
    bars = np.zeros((64, 96, 3), np.uint8)
    for k, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 255, 255), (0, 128, 255)]):
        bars[:, 16 * k : 16 * k + 16] = colour
    with SceneWriter(tmp_path / "bars", fps=25, size=(64, 96), name="bars") as writer:
        writer.write_frame(bars)
        stored = writer.clip().rgb(0)
    centres = slice(4, None, 16)  # away from the borders, where chroma is shared
    assert np.abs(stored[8:-8, centres].astype(int) - bars[8:-8, centres]).max() <= 6


@pytest.mark.parametrize("fps", [30, Fraction(30000, 1001), 29.97, 15.5, 24, 7.3, 1])
def test_every_frame_is_found_at_any_rate(tmp_path: Path, fps: float | Fraction):
    c2w, intrinsics = cameras()
    with SceneWriter(tmp_path / "s", fps=fps, size=SIZE, name="s") as writer:
        for i in range(FRAMES):
            writer.write_frame(np.full((*SIZE, 3), 8 * i, np.uint8))
            writer.write_depth(np.full((8, 10), 1.0 + i, np.float32), np.zeros((8, 10), bool))
        scene = writer.finish(c2w=c2w, intrinsics=intrinsics, geometry=TRUTH, scale=1.0, provenance={})
    assert scene.fps == pytest.approx(float(fps))
    for i in range(FRAMES):
        assert abs(float(scene.rgb(i).mean()) - 8 * i) < 3
        assert scene.depth(i)[0, 0] == pytest.approx(1 + i, rel=2e-4)


def test_arrays_are_read_only_and_indices_checked(scene: Scene):
    view = scene.view((48, 64))
    arrays = [scene.rgb(3), scene.depth(3), scene.moving(3), scene.c2w, scene.intrinsics, scene.survey_depth]
    arrays += [view.rgb(3), view.depth(3), view.moving(3), view.c2w, view.intrinsics]
    assert not any(array.flags.writeable for array in arrays)
    for reader in (scene.rgb, scene.depth, scene.moving, view.rgb, view.depth, view.moving):
        for wrong in (-1, FRAMES):
            with pytest.raises(IndexError, match="expected a frame from 0 to 29, got"):
                reader(wrong)


def test_a_scene_is_shared_not_copied(scene: Scene):
    assert copy.deepcopy({"scene": scene})["scene"] is scene
    travelled = pickle.loads(pickle.dumps(scene))
    assert travelled.digest == scene.digest
    assert len(pickle.dumps(scene)) < 500


def test_equal_content_has_an_equal_digest(scene: Scene, tmp_path: Path):
    assert write(tmp_path / "again").digest == scene.digest
    assert write(tmp_path / "other", fps=24).digest != scene.digest


def test_scale_brings_geometry_to_median_one(tmp_path: Path):
    """By default an unmetric scene is scaled, whatever the estimator's units; a metric one is not."""
    c2w, intrinsics = cameras()
    scenes = {}
    for metres, unit in ((None, 1e-5), (None, 1e5), (2.0, 7.0)):
        with SceneWriter(tmp_path / f"{metres} {unit}", fps=25, size=SIZE, name="s") as writer:
            for i in range(FRAMES):
                writer.write_frame(picture(i))
                writer.write_depth(unit * surface(i), mask(i))
            at_unit = c2w.copy()
            at_unit[:, :3, 3] *= unit
            geometry = SceneGeometry("synthetic-truth", 1.0, "rendered", "none", metres)
            scenes[unit] = writer.finish(c2w=at_unit, intrinsics=intrinsics, geometry=geometry, provenance={})
    median = np.median([surface(i) for i in range(FRAMES)])
    for unit in (1e-5, 1e5):
        assert scenes[unit].median_depth == pytest.approx(1)
        np.testing.assert_allclose(scenes[unit].depth(4)[::2, ::2], surface(4) / median, rtol=5e-4)
        np.testing.assert_allclose(scenes[unit].c2w[:, 2, 3], c2w[:, 2, 3] / median, rtol=5e-4)
        assert np.median(decode_depth(scenes[unit].survey_depth)) == pytest.approx(1, rel=0.02)
    assert scenes[7.0].median_depth == pytest.approx(7 * median, rel=5e-4)


def test_survey_depth_keeps_slants_and_poles(tmp_path: Path):
    """On a slanted wall the blocks' centres; a pole thinner than a block is not lost."""
    rows = np.arange(128)[:, None] + np.zeros((128, 256))
    wall = (4 - rows / 64).astype(np.float32)
    wall[:, 101] = 1.0
    with SceneWriter(tmp_path / "wall", fps=25, size=SIZE, name="wall") as writer:
        writer.write_frame(picture(0))
        writer.write_depth(wall, np.zeros(wall.shape, bool))
        scene = writer.finish(
            c2w=np.eye(4)[None], intrinsics=cameras()[1][:1], geometry=TRUTH, scale=1.0, provenance={}
        )
    survey = decode_depth(scene.survey_depth[0])
    assert survey.shape == (32, 64)
    np.testing.assert_allclose(survey[:, 25], 1.0, rtol=5e-4)
    np.testing.assert_allclose(np.delete(survey, 25, axis=1), wall[2::4, 0:63].repeat(1, 0), rtol=5e-4)


# --- views ------------------------------------------------------------------------------------------------------------


def test_a_view_of_the_same_size_is_the_scene(scene: Scene):
    view = scene.view(SIZE)
    for i in (0, 17):
        np.testing.assert_array_equal(view.rgb(i), scene.rgb(i))
        np.testing.assert_array_equal(view.depth(i), scene.depth(i))
        np.testing.assert_array_equal(view.moving(i), scene.moving(i))
    np.testing.assert_array_equal(view.intrinsics, scene.intrinsics)


@given(height=st.integers(4, 300), width=st.integers(4, 300))
def test_a_view_keeps_the_rays_of_its_corners(scene: Scene, height: int, width: int):
    """The window in rays is centred, has the view's aspect, and touches two opposite borders of the frame."""
    view = scene.view((height, width))
    corners = np.array([[-0.5, -0.5, 1], [width - 0.5, height - 0.5, 1]]).T
    (left, right), (top, bottom), _ = np.linalg.inv(view.intrinsics[0]) @ corners
    full = np.array([[-0.5, -0.5, 1], [SIZE[1] - 0.5, SIZE[0] - 0.5, 1]]).T
    (full_left, full_right), (full_top, full_bottom), _ = np.linalg.inv(scene.intrinsics[0]) @ full
    pixel = 0.01  # a pixel of the frame, in rays: the window has whole pixels
    assert left >= full_left - 1e-9 and right <= full_right + 1e-9  # noqa: PT018
    assert top >= full_top - 1e-9 and bottom <= full_bottom + 1e-9  # noqa: PT018
    touches_sides = abs((right - left) - (full_right - full_left)) < 1e-9
    touches_ends = abs((bottom - top) - (full_bottom - full_top)) < 1e-9
    assert touches_sides or touches_ends
    assert abs(left + right - full_left - full_right) <= 1.01 * pixel
    assert abs(top + bottom - full_top - full_bottom) <= 1.01 * pixel
    wanted = width / height
    assert (right - left - pixel) / (bottom - top + pixel) <= wanted <= (right - left + pixel) / (bottom - top - pixel)


def test_a_view_agrees_with_the_scene_at_projected_points(scene: Scene):
    """A point of the frame found through the view's camera has the frame's colour and depth."""
    view = scene.view((40, 50))
    rows, cols = np.mgrid[2:38, 2:48]
    rays = np.stack([cols, rows, np.ones_like(rows)], -1) @ np.linalg.inv(view.intrinsics[9]).T
    pixels = rays @ scene.intrinsics[9].T
    x, y = np.rint(pixels[..., 0]).astype(int), np.rint(pixels[..., 1]).astype(int)
    np.testing.assert_allclose(view.depth(9)[2:38, 2:48], scene.depth(9)[y, x], rtol=0.012)  # one stored pixel
    assert np.abs(view.rgb(9)[2:38, 2:48].astype(int) - scene.rgb(9)[y, x]).max() <= 8


def test_a_view_without_pixels_is_refused(scene: Scene):
    with pytest.raises(ValueError, match=r"expected a size \(height, width\) of at least \(1, 1\), got \(0, 10\)"):
        scene.view((0, 10))


# --- caching ----------------------------------------------------------------------------------------------------------


def test_the_cache_forgets_the_least_recently_used():
    cache = ByteCache(100)
    made: list[str] = []

    def get(key: str, size: int = 40) -> np.ndarray:
        def make() -> np.ndarray:
            made.append(key)
            return np.zeros(size, np.uint8)

        return cache.get(key, make)

    for key in "abacab":
        get(key)
    assert made == ["a", "b", "c", "b"]
    assert cache.nbytes == 80
    get("huge", 101)
    get("a")
    assert made == ["a", "b", "c", "b", "huge"]
    assert cache.nbytes == 80


def test_playing_backward_decodes_each_chunk_once(scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    mine = write(tmp_path / "mine", scale=1.5)  # another digest, so nothing of it is cached
    decoded: list[int] = []
    original = type(mine._rgb).decode_chunk

    def counting(footage, chunk: int):
        decoded.append(chunk)
        return original(footage, chunk)

    monkeypatch.setattr(type(mine._rgb), "decode_chunk", counting)
    for i in reversed(range(FRAMES)):
        mine.rgb(i)
    assert decoded == [2, 1, 0]
    decoded.clear()
    held = frame_cache.nbytes
    one, other = mine.view((20, 30)), Scene.load(mine.path).view((20, 30))
    for i in range(FRAMES):
        assert np.shares_memory(one.depth(i), other.depth(i))
    assert decoded == [0, 1, 2]
    assert frame_cache.nbytes - held == FRAMES * 20 * 30 * 4  # the small maps alone, not the stored ones


def test_nothing_is_opened_before_it_is_asked_for(scene: Scene, tmp_path: Path):
    code = (
        "import sys\n"
        "from inspatio_gym.scenes import Scene\n"
        "import av\n"
        "av.open = None\n"
        f"scene = Scene.load({str(scene.path)!r})\n"
        "print(scene.num_frames, scene.c2w.shape, scene.survey_depth.shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.split() == ["30", "(30,", "4,", "4)", "(30,", "38,", "64)"], done.stderr


# --- atomicity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError])
@pytest.mark.parametrize("frames", [0, 1, 20])
def test_leaving_early_leaves_nothing(tmp_path: Path, problem: type[BaseException], frames: int):
    with pytest.raises(problem), SceneWriter(tmp_path / "half", fps=25, size=SIZE, name="half") as writer:  # noqa: PT012
        for i in range(frames):
            writer.write_frame(picture(i))
            writer.write_depth(surface(i), mask(i))
        raise problem
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_never_overwritten(scene: Scene, tmp_path: Path):
    with pytest.raises(FileExistsError, match="expected a folder yet to be made"):
        SceneWriter(scene.path, fps=25, size=SIZE, name="again")
    # Two writers of one target: the first to finish wins, the second is told and leaves nothing.
    c2w, intrinsics = cameras()
    target = tmp_path / "race"
    with SceneWriter(target, fps=25, size=SIZE, name="slow") as slow:
        for i in range(FRAMES):
            slow.write_frame(picture(i))
            slow.write_depth(surface(i), mask(i))
        write(target)
        with pytest.raises(Overtaken, match="load that"):
            slow.finish(c2w=c2w, intrinsics=intrinsics, geometry=TRUTH, provenance={})
    assert Scene.load(target).name == "ramp"
    assert [path.name for path in tmp_path.iterdir()] == ["race"]


def test_a_dead_writers_folder_is_swept(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    mine = partial_folder(tmp_path / "scene")
    dead = tmp_path / mine.name.replace(f".{os.getpid()}.", f".{int(done.stdout)}.")
    host = mine.name.split(".")[2]
    foreign_old, foreign_new = (tmp_path / mine.name.replace(host, name) for name in ("elsewhere", "nearby"))
    for folder in (mine, dead, foreign_old, foreign_new):
        folder.mkdir()
        (folder / "shot.mp4").write_bytes(b"half")
    day_before = time.time() - 25 * 3600
    os.utime(foreign_old, (day_before, day_before))
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, foreign_new])


@pytest.mark.parametrize(
    "name",
    [
        ".foo.partial",
        ".my.data.of.long.ago.partial",
        ".scene.host-1.12.0123456.partial",
        "a.host-1.12.01234567.partial",
    ],
)
def test_what_is_no_scene_in_the_making_is_left_alone(tmp_path: Path, name: str):
    """A scene may be written anywhere, among other people's folders."""
    (tmp_path / name).mkdir()
    os.utime(tmp_path / name, (0, 0))
    sweep(tmp_path)
    assert (tmp_path / name).is_dir()


def test_a_full_disk_is_explained_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    original = FootageWriter.write

    def write_until_full(self, frame):
        if self.num_frames == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, frame)

    monkeypatch.setattr(FootageWriter, "write", write_until_full)
    with pytest.raises(CacheError, match=r"expected to write a scene into .*No space left.*free some space") as caught:
        write(tmp_path / "scene")
    assert caught.value.__suppress_context__
    assert list(tmp_path.iterdir()) == []


def test_a_target_below_a_file_is_explained(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CacheError, match="set INSPATIO_GYM_CACHE"):
        write(tmp_path / "file" / "scene")


# --- what a writer refuses --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (95, 160)}, "expected an even height and width"),
        ({"size": (0, 160)}, "expected an even height and width"),
        ({"fps": 60}, r"expected a rate in \[0.001, 30\] frames/s, got 60"),
        ({"fps": 0}, "expected a rate"),
        ({"fps": 1e-6}, "expected a rate"),
        ({"fps": float("nan")}, "expected a rate"),
    ],
)
def test_sizes_and_rates_out_of_range(tmp_path: Path, arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        SceneWriter(tmp_path / "s", **{"fps": 25, "size": SIZE, "name": "s", **arguments})
    assert list(tmp_path.iterdir()) == []


def test_frames_depth_and_cameras_must_agree(tmp_path: Path):
    c2w, intrinsics = cameras()
    with SceneWriter(tmp_path / "s", fps=25, size=SIZE, depth_size=DEPTH_SIZE, name="s") as writer:
        with pytest.raises(ValueError, match="expected a uint8 frame"):
            writer.write_frame(np.zeros((10, 10, 3), np.uint8))
        with pytest.raises(ValueError, match="expected depth and a bool mask"):
            writer.write_depth(surface(0)[1:], mask(0)[1:])
        for hole in (0.0, -1.0, np.nan):
            holed = surface(0)
            holed[3, 3] = hole
            with pytest.raises(ValueError, match="expected positive depths, got 1 pixels without"):
                writer.write_depth(holed, mask(0))
        for i in range(FRAMES):
            writer.write_frame(picture(i))

        def finish(c2w=c2w, intrinsics=intrinsics) -> Scene:
            return writer.finish(c2w=c2w, intrinsics=intrinsics, geometry=TRUTH, provenance={})

        with pytest.raises(ValueError, match="expected a depth map for each of 30 frames, got 0"):
            finish()
        with pytest.raises(ValueError, match="expected every frame before"):
            writer.write_frame(picture(0))
        with pytest.raises(ValueError, match=r"expected c2w \(30, 4, 4\)"):
            finish(c2w=c2w[1:])
        with pytest.raises(ValueError, match="expected the first camera to be the identity"):
            finish(c2w=c2w[::-1])
        with pytest.raises(ValueError, match="expected a rotation"):
            finish(c2w=2 * c2w)
        with pytest.raises(ValueError, match="positive focal lengths"):
            finish(intrinsics=-intrinsics)


def test_a_scene_without_frames_is_refused(tmp_path: Path):
    c2w, intrinsics = cameras()
    with (
        SceneWriter(tmp_path / "s", fps=25, size=SIZE, name="s") as writer,
        pytest.raises(ValueError, match="expected at least one frame"),
    ):
        writer.finish(c2w=c2w, intrinsics=intrinsics, geometry=TRUTH, provenance={})


def test_of_several_shots_the_longest_is_kept(tmp_path: Path):
    with SceneWriter(tmp_path / "s", fps=25, size=SIZE, name="s") as writer:
        for shot, length in enumerate((3, 14, 14, 5)):
            writer.cut()
            for _ in range(length):
                writer.write_frame(np.full((*SIZE, 3), 60 * shot, np.uint8))
        clip = writer.clip()
        assert clip.num_frames == 14
        assert {round(float(clip.rgb(i).mean()) / 60) for i in range(14)} == {1}
        with pytest.raises(IndexError, match="expected a frame from 0 to 13, got 14"):
            clip.rgb(14)


# --- loading ----------------------------------------------------------------------------------------------------------


def test_damaged_scenes_are_refused(tmp_path: Path):
    folder = write(tmp_path / "s").path
    record = json.loads((folder / "scene.json").read_text())

    (folder / "depth.mkv").write_bytes((folder / "depth.mkv").read_bytes()[:-100])
    with pytest.raises(SceneError, match=r"expected whole files in .*got depth\.mkv missing or cut"):
        Scene.load(folder)
    for broken, message in (
        (json.dumps({**record, "schema_version": 99}), "expected schema version 1 in .*got 99"),
        (json.dumps({"schema_version": 1}), "got KeyError"),
        ("{half", "got JSONDecodeError"),
        ("[]", "got TypeError"),
    ):
        (folder / "scene.json").write_text(broken)
        with pytest.raises(SceneError, match=message):
            Scene.load(folder)
    with pytest.raises(SceneError, match=r"expected a scene folder with a scene\.json"):
        Scene.load(tmp_path)


def test_damage_inside_a_file_is_told_from_a_wrong_frame(tmp_path: Path):
    scene = write(tmp_path / "s", scale=3.0)
    data = bytearray((scene.path / "source.mp4").read_bytes())
    middle = len(data) // 2
    data[200:middle] = bytes(middle - 200)
    (scene.path / "source.mp4").write_bytes(data)
    with pytest.raises(SceneError, match=r"expected frames 0 to 11 in .*source\.mp4, got .*damaged"):
        scene.rgb(0)


def test_load_scene(scene: Scene, tmp_path: Path):
    assert load_scene(scene) is scene
    assert load_scene(scene.path).digest == scene.digest
    assert load_scene(str(scene.path)).digest == scene.digest
    with pytest.raises(SceneError, match=r"expected a bundled scene .* or a scene folder, got 'nowhere'"):
        load_scene("nowhere")
    with pytest.raises(SceneError, match="expected a bundled scene out of"):
        sample_path("nowhere")


# --- films ------------------------------------------------------------------------------------------------------------


def shown_in(film: Path) -> list[np.ndarray]:
    with av.open(str(film)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def test_a_film_shows_its_frames(tmp_path: Path):
    film = save_video(tmp_path / "new" / "film.mp4", (picture(i, (97, 161)) for i in range(9)), 25)
    shown = shown_in(film)
    assert len(shown) == 9
    assert np.abs(shown[4].astype(int) - picture(4)).mean() < 4
    assert list(film.parent.iterdir()) == [film]


def test_a_film_that_fails_leaves_the_one_before(tmp_path: Path):
    film = save_video(tmp_path / "film.mp4", [picture(0)] * 3, 25)
    before = film.read_bytes()
    with pytest.raises(ValueError, match="expected frames to write"):
        save_video(film, [], 25)

    def frames() -> Iterator[np.ndarray]:
        yield picture(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_video(film, frames(), 25)
    assert film.read_bytes() == before
    assert list(tmp_path.iterdir()) == [film]


def test_of_two_processes_that_write_one_film_the_last_wins(tmp_path: Path):
    film = tmp_path / "film.mp4"
    other = (
        "import numpy as np\n"
        "from inspatio_gym.scenes import save_video\n"
        f"save_video({str(film)!r}, [np.zeros((96, 160, 3), np.uint8)] * 5, 25)"
    )

    def frames() -> Iterator[np.ndarray]:
        for i in range(100):
            if i == 80:  # the first frames are on disk
                subprocess.run([sys.executable, "-c", other], check=True)
                assert len(shown_in(film)) == 5
            yield picture(0)

    save_video(film, frames(), 25)
    assert len(shown_in(film)) == 100
    assert list(tmp_path.iterdir()) == [film]


def test_large_files_are_hashed_by_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("inspatio_gym.scenes.cache.WHOLE_HASH_BYTES", 1000)
    monkeypatch.setattr("inspatio_gym.scenes.cache.SAMPLE_BYTES", 10)
    data = np.random.default_rng(0).integers(0, 256, 5000, np.uint8)
    file = tmp_path / "large"
    file.write_bytes(data.tobytes())
    assert hash_of(file, samples=True) == hash_of(file, samples=True) != hash_of(file)
    for changed in (data[:-1], np.append(data[:-1], ~data[-1]), np.append(~data[0], data[1:])):
        other = tmp_path / "other"
        other.write_bytes(changed.tobytes())
        assert hash_of(other, samples=True) != hash_of(file, samples=True)


def test_a_large_file_changed_between_the_samples_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("inspatio_gym.scenes.cache.WHOLE_HASH_BYTES", 10_000)
    monkeypatch.setattr("inspatio_gym.scenes.cache.SAMPLE_BYTES", 10)
    file = tmp_path / "large"
    file.write_bytes(bytes(20_000))
    before = hash_of(file, samples=True)
    with file.open("rb+") as stream:
        stream.seek(100)  # the second sample begins at byte 317
        stream.write(b"changed")
    os.utime(file, ns=(0, 10**18))
    assert hash_of(file, samples=True) != before


def test_a_copy_is_the_same_video(tmp_path: Path):
    (tmp_path / "one").write_bytes(b"video")
    (tmp_path / "other").write_bytes(b"video")
    os.utime(tmp_path / "other", ns=(0, 0))
    assert hash_of(tmp_path / "one", samples=True) == hash_of(tmp_path / "other", samples=True)
