"""What happens beside the learning: the log, checkpoints, validation, the progress shown, and the end.

Checkpoints and validations happen between an update and the next rollout, so that weights and counters belong together.
What is logged beside SB3's own numbers:

    task/*                   the task's metrics at the end of the last `RECENT` episodes
    time/steps_per_second    of rollouts and updates, without checkpoints and validations
    validation/*             mean return and its 95% interval from start states kept for it, and an episode as an animation
"""

import time
from collections import defaultdict, deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv

from inspatio_gym.agents.checkpoint import save_checkpoint
from inspatio_gym.agents.config import VALIDATION_SEEDS, TrainConfig
from inspatio_gym.agents.episodes import metrics_of, play
from inspatio_gym.agents.log import RunLog
from inspatio_gym.agents.policy import POLICY_FILE, Card, Trained, load_policy, save_policy
from inspatio_gym.agents.progress import Progress
from inspatio_gym.extras import extra

with extra("agents"):
    from stable_baselines3.common.callbacks import BaseCallback

RECENT = 100
VIDEO_SCALE = 3  # of the observed frames in the animation
VIDEO_FPS = 8.0


class Budget:
    """How long a training may last: `steps`, and `minutes` of wall clock from now unless None."""

    def __init__(self, steps: int, minutes: float | None):
        self.steps, self.seconds = steps, None if minutes is None else 60 * minutes
        self._begun = time.monotonic()

    def remaining(self, of_steps: float) -> float:
        """What is left, 1 to 0, given what is left of the steps."""
        if self.seconds is None:
            return of_steps
        return max(0.0, min(of_steps, 1.0 - (time.monotonic() - self._begun) / self.seconds))


class Watch(BaseCallback):
    """SB3 calls this throughout a training.

    worlds: for the validations; None for none. stopped: set it to end the training at the next step. interrupted: whether
    that left steps undone.
    """

    def __init__(
        self,
        config: TrainConfig,
        card: Card,
        log: RunLog,
        worlds: VectorEnv | None,
        budget: Budget,
    ):
        super().__init__()
        self.config, self.card, self.log, self.budget = config, card, log, budget
        self.stopped = self.interrupted = False
        self._best = best_so_far(config.run)
        self._checkpointed = self._validated = self._rolled = card.steps
        self._recent: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._worlds = worlds
        self._bar = Progress("training", budget.steps, card.steps, "steps")
        self._since = time.monotonic()

    def _on_rollout_start(self) -> None:
        now = time.monotonic()
        if self.num_timesteps > self._rolled:
            self.logger.record("time/steps_per_second", (self.num_timesteps - self._rolled) / (now - self._since))
        if self._worlds and self.num_timesteps - self._validated >= self.config.validate_every:
            self._validate()
        if self.num_timesteps - self._checkpointed >= self.config.checkpoint_every:
            self._checkpoint()
        self._rolled, self._since = self.num_timesteps, time.monotonic()

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._recent["return"].append(info["episode"]["r"])
                for name, value in metrics_of(info).items():
                    self._recent[name].append(value)
        facts = {"return": float(np.mean(self._recent["return"]))} if self._recent["return"] else {}
        self._bar.update(self.num_timesteps, **facts)
        return not self.stopped and self.budget.remaining(1.0) > 0

    def _on_rollout_end(self) -> None:
        for name, values in self._recent.items():
            if name != "return":  # SB3 logs it as rollout/ep_rew_mean
                self.logger.record(f"task/{name}", np.mean(values))

    def _on_training_end(self) -> None:
        self.interrupted = self.stopped and self.num_timesteps < self.budget.steps
        if self._worlds and self.num_timesteps > self._validated and not self.interrupted:
            self._validate()
        self._checkpoint()

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()

    def _validate(self) -> None:
        """Play from the start states of the validation, log, and keep the policy if it is the best so far."""
        assert self._worlds is not None
        self._validated = self.num_timesteps
        self.model.policy.set_training_mode(False)
        frames: list[Any] = []
        seeds = VALIDATION_SEEDS[: self.config.validation_episodes]
        episodes = play(self._worlds, Trained(self.model.policy), seeds, frames)
        mean, low, high = episodes.interval
        self.logger.record("validation/return", mean)
        self.logger.record("validation/return_low", low)
        self.logger.record("validation/return_high", high)
        for name, values in episodes.metrics.items():
            self.logger.record(f"validation/{name}", np.mean(values))
        seen = np.array([step["rgb"][0] for step in frames[: episodes.lengths[0] + 1]])
        seen = seen.repeat(VIDEO_SCALE, 1).repeat(VIDEO_SCALE, 2)
        self.log.video("validation/episode", seen, self.num_timesteps, VIDEO_FPS)
        self.logger.dump(self.num_timesteps)
        if mean > self._best:
            self._best = mean
            self._keep_policy(mean)

    def _checkpoint(self) -> None:
        self._checkpointed = self.num_timesteps
        save_checkpoint(self.config.run / "checkpoints", self.model)
        if self._best == -np.inf:  # nothing was validated yet: the last policy is the one to keep
            self._keep_policy(None)

    def _keep_policy(self, validation: float | None) -> None:
        card = replace(self.card, steps=self.num_timesteps, validation=validation)
        save_policy(self.config.run / POLICY_FILE, self.model.policy, card)


def best_so_far(run: Path) -> float:
    """The return from the validation of the policy that the run has kept; -inf if none was validated."""
    if not (run / POLICY_FILE).is_file():
        return -np.inf
    validation = load_policy(run)[1].validation
    return -np.inf if validation is None else validation
