"""Datasets: a policy is rolled over many worlds, and what it saw and did is written down.

config     what `inspatio-gym collect` can be told
command    the command: policy, worlds, roll-out, writing
policies   who acts, and in which world
episode    an episode as arrays, and what all episodes of a dataset have in common
rollout    worlds and agents -> episodes, the same ones whatever the number of worlds
writing    the thread that writes, and the ledger that says how far it has come
plain      mp4, depth and parquet, a folder an episode
minari     a Minari dataset
lerobot    a LeRobot dataset, v3.0
"""
