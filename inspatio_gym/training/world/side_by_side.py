"""Stages that do not wait for each other, side by side: a process for each, on a GPU of its own.

    codec  ->  control  ->  causal  ->  jdmd          one GPU
               decoder      visual      v2v           another one

A GPU that is free takes the first stage whose needs are met, and until there is one it makes itself useful (`spare`).
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from typing import Any, TypeVar

Name = TypeVar("Name", bound=str)


def side_by_side(
    stages: Sequence[Name],
    needs: Mapping[Name, Sequence[Name]],
    gpus: Sequence[int],
    work: Callable[[Name], None],
    spare: Callable[[Event], None],
    spare_needs: Sequence[Name],
) -> None:
    """Do `work` for all stages, each in a new process that sees one of the GPUs alone, after those of `stages` that it needs.

    spare: done, after the stages that it needs, by GPUs that have to wait; it returns soon after its event is set. Both can
    be pickled. Raises RuntimeError naming the stages whose
    processes failed, once all that do not need those are done.
    """
    context = get_context("spawn")
    todo, done, failed = list(stages), set[Name](), list[Name]()
    running: dict[int, tuple[Name, BaseProcess]] = {}
    idle: dict[int, tuple[Event, BaseProcess]] = {}

    def started(gpu: int, target: Callable[..., None], *arguments: Any) -> BaseProcess:
        process = context.Process(target=_on, args=(gpu, target, *arguments))
        process.start()
        return process

    def met(needed: Sequence[Name]) -> bool:
        return all(name in done or name not in stages for name in needed)

    def ready() -> Name | None:
        return next((name for name in todo if met(needs[name])), None)

    try:
        while True:
            for gpu in gpus:
                if gpu not in running and (name := ready()):
                    if gpu in idle:
                        _stop(*idle.pop(gpu))
                    todo.remove(name)
                    running[gpu] = name, started(gpu, work, name)
            if not running:
                break
            for gpu in gpus if met(spare_needs) else ():
                if gpu not in running and gpu not in idle:
                    event = context.Event()
                    idle[gpu] = event, started(gpu, spare, event)
            wait([process.sentinel for _, process in running.values()])
            for gpu, (name, process) in list(running.items()):
                if process.exitcode is not None:
                    del running[gpu]
                    if process.exitcode == 0:
                        done.add(name)
                    else:
                        failed.append(name)
    finally:
        for gpu in list(idle):
            _stop(*idle.pop(gpu))
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join()
    if failed:
        raise RuntimeError(
            f"expected all stages to end well, got failures of {failed}, whose errors are above; not begun: {todo}. The same "
            "command goes on from the last checkpoints"
        )


def _stop(event: Event, process: BaseProcess) -> None:
    event.set()
    process.join()


def _on(gpu: int, target: Callable[..., None], *arguments: Any) -> None:
    """What a process does: see one GPU, and end its own processes when it is asked to end."""
    os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    target(*arguments)
