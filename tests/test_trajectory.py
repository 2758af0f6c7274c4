"""Camera paths: the reference poses, the presets, and files that are wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspatio_gym.camera import Trajectory
from inspatio_gym.geometry import poses

EXCERPT = json.loads((Path(__file__).parent / "data" / "trajectory.json").read_text())
PATHS = {name: Trajectory.parse(lines) for name, lines in EXCERPT["trajectories"].items()}

PATHS[next(iter(PATHS))].poses(3)  # brings scipy before hypothesis looks at the clock

keyframes = st.lists(st.floats(-45, 45), min_size=1, max_size=12).map(tuple)
trajectories = st.builds(Trajectory, keyframes, keyframes, keyframes)


def write(folder: Path, text: str) -> Path:
    path = folder / "path.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("case", EXCERPT["poses"], ids=lambda case: f"{case['trajectory']}-{case['rotation_only']}")
def test_poses_are_those_of_the_excerpt(case):
    c2w = PATHS[case["trajectory"]].poses(case["frames"], case["radius"], case["rotation_only"])
    expected = np.reshape(case["c2w"], (-1, 3, 4))
    np.testing.assert_allclose(c2w[case["picks"], :3], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", EXCERPT["adaptive"], ids=lambda case: f"{case['trajectory']}-{case['source_frames']}")
def test_adaptive_indices_are_those_of_the_excerpt(case):
    indices = PATHS[case["trajectory"]].adaptive_indices(case["source_frames"])
    assert len(indices) == case["count"]
    assert indices[::29].tolist() == case["every_29th"]


def test_all_reference_poses_and_indices_agree(shared: Path, tmp_path: Path):
    from safetensors.numpy import load_file

    reference = json.loads((shared / "fixtures/trajectory/cases.json").read_text())
    expected = load_file(shared / "fixtures/trajectory/c2w.safetensors")
    paths = {
        name: Trajectory.read(write(tmp_path, "\n".join(lines))) for name, lines in reference["trajectories"].items()
    }
    for case in reference["cases"]:
        c2w = paths[case["trajectory"]].poses(case["frames"], case["radius"], case["rotation_only"])
        assert c2w.dtype == np.float64
        np.testing.assert_allclose(c2w, expected[case["key"]], rtol=0, atol=1e-6, err_msg=case["key"])
    for case in reference["adaptive"]:
        assert paths[case["trajectory"]].adaptive_indices(case["source_frames"]).tolist() == case["indices"]


@given(trajectories, st.integers(1, 50), st.floats(0.1, 10), st.booleans())
def test_every_pose_is_rigid(path, frames, radius, rotation_only):
    c2w = path.poses(frames, radius, rotation_only)
    assert c2w.shape == (frames, 4, 4)
    poses.require_rigid(c2w)


@given(trajectories, st.floats(0.1, 10))
def test_the_radius_scales_positions_and_nothing_else(path, radius):
    one, scaled = path.poses(20), path.poses(20, radius)
    assert (one[:, :3, :3] == scaled[:, :3, :3]).all()
    np.testing.assert_allclose(scaled[:, :3, 3], radius * one[:, :3, 3], atol=1e-9)


def test_an_orbit_keeps_its_distance_to_its_centre_and_looks_at_it():
    c2w = Trajectory.preset("orbit").poses(60, radius=2.0)
    to_centre = (0, 0, 2.0) - c2w[:, :3, 3]
    np.testing.assert_allclose(to_centre, 2 * c2w[:, :3, 2], atol=1e-9)
    assert np.ptp(poses.ypr_deg(c2w[:, :3, :3])[:, 0]) > 20


def test_a_push_in_goes_straight_ahead_and_comes_back():
    c2w = Trajectory.preset("push_in").poses(61, rotation_only=True)
    assert (c2w[:, :3, :3] == np.eye(3)).all()
    assert (c2w[:, :2, 3] == 0).all()
    assert c2w[[0, -1], 2, 3].tolist() == [0, 0]
    assert 0.25 < c2w[30, 2, 3] < 0.5


def test_rotation_only_stays_in_place_and_turns_all_the_same():
    path = Trajectory.preset("orbit")
    c2w = path.poses(30, rotation_only=True)
    assert (c2w[:, :3, 3] == 0).all()
    assert (c2w[:, :3, :3] == path.poses(30)[:, :3, :3]).all()


@given(trajectories, st.integers(1, 400))
def test_adaptive_indices_are_frames_of_the_clip_in_steps_that_do_not_cut(path, source_frames):
    indices = path.adaptive_indices(source_frames)
    assert indices.min() >= 0
    assert indices.max() < source_frames
    if len(indices) > source_frames > 1:
        assert (np.abs(np.diff(indices)) == 1).all()
    else:
        assert (np.diff(indices) >= 0).all()


def test_few_keyframes_are_joined_by_lines_and_one_stands():
    c2w = Trajectory.parse(["0", "0 30", "2"]).poses(4)
    assert poses.ypr_deg(c2w[:, :3, :3])[:, 0] == pytest.approx([0, 10, 20, 30])


def test_a_file_may_end_in_blank_lines(tmp_path: Path):
    path = Trajectory.read(write(tmp_path, "0 1\n0 20.5\n1  1e0\n\n \n"))
    assert path == Trajectory((0.0, 1.0), (0.0, 20.5), (1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected three lines .* got 0"),
        ("0 1\n0 1", "expected three lines .* got 2"),
        ("0\n0\n0\n0", "expected three lines .* got 4"),
        ("0 1\n\n0 1", "yaw: expected one finite number or more"),
        ("0 1\n0 left\n0 1", r"line 2 \(yaw\): expected numbers between spaces.*left"),
        ("0 1\n0 1\n0 nan", "displacement: expected one finite number or more.*nan"),
        ("0 inf\n0 1\n0 1", "pitch: expected one finite number or more.*inf"),
        ("0,1\n0,1\n0,1", r"line 1 \(pitch\)"),
    ],
)
def test_a_malformed_file_is_refused_with_its_name_and_the_reason(tmp_path: Path, text: str, message: str):
    with pytest.raises(ValueError, match=f"path.txt: {message}"):
        Trajectory.read(write(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    (tmp_path / "path.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match=r"path\.txt"):
        Trajectory.read(tmp_path / "path.txt")


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Trajectory.read(tmp_path / "nowhere.txt")


def test_an_unknown_preset_is_refused_and_the_known_ones_named():
    with pytest.raises(ValueError, match=r"\[.*'orbit', 'push_in'.*\], got 'spin'"):
        Trajectory.preset("spin")


@pytest.mark.parametrize("frames", [0, -3])
def test_a_path_of_no_frames_is_refused(frames: int):
    with pytest.raises(ValueError, match="frames: expected at least 1"):
        PATHS["dolly"].poses(frames)
    with pytest.raises(ValueError, match="source_frames: expected at least 1"):
        PATHS["dolly"].adaptive_indices(frames)
