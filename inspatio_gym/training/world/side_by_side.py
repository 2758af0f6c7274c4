"""Stages that do not wait for each other, side by side: a process for each, on a GPU of its own.

    codec      control      causal      jdmd          one GPU
               (clips)      visual      v2v           another one
                            decoder

A GPU that is free takes the first stage whose needs are met. Until there is one, one such GPU makes itself useful (`spare`).
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from tqdm import tqdm

from inspatio_gym.processes import descendants

Name = TypeVar("Name", bound=str)
VISIBLE = "CUDA_VISIBLE_DEVICES"
GRACE_S = 15.0
"""How long a process that was asked to end may take before it is asked again."""
ASKED = 3
"""How often, before it is killed."""
logger = logging.getLogger(__name__)


def side_by_side(
    stages: Sequence[Name],
    needs: Mapping[Name, Sequence[Name]],
    gpus: Sequence[int],
    work: Callable[[Name], None],
    spare: Callable[[], None],
    spare_needs: Sequence[Name],
) -> None:
    """Do `work` for all stages, each in a new process that sees one of the GPUs alone, after those of `stages` that it needs.

    gpus: numbers among those that this process may see. spare: done by a GPU that has to wait, after the stages that it
    needs, and ended by SystemExit. Both can be pickled. Call it from the main thread: SIGTERM ends it, too, while it runs.

    Raises ValueError for a GPU that is not to be seen; RuntimeError naming the stages whose processes failed, once all that
    do not need those are done.
    """
    context = get_context("spawn")
    todo, done, failed = list(stages), set[Name](), list[Name]()
    running: dict[int, tuple[Name, BaseProcess]] = {}
    idle: dict[int, BaseProcess] = {}
    masks = {gpu: _mask(gpu) for gpu in gpus}
    began = time.monotonic()

    def tell(what: str, name: Name, gpu: int) -> None:
        tqdm.write(f"{name} {what} on GPU {masks[gpu]}, {time.monotonic() - began:.0f} s after the begin")

    def started(gpu: int, target: Callable[..., None], *arguments: Any) -> BaseProcess:
        process = context.Process(target=_on, args=(masks[gpu], target, *arguments))
        process.start()
        return process

    def met(needed: Sequence[Name]) -> bool:
        return all(name in done or name not in stages for name in needed)

    def ready() -> Name | None:
        return next((name for name in todo if met(needs[name])), None)

    before = signal.signal(signal.SIGTERM, _exit)
    try:
        while True:
            for gpu in gpus:
                if gpu not in running and (name := ready()):
                    if gpu in idle:
                        _end([idle.pop(gpu)])
                    todo.remove(name)
                    running[gpu] = name, started(gpu, work, name)
                    tell("begins", name, gpu)
            if not running:
                break
            free = next((gpu for gpu in gpus if gpu not in running), None)
            if free is not None and todo and not idle and met(spare_needs):
                idle[free] = started(free, spare)
            wait([process.sentinel for _, process in running.values()])
            for gpu, (name, process) in list(running.items()):
                if process.exitcode is not None:
                    del running[gpu]
                    tell(f"ends ({process.exitcode})" if process.exitcode else "ends", name, gpu)
                    if process.exitcode == 0:
                        done.add(name)
                    else:
                        failed.append(name)
    finally:
        signal.signal(signal.SIGTERM, before)
        _end([*(process for _, process in running.values()), *idle.values()])
    if failed:
        raise RuntimeError(
            f"expected all stages to end well, got failures of {failed}, whose errors are above; not begun: {todo}. The same "
            "command goes on from the last checkpoints"
        )


def _mask(gpu: int) -> str:
    """What a process that is to see this one alone is told."""
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return str(gpu)
    names = visible.split(",")
    if gpu >= len(names):
        raise ValueError(f"expected GPUs among the {len(names)} of {VISIBLE}={visible}, numbered from 0, got {gpu}")
    return names[gpu]


def _end(processes: Sequence[BaseProcess]) -> None:
    """Ask processes to end, and again: SystemExit goes lost in a finalizer, and in C code that clears what was raised."""
    for _ in range(ASKED):
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + GRACE_S
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        processes = [process for process in processes if process.exitcode is None]
        if not processes:
            return
        logger.warning("%d processes are still there %.0f s after they were asked to end", len(processes), GRACE_S)
    for process in processes:
        assert process.pid is not None
        for pid in [process.pid, *descendants(process.pid)]:
            with suppress(ProcessLookupError):  # one may have ended with its parent
                os.kill(pid, signal.SIGKILL)
        process.join()


def _exit(*_: Any) -> None:
    sys.exit(128 + signal.SIGTERM)


def _on(mask: str, target: Callable[..., None], *arguments: Any) -> None:
    """What a process does: see one GPU, and end its own processes when it is asked to end."""
    os.environ[VISIBLE] = mask
    signal.signal(signal.SIGTERM, _exit)
    target(*arguments)
