"""Bad input: each kind is told apart, says expected, got and the way out in one line, and leaves nothing behind."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from clips import make_video, scenery, which

from inspatio_gym.scenes import CacheError, VideoError, anchor
from inspatio_gym.scenes import estimate as estimate_package
from inspatio_gym.scenes.footage import FootageWriter


@pytest.fixture(autouse=True)
def flat_estimator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate_package, "ESTIMATORS", {"flat": "clips:flat_world"}, raising=False)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


@pytest.fixture
def ordinary_user(tmp_path: Path) -> Iterator[None]:
    """Whoever runs the tests, or nobody in place of root, whom no permission holds back; `tmp_path` becomes theirs."""
    if os.geteuid() != 0:
        yield
        return
    nobody = 65534
    for folder in (tmp_path, *tmp_path.rglob("*")):
        os.chown(folder, nobody, nobody)
    searchable = [folder for folder in tmp_path.parents if folder.stat().st_mode & 0o011 != 0o011]
    for folder in searchable:
        folder.chmod(folder.stat().st_mode | 0o011)
    os.seteuid(nobody)
    yield
    os.seteuid(0)
    for folder in searchable:
        folder.chmod(folder.stat().st_mode & ~0o011)


@pytest.fixture
def unsearchable(tmp_path: Path, ordinary_user: None) -> Iterator[Path]:
    """A folder that exists and may not be looked into."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0)
    yield folder
    folder.chmod(0o700)


def refused(video: Path, cache: Path, message: str, kind: type[ValueError] = VideoError) -> None:
    """`video` is refused with `message`, on one line, without a library's traceback, and leaves nothing."""
    with pytest.raises(kind, match=message) as caught:
        anchor(video, cache=cache, estimator="flat")
    problem = caught.value
    assert problem.__cause__ is None
    assert problem.__context__ is None or problem.__suppress_context__
    assert "\n" not in str(problem)
    assert str(problem).startswith("expected ")
    if cache.is_dir():
        assert list(cache.iterdir()) == []


