"""The policies that come with the package, and the recipes that made them."""

import json
from pathlib import Path

import pytest

from inspatio_gym.agents import zoo as zoo_module
from inspatio_gym.agents.config import EvaluateConfig, TrainConfig, judged, own_world
from inspatio_gym.agents.evaluate import evaluate
from inspatio_gym.agents.policy import load_policy, make_policy, save_policy
from inspatio_gym.agents.recipes import TUNED
from inspatio_gym.agents.zoo import put_in_zoo, zoo_file, zoo_names, zoo_record
from inspatio_gym.cli import main
from tests.test_agents_policy import make_card

RECORD = {"env": "InSpatio-v0", "algo": "ppo", "scenes": ["room"], "seed": 3, "steps": 12, "minutes": 0.1, "cores": 2,
          "table": [["agent", "return"], ["oracle", "2.5"]]}  # fmt: skip


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty zoo."""
    monkeypatch.setattr(zoo_module, "SHELF", tmp_path / "zoo")
    return tmp_path / "zoo"


def test_what_is_put_in_the_zoo_is_found_played_and_listed(shelf: Path, tmp_path: Path, capsys):
    card = make_card("ppo", "rotation")
    save_policy(tmp_path / "policy.safetensors", make_policy(card), card)
    put_in_zoo("look-ppo", tmp_path / "policy.safetensors", RECORD)
    assert zoo_names() == ["look-ppo"]
    assert zoo_record("zoo:look-ppo") == RECORD
    assert load_policy("zoo:look-ppo")[1].world == card.world

    assert main(["zoo"]) == 0
    said = capsys.readouterr().out
    assert "zoo:look-ppo: InSpatio-v0 by ppo in room, seed 3, 12 steps in 0.1 minutes on 2 cores" in said
    assert "oracle" in said

    result = evaluate(EvaluateConfig(policy=Path("zoo:look-ppo"), scene=("street",), episodes=2))
    assert result.world == {**card.world, "scene": ["street"]}
    assert result.trained is not None


def test_a_name_that_the_zoo_has_not_is_answered_with_those_it_has(shelf: Path, capsys):
    with pytest.raises(ValueError, match="out of none at all, got zoo:tiger"):
        load_policy("zoo:tiger")
    assert main(["zoo"]) == 0
    assert "no trained policies" in capsys.readouterr().out


@pytest.mark.parametrize("name", zoo_names())
def test_every_policy_of_the_zoo_is_small_whole_and_known(name: str):
    policy, card = load_policy(f"zoo:{name}")
    about = zoo_record(name)
    assert zoo_file(name).stat().st_size < 3_000_000
    assert (card.world["id"], card.algo, card.seed) == (about["env"], about["algo"], about["seed"])
    assert card.world["task"].startswith(own_world(about["env"])["task"])  # or the held-out part of it
    assert {row[0] for row in about["table"]} >= {"agent", "trained policy", "random", "hold still"}
    assert about["validation"] == card.validation is not None
    assert about["curve"][-1][1] > about["curve"][0][1]
    assert all(not parameter.isnan().any() for parameter in policy.parameters())


# --- recipes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env", TUNED)
def test_train_without_options_goes_by_the_recipe_of_the_environment(env: str):
    config = TrainConfig.defaults(["--scene", "room", f"--env={env}"])
    assert config == TrainConfig.defaults(["--env", env]) == TrainConfig.of(env)
    for name, value in TUNED[env].items():
        if name != "max_episode_steps":
            assert getattr(config, name) == value
    assert config.minutes is not None
    assert config.minutes <= 30
    assert config.world()["max_episode_steps"] == TUNED[env].get("max_episode_steps", 250)
    assert TrainConfig.from_json(config.to_json()) == config


def test_help_shows_the_recipe_of_the_environment_beside_it(capsys):
    shown = {}
    for env in ("InSpatio-v0", "InSpatioMoment-v0"):
        with pytest.raises(SystemExit):
            main(["train", "--env", env, "--help"])
        help_text = " ".join(capsys.readouterr().out.split())  # however it was wrapped
        shown[env] = help_text.split("--ppo.n-steps INT")[1].split("--ppo.batch-size")[0]
    assert "(default: 64" in shown["InSpatio-v0"]
    assert f"(default: {TUNED['InSpatioMoment-v0']['ppo'].n_steps}" in shown["InSpatioMoment-v0"]


def test_an_id_says_what_its_world_is_about():
    assert TrainConfig().world()["task"] == "explore"
    world = TrainConfig(env="InSpatioMoment-v0").world()
    assert (world["task"], world["control"], world["id"]) == ("moment", "time", "InSpatioMoment-v0")
    assert TrainConfig(env="InSpatioMoment-v0", control="free").world()["control"] == "free"
    with pytest.raises(ValueError, match=r"such as InSpatio-v0, .* got 'InSpatioLunch-v0'"):
        TrainConfig(env="InSpatioLunch-v0").world()


def test_a_curriculum_is_judged_by_the_task_that_it_leads_to():
    world = TrainConfig(env="InSpatioGoal-v0", task="goal-curriculum").world()
    assert judged(world) == {**world, "task": "goal"}
    assert judged(judged(world)) == judged(world)
    assert json.dumps(world)
