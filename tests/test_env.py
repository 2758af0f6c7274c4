"""InSpatio-v0, one world: the contract, the controls, starts and ends of episodes, and what bad input says."""

import sys
import warnings

import av
import cv2
import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import RecordVideo

from inspatio_gym.camera import RigConfig
from inspatio_gym.envs.actions import COMPONENTS, CONTROLS
from inspatio_gym.envs.env import InSpatioEnv
from inspatio_gym.fake import FakeWorld
from inspatio_gym.geometry.poses import compose, invert, rotation_ypr, to_vector
from inspatio_gym.scenes import Scene

SIZE = (48, 80)
# What SB3 says of any float image; a depth map in metres is one, and the recipes' feature extractor knows.
SB3_ON_DEPTH = (
    "It seems that your observation depth is an image but its `dtype` is (float32) whereas it has to be `np.uint8`. "
    "If your observation is not an image, we recommend you to flatten the observation to have only a 1D vector",
    "It seems that your observation space depth is an image but the upper and lower bounds are not in [0, 255]. "
    "Because the CNN policy normalize automatically the observation you may encounter issue if the values are not in "
    "that range.",
)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box")


def make(scene: Scene | list[Scene], **arguments) -> InSpatioEnv:
    return InSpatioEnv(scene=scene, **{"model": "fake", "size": SIZE, **arguments})


def act(**parts: float) -> np.ndarray:
    """An action of free control: the named components, the others zero."""
    return np.array([parts.get(name, 0.0) for name in COMPONENTS], np.float32)