def silence(path: Path, *, cover: bool = False) -> Path:
    """A second of sound, with or without a picture on its cover."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac" if path.suffix == ".mp4" else "flac", rate=16000)
        stream.layout = "mono"
        picture = None
        if cover:
            picture = file.add_stream("mjpeg", rate=1)
            picture.height, picture.width, picture.pix_fmt = 64, 96, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        if picture is not None:
            file.mux(picture.encode(av.VideoFrame.from_ndarray(scenery(1)[0], format="rgb24")))
            file.mux(picture.encode())
        form = "fltp" if path.suffix == ".mp4" else "s16"
        for i in range(10):
            sound = np.zeros((1, 1600), np.float32 if form == "fltp" else np.int16)
            frame = av.AudioFrame.from_ndarray(sound, format=form, layout="mono")
            frame.sample_rate, frame.pts = 16000, 1600 * i
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def test_a_missing_file(tmp_path: Path, cache: Path):
    refused(tmp_path / "nowhere.mp4", cache, r"got .*nowhere\.mp4, which does not exist: check the path")


def test_a_folder(tmp_path: Path, cache: Path):
    refused(tmp_path, cache, "got the folder .*: pass a file")


def test_a_pipe(tmp_path: Path, cache: Path):
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", cache, "a pipe or a device: save the video to a file first")


def test_an_empty_file(tmp_path: Path, cache: Path):
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", cache, "which is empty: was its copy or download interrupted")


@pytest.mark.parametrize("text", ["hello\n" * 200, "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/clip.ts\n"])
def test_text_renamed_to_mp4(tmp_path: Path, cache: Path, text: str):
    (tmp_path / "text.mp4").write_text(text)
    refused(tmp_path / "text.mp4", cache, "in which no video can be found .*re-encode it")


def test_random_bytes(tmp_path: Path, cache: Path):
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    refused(tmp_path / "noise.mp4", cache, "in which no video can be found .*re-encode it")


def test_a_name_that_is_too_long(tmp_path: Path, cache: Path):
    refused(tmp_path / ("x" * 300 + ".mp4"), cache, "expected a readable video file, got .*: File name too long")


def test_a_folder_that_may_not_be_searched(cache: Path, unsearchable: Path):
    refused(unsearchable / "clip.mp4", cache, "expected a readable video file, got .*: Permission denied")


def test_sound_alone(tmp_path: Path, cache: Path):
    refused(silence(tmp_path / "song.mp4"), cache, "got audio alone: choose a file with moving pictures")


def test_sound_with_a_cover_picture(tmp_path: Path, cache: Path):
    refused(silence(tmp_path / "song.flac", cover=True), cache, "choose a file with moving pictures")


def test_one_frame(tmp_path: Path, cache: Path):
    path = make_video(tmp_path / "still.mp4", scenery(1))
    refused(path, cache, r"expected at least 2 frames of one shot in .*, got 1: .*ffmpeg -loop 1 -i picture\.png")


def test_a_picture(tmp_path: Path, cache: Path):
    make_video(tmp_path / "picture.png", scenery(1), codec="png", pix_fmt="rgb24", options={})
    refused(tmp_path / "picture.png", cache, "expected at least 2 frames of one shot")


def test_eight_by_eight_pixels(tmp_path: Path, cache: Path):
    tiny = [frame[:8, :8].copy() for frame in scenery(10)]
    path = make_video(tmp_path / "tiny.mkv", tiny, codec="ffv1", pix_fmt="bgr0", options={})
    refused(path, cache, "expected a video of at least 32 pixels a side .*got 8x8 in .*: use a larger recording")


def test_a_ribbon(tmp_path: Path, cache: Path):
    """Wide enough as stored, too low once its long side is shrunk."""
    ribbon = [np.tile(frame[:40, :80], (1, 20, 1)) for frame in scenery(3)]
    path = make_video(tmp_path / "ribbon.mkv", ribbon, codec="ffv1", pix_fmt="bgr0", options={})
    refused(path, cache, "got 1600x40")


@pytest.mark.parametrize("level", [0, 128, 255])
def test_frames_of_one_colour(tmp_path: Path, cache: Path, level: int):
    noise = np.random.default_rng(0)
    frames = [np.clip(noise.normal(level, 2, (64, 96, 3)), 0, 255).astype(np.uint8) for _ in range(10)]
    path = make_video(tmp_path / "blank.mp4", frames)
    refused(path, cache, r"expected frames that show something in .*, got one colour throughout \(black, say\)")


def test_a_start_beyond_the_end(tmp_path: Path, cache: Path):
    path = make_video(tmp_path / "clip.mp4", scenery(25))
    with pytest.raises(VideoError, match=r"expected frames from start=5 s on in .*, got 1\.0 s: pass a smaller start"):
        anchor(path, cache=cache, estimator="flat", start=5.0)


def test_a_file_cut_off_before_its_index(tmp_path: Path, cache: Path):
    path = make_video(tmp_path / "clip.mp4", scenery(50))  # an mp4 has its index at the end
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, cache, "in which no video can be found .*cut off")


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
def test_a_file_cut_off_after_its_index_keeps_what_there_is(
    tmp_path: Path, cache: Path, name: str, caplog: pytest.LogCaptureFixture
):
    drawn = scenery(50)
    container = {"movflags": "faststart"} if name == "clip.mp4" else {}
    path = make_video(tmp_path / name, drawn, container=container, options={"g": "5", "crf": "16"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    scene = anchor(path, cache=cache, estimator="flat")
    assert 20 <= scene.num_frames <= 35
    shown = [which(scene.rgb(i), drawn) for i in range(scene.num_frames)]
    assert shown[:18] == list(range(18))
    # Of the last frames one that the others need may be lost; which, and what is shown instead, is the decoder's affair.
    assert np.abs(np.array(shown) - np.arange(len(shown))).max() <= 2
    if name == "clip.mp4":  # the others do not know how long they were
        assert f"cut off or damaged, decoded {scene.num_frames} frames of about 50" in caplog.text


def test_damage_in_the_middle_is_skipped(tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture):
    drawn = scenery(50)
    path = make_video(tmp_path / "clip.mp4", drawn, codec="mjpeg", pix_fmt="yuvj420p", options={"qmax": "3"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    path.write_bytes(data)
    scene = anchor(path, cache=cache, estimator="flat")
    assert "skipped what could not be decoded" in caplog.text
    first = round(scene.provenance["seconds"][0] * 25)  # broken pictures may look like a cut
    assert scene.num_frames >= 20
    assert which(scene.rgb(0), drawn) == first
    assert [which(scene.rgb(i), drawn) for i in range(20)] == list(range(first, first + 20))


# --- the cache, not the video, is at fault ----------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return make_video(tmp_path / "clip.mp4", scenery(30))


def test_a_file_where_the_cache_should_be(tmp_path: Path, video: Path):
    (tmp_path / "file").write_text("not a folder")
    refused(video, tmp_path / "file", "expected to write a scene into .*set INSPATIO_GYM_CACHE", CacheError)


def test_a_read_only_cache(video: Path, cache: Path, monkeypatch: pytest.MonkeyPatch):
    def deny(self: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "mkdir", deny)
    refused(video, cache, r"got 'Permission denied': set INSPATIO_GYM_CACHE \(or pass cache=\) to a folder", CacheError)


def test_a_cache_that_may_not_be_searched(video: Path, unsearchable: Path):
    with pytest.raises(CacheError, match=r"expected to write a scene into .*got 'Permission denied': set INSPATIO_GYM"):
        anchor(video, cache=unsearchable / "cache", estimator="flat")


def test_a_cached_scene_that_may_not_be_read(video: Path, cache: Path, ordinary_user: None):
    scene = anchor(video, cache=cache, estimator="flat")
    (scene.path / "scene.json").chmod(0)
    with pytest.raises(CacheError, match=r"got 'Permission denied': set INSPATIO_GYM_CACHE"):
        anchor(video, cache=cache, estimator="flat")


@pytest.mark.parametrize("form", ["rgb24", "gray16le"])
def test_a_full_disk(video: Path, cache: Path, form: str, monkeypatch: pytest.MonkeyPatch):
    original = FootageWriter.write

    def write_until_full(self: FootageWriter, frame: np.ndarray) -> None:
        if self.form == form and self.num_frames == 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(self, frame)

    monkeypatch.setattr(FootageWriter, "write", write_until_full)
    refused(video, cache, "got 'No space left on device': free some space", CacheError)


@pytest.mark.parametrize("limit", [4_000, 12_000, 40_000])
def test_a_disk_that_really_refuses(tmp_path: Path, video: Path, cache: Path, limit: int):
    """The operating system's limit on file sizes stands in for a full disk: it hits encoders, tensors and all."""
    code = (
        "import resource, sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from inspatio_gym.scenes import CacheError, anchor, estimate\n"
        "estimate.ESTIMATORS = {'flat': 'clips:flat_world'}\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "try:\n"
        f"    anchor({str(video)!r}, cache={str(cache)!r}, estimator='flat')\n"
        "except CacheError as problem:\n"
        "    print(problem)"
    )
    pytest.importorskip("resource", reason="only POSIX limits file sizes")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "expected to write a scene into" in done.stdout, done.stderr
    assert list(cache.iterdir()) == []
