"""Any video in, upright frames at a constant rate out: codecs, rates, orientations, sizes, shots."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_video, scenery, which
from hypothesis import given
from hypothesis import strategies as st

from inspatio_gym.scenes import VideoError
from inspatio_gym.scenes import decode as decode_module
from inspatio_gym.scenes.decode import frames, orientation_of, probe, upright
from inspatio_gym.scenes.shots import split_shots
from inspatio_gym.scenes.timing import MIN_FPS, Timing, choose_timing, nearest_to_ticks


def decode(path: Path, count: int = 300, start: float = 0.0) -> list[np.ndarray]:
    return list(frames(probe(path, max_frames=count, start=start), count))


@pytest.fixture(scope="module")
def a_long_clip(tmp_path_factory: pytest.TempPathFactory) -> dict[Fraction | int, Path]:
    """400 frames with three B-frames in a row, by their rate."""
    folder, coding = tmp_path_factory.mktemp("long"), {"preset": "ultrafast", "bf": "3", "b_strategy": "0"}
    return {
        fps: make_video(folder / f"{float(fps):.2f}.mp4", scenery(400, (32, 48)), fps=fps, options=coding)
        for fps in (50, Fraction(60000, 1001))
    }


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """PSNR in dB."""
    return float(10 * np.log10(255**2 / (np.mean((a.astype(float) - b) ** 2) + 1e-9)))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("h264.mp4", "libx264", "yuv420p"),
        ("h265.mp4", "libx265", "yuv420p10le"),
        ("mpeg4.avi", "mpeg4", "yuv420p"),
        ("vp9.webm", "libvpx-vp9", "yuv420p"),
        ("ffv1.mkv", "ffv1", "bgr0"),
        ("mjpeg.mov", "mjpeg", "yuvj420p"),
        ("raw.h264", "libx264", "yuv420p"),
    ],
)
def test_codecs(tmp_path: Path, name: str, codec: str, pix_fmt: str):
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg cannot encode {codec}")
    drawn = scenery(20)
    quality = {"qmin": "1", "qmax": "3"} if codec in ("mpeg4", "mjpeg") else None
    shown = decode(make_video(tmp_path / name, drawn, codec=codec, pix_fmt=pix_fmt, options=quality))
    assert len(shown) == 20
    for i in (0, 10, 19):  # a neighbouring frame scores below 26 dB
        assert likeness(shown[i], drawn[i]) > 29


@pytest.mark.parametrize(
    ("fps", "kept", "every"),
    [
        (24, 24, 1),
        (30, 30, 1),
        (Fraction(30000, 1001), Fraction(30000, 1001), 1),
        (50, 25, 2),
        (60, 30, 2),
        (Fraction(60000, 1001), Fraction(30000, 1001), 2),
        (120, 30, 4),
        (31, Fraction(31, 2), 2),
    ],
)
def test_a_constant_rate_keeps_every_kth_frame(tmp_path: Path, fps, kept, every: int):
    drawn = scenery(24)
    video = probe(make_video(tmp_path / "clip.mp4", drawn, fps=fps), max_frames=300)
    assert video.timing.constant
    assert video.timing.fps == kept
    shown = list(frames(video, 300))
    assert len(shown) == 24 // every
    for i in (0, 5, len(shown) - 1):
        assert likeness(shown[i], drawn[i * every]) > 29


@pytest.mark.parametrize("fps", [50, Fraction(60000, 1001)])
@pytest.mark.parametrize("max_frames", range(10, 18))
def test_the_rate_is_constant_however_few_of_many_frames_are_wanted(a_long_clip, fps, max_frames: int):
    """Later pictures are stored before earlier ones that are made from them, wherever the reading of times ends."""
    video = probe(a_long_clip[fps], max_frames=max_frames)
    assert video.timing.constant
    assert video.timing.fps == Fraction(fps) / 2


def test_frames_that_state_when_they_are_stored_are_shown_in_their_order(tmp_path: Path):
    """AVI knows no other times; with B-frames they go back and forth."""
    drawn = scenery(60)
    path = make_video(tmp_path / "clip.avi", drawn, options={"crf": "10", "bf": "3", "b_strategy": "0"})
    assert [which(frame, drawn) for frame in decode(path)] == list(range(60))
    later = [which(frame, drawn) for frame in decode(path, start=1.0)]
    assert later == list(range(later[0], 60))
    assert abs(later[0] - 25) <= 3  # how far a frame is stored before it is shown is not known


def test_a_variable_rate_is_resampled_to_the_nearest_frames(tmp_path: Path):
    """25 frames/s with a pause of half a second and a burst of 100 frames/s."""
    times = [*range(0, 400, 40), *range(900, 1300, 40), *range(1300, 1400, 10)]
    drawn = scenery(len(times))
    video = probe(make_video(tmp_path / "clip.mkv", drawn, times_ms=times), max_frames=300)
    assert not video.timing.constant
    assert video.timing.fps == 25
    shown = list(frames(video, 300))
    assert len(shown) == 36  # the last tick, at 1400 ms, is within half a frame of the last frame
    for tick, frame in enumerate(shown):
        # At equal distance either neighbour will do.
        distance = np.abs(np.array(times) - 40 * tick)
        nearest = np.flatnonzero(distance == distance.min())
        assert max(likeness(frame, drawn[i]) for i in nearest) > 29


@given(st.lists(st.floats(0.001, 0.3), min_size=1, max_size=40), st.floats(0.02, 0.2))
def test_ticks_take_the_nearest_frame(gaps: list[float], step: float):
    times = np.cumsum([0.0, *gaps])
    timing = Timing(fps=Fraction(1 / step), step=step, source_fps=1 / step, constant=False)
    chosen = list(nearest_to_ticks(((float(t), float(t)) for t in times), timing, 10_000))
    ticks = np.arange(len(chosen)) * step
    best = np.abs(times[None, :] - ticks[:, None]).min(axis=1)
    np.testing.assert_allclose(np.abs(np.array(chosen) - ticks), best, atol=1e-9)
    assert abs(times[-1] - ticks[-1]) <= step / 2 + 1e-9  # up to the end, no further


def test_timestamps_rounded_to_milliseconds_are_constant():
    times = np.round(np.arange(500) * 1001 / 30000, 3)
    timing = choose_timing(times, Fraction(30000, 1001))
    assert timing.constant
    assert timing.fps == Fraction(30000, 1001)


@pytest.mark.parametrize(("times", "guess"), [([0, 3000], None), ([0], Fraction(1, 5000))])
def test_a_rate_may_be_low_but_not_nothing(times: list[float], guess: Fraction | None):
    timing = choose_timing(np.array(times, float), guess)
    assert timing.fps == MIN_FPS
    assert timing.step == pytest.approx(1 / MIN_FPS)


def test_a_phone_that_means_thirty_keeps_every_frame():
    timing = choose_timing(np.arange(400) / 30.02, Fraction(3002, 100))
    assert timing.fps == 30
    assert timing.step == pytest.approx(1 / 30.02)


def test_a_count_ends_the_frames_and_a_start_skips_some(tmp_path: Path):
    drawn = scenery(60)
    path = make_video(tmp_path / "clip.mp4", drawn)
    shown = decode(path, count=7, start=1.0)
    assert len(shown) == 7
    assert likeness(shown[0], drawn[25]) > 29
    assert likeness(shown[6], drawn[31]) > 29
    with pytest.raises(VideoError, match=r"expected frames from start=9 s on in .*, got 2\.4 s: pass a smaller start"):
        decode(path, start=9.0)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts", "clip.webm"])
def test_a_start_is_found_in_every_container(tmp_path: Path, name: str):
    drawn = scenery(120)
    codec = "libvpx-vp9" if name == "clip.webm" else "libx264"
    path = make_video(tmp_path / name, drawn, codec=codec, options={"crf": "10", "g": "12"})
    shown = decode(path, count=5, start=3.0)
    assert [which(frame, drawn) for frame in shown] == [75, 76, 77, 78, 79]


def test_a_start_far_into_a_video_does_not_read_what_comes_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = make_video(tmp_path / "clip.mp4", scenery(1000, (32, 48)), options={"preset": "ultrafast", "g": "25"})
    times: list[float] = []
    original = decode_module._seconds
    monkeypatch.setattr(decode_module, "_seconds", lambda *of: times.append(original(*of)) or times[-1])
    assert probe(path, max_frames=2, start=30.0).timing.fps == 25
    assert len(times) > 50
    assert not any(0 < time < 15 for time in times)


@pytest.mark.parametrize("rotation_deg", [90, 180, -90])
def test_rotation_metadata_makes_the_picture_upright(tmp_path: Path, rotation_deg: int):
    stored = scenery(5)
    path = make_video(tmp_path / "clip.mp4", stored, rotation_deg=rotation_deg)
    shown = decode(path)[0]
    turned = np.rot90(stored[0], rotation_deg // 90)  # counter-clockwise, like the metadata
    assert shown.shape == turned.shape
    assert likeness(shown, turned) > 29


@pytest.mark.parametrize("name", ["clip.avi", "clip.mp4", "clip.mkv"])
def test_words_that_are_not_unicode_are_no_obstacle(tmp_path: Path, name: str):
    """Old recordings have titles in Latin-1."""
    path = make_video(tmp_path / name, scenery(5), title="Cafe")
    path.write_bytes(path.read_bytes().replace(b"Cafe", "Café".encode("latin-1")))
    assert len(decode(path)) == 5


@pytest.mark.parametrize("name", ["clip.mkv", "untagged.mkv", "clip.mp4"])
def test_sound_that_goes_on_does_not_make_the_video_longer(tmp_path: Path, name: str):
    path = make_video(tmp_path / name, scenery(50), sound_seconds=4)
    if name == "untagged.mkv":
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"DIRECTOR"))
    for start in (0.0, 1.0):
        assert probe(path, max_frames=300, start=start).duration == pytest.approx(2, abs=0.1)


def test_a_stream_that_nobody_announced_is_passed_over(tmp_path: Path):
    """One packet of a transport stream gets another stream's number, 0x108 in place of 0x100."""
    drawn = scenery(50)
    path = make_video(tmp_path / "clip.ts", drawn, options={"crf": "10", "g": "5"})
    data = bytearray(path.read_bytes())
    begins = [at for at in range(0, len(data), 188) if data[at + 1 : at + 3] == b"\x41\x00"]
    data[begins[30] + 2] = 0x08
    path.write_bytes(data)
    shown = [which(frame, drawn) for frame in decode(path)]
    assert shown[:20] == list(range(20))
    assert shown[-10:] == list(range(40, 50))


