"""Domain randomisation: what each effect does, that a seed says all of it, and that a batch is what its worlds are alone."""

import gymnasium as gym
import numpy as np
import pytest
from box_room import write_box
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from inspatio_gym.envs.wrappers import Dropped, Latency, Light, Noise, Randomized, RandomizedVector
from inspatio_gym.scenes import Scene
from tests.test_determinism import same

SIZE = (24, 40)
ALL = (Light(), Noise(), Latency(2), Dropped(0.3))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return write_box(tmp_path_factory.mktemp("scenes") / "box")


def make(scene: Scene, effects=(), **arguments) -> gym.Env:
    return Randomized(gym.make("InSpatio-v0", scene=scene, model="fake", size=SIZE, **arguments), effects)


def worlds(scene: Scene, count: int, mode: AutoresetMode, **arguments) -> gym.vector.VectorEnv:
    return gym.make_vec("InSpatio-v0", num_envs=count, vectorization_mode="vector_entry_point", scene=scene, model="fake",
                        size=SIZE, autoreset_mode=mode, **arguments)  # fmt: skip


def actions(steps: int, *batch: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.2, 0.2, (steps, *batch, 7)).astype(np.float32)


def seen(value: int, step: int = 0) -> dict[str, np.ndarray]:
    """An observation of one grey level."""
    return {
        "rgb": np.full((8, 8, 3), value, np.uint8),
        "depth": np.full((8, 8, 1), 2.0, np.float32),
        "time": np.array([step, 1], np.float32),
        "goal_rgb": np.full((8, 8, 3), step % 250, np.uint8),
    }


# --- the effects ------------------------------------------------------------------------------------------------------


def test_light_is_an_affine_map_of_an_episode_within_its_bounds():
    rng, light = np.random.default_rng(0), Light(brightness=0.2, contrast=0.5)
    middles, slopes = [], []
    for _ in range(200):
        light.begin(rng)
        grey = {value: int(light.see(seen(value), rng)["rgb"][0, 0, 0]) for value in (100, 127, 128, 150)}
        middles.append((grey[127] + grey[128]) / 2 - 127.5)
        slopes.append((grey[150] - grey[100]) / 50)
    assert max(np.abs(middles)) <= 0.2 * 255 + 1
    assert max(np.abs(middles)) > 0.18 * 255
    assert 0.48 < min(slopes) < 0.55
    assert 1.45 < max(slopes) < 1.53


def test_noise_has_the_deviation_asked_for_and_leaves_the_goal_alone():
    rng, noise = np.random.default_rng(0), Noise(rgb=0.05, depth=0.1)
    noisy = [noise.see(seen(128), rng) for _ in range(50)]
    assert np.std([one["rgb"] for one in noisy]) == pytest.approx(0.05 * 255, rel=0.05)
    assert np.std([one["depth"] for one in noisy]) == pytest.approx(0.2, rel=0.05)
    assert all((one["goal_rgb"] == 0).all() for one in noisy)
    assert noisy[0]["rgb"].dtype == np.uint8
    assert noisy[0]["depth"].dtype == np.float32


def test_latency_shows_what_was_there_some_steps_ago():
    rng, delays = np.random.default_rng(0), set()
    latency = Latency(2)
    for _ in range(20):
        latency.begin(rng)
        shown = [latency.see(seen(10 * step, step), rng) for step in range(6)]
        delay = 5 - int(shown[5]["time"][0])
        delays.add(delay)
        assert [int(one["time"][0]) for one in shown] == [max(step - delay, 0) for step in range(6)]
        assert [int(one["rgb"][0, 0, 0]) for one in shown] == [10 * max(step - delay, 0) for step in range(6)]
        assert [int(one["goal_rgb"][0, 0, 0]) for one in shown] == list(range(6))  # what is wanted does not lag
    assert delays == {0, 1, 2}


def test_dropped_frames_repeat_the_last_that_came():
    rng, dropped = np.random.default_rng(0), Dropped(0.3)
    dropped.begin(rng)
    shown = [dropped.see(seen(step % 250, step), rng) for step in range(500)]
    fresh = [int(one["rgb"][0, 0, 0]) == step % 250 for step, one in enumerate(shown)]
    assert fresh[0]
    assert np.mean(fresh) == pytest.approx(0.7, abs=0.06)
    last = 0
    for step, one in enumerate(shown):
        last = step if fresh[step] else last
        assert int(one["rgb"][0, 0, 0]) == last % 250
        assert one["time"][0] == step  # the body knows


