"""Goal: what it pays for, what it measures, what it draws, and that nothing but getting there earns anything."""

import warnings

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.utils.env_checker import check_env

from inspatio_gym.camera import RigConfig
from inspatio_gym.envs.actions import COMPONENTS
from inspatio_gym.envs.env import InSpatioEnv
from inspatio_gym.envs.tasks.curriculum import GoalCurriculum
from inspatio_gym.envs.tasks.goal import COLLISION, DIFFICULTIES, STEP, SUCCESS
from inspatio_gym.envs.tasks.reach import Range, Target, draw_target
from inspatio_gym.envs.vector_env import InSpatioVectorEnv
from inspatio_gym.geometry.poses import compose, rotation_ypr, to_vector
from inspatio_gym.scenes import Scene

SIZE = (48, 80)
STEP_S = 0.5  # of the box, at 24 frames/s and 12 frames a step


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box")


def make(scene, **arguments) -> InSpatioEnv:
    return InSpatioEnv(scene=scene, **{"task": "goal", "model": "fake", "size": SIZE, **arguments})


def offset(right=0.0, yaw=0.0, pitch=0.0) -> np.ndarray:
    """An offset in median depths."""
    return compose(rotation_ypr(yaw, pitch), (right, 0.0, 0.0))


def begin(env, *, right=0.0, yaw=0.0, time=0.5):
    """At rest on the mount at half a second, with the goal so far to the right and turned so far right."""
    goal = {"pose": offset(right, yaw), "time": time}
    return env.reset(seed=0, options={"time": 0.5, "pose": np.eye(4), "goal": goal})


def act(**parts: float) -> np.ndarray:
    return np.array([parts.get(name, 0.0) for name in COMPONENTS], np.float32)


MOVES = ("right", "up", "forward", "yaw_right", "pitch_up", "roll_right", "play")
BACK = ("left", "down", "back", "yaw_left", "pitch_down", "roll_left", "reverse")


def oracle(env, info) -> np.ndarray | int:
    """The action that goes as far as it can of what is left; of discrete moves the one with most to do, time last."""
    control, step_s = env.unwrapped.stage.control, env.unwrapped.stage.frames / 24
    wanted = info["to_go"] / (np.array([0.5] * 3 + [30.0] * 3 + [1.0]) * step_s)
    if isinstance(env.action_space, gym.spaces.Discrete):
        part = int(np.abs(wanted[:6]).argmax())
        part = part if abs(wanted[part]) > 0.5 else 6  # every move plays time, which is taken back in the end
        name = (MOVES if wanted[part] > 0 else BACK)[part]
        return control.names.index(name if abs(wanted[part]) > 0.5 else "pause")
    return np.clip(wanted, -1, 1)[[COMPONENTS.index(name) for name in control.names]].astype(np.float32)


# --- reward and metrics by hand ---------------------------------------------------------------------------------------


def test_a_straight_way_is_paid_by_its_length(box):
    """To the right by 0.25 median depths, and a turn of 15 degrees: one full step of each."""
    env = make(box)
    _, info = begin(env, right=0.25, yaw=15)
    assert info["distance_to_goal"] == pytest.approx(0.25 / 0.5 + 15 / 30)
    assert info["to_go"] == pytest.approx([0.25, 0, 0, 15, 0, 0, 0], abs=1e-9)
    _, reward, terminated, _, info = env.step(act(yaw=1))
    assert reward == pytest.approx(0.5 - STEP, abs=1e-4)
    _, reward, terminated, _, info = env.step(act(right=np.cos(np.pi / 12), forward=np.sin(np.pi / 12)))
    assert reward == pytest.approx(0.5 - STEP, abs=1e-4)
    assert info["distance_to_goal"] == pytest.approx(0, abs=1e-4)
    assert not terminated  # it is there, and not yet known to stay
    assert [env.step(act())[1] for _ in range(2)] == pytest.approx([-STEP, SUCCESS - STEP], abs=1e-4)
    *_, terminated, _, info = env.step(act())
    assert terminated
    assert info["success"] == 1
    assert info["path_length"] == pytest.approx(1.0, abs=1e-4)
    assert info["spl"] == pytest.approx(1.0, abs=1e-4)
    assert info["soft_spl"] == pytest.approx(1.0, abs=1e-4)