@pytest.mark.parametrize("quarter_turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_display_matrices(quarter_turns: int, mirrored: bool):
    """Turning an image of coordinates and moving its coordinates by the matrix come out the same."""
    angle = np.deg2rad(90 * quarter_turns)
    a, b, c, d = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)  # y points down
    if mirrored:
        a, b = -a, -b
    assert orientation_of(a, b, c, d) == (quarter_turns, mirrored)
    y, x = np.mgrid[-1:2, -1:2]
    moved = np.zeros((3, 3), int)
    moved[np.rint(b * x + d * y).astype(int) + 1, np.rint(a * x + c * y).astype(int) + 1] = 3 * y + x
    image = np.repeat((3 * y + x)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(upright(image, quarter_turns, mirrored)[..., 0], moved)


@pytest.mark.parametrize(
    ("stored", "working"),
    [
        ((65, 97), (64, 96)),
        ((540, 960), (468, 832)),
        ((960, 540), (832, 468)),  # portrait
        ((1080, 1920), (468, 832)),
        ((2160, 3840), (468, 832)),
        ((64, 96), (64, 96)),  # never enlarged
    ],
)
def test_sizes(tmp_path: Path, stored: tuple[int, int], working: tuple[int, int]):
    fast = {"preset": "ultrafast", "crf": "20"}
    path = make_video(tmp_path / "clip.mkv", scenery(3, stored), pix_fmt="yuv444p", options=fast)
    shown = decode(path)
    assert len(shown) == 3
    assert {frame.shape for frame in shown} == {(*working, 3)}


def test_pixels_that_are_not_square_become_so(tmp_path: Path):
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 96, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for i, frame in enumerate(scenery(3, (96, 96))):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts = i
            file.mux(stream.encode(picture))
        file.mux(stream.encode())
    assert probe(path, max_frames=300).size == (96, 128)


def lengths(shots) -> list[int]:
    found: list[int] = []
    for _, _, begins in shots:
        if begins:
            found.append(0)
        found[-1] += 1
    return found


def test_a_hard_cut_separates_shots():
    assert lengths(split_shots(scenery(10) + scenery(15, seed=1) + scenery(5, seed=2))) == [10, 15, 5]


def test_a_pan_a_flash_and_a_dissolve_are_no_cuts():
    pan = [frame for speed in (1, 12) for frame in scenery(240, (64, 96), seed=3)[::speed]]
    standing = scenery(1)[0]
    flash = [standing] * 6 + [np.minimum(standing.astype(int) + 120, 255).astype(np.uint8)] + [standing] * 6
    here, there = scenery(1)[0].astype(float), scenery(1, seed=1)[0].astype(float)
    dissolve = [((1 - t) * here + t * there).astype(np.uint8) for t in np.linspace(0, 1, 12)]
    assert lengths(split_shots(pan[240:])) == [20]  # twelve pixels a frame, an eighth of the picture
    assert lengths(split_shots(flash)) == [13]
    assert lengths(split_shots(dissolve)) == [12]


def test_blank_frames_end_a_shot_and_are_left_out():
    black = [np.zeros((64, 96, 3), np.uint8)] * 4
    shots = list(split_shots(black + scenery(10) + black + scenery(5) + black))
    assert lengths(shots) == [10, 5]
    assert [index for index, _, _ in shots] == [*range(4, 14), *range(18, 23)]
    assert lengths(split_shots(black)) == []


def test_real_videos_are_one_shot(shared: Path):
    for name in ("highway.mp4", "coffee_table.mp4"):
        video = probe(shared / "videos" / name, max_frames=300)
        assert lengths(split_shots(frames(video, 60))) == [60]