def test_effects_write_to_nothing_that_they_are_given():
    rng = np.random.default_rng(0)
    for effect in (Light(), Noise(), Latency(1), Dropped(0.5)):
        effect.begin(rng)
        for step in range(5):
            given = seen(100, step)
            shown = effect.see(given, rng)
            same(given, seen(100, step))
            shown["rgb"][:] = 0  # the caller's own
            shown["time"][:] = 7
        assert effect.see(seen(100, 9), rng)["rgb"].max() > 0


@pytest.mark.parametrize("wrong", [lambda: Light(brightness=2), lambda: Noise(rgb=-1), lambda: Dropped(1.5)])
def test_shares_outside_of_zero_to_one_are_refused(wrong):
    with pytest.raises(ValueError, match="from 0 to 1"):
        wrong()
    with pytest.raises(ValueError, match="0 steps or more"):
        Latency(-1)


# --- the wrappers -----------------------------------------------------------------------------------------------------


def test_gymnasium_and_sb3_find_nothing_to_complain_of(box):
    sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
    check_env(make(box, ALL), skip_render_check=True)
    sb3.check_env(make(box, ALL), warn=False)


def play(env: gym.Env, seed: int | None) -> list:
    """Two episodes of what a single world shows."""
    shown = [env.reset(seed=seed)[0]]
    shown += [env.step(action)[0] for action in actions(6)]
    shown.append(env.reset()[0])
    return [*shown, *[env.step(action)[0] for action in actions(6)]]


def test_a_seed_says_all_that_is_seen(box):
    first, again, other = (play(make(box, ALL), seed) for seed in (3, 3, 4))
    same(first, again)
    assert (first[0]["rgb"] != other[0]["rgb"]).any()
    env = make(box, ALL)
    play(env, 9)
    same(play(env, 3), first)


def test_start_states_and_truth_are_those_without(box):
    plain, seen_through = gym.make("InSpatio-v0", scene=box, model="fake", size=SIZE), make(box, ALL)
    for seed in (0, None, None):
        same(plain.reset(seed=seed)[1], seen_through.reset(seed=seed)[1])
        for action in actions(4):
            (_, *rest), (_, *truth) = plain.step(action), seen_through.step(action)
            same(truth, rest)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_a_world_of_a_batch_sees_what_it_would_alone(box, mode):
    limit = 4
    envs = RandomizedVector(worlds(box, 3, mode, max_episode_steps=limit), ALL)
    alone = make(box, ALL, max_episode_steps=limit)
    batch, _ = envs.reset(seed=5)
    one, _ = alone.reset(seed=6)
    ended = False
    for action in actions(12):
        same({key: values[1] for key, values in batch.items()}, one)
        batch, _, _, truncations, infos = envs.step(np.repeat(action[None], 3, 0))
        if ended and mode is AutoresetMode.NEXT_STEP:
            (one, _), ended = alone.reset(), False
            continue
        one, _, _, ended, _ = alone.step(action)
        assert truncations[1] == ended
        if ended and mode is AutoresetMode.SAME_STEP:
            same(infos["final_obs"][1], one)
            one, _ = alone.reset()


def test_worlds_that_are_not_reset_are_seen_as_before(box):
    envs = RandomizedVector(worlds(box, 2, AutoresetMode.DISABLED), ALL)
    envs.reset(seed=0)
    before, *_ = envs.step(actions(1, 2)[0])
    after, _ = envs.reset(options={"reset_mask": np.array([True, False])})
    same({key: values[1] for key, values in after.items()}, {key: values[1] for key, values in before.items()})
    assert (after["rgb"][0] != before["rgb"][0]).any()


def test_the_jitter_of_the_start_is_an_argument(box):
    wide, none = (make(box, jitter=jitter) for jitter in ((0.2, 0.1, 0.2, 20.0, 10.0, 5.0), (0.0,) * 6))
    poses = np.array([wide.reset(seed=seed)[0]["pose"] for seed in range(30)])
    assert np.abs(poses[:, 0]).max() > 0.1
    assert none.reset(seed=0)[0]["pose"].tolist() == [0, 0, 0, 1, 0, 0, 0]
    with pytest.raises(ValueError, match="expected jitter as six numbers"):
        make(box, jitter=(1, 2))