def test_a_way_round_halves_the_spl(box):
    """30 degrees to the left first, then 30 + 30 to the goal on the right: three times as far as it is."""
    env = make(box)
    begin(env, yaw=30)
    for yaw in (-1, -1, 1, 1, 1, 1, 0, 0):
        *_, terminated, _, info = env.step(act(yaw=yaw))
    assert terminated
    assert info["path_length"] == pytest.approx(3.0, abs=1e-3)
    assert info["spl"] == pytest.approx(1 / 3, abs=1e-3)
    begin(env, yaw=30)
    for yaw in (-1, 1, 1):  # half the way back to where it began, and half of what was left done
        *_, info = env.step(act(yaw=yaw))
    assert info["success"] == info["spl"] == 0
    assert info["soft_spl"] == pytest.approx((1 - 0.5) / 1.5, abs=1e-3)


def test_time_is_part_of_the_way(box):
    env = make(box)
    _, info = begin(env, time=1.0)
    assert info["to_go"] == pytest.approx([0, 0, 0, 0, 0, 0, 0.5])
    _, reward, *_, info = env.step(act(time=1))
    assert reward == pytest.approx(0.5 - STEP)
    assert info["time_error"] == 0
    assert info["path_length"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("options", "edge"),
    [
        ({"tolerance": (0.1, 6, 0.25)}, {"right": 0.1}),
        ({"tolerance": (0.1, 6, 0.25)}, {"yaw": 6.0}),
        ({"tolerance": (0.1, 6, 0.25)}, {"time": 0.75}),
    ],
)
def test_success_at_the_edge_of_the_tolerance(box, options, edge):
    env = make(box, task_options=options)
    for nudge, success in ((0.999, True), (1.01, False)):
        there = {name: 0.5 + (value - 0.5) * nudge if name == "time" else value * nudge for name, value in edge.items()}
        if "time" in edge and not success:
            there = {"time": 0.75 + 1 / box.fps}  # moments are frames
        begin(env, **there)
        ends = [env.step(act())[2] for _ in range(3)]
        assert ends == ([False, True, True] if success else [False] * 3)


def test_passing_by_is_no_success(box):
    """At the goal after every step, but never still."""
    env = make(box, task_options={"tolerance": (0.2, 20.0, 1.0), "hold_s": 1.0})
    begin(env, yaw=10)
    for yaw in (1, -0.5, 0.5, -0.5, 0.5):
        *_, terminated, _, info = env.step(act(yaw=yaw))
        assert info["angle_error_deg"] < 20
        assert not terminated
    assert [env.step(act())[2] for _ in range(2)] == [False, True]


def test_what_the_control_cannot_set_is_no_part_of_the_goal(box):
    env = make(box, control="rotation", time_control=False)  # time plays by itself
    for seed in range(5):
        _, info = env.reset(seed=seed)
        assert info["away"] == info["time_error"] == 0
        start = info["distance_to_goal"]
        assert start == pytest.approx(info["angle_error_deg"] / 30)
        for _ in range(8):
            *_, terminated, _, info = env.step(oracle(env, info))
            if terminated:
                break
        assert info["success"] == 1


# --- nothing else pays ------------------------------------------------------------------------------------------------


def returned(env, held, steps: int) -> float:
    total = 0.0
    for action in (held * steps)[:steps]:
        _, reward, terminated, truncated, _ = env.step(action)
        total += reward
        if terminated or truncated:
            break
    return total


WASTE = {
    "pausing for ever": [act()],
    "spinning": [act(roll=1)] * 2 + [act(roll=-1)] * 4 + [act(roll=1)] * 2,
    "oscillating over the goal": [act(yaw=1)] * 2 + [act(yaw=-1)] * 2,
    "coming near and going away": [act(right=0.5), act(right=-0.5)],
    "playing time to and fro": [act(time=1), act(time=-1)],
    "leaving the corridor": [act(yaw=-1)],
}


