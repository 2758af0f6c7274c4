"""Everything a training needs to go on, in one file that is safe to open.

A checkpoint holds weights, optimizer moments and counters as tensors and plain numbers; it is read with
`weights_only=True`, which refuses anything that would run code. Worlds and random generators are not in it: a resumed
training begins new episodes with seeds of their own, from start states it has not seen before (a run that was killed
before its first checkpoint begins as it did then). Nor is SAC's memory of past steps, which a resumed SAC collects anew
before it learns on; nor how good the best policy was, which stands in that policy's own file.

    checkpoints/000040000.pt    after 40,000 steps; the last KEEP are kept
"""

import pickle
from pathlib import Path

from inspatio_gym.extras import extra
from inspatio_gym.files import written_whole

with extra("agents"):
    import torch
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

KEEP = 3
FORMAT = "inspatio-gym checkpoint 1"


def save_checkpoint(folder: Path, algorithm: BaseAlgorithm) -> Path:
    """Write a checkpoint of `algorithm` into `folder`; forget those before the last."""
    variables = algorithm._get_torch_save_params()[1]
    record = {
        "format": FORMAT,
        "parameters": algorithm.get_parameters(),
        "variables": {name: getattr(algorithm, name) for name in variables},
        "steps": algorithm.num_timesteps,
        "updates": getattr(algorithm, "_n_updates", 0),
        "episodes": algorithm._episode_num,
    }
    path = folder / f"{algorithm.num_timesteps:09d}.pt"
    with written_whole(path) as partial:
        torch.save(record, partial)
    for old in sorted(folder.glob("[0-9]*.pt"))[:-KEEP]:
        old.unlink()
    return path


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint with the most steps, or None."""
    return max(folder.glob("[0-9]*.pt"), default=None)


def load_checkpoint(path: Path, algorithm: BaseAlgorithm) -> None:
    """Bring `algorithm` to where it was. Raises ValueError for another file."""
    try:
        record = torch.load(path, map_location=algorithm.device, weights_only=True)
        if record.get("format") != FORMAT:
            raise ValueError(f"expected the format {FORMAT!r}, got {record.get('format')!r}")
        algorithm.set_parameters(record["parameters"], exact_match=True, device=algorithm.device)
        for name, value in record["variables"].items():
            getattr(algorithm, name).data = value.data
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, AttributeError, ValueError) as problem:
        raise ValueError(
            f"expected a checkpoint of this training, got {str(path)!r} ({str(problem).splitlines()[0]}): delete it to go "
            "on from the one before"
        ) from problem
    algorithm.num_timesteps = record["steps"]
    algorithm._n_updates = record["updates"]
    algorithm._episode_num = record["episodes"]
    if isinstance(algorithm, OffPolicyAlgorithm):  # its memory is empty
        algorithm.learning_starts += algorithm.num_timesteps
