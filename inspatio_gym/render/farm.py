"""Many tasks: one after the other in this process, or in Ray actors that each hold a model of their own.

What goes wrong with one task is its `Outcome`; the others go on. An actor that dies takes one task with it, and another
actor takes its place.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from inspatio_gym.render.config import RenderConfig
from inspatio_gym.render.job import Outcome, Progress, Studio, Task

logger = logging.getLogger(__name__)


def attempt(studio: Studio, task: Task, progress: Progress = lambda done, frames: None) -> Outcome:
    """Do a task; whatever is wrong with it is its outcome."""
    try:
        return studio.film(task, progress)
    except Exception as problem:  # of whatever kind: there are other videos
        logger.debug("%s", task, exc_info=True)
        expected = isinstance(problem, ValueError | OSError)
        return Outcome(task, "failed", reason=str(problem) if expected else f"{type(problem).__name__}: {problem}")


def in_this_process(config: RenderConfig, tasks: Sequence[Task], progress: Progress) -> Iterator[Outcome]:
    """Outcomes in the order of the tasks. Raises at once what is wrong with the model."""
    studio = Studio(config)
    for task in tasks:
        yield attempt(studio, task, progress)


class Worker:
    """A studio in another process, furnished when the first task arrives."""

    def __init__(self, config: RenderConfig):
        self._config = config
        self._studio: Studio | None = None

    def do(self, task: Task) -> Outcome:
        """Do a task. Raises what is wrong with the model."""
        self._studio = self._studio or Studio(self._config)
        return attempt(self._studio, task)


def in_actors(config: RenderConfig, tasks: Sequence[Task]) -> Iterator[Outcome]:
    """Outcomes as they come, from one actor a GPU or a CPU. Raises what is wrong with the model."""
    from inspatio_gym.envs import ray_cluster
    from inspatio_gym.extras import extra

    with extra("ray"):
        import ray
        from ray import exceptions

    count = min(config.gpus or config.workers, len(tasks))
    joined = ray_cluster.join(count, None)
    home = ray_cluster.here()
    assert home is not None
    idle: list[Any] = []
    flights: dict[Any, tuple[Any, Task]] = {}
    try:
        start = ray.remote(Worker).options(
            num_cpus=1,
            num_gpus=1 if config.gpus else 0,
            runtime_env=ray_cluster.environment(1, None, joined=joined),
        )
        idle = [start.remote(config) for _ in range(count)]
        waiting = deque(tasks)
        while waiting or flights:
            while waiting and idle:
                actor, task = idle.pop(), waiting.popleft()
                flights[actor.do.remote(task)] = actor, task
            (landed, *_), _ = ray.wait(list(flights), num_returns=1)
            actor, task = flights.pop(landed)
            try:
                outcome = ray.get(landed)
            except exceptions.RayTaskError as problem:
                raise problem.cause from None
            except exceptions.RayError as problem:
                reason = f"its process died: {str(problem).splitlines()[0]}"
                outcome, actor = Outcome(task, "failed", reason=reason), start.remote(config)
            idle.append(actor)
            yield outcome
    finally:
        for actor in [*idle, *(actor for actor, _ in flights.values())]:
            if ray.is_initialized():
                ray.kill(actor)
        ray_cluster.leave(home)