@pytest.mark.parametrize("way", WASTE)
def test_no_way_but_to_the_goal_pays(box, way):
    env = make(box)
    begin(env, right=0.2, yaw=20)
    assert returned(env, WASTE[way], 40) <= -40 * STEP + 1e-3


def test_leaving_costs_no_less_than_waiting_for_the_limit(box):
    env = make(box)
    begin(env, right=0.2, yaw=20)
    waited = returned(env, WASTE["pausing for ever"], 250)
    begin(env, right=0.2, yaw=20)
    assert returned(env, WASTE["leaving the corridor"], 250) < waited < 0


def test_there_is_no_more_to_gain_than_the_way_and_the_bonus(box):
    """Whatever is done, the progress of an episode is at most its distance."""
    env = make(box)
    rng = np.random.default_rng(0)
    for seed in range(10):
        _, info = env.reset(seed=seed)
        most, total, ended = info["distance_to_goal"], 0.0, False
        while not ended:
            _, reward, terminated, truncated, info = env.step(rng.uniform(-1, 1, 7).astype(np.float32))
            total += reward
            ended = terminated or truncated
        assert total <= most - info["distance_to_goal"] + SUCCESS * info["success"]


def test_collisions_cost(box):
    env = make(box, rig=RigConfig(speed=4.0, max_offset=5.0), min_coverage=0.0)
    env.reset(seed=0, options={"time": 0.0, "pose": np.eye(4), "goal": {"pose": offset(0.3)}})
    for _ in range(8):
        before = env.task.metrics()
        _, reward, _, _, info = env.step(act(forward=1))
    assert info["collision"]
    assert info["collisions"] == before["collisions"] + 1
    progress = before["distance_to_goal"] - info["distance_to_goal"]
    assert reward == pytest.approx(progress - STEP - COLLISION)


# --- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["room", "street"])
@pytest.mark.parametrize("difficulty", list(DIFFICULTIES))
def test_goals_are_in_range_and_in_the_corridor(name, difficulty):
    env = make(name, task_options={"difficulty": difficulty})
    wanted = DIFFICULTIES[difficulty]
    for seed in range(12):
        _, info = env.reset(seed=seed)
        task, scene = env.task, env.stage.scenes[0]
        for value, (least, most), slack in (
            (info["angle_error_deg"], wanted.angle_deg, 1e-5),
            (info["away"], wanted.away, 1e-9),
            (info["time_error"], wanted.seconds, 0.5 / scene.fps + 1e-9),
        ):
            assert least - slack <= value <= most + slack
        c2w = scene.c2w[task.goal.frame] @ task.goal.offset
        assert env.stage.coverage(scene, task.goal.frame, c2w) >= env.stage.config.min_coverage


@pytest.mark.parametrize(
    ("control", "frames", "efficient"), [("free", 12, 0.85), ("rotation", 12, 0.95), ("discrete", 4, 0.2)]
)
def test_whoever_knows_what_is_left_gets_there(room_scene, control, frames, efficient):
    """No goal lies behind something or out of reach. Discrete moves are made one after the other while time plays, all of
    which has to be taken back."""
    env = make(room_scene, control=control, frames_per_step=frames, time_control=True)
    efficiency = []
    for seed in range(12):
        _, info = env.reset(seed=seed)
        for _ in range(60):
            *_, terminated, _, info = env.step(oracle(env, info))
            if terminated:
                break
        assert info["success"] == 1, (seed, info["to_go"])
        assert info["collisions"] == 0
        efficiency.append(info["spl"])
    assert np.mean(efficiency) > efficient


