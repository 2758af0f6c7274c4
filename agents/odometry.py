"""Learn to see one's own motion, before learning what to do with it.

    random actions      ->  pictures (n, H, W, 3) with the poses (n, 7) at which they were seen, and in which episode
    two of one episode  ->  the way from the first camera to the second, by their poses
    `MatchingFeatures`  ->  the same way, by the pictures alone; the mean absolute difference is what falls

The pictures and the poses are what every agent observes; neither goals nor rewards are looked at. An agent that can tell the
way between two pictures can tell the way from what it sees to the picture of a goal, and a reinforcement learner, whose
every number is worth a fraction of a label, has only to learn what to do with it. The eye is kept as it is from then on.

Ref: Agrawal, Carreira and Malik 2015, "Learning to see by moving".
"""

from collections.abc import Callable, Sequence

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from inspatio_gym.agents.matching import MatchingFeatures
from inspatio_gym.agents.progress import Progress
from inspatio_gym.extras import extra
from inspatio_gym.geometry.poses import from_quaternion, ypr_deg

with extra("agents"):
    import torch
    from stable_baselines3.common.vec_env import VecEnv

PAIRS_A_PICTURE = 24
PACE = 0.45  # of full speed: what two pictures of an episode share is what there is to learn from
GROUPS, MEMBERS = 16, 4  # of a batch: pictures of one episode each, every one compared with every one
BATCH = GROUPS * MEMBERS**2  # pairs
RATE = 1e-3  # of Adam; falls to a twentieth
UNITS = np.array([0.5, 0.5, 0.5, 30.0, 30.0, 30.0], np.float32)  # of a way: median depths, degrees
ROLL = 0.2  # of a full lean; goals are level


def learn_odometry(
    eye: MatchingFeatures,
    worlds: VecEnv,
    names: Sequence[str],
    *,
    pairs: int,
    seed: int,
    spent: Callable[[], float] = lambda: 0.0,
) -> float:
    """Train `eye` on `pairs` pairs of pictures from `worlds`, in which it is roamed first; returns the last mean error, in units
    of half a median depth and of 30 degrees. names: of the action's components, or of the moves. spent: share of the time for
    this that is over; at 1 it ends, fewer pairs or not."""
    rng = np.random.default_rng([seed, 1])
    pictures, poses, episodes = roam(worlds, names, max(1, pairs // PAIRS_A_PICTURE), rng)
    device = next(eye.parameters()).device
    rotations = from_quaternion(poses[:, 3:]).astype(np.float32)
    angles = ypr_deg(rotations).astype(np.float32)
    order = np.argsort(episodes, kind="stable")
    first = np.searchsorted(episodes[order], episodes)
    last = np.searchsorted(episodes[order], episodes, side="right")

    def seen(which: NDArray[np.int64]) -> torch.Tensor:
        return torch.from_numpy(pictures[which]).to(device).permute(0, 3, 1, 2).float() / 255

    for part in eye.sight:
        part.requires_grad_(True)
    optimizer = torch.optim.Adam([p for part in eye.sight for p in part.parameters()], RATE)
    # Row and column of every pair of a group, for all groups.
    here, there = np.indices((MEMBERS, MEMBERS)).reshape(2, 1, -1) + MEMBERS * np.arange(GROUPS)[:, None]
    here, there = here.ravel(), there.ravel()
    bar = Progress("learning to see", pairs, 0, "pairs")
    error = float("nan")
    for done in range(0, pairs, BATCH):
        over = max(done / pairs, spent())
        if over >= 1:
            break
        optimizer.param_groups[0]["lr"] = RATE * max(0.05, 1 - over)
        some = rng.integers(len(episodes), size=(GROUPS, 1))
        group = order[rng.integers(first[some], last[some], (GROUPS, MEMBERS))]
        a, b = group.ravel()[here], group.ravel()[there]
        moved = np.einsum("nji,nj->ni", rotations[a], poses[b, :3] - poses[a, :3]) * (1, -1, 1)  # right, up, forward
        turned = (angles[b] - angles[a] + 180) % 360 - 180
        way = torch.from_numpy((np.concatenate((moved, turned), 1) / UNITS).astype(np.float32)).to(device)
        cells = eye.cells(seen(group.ravel()))
        loss = (eye.way(cells[here], cells[there]) - way).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        error = loss.item() if done == 0 else 0.98 * error + 0.02 * loss.item()
        bar.update(done + BATCH, error=error)
    bar.close()
    for part in eye.sight:
        part.requires_grad_(False)
    return error


def roam(
    worlds: VecEnv, names: Sequence[str], number: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int64]]:
    """Act at random while time is held, as far as it can be, for at least `number` steps: pictures (n, H, W, 3), observed
    poses (n, 7), episodes (n,)."""
    count, space = worlds.num_envs, worlds.action_space
    rounds = -(-number // count)
    observations = worlds.reset()
    assert isinstance(observations, dict)
    pictures = np.empty((rounds, *observations["rgb"].shape), np.uint8)
    poses, episodes = np.empty((rounds, count, 7)), np.empty((rounds, count), np.int64)
    episode = np.arange(count)
    bar = Progress("roaming", number, 0, "pictures")
    for k in range(rounds):
        assert isinstance(observations, dict)
        pictures[k], poses[k], episodes[k] = observations["rgb"], observations["pose"], episode
        if isinstance(space, gym.spaces.Discrete):
            actions = rng.integers(space.n, size=count)
        else:
            actions = rng.uniform(-PACE, PACE, (count, len(names))).astype(np.float32)
            actions *= np.array([{"time": 0.0, "roll": ROLL}.get(name, 1.0) for name in names], np.float32)
        observations, _, ended, _ = worlds.step(actions)
        episode = np.where(ended, episode.max() + 1 + np.arange(count), episode)
        bar.update((k + 1) * count)
    bar.close()
    return pictures.reshape(-1, *pictures.shape[2:]), poses.reshape(-1, 7), episodes.ravel()
