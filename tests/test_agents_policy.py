"""What is kept of a training: policies that act bit for bit as before, checkpoints that run nobody's code."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from inspatio_gym.agents.algorithms import make_algorithm
from inspatio_gym.agents.checkpoint import KEEP, last_checkpoint, load_checkpoint, save_checkpoint
from inspatio_gym.agents.config import TrainConfig
from inspatio_gym.agents.episodes import make_worlds
from inspatio_gym.agents.policy import Card, Trained, load_policy, make_policy, save_policy
from inspatio_gym.agents.recipes import RECIPES, Network
from inspatio_gym.envs.sb3 import to_sb3

NETWORK = Network(channels=(4,), image_features=8, state_features=8, hidden=(8,))
WORLD = TrainConfig(size=(16, 24), model="fake", max_episode_steps=5).world()


def make_card(algo: str, control: str = "free") -> Card:
    envs = make_worlds({**WORLD, "control": control}, 1)
    recipe = replace(RECIPES[algo](), network=NETWORK)
    world = {**WORLD, "control": control}
    return Card(algo, recipe, world, envs.single_observation_space, envs.single_action_space, 12, 3)


def observations(card: Card, worlds: int = 4) -> dict[str, np.ndarray]:
    space = gym.vector.utils.batch_space(card.observation_space, worlds)
    space.seed(0)
    return space.sample()


def acted(policy, card: Card, steps: int = 3) -> np.ndarray:
    agent = Trained(policy)
    agent.begin(range(4))
    return np.array([agent.act(observations(card), {}) for _ in range(steps)])


@pytest.mark.parametrize(
    ("algo", "control"),
    [
        ("ppo", "free"),
        ("ppo", "discrete"),
        ("sac", "rotation"),
        ("recurrent-ppo", "free"),
        ("recurrent-ppo", "discrete"),
    ],
)
def test_a_policy_read_back_acts_bit_for_bit_the_same(tmp_path: Path, algo: str, control: str):
    card = make_card(algo, control)
    torch.manual_seed(1)
    policy = make_policy(card)
    save_policy(tmp_path / "policy.safetensors", policy, card)
    assert [path.name for path in tmp_path.iterdir()] == ["policy.safetensors"]
    again, read = load_policy(tmp_path)
    assert read == card
    policy.set_training_mode(False)
    before, after = acted(policy, card), acted(again, card)
    assert (before == after).all()
    assert all(action in card.action_space for action in after[0])
    torch.manual_seed(2)
    assert (acted(make_policy(card), card) != before).any()  # other weights act otherwise


def test_a_memory_makes_a_difference_and_is_cleared_with_a_new_episode():
    card = make_card("recurrent-ppo")
    torch.manual_seed(1)
    policy = make_policy(card)
    policy.set_training_mode(False)
    first, second = acted(policy, card), acted(policy, card)
    assert (first == second).all()
    assert (first[0] != first[1]).any()


def test_whoever_may_read_the_folders_files_may_read_the_policy(tmp_path: Path):
    card = make_card("ppo")
    save_policy(tmp_path / "policy.safetensors", make_policy(card), card)
    (tmp_path / "ordinary").touch()
    assert (tmp_path / "policy.safetensors").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


def test_a_card_is_json_of_plain_values(tmp_path: Path):
    card = make_card("ppo")
    record = json.loads(card.to_json())
    assert record["recipe"]["network"]["channels"] == [4]
    assert record["world"]["size"] == [16, 24]
    assert Card.from_json(card.to_json()) == card


def test_files_that_are_no_policy_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="inspatio-gym train --run"):
        load_policy(tmp_path)
    file = tmp_path / "policy.safetensors"
    card = make_card("ppo")
    save_policy(file, make_policy(card), card)
    weights = load_file(file)

    spoiled = tmp_path / "spoiled.safetensors"
    spoiled.write_bytes(file.read_bytes()[:-100])
    text = tmp_path / "text.safetensors"
    text.write_text("hello")
    foreign = tmp_path / "foreign.safetensors"
    save_file(weights, foreign)
    other = tmp_path / "other.safetensors"
    save_file(weights, other, {"card": card.to_json().replace("policy 1", "policy 99")})
    partial = tmp_path / "partial.safetensors"
    save_file({name: weights[name] for name in list(weights)[:-1]}, partial, {"card": card.to_json()})
    for wrong in (spoiled, text, foreign, other, partial):
        with pytest.raises(ValueError, match="expected a policy that `inspatio-gym train` wrote"):
            load_policy(wrong)


def test_a_policy_computes_where_it_is_told(tmp_path: Path):
    card = make_card("ppo")
    save_policy(tmp_path / "policy.safetensors", make_policy(card), card)
    assert load_policy(tmp_path, "auto")[0].device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    for missing in ("foo", "cuda:99"):
        with pytest.raises(
            ValueError, match=f"expected a device such as cpu or cuda, got '{missing}' .*: pass --device"
        ):
            load_policy(tmp_path, missing)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def make_ppo(seed: int):
    recipe = replace(RECIPES["ppo"](), network=NETWORK, n_steps=4)
    return make_algorithm(recipe, to_sb3(make_worlds(WORLD, 2)), remaining=lambda left: left, seed=seed, device="cpu")


def test_a_checkpoint_brings_weights_moments_and_counters_back(tmp_path: Path):
    trained, fresh = make_ppo(0), make_ppo(1)
    trained.learn(16)
    path = save_checkpoint(tmp_path, trained)
    assert path == last_checkpoint(tmp_path)
    load_checkpoint(path, fresh)
    assert (fresh.num_timesteps, fresh._n_updates) == (16, trained._n_updates)
    for mine, theirs in zip(fresh.policy.parameters(), trained.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    moments = [list(algorithm.policy.optimizer.state.values()) for algorithm in (fresh, trained)]
    assert moments[0]
    assert all(torch.equal(a["exp_avg_sq"], b["exp_avg_sq"]) for a, b in zip(*moments, strict=True))


def test_only_the_last_checkpoints_are_kept(tmp_path: Path):
    algorithm = make_ppo(0)
    for steps in range(KEEP + 2):
        algorithm.num_timesteps = steps
        save_checkpoint(tmp_path, algorithm)
    assert len(list(tmp_path.iterdir())) == KEEP
    assert last_checkpoint(tmp_path).name == f"{KEEP + 1:09d}.pt"  # type: ignore[union-attr]


class Malice:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path: Path):
    file, ran = tmp_path / "000000009.pt", tmp_path / "ran"
    torch.save({"format": "inspatio-gym checkpoint 1", "progress": Malice(ran)}, file)
    with pytest.raises(ValueError, match="expected a checkpoint of this training"):
        load_checkpoint(file, make_ppo(0))
    file.write_bytes(pickle.dumps(Malice(ran)))
    with pytest.raises(ValueError, match="expected a checkpoint of this training"):
        load_checkpoint(file, make_ppo(0))
    assert not ran.exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path):
    path = save_checkpoint(tmp_path, make_ppo(0))
    wider = replace(RECIPES["ppo"](), network=replace(NETWORK, hidden=(9,)), n_steps=4)
    other = make_algorithm(wider, to_sb3(make_worlds(WORLD, 2)), remaining=lambda left: left, seed=0, device="cpu")
    with pytest.raises(ValueError, match="delete it to go on from the one before"):
        load_checkpoint(path, other)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="expected a checkpoint of this training"):
        load_checkpoint(path, make_ppo(0))