def test_a_goal_behind_a_wall_is_not_drawn(box):
    """Straight ahead stands the wall; whatever is drawn 2.5 median depths away lies elsewhere or before it."""
    env = make(box, rig=RigConfig(max_offset=4.0), min_coverage=0.0)
    stage, start = env.stage, Target(0, np.eye(4))
    far = Range(angle_deg=(0, 0), away=(1.5, 3.0), seconds=(0, 0))
    for seed in range(20):
        x, y, z = draw_target(stage, box, start, far, np.random.default_rng(seed)).offset[:3, 3]
        u, v = np.array((x, y)) / z * 0.8 * SIZE[1] if z > 0 else (np.inf, np.inf)
        if abs(u) < SIZE[1] / 2 and abs(v) < SIZE[0] / 2:  # else unseen, and so not known to be blocked
            assert (np.abs((x, y, z)) < (2.0, 1.2, 3.0)).all()


def test_the_picture_is_what_would_be_seen_there(room_scene):
    env = make(room_scene, model="warp")
    seen, _ = env.reset(seed=3)
    scene, goal = room_scene, env.task.goal
    there, _ = env.reset(
        options={"time": goal.frame / scene.fps, "pose": to_vector(goal.offset) / ([scene.median_depth] * 3 + [1] * 4)}
    )
    difference = np.abs(seen["goal_rgb"].astype(int) - there["rgb"])
    assert difference.mean() < 0.5  # the pose went through 32 bits
    assert np.abs(seen["goal_rgb"].astype(int) - seen["rgb"]).mean() > 10
    recorded = {"pose": np.eye(4), "time": 1.0}
    seen, _ = env.reset(seed=3, options={"goal": recorded})
    assert (seen["goal_rgb"] == scene.view(SIZE).rgb(24)).all()


def test_the_picture_does_not_depend_on_the_model(room_scene):
    pictures = [make(room_scene, model=model).reset(seed=1)[0]["goal_rgb"] for model in ("fake", "warp")]
    assert (pictures[0] == pictures[1]).all()


# --- options ----------------------------------------------------------------------------------------------------------


def test_the_goal_of_a_reset_may_be_chosen(box):
    env = make(box)
    env.reset(seed=0)
    after = env.reset()[0]
    begin(env, yaw=10)
    again = env.reset()[0]  # the chosen goal took as many random numbers
    for key in after:
        assert (after[key] == again[key]).all(), key
    env.reset(seed=0, options={"goal": {"pose": offset(yaw=10)}})
    assert env.task.goal.frame == env.task.here.frame
    before = env.snapshot()
    for goal, says in (
        (7, "expected options"),
        ({"time": 0.5}, "expected options"),
        ({"pose": offset(), "time": 99}, "got 99"),
        ({"pose": offset(right=0.6)}, "distance of at most 0.5"),
        ({"pose": offset(yaw=59)}, "inside the corridor"),
    ):
        with pytest.raises(ValueError, match=says):
            env.reset(options={"goal": goal})
    assert before["key"] == env.snapshot()["key"]  # the world goes on as it was
    with pytest.raises(ValueError, match="'explore' has no goal"):
        make(box, task="explore").reset(options={"goal": {"pose": offset()}})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"difficulty": "brutal"}, "difficulty out of"),
        ({"difficulty": {"angle_deg": (1, 2)}}, "a mapping of"),
        ({"difficulty": {"angle_deg": (9, 2), "away": (0, 0), "seconds": (0, 0)}}, "least <= most"),
        ({"tolerance": (0.1, -1, 1)}, "three positive numbers"),
        ({"hold_s": 0}, "positive hold_s"),
        ({"colour": 1}, r"task_options out of \['difficulty', 'tolerance', 'hold_s'\]"),
    ],
)
def test_options_that_make_no_sense_are_refused(box, options, says):
    with pytest.raises(ValueError, match=says):
        make(box, task_options=options)


def test_time_alone_needs_goals_in_another_moment(box):
    with pytest.raises(ValueError, match="expected a control that can reach"):
        make(box, control="time")
    assert make(box, control="time", task_options={"difficulty": "hard"}).reset(seed=0)[1]["time_error"] > 0


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["room", "street"])
@pytest.mark.parametrize("control", ["free", "rotation", "discrete", "time"])
def test_passes_the_checks_of_gymnasium_and_sb3(name, control):
    from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

    hard = {"task_options": {"difficulty": "hard"}} if control == "time" else {}
    env = gym.make("InSpatioGoal-v0", scene=name, size=SIZE, model="fake", control=control, **hard)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped, skip_render_check=True)
        warnings.filterwarnings("ignore", message=".*(image|depth).*", category=UserWarning)
        check_env_for_sb3(env.unwrapped)