class Recorder(FakeWorld):
    """A fake world of nine first frames and blocks of four that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(render_size=SIZE, first_frames=9, block_frames=4)
        self.requests: list = []

    def step(self, sessions, requests):
        self.requests += requests
        return super().step(sessions, requests)


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("control", CONTROLS)
def test_passes_the_checks_of_gymnasium_and_sb3(box, control):
    from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

    for time_control in (False, True):
        env = gym.make("InSpatio-v0", scene=box, model="warp", size=SIZE, control=control, time_control=time_control)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            check_env(env.unwrapped, skip_render_check=True)
            for text in SB3_ON_DEPTH:
                warnings.filterwarnings("ignore", f"^{''.join(map(_escape, text))}$", UserWarning)
            check_env_for_sb3(env.unwrapped)


def _escape(character: str) -> str:
    return character if character.isalnum() else f"\\{character}"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["room", "street"])
@pytest.mark.parametrize("control", CONTROLS)
def test_bundled_scenes_pass_the_check(name, control):
    check_env(gym.make("InSpatio-v0", scene=name, control=control, size=(48, 80)).unwrapped, skip_render_check=True)


@pytest.mark.parametrize("mount", ["source", "world"])
@pytest.mark.parametrize("ends", ["bounce", "clamp", "loop", "end"])
def test_observations_stay_inside_finite_bounds(box, mount, ends):
    env = make(box, mount=mount, ends=ends, max_rate=2.0)
    for name, space in env.observation_space.items():
        assert np.isfinite([space.low, space.high]).all(), name
    env.action_space.seed(1)
    observation, _ = env.reset(seed=1)
    for _ in range(40):
        assert observation in env.observation_space
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        assert np.isfinite(reward)
        assert type(terminated) is bool
        assert type(truncated) is bool
        assert info["c2w"].shape == (4, 4)
        assert info["covered"].shape == SIZE
        assert info["coverage"] == pytest.approx(info["covered"].mean())
        assert 0 <= info["source_time"] < box.num_frames / box.fps
        if truncated:
            observation, _ = env.reset()


def test_the_time_limit_is_250_steps(box):
    env = gym.make("InSpatio-v0", scene=box, model="fake", size=SIZE)
    env.reset(seed=0)
    ends = [env.step(act())[2:4] for _ in range(250)]
    assert ends == [(False, False)] * 249 + [(False, True)]


def test_returned_arrays_are_fresh(box):
    env = make(box, model="warp", include_frames=True)
    observation, info = env.reset(seed=0)
    kept = {name: array.copy() for name, array in observation.items()}
    for array in (*observation.values(), info["c2w"], info["covered"], info["frames"]):
        array[...] = 1  # whatever a user does to his arrays,
    reset_again, _ = env.reset(seed=0)
    assert all((reset_again[name] == kept[name]).all() for name in kept)  # the world does not notice
    env.reset(seed=0)[0]["rgb"][...] = 1
    again = env.unwrapped.snapshot()
    observation, *_ = env.step(act(time=1))
    first = observation["rgb"].copy()
    env.step(act(time=1))
    assert (observation["rgb"] == first).all()
    assert again["rgb"].std() > 0


# --- controls ---------------------------------------------------------------------------------------------------------


def test_a_zero_action_pauses_and_holds(box):
    env = make(box, model="warp")
    first, _ = env.reset(seed=3)
    for _ in range(3):
        observation, reward, *_ = env.step(act())
        for name in first:
            assert (observation[name] == first[name]).all(), name
        assert reward == 0


@pytest.mark.parametrize("rate", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_the_time_component_plays_pauses_and_reverses(box, rate):
    env = make(box)
    env.reset(options={"time": 0.75, "pose": np.eye(4)})
    observation, *_, info = env.step(act(time=rate))
    assert info["source_time"] == pytest.approx(0.75 + rate * 12 / box.fps)
    assert observation["time"] == pytest.approx([info["source_time"] * box.fps / (box.num_frames - 1), rate])
    assert np.allclose(info["c2w"], box.c2w[round(info["source_time"] * box.fps)])  # riding the recorded camera


def test_max_rate_scales_the_time_component(box):
    env = make(box, max_rate=2.0)
    env.reset(options={"time": 0.0})
    *_, info = env.step(act(time=0.5))
    assert info["source_time"] == pytest.approx(12 / box.fps)
    assert env.observation_space["time"].high[1] == 2


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("right", (1, 0, 0)),
        ("up", (0, -1, 0)),  # y points down
        ("forward", (0, 0, 1)),
    ],
)
def test_moves_follow_the_rigs_speed(box, component, expected):
    env = make(box, rig=RigConfig(speed=0.2), min_coverage=0.0)
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    observation, *_, info = env.step(act(**{component: 0.5}))
    seconds = 12 / box.fps
    assert observation["pose"][:3] == pytest.approx(np.array(expected) * 0.5 * 0.2 * seconds, abs=1e-6)
    assert info["path_length"] == pytest.approx(0.5 * 0.2 * seconds, abs=1e-6)


@pytest.mark.parametrize(("component", "axis"), [("yaw", 0), ("pitch", 1), ("roll", 2)])
def test_turns_follow_the_rigs_turn_limit(box, component, axis):
    env = make(box, rig=RigConfig(turn_deg=20.0), min_coverage=0.0)
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    observation, *_, info = env.step(act(**{component: 1.0}))
    angles = np.zeros(3)
    angles[axis] = 20.0 * 12 / box.fps
    assert observation["pose"] == pytest.approx(to_vector(compose(rotation_ypr(*angles), np.zeros(3))), abs=1e-6)
    assert info["rotation_deg"] == pytest.approx(10.0, abs=1e-3)


def test_rotation_control_plays_unless_it_sets_time(box):
    plain, timed = make(box, control="rotation"), make(box, control="rotation", time_control=True)
    assert plain.action_space.shape == (2,)
    assert timed.action_space.shape == (3,)
    assert plain.action_names == ("yaw", "pitch")
    assert timed.action_names == ("yaw", "pitch", "time")
    for env in (plain, timed):
        env.reset(options={"time": 0.0, "pose": np.eye(4)})
    assert plain.step(np.zeros(2))[4]["source_time"] == pytest.approx(0.5)
    assert timed.step(np.zeros(3))[4]["source_time"] == 0
    assert timed.step(np.array([0, 0, 1]))[4]["source_time"] == pytest.approx(0.5)


def test_time_control_sets_time_alone(box):
    env = make(box, control="time")
    assert env.action_space.shape == (1,)
    assert env.action_names == ("time",)
    start, _ = env.reset(seed=0, options={"time": 0.0})
    observation, *_, info = env.step(np.array([1.0]))
    assert info["source_time"] == pytest.approx(0.5)
    assert (observation["pose"] == start["pose"]).all()


def test_discrete_moves_do_what_their_names_say(box):
    env = make(box, control="discrete", time_control=True, min_coverage=0.0)
    free = make(box, min_coverage=0.0)
    meant = {
        "play": act(time=1), "pause": act(), "reverse": act(time=-1), "right": act(right=1, time=1),
        "left": act(right=-1, time=1), "up": act(up=1, time=1), "down": act(up=-1, time=1),
        "forward": act(forward=1, time=1), "back": act(forward=-1, time=1), "yaw_right": act(yaw=1, time=1),
        "yaw_left": act(yaw=-1, time=1), "pitch_up": act(pitch=1, time=1), "pitch_down": act(pitch=-1, time=1),
        "roll_right": act(roll=1, time=1), "roll_left": act(roll=-1, time=1),
    }  # fmt: skip
    assert set(env.action_names) == set(meant)
    assert env.action_space.n == len(meant)
    assert make(box, control="discrete").action_names == env.action_names[:-2]
    for index, name in enumerate(env.action_names):
        for one in (env, free):
            one.reset(options={"time": 0.6, "pose": np.eye(4)})
        by_name, by_parts = env.step(index)[0], free.step(meant[name])[0]
        for key in ("pose", "time"):
            assert (by_name[key] == by_parts[key]).all(), name


def test_the_camera_cannot_enter_geometry(box):
    env = make(box, rig=RigConfig(speed=4.0, max_offset=5.0), min_coverage=0.0)
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    for _ in range(4):
        *_, info = env.step(act(forward=1))
    assert info["collision"]
    assert info["collisions"] >= 1
    assert info["c2w"][2, 3] < box.depth(0)[24, 40]  # the wall in front


def test_a_step_is_a_request_of_whole_blocks_observed_at_its_end(box):
    model = Recorder()
    env = make(box, model=model, frames_per_step=8)
    env.reset(options={"time": 5 / box.fps, "pose": np.eye(4)})
    first = model.requests[-1]
    assert first.source.tolist() == [0, 0, 0, 0, 1, 2, 3, 4, 5]
    assert first.observe.tolist() == [8]
    assert (first.c2w == box.c2w[5]).all()  # held at the start pose
    env.step(act(time=1))
    request = model.requests[-1]
    assert request.source.tolist() == list(range(6, 14))
    assert request.observe.tolist() == [7]
    assert request.source.dtype == np.int64
    assert request.c2w.dtype == np.float64
    assert np.allclose(request.c2w, box.c2w[6:14])


def test_frames_of_the_step_on_request(box):
    env = make(box, include_frames=True, model="warp")
    observation, info = env.reset(seed=0)
    assert info["frames"].shape == (1, *SIZE, 3)
    observation, *_, info = env.step(act(time=1))
    assert info["frames"].shape == (12, *SIZE, 3)
    assert info["frames"].dtype == np.uint8
    assert (info["frames"][-1] == observation["rgb"]).all()
    assert (info["frames"][0] != info["frames"][-1]).any()


def test_the_model_may_render_larger_than_what_is_observed(box):
    env = make(box, model="warp", render_size=(96, 160), render_mode="rgb_array", include_frames=True)
    small = make(box, model="warp")
    (observation, info), (expected, _) = (one.reset(seed=0) for one in (env, small))
    assert env.render().shape == (96, 160, 3)
    assert observation in env.observation_space
    assert info["covered"].shape == SIZE
    assert info["frames"].shape == (1, *SIZE, 3)
    assert np.median(np.abs(observation["rgb"].astype(int) - expected["rgb"])) <= 3
    assert np.median(np.abs(observation["depth"] / expected["depth"] - 1)) < 0.02


def test_another_aspect_is_cropped_and_never_stretched(box):
    options = {"time": 0.5, "pose": np.eye(4)}
    env = make(box, model="warp", render_size=(96, 96), include_frames=True)
    wide, info = env.reset(seed=0, options=options)
    square = make(box, model="warp", size=(96, 96)).reset(seed=0, options=options)[0]
    middle = slice(96 // 2 - 29, 96 // 2 + 29)  # 48:80 of 96 columns is 58 rows
    expected = cv2.resize(square["rgb"][middle], SIZE[::-1], interpolation=cv2.INTER_AREA)
    assert (wide["rgb"] == expected).all()
    assert info["frames"].shape == (1, *SIZE, 3)
    assert wide in env.observation_space


def test_a_loaded_model_brings_its_size(box):
    env = make(box, model=FakeWorld(render_size=(32, 48)), render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert env.render().shape == (32, 48, 3)


def test_a_very_wide_view(box):
    env = make(box, size=(16, 2100))
    observation, _ = env.reset(seed=0)
    assert observation["rgb"].shape == (16, 2100, 3)


def test_metric_scenes_are_observed_in_median_depths(tmp_path, box):
    metric = write_box(tmp_path / "metric", metric=3.0)
    unit = metric.median_depth
    assert unit != pytest.approx(1.0)
    here, there = make(metric, model="warp"), make(box, model="warp")
    options = {"time": 0.5, "pose": to_vector(compose(rotation_ypr(4), (0.02, 0, 0.03)))}
    (a, _), (b, _) = (env.reset(seed=0, options=options) for env in (here, there))
    for _ in range(3):
        assert a["pose"] == pytest.approx(b["pose"], abs=1e-5)
        assert np.median(np.abs(a["depth"] / b["depth"] - 1)) < 1e-3
        assert np.mean(a["rgb"] != b["rgb"]) < 0.2
        (a, *_, info), (b, *_, other) = (
            env.step(act(right=0.2, forward=0.3, yaw=0.1, time=0.5)) for env in (here, there)
        )
        assert info["path_length"] == pytest.approx(other["path_length"], abs=1e-5)


# --- where episodes start and end -------------------------------------------------------------------------------------


def test_starts_are_drawn_near_the_mount_and_inside_the_corridor(box, tmp_path):
    other = write_box(tmp_path / "other", frames=20, name="other")
    env = make([box, other])
    env.reset(seed=0)
    starts = []
    for _ in range(30):
        observation, info = env.reset()
        source = box if env.snapshot()["scene"] == box.digest else other
        frame = int(info["source_time"] * source.fps + 0.5)
        offset = invert(source.c2w[frame]) @ info["c2w"]
        assert to_vector(offset) == pytest.approx(observation["pose"], abs=1e-6)
        assert np.abs(observation["pose"][:3]).max() <= 0.03 + 1e-6
        assert observation["pose"][3] > 0.99
        assert info["coverage"] >= 0.5
        assert not info["collision"]
        starts.append((source.name, frame, tuple(observation["pose"])))
    assert len({name for name, *_ in starts}) == 2
    assert len({frame for _, frame, _ in starts}) > 10
    assert len({pose for *_, pose in starts}) == 30


def test_options_set_scene_time_and_pose(box, tmp_path):
    other = write_box(tmp_path / "other", frames=20, name="other")
    env = make([box, other])
    for choice in (1, "other", other):
        env.reset(seed=0, options={"scene": choice})
        assert env.snapshot()["scene"] == other.digest
    pose = compose(rotation_ypr(10, -5), (0.1, 0, 0.05))
    for given in (pose, to_vector(pose)):
        observation, info = env.reset(seed=0, options={"scene": 0, "time": 0.5, "pose": given})
        assert info["source_time"] == pytest.approx(0.5)
        assert np.allclose(info["c2w"], box.c2w[12] @ pose, atol=1e-6)
        assert observation["pose"] == pytest.approx(to_vector(pose), abs=1e-6)


def test_an_option_changes_nothing_else(box):
    env = make(box)
    env.reset(seed=5)
    drawn = env.snapshot()
    env.reset(seed=5, options={"time": 0.25})
    timed = env.snapshot()
    assert timed["key"] == drawn["key"]
    assert timed["rng"] == drawn["rng"]
    assert (timed["rig"]["state"] == drawn["rig"]["state"]).all()


def test_the_world_mount_moves_in_the_first_cameras_frame(box):
    env = make(box, mount="world", min_coverage=0.0)
    observation, info = env.reset(seed=2)
    for _ in range(4):
        assert to_vector(info["c2w"]) == pytest.approx(observation["pose"], abs=1e-6)
        observation, *_, info = env.step(act(forward=0.2, yaw=0.3, time=1))


@pytest.mark.parametrize("mount", ["source", "world"])
def test_a_moment_that_is_asked_for_is_kept(box, mount):
    env = make(box, mount=mount)
    for seed in range(10):
        _, info = env.reset(seed=seed, options={"time": 1.4})
        assert info["source_time"] == pytest.approx(1.4)


def test_an_episode_can_begin_wherever_one_has_been(box):
    """A pose as observed is in 32 bits, which may lie beyond a limit that the camera stands at."""
    env = make(box, min_coverage=0.0)
    generator = np.random.default_rng(0)
    for _ in range(20):
        env.reset(options={"time": 0.5})
        action = act(**dict(zip(COMPONENTS, generator.choice([-1, 1], 6), strict=False)))
        for _ in range(8):
            observation, *_ = env.step(action)
        again, _ = env.reset(options={"time": 0.5, "pose": observation["pose"]})
        assert again["pose"] == pytest.approx(observation["pose"], abs=1e-4)


def test_leaving_the_corridor_truncates_with_the_reason(box):
    env = make(box)
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    for _ in range(10):
        *_, terminated, truncated, info = env.step(act(yaw=1))
        if truncated:
            break
        assert "truncated_reason" not in info
    assert truncated
    assert not terminated
    assert info["truncated_reason"] == "corridor"
    assert env._sight().coverage < 0.5
    relative = invert(box.c2w[0]) @ info["c2w"]
    assert relative[2, 2] < np.cos(np.deg2rad(15))  # it takes a real turn


def test_one_step_outside_the_corridor_may_be_taken_back(box):
    env = make(box, rig=RigConfig(turn_deg=80.0))
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    for _ in range(5):
        assert not env.step(act(yaw=1))[3]
        assert env._sight().coverage < 0.5
        assert not env.step(act(yaw=-1))[3]
        assert env._sight().coverage > 0.5
    assert not env.step(act(yaw=1))[3]
    assert env.step(act())[3]


def test_the_corridor_can_be_left_open(box):
    env = make(box, min_coverage=0.0, rig=RigConfig(max_yaw_deg=180))
    env.reset(seed=0)
    assert not any(env.step(act(yaw=1))[3] for _ in range(12))


def test_the_corridor_does_not_depend_on_the_models_pixels(box):
    class Blind(FakeWorld):
        def step(self, sessions, requests):
            blocks = super().step(sessions, requests)
            for block in blocks:
                block.covered[...] = False
            return blocks

    env = make(box, model=Blind(render_size=SIZE))
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    *_, reward, _, truncated, info = env.step(act(yaw=0.3))
    assert info["coverage"] == 0
    assert not truncated
    assert reward > 0


def test_running_out_of_the_clip_truncates_when_it_ends(box):
    env = make(box, ends="end")
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    verdicts = [env.step(act(time=1))[2:] for _ in range(3)]
    assert [truncated for _, truncated, _ in verdicts] == [False, False, True]
    assert verdicts[-1][2]["truncated_reason"] == "clip ended"
    assert not verdicts[-1][0]


# --- looking at it ----------------------------------------------------------------------------------------------------


def test_record_video_writes_a_film(box, tmp_path):
    pytest.importorskip("moviepy")
    env = gym.make("InSpatio-v0", scene=box, model="warp", size=SIZE, render_mode="rgb_array", max_episode_steps=5)
    env = RecordVideo(env, str(tmp_path / "films"), episode_trigger=lambda _: True, disable_logger=True)
    env.reset(seed=0)
    while not any(env.step(env.action_space.sample() * 0.1)[2:4]):
        pass
    env.close()
    (film,) = (tmp_path / "films").glob("*.mp4")
    with av.open(str(film)) as file:
        stream = file.streams.video[0]
        assert sum(1 for _ in file.decode(stream)) == 6
        assert stream.average_rate == env.metadata["render_fps"] == 2  # steps of half a second, at the world's own pace


def test_human_mode_shows_every_frame_in_a_window(box, monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = make(box, render_mode="human", frames_per_step=3)
    env.reset(seed=0)
    observation, *_ = env.step(act(time=1))
    assert env.render() is None
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert shown.shape == (480, 800, 3)
    assert (shown[::10, ::10] == observation["rgb"]).all()
    env.close()
    assert not pygame.display.get_init()


def test_human_mode_without_pygame_names_the_extra(box, monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match=r"inspatio-gym\[play\]"):
        make(box, render_mode="human")


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"scene": None}, r"got neither: .*scene='room'"),
        ({"video": "clip.mp4"}, "got both"),
        ({"scene": []}, "got an empty list"),
        ({"scene": "nowhere"}, "got 'nowhere'"),
        ({"model": "crystal ball"}, "got 'crystal ball'"),
        ({"task": "idle"}, r"expected a task out of .*'explore'.*, got 'idle'"),
        ({"control": "mind"}, "got 'mind'"),
        ({"mount": "drone"}, "got 'drone'"),
        ({"ends": "stop"}, "got 'stop'"),
        ({"render_mode": "ascii"}, "got 'ascii'"),
        ({"size": (0, 80)}, r"size=\(height, width\).*got \(0, 80\)"),
        ({"size": 96}, "got 96"),
        ({"size": (96, 160, 3)}, r"got \(96, 160, 3\)"),
        ({"size": (96.5, 160)}, "got"),
        ({"render_size": (4, 4)}, r"render_size=.*got \(4, 4\)"),
        ({"frames_per_step": 0}, "positive multiple of 1"),
        ({"frames_per_step": 2.5}, "got 2.5"),
        ({"model": FakeWorld(render_size=SIZE, block_frames=12), "frames_per_step": 18}, "multiple of 12.*pass 12"),
        ({"max_rate": 0.0}, "positive max_rate"),
        ({"max_rate": float("nan")}, "positive max_rate"),
        ({"max_rate": "1"}, "positive max_rate"),
        ({"min_coverage": 1.5}, "got 1.5"),
        ({"min_coverage": "x"}, "got 'x'"),
        ({"model": FakeWorld(render_size=SIZE), "render_size": (96, 160)}, r"render_size \(48, 80\).*got \(96, 160\)"),
    ],
)
def test_bad_arguments_say_what_was_expected(box, arguments, says):
    with pytest.raises(ValueError, match=says):
        InSpatioEnv(**{"scene": box, "model": "fake", "size": SIZE, **arguments})


def test_an_unknown_argument_is_named(box):
    with pytest.raises(TypeError, match=r"control.*got \['colour'\]"):
        make(box, colour="red")


@pytest.mark.parametrize("arguments", [{"model": None}, {"model": 3}, {"rig": {"speed": 1.0}}])
def test_arguments_of_a_wrong_kind_say_what_was_expected(box, arguments):
    with pytest.raises(TypeError, match=r"expected .*, got .*: pass"):
        make(box, **arguments)


def test_a_task_that_is_already_made_is_refused(box):
    with pytest.raises(TypeError, match="every world needs a task of its own"):
        make(box, task=object())


@pytest.mark.parametrize(
    ("action", "kind", "says"),
    [
        (act(time=np.nan), ValueError, r"finite values in \[-1, 1\], got time = nan"),
        (act(pitch=np.inf), ValueError, "got pitch = inf"),
        (act(forward=-1.001), ValueError, "got forward = -1.001.*clip it"),
        (np.zeros(6), ValueError, r"shape \(7,\).*got shape \(6,\)"),
        (np.zeros((1, 7)), ValueError, r"got shape \(1, 7\)"),
        (0.5, ValueError, r"got shape \(\)"),
        ("forward", TypeError, "7 numbers.*got 'forward'"),
        (None, ValueError, "shape"),
    ],
)
def test_bad_actions_say_what_was_expected_and_change_nothing(box, action, kind, says):
    env = make(box)
    env.reset(seed=0)
    before = env.snapshot()
    with pytest.raises(kind, match=says):
        env.step(action)
    after = env.snapshot()
    assert after["clock"] == before["clock"]
    assert (after["rig"]["state"] == before["rig"]["state"]).all()


def test_a_rounding_error_beyond_one_is_forgiven(box):
    env = make(box)
    env.reset(seed=0)
    env.step(act(yaw=np.nextafter(np.float32(1), np.float32(2))))


@pytest.mark.parametrize(
    ("action", "kind", "says"),
    [(13, ValueError, r"0\.\.12, got 13"), (-1, ValueError, "got -1"), (1.5, TypeError, "action_names"),
     ("yaw_left", TypeError, "got 'yaw_left'"), (np.array([1]), TypeError, "integer")],
)  # fmt: skip
def test_bad_discrete_actions(box, action, kind, says):
    env = make(box, control="discrete")
    env.reset(seed=0)
    with pytest.raises(kind, match=says):
        env.step(action)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"goal": 1}, ValueError, r"expected no options\['goal'\], got 1: the task 'explore' has no goal"),
        ({"gaol": 1}, ValueError, r"options out of \['scene', 'time', 'pose', 'goal'\], got \['gaol'\]"),
        ({"time": -0.1}, ValueError, "got time -0.1"),
        ({"time": 99.0}, ValueError, "got time 99"),
        ({"time": float("nan")}, ValueError, "got time nan"),
        ({"time": "soon"}, TypeError, "seconds.*got 'soon'"),
        ({"scene": 1}, ValueError, r"0\.\.0, got 1"),
        ({"scene": "nowhere"}, ValueError, "got 'nowhere'"),
        ({"scene": 1.5}, TypeError, "got 1.5"),
        ({"pose": np.zeros(6)}, ValueError, "options"),
        ({"pose": "home"}, ValueError, "finite numbers.*got 'home'"),
        ({"pose": np.full(7, np.nan)}, ValueError, "finite"),
        ({"pose": np.diag([2.0, 2, 2, 1])}, ValueError, "rotation"),
        ({"pose": compose(np.eye(3), (9.0, 0, 0))}, ValueError, "distance of at most 0.5"),
    ],
)
def test_bad_reset_options(box, options, kind, says):
    env, twin = make(box), make(box)
    for one in (env, twin):
        one.reset(seed=0)
    with pytest.raises(kind, match=says):
        env.reset(options=options)
    (ours, *_), (theirs, *_) = (one.step(act(time=1)) for one in (env, twin))  # and the episode goes on
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_everything_needs_a_reset_first(box):
    env = make(box, render_mode="rgb_array")
    for call in (lambda: env.step(act()), env.render, env.snapshot):
        with pytest.raises(ResetNeeded, match=r"expected reset\(\) before"):
            call()
    with pytest.raises(ResetNeeded):
        gym.make("InSpatio-v0", scene=box, model="fake", size=SIZE).step(act())
