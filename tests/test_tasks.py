"""Tasks: what explore pays for, and a task of one's own."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box

from inspatio_gym.camera import RigConfig
from inspatio_gym.envs.actions import COMPONENTS
from inspatio_gym.envs.env import InSpatioEnv
from inspatio_gym.envs.tasks.explore import COLLISION, OUTSIDE, surface_cells
from inspatio_gym.geometry.poses import from_vector, ypr_deg
from inspatio_gym.scenes import Scene

SIZE = (48, 80)


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box")


def make(scene: Scene, **arguments) -> InSpatioEnv:
    return InSpatioEnv(scene=scene, **{"model": "fake", "size": SIZE, **arguments})


def act(**parts: float) -> np.ndarray:
    return np.array([parts.get(name, 0.0) for name in COMPONENTS], np.float32)


def episode(env, policy, *, seed: int, steps: int = 100) -> float:
    """The return of one episode of `policy(observation)`."""
    observation, _ = env.reset(seed=seed)
    total = 0.0
    for _ in range(steps):
        observation, reward, _, truncated, _ = env.step(policy(observation))
        total += reward
        if truncated:
            break
    return total


# --- explore ----------------------------------------------------------------------------------------------------------


def test_rewards_add_up_to_the_surface_explored(box):
    env = make(box)
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=0)
    start, total, steps, outside = info["explored_fraction"], 0.0, 0, 0
    assert 0 < start < 0.5  # what the first view shows is known, and not paid for
    while steps < 60:
        _, reward, _, truncated, info = env.step(rng.uniform(-0.1, 0.1, 7))
        total += reward
        steps += 1
        outside += env._sight().coverage < 0.5
        if truncated:
            break
    gained = (info["explored_fraction"] - start) * surface_cells(box).number / surface_cells(box).in_frame
    costs = COLLISION * info["collisions"] + OUTSIDE * outside
    assert total == pytest.approx(gained - costs)
    assert gained > 0
    assert info["explored"] == round(info["explored_fraction"] * surface_cells(box).number)


def test_surface_pays_once(box):
    env = make(box)
    env.reset(options={"time": 0.5, "pose": np.eye(4)})
    there = [env.step(act(yaw=0.3))[1] for _ in range(3)]
    back = [env.step(act(yaw=-0.3))[1] for _ in range(3)]
    again = [env.step(act(yaw=0.3))[1] for _ in range(3)]
    assert sum(there) > 0
    assert sum(back) == 0
    assert sum(again) == 0


def test_the_middle_of_the_view_counts(box):
    """Everything a still camera records lies in its view; only turning brings the rest to the middle."""
    env = make(box, control="time")
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    for _ in range(12):
        *_, info = env.step(np.ones(1))
    assert info["explored_fraction"] < 0.7


def test_collisions_and_leaving_cost(box):
    env = make(box, rig=RigConfig(speed=4.0, max_offset=5.0), min_coverage=0.0)
    env.reset(options={"time": 0.0, "pose": np.eye(4)})
    rewards, infos = zip(*[(r, i) for _, r, _, _, i in (env.step(act(forward=1)) for _ in range(8))], strict=True)
    assert infos[-1]["collision"]
    assert rewards[-1] == pytest.approx(-COLLISION)
    assert infos[-1]["collisions"] == sum(info["collision"] for info in infos)

    away, judged = RigConfig(turn_deg=180.0, max_yaw_deg=180.0), []
    for least in (0.5, 0.0):  # with a corridor and without
        env = make(box, rig=away, min_coverage=least)
        env.reset(options={"time": 0.0, "pose": np.eye(4)})
        judged.append([env.step(act(yaw=yaw))[1] for yaw in (1, 0)])
    assert np.subtract(*judged) == pytest.approx([-OUTSIDE, -OUTSIDE])


@pytest.mark.parametrize(
    ("exploit", "arguments"),
    [
        ([{}] * 60, {}),
        ([{"yaw": 0.02}, {"yaw": -0.02}] * 30, {}),
        ([{"right": 0.05, "time": 0.1}, {"right": -0.05, "time": -0.1}] * 30, {}),
        ([{"yaw": 1.0}] * 96, {"rig": RigConfig(turn_deg=180.0, max_yaw_deg=180.0), "min_coverage": 0.0}),
    ],
    ids=["pausing for ever", "trembling over a cell", "swaying over a cell", "spinning in place"],
)
def test_what_shows_nothing_new_pays_nothing(box, exploit, arguments):
    """Whatever the first quarter of it has revealed, going on and on reveals no more."""
    env = make(box, **arguments)
    env.reset(options={"time": 0.7, "pose": np.eye(4)})
    rewards = [env.step(act(**parts))[1] for parts in exploit]
    assert sum(rewards[len(rewards) // 4 :]) <= 1e-9
    assert sum(rewards) < surface_cells(box).number / surface_cells(box).in_frame


def test_leaving_the_corridor_costs_more_than_there_is_to_see_outside(box):
    """Turning away for good: what the last two steps show is less than what they cost."""
    for yaw in (1.0, -1.0):
        env = make(box)
        env.reset(options={"time": 0.7, "pose": np.eye(4)})
        rewards, truncated = [], False
        while not truncated:
            _, reward, _, truncated, info = env.step(act(yaw=yaw))
            rewards.append(reward)
        assert info["truncated_reason"] == "corridor"
        assert sum(rewards[-2:]) < 0
        assert info["steps_outside"] == 2


def test_looking_around_beats_every_constant_action(box):
    """A policy that turns in a circle, steering by the pose it observes, reveals more than any action held for good."""

    def circle(observation):
        yaw, pitch, _ = ypr_deg(from_vector(observation["pose"])[:3, :3])
        u, v = yaw / 15, pitch / 8
        pull = 1 - np.hypot(u, v)
        return act(yaw=0.6 * (u * pull - v), pitch=0.3 * (v * pull + u + 0.1), time=1)

    env = make(box)
    seeds = range(4)
    looked = [episode(env, circle, seed=seed) for seed in seeds]
    for held in (act(), act(time=1), *(act(time=1, yaw=y) for y in (-0.1, -0.02, 0.02, 0.1)), act(time=1, pitch=0.05)):
        constant = [episode(env, lambda _, held=held: held, seed=seed) for seed in seeds]
        assert np.mean(constant) < 0.8 * np.mean(looked), held
    assert 0.5 < np.mean(looked) < 5


def test_cells_are_static_near_surface_alone(box):
    cells = surface_cells(box)
    frames, height, width = box.survey_depth.shape
    of_point = cells.of_point.reshape(frames, height, width)
    assert set(np.unique(of_point)) == set(range(-1, cells.number))
    assert (of_point[:, -3:, :5] == -1).all()  # the moving square
    assert (of_point[:, : height // 2] >= 0).all()
    assert 50 < cells.number < of_point.size / 20  # many points share a cell


def test_the_same_surface_is_the_same_cell_from_everywhere(box):
    """Frames a step apart see nearly the same walls, so they must share most of their cells."""
    of_point = surface_cells(box).of_point.reshape(box.num_frames, -1)
    for frame in range(0, box.num_frames - 1, 5):
        here, there = set(of_point[frame]), set(of_point[frame + 1])
        assert len(here & there) > 0.8 * len(here)


def test_metrics_measure_the_agents_own_motion(box):
    env = make(box)
    env.reset(seed=1)
    *_, info = env.step(act(time=1))  # riding along is not the agent's motion
    assert info["path_length"] == 0
    assert info["rotation_deg"] == 0
    *_, info = env.step(act(forward=0.2, yaw=0.2, time=1))
    assert info["path_length"] == pytest.approx(0.2 * 0.5 * 0.5, rel=1e-3)
    assert info["rotation_deg"] == pytest.approx(0.2 * 30 * 0.5, rel=1e-3)


# --- a task of one's own ----------------------------------------------------------------------------------------------


class Chase:
    """Bring the offset's yaw to a heading that is drawn at reset."""

    observation_spaces = {"heading": gym.spaces.Box(-15, 15, (1,), np.float32)}  # noqa: RUF012

    def reset(self, moment, rng):
        self.heading = float(rng.uniform(-15, 15))
        self.turned = 0.0
        self.pixels = moment.seen.shape

    def step(self, moment):
        self.turned += moment.turned_deg
        return -moment.turned_deg, self.turned > abs(self.heading)

    def observation(self):
        return {"heading": np.array([self.heading], np.float32)}

    def metrics(self):
        return {"turned": self.turned}

    def snapshot(self):
        return {"heading": self.heading, "turned": self.turned}

    def restore(self, snapshot, scene):
        self.heading, self.turned = snapshot["heading"], snapshot["turned"]