def test_what_is_left_comes_through_the_vector_environment(box):
    envs = InSpatioVectorEnv(3, scene=box, model="fake", size=SIZE, task="goal", max_episode_steps=4)
    _, infos = envs.reset(seed=0)
    assert infos["to_go"].shape == (3, 7)
    single = make(box)
    for k in range(3):
        _, info = single.reset(seed=k)
        assert (info["to_go"] == infos["to_go"][k]).all()
    assert "to_go" not in single.observation_space.spaces


# --- curriculum -------------------------------------------------------------------------------------------------------


def play(env, episodes: int, *, well: bool) -> list[float]:
    """The level of each episode."""
    levels = []
    for _ in range(episodes):
        _, info = env.reset()
        levels.append(info["level"])
        for _ in range(10 if well else 1):
            *_, terminated, _, info = env.step(oracle(env, info) if well else act())
            if terminated:
                break
    return levels


def test_goals_go_farther_as_they_are_reached_and_come_back_as_they_are_not(box):
    env = make(box, task="goal-curriculum")
    env.reset(seed=0)
    assert isinstance(env.task, GoalCurriculum)
    near = env.task.wanted
    up = play(env, 30, well=True)
    assert up[0] == 0
    assert up == sorted(up)
    assert up[-1] >= 0.2
    assert env.task.wanted.angle_deg[0] > near.angle_deg[0]
    down = play(env, 40, well=False)
    assert down[-1] == 0
    assert env.task.wanted == near
    play(env, 30, well=True)
    assert env.reset(seed=0)[1]["level"] == 0  # a seed begins anew


def test_a_snapshot_keeps_the_level(box):
    env, other = make(box, task="goal-curriculum"), make(box, task="goal-curriculum")
    env.reset(seed=0)
    play(env, 25, well=True)
    other.restore(env.snapshot())
    assert play(other, 20, well=True) == play(env, 20, well=True)
    assert env.reset()[1]["level"] > 0.2


# --- hindsight --------------------------------------------------------------------------------------------------------


def hindsight(scene):
    from inspatio_gym.envs.hindsight import HindsightGoals

    return HindsightGoals(make(scene, size=(16, 24)))


def test_rewards_of_hindsight_can_be_worked_out_again(box):
    env = hindsight(box)
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space
    achieved, desired, rewards = [], [], []
    for k in range(6):
        observation, reward, _, _, info = env.step(oracle(env, info) if k else act())
        assert observation in env.observation_space
        achieved.append(observation["achieved_goal"])
        desired.append(observation["desired_goal"])
        rewards.append(reward)
    assert set(rewards) == {-1.0, 0.0}
    assert (env.compute_reward(np.array(achieved), np.array(desired), [{}] * 6) == rewards).all()
    assert (env.compute_reward(np.array(achieved), np.array(achieved), None) == 0).all()
    with pytest.raises(TypeError, match="InSpatioGoal-v0"):
        type(env)(make(box, task="explore"))


def test_hindsight_trains_with_sb3(box):
    from gymnasium.wrappers import FilterObservation, TimeLimit
    from stable_baselines3 import SAC, HerReplayBuffer
    from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

    env = FilterObservation(TimeLimit(hindsight(box), 15), ["observation", "achieved_goal", "desired_goal"])
    check_env_for_sb3(env)
    model = SAC(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        learning_starts=50,
        batch_size=64,
        policy_kwargs={"net_arch": [32]},
        seed=0,
    )
    model.learn(200)
    batch = model.replay_buffer.sample(256)
    assert 0 < (batch.rewards == 0).sum() < 256  # some goals were reached in hindsight
    assert (batch.observations["desired_goal"] != batch.next_observations["achieved_goal"]).any()
