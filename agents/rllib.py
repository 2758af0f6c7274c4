"""The network that RLlib's PPO gets, because its catalog has none for dictionaries of images and numbers.

    config.rl_module(rl_module_spec=RLModuleSpec(module_class=WorldModule))

model_config: `network` (a `recipes.Network`) and `log_std_init`, as `ActorCritic` takes them.
"""

from typing import Any

from inspatio_gym.agents.actor_critic import ActorCritic
from inspatio_gym.extras import extra

with extra("rllib"):
    from ray.rllib.core.columns import Columns
    from ray.rllib.core.rl_module.apis import ValueFunctionAPI
    from ray.rllib.core.rl_module.torch import TorchRLModule


class WorldModule(TorchRLModule, ValueFunctionAPI):
    """`ActorCritic` as an RLModule; see the module's docstring."""

    def setup(self) -> None:
        config = self.model_config if isinstance(self.model_config, dict) else {}  # RLlib adds keys of its own
        given = {key: config[key] for key in ("network", "log_std_init") if key in config}
        assert self.observation_space is not None
        assert self.action_space is not None
        self.net = ActorCritic(self.observation_space, self.action_space, **given)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {Columns.ACTION_DIST_INPUTS: self.net(batch[Columns.OBS])[0]}

    def _forward_train(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        actions, values = self.net(batch[Columns.OBS])
        return {Columns.ACTION_DIST_INPUTS: actions, Columns.EMBEDDINGS: values}

    def compute_values(self, batch: dict[str, Any], embeddings: Any = None) -> Any:
        """Values (B,), or those that the training's forward pass has left in `embeddings`."""
        return self.net(batch[Columns.OBS])[1] if embeddings is None else embeddings