def test_a_task_adds_reward_verdict_observation_and_metrics(box):
    env = make(box, task=Chase)
    observation, info = env.reset(seed=0)
    assert observation in env.observation_space
    assert info["turned"] == 0
    again, _ = env.reset(seed=0)
    assert again["heading"] == observation["heading"]
    assert env.reset(seed=1)[0]["heading"] != again["heading"]
    terminated, steps = False, 0
    while not terminated:
        _, reward, terminated, truncated, info = env.step(act(yaw=0.2))
        steps += 1
        assert reward == pytest.approx(-3.0, abs=1e-3)
        assert not truncated
    assert info["turned"] == pytest.approx(3.0 * steps, abs=1e-2)
    kept = env.snapshot()
    env.reset(seed=5)
    assert env.restore(kept)["heading"] == np.float32(kept["task"]["heading"])


def test_a_task_may_be_made_by_any_callable(box):
    env = make(box, task=lambda: Chase())
    assert "heading" in env.observation_space.spaces


def test_a_task_cannot_take_a_key_of_the_world(box):
    class Greedy(Chase):
        observation_spaces = {"rgb": gym.spaces.Box(0, 1, (1,), np.float32)}  # noqa: RUF012

    with pytest.raises(ValueError, match=r"got \['rgb'\]"):
        make(box, task=Greedy)


def test_a_tasks_metrics_cannot_take_a_name_of_the_worlds_info(box):
    class Greedy(Chase):
        def metrics(self):
            return {"coverage": 1.0, "turned": 0.0}

    with pytest.raises(ValueError, match=r"names of their own, got \['coverage'\]"):
        make(box, task=Greedy).reset(seed=0)


def test_every_world_has_a_task_of_its_own(box):
    envs = gym.make_vec("InSpatio-v0", num_envs=3, vectorization_mode="vector_entry_point", scene=box, model="fake",
                        size=SIZE, task=Chase)  # fmt: skip
    observations, _ = envs.reset(seed=0)
    assert len(set(observations["heading"].ravel())) == 3


def test_the_documented_task_runs(box):
    """The task in the package's docstring, taken from there."""
    import inspatio_gym.envs.tasks as tasks

    lines = Path(tasks.__file__).read_text().split('"""')[1].splitlines()
    start = next(k for k, line in enumerate(lines) if "class HoldStill" in line)
    source = []
    for line in lines[start:]:
        if line.strip() and not line.startswith("    "):
            break
        source.append(line[4:])
    code = "\n".join(source).split("env = ")[0]
    names: dict = {}
    exec(code, names)
    env = make(box, task=names["HoldStill"])
    env.reset(seed=0)
    assert env.step(act(yaw=0.2))[1] == pytest.approx(-3.0, abs=1e-3)
