"""Domain randomisation: every episode looks a little different, so that a policy does not learn one world's pixels by heart.

    env = Randomized(gym.make("InSpatio-v0", scene="room"), [Light(), Noise(), Latency(2), Dropped(0.1)])
    envs = RandomizedVector(gym.make_vec(...), [Light(brightness=0.3)])

effects      what is done to an observation: Light, Noise, Latency, Dropped
randomized   the wrappers that do it: `Randomized` for one world, `RandomizedVector` for a batch of them

Effects are applied in the order given. Rewards, infos and the picture of a goal stay as they are. Where an episode begins
is the environment's own argument `jitter`, because a start must be tried against the corridor.
"""

from inspatio_gym.envs.wrappers.effects import Dropped, Effect, Latency, Light, Noise
from inspatio_gym.envs.wrappers.randomized import Randomized, RandomizedVector

__all__ = ["Dropped", "Effect", "Latency", "Light", "Noise", "Randomized", "RandomizedVector"]
