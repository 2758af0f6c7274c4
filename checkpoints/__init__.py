"""Weights: which there are, where they live, how they come here, and whether they arrived whole.

    registry    what can be had, from where, under which licence          CHECKPOINTS
    locate      where a checkpoint is on this machine                     locate("inspatio-1.3b") -> Path
    weights     the tensors in a file, loaded strictly                    read_weights, load_strictly
    pretrained  networks that transformers knows, from their folders      load_pretrained
    verify      what is missing, cut off or not what it should be         problems
    command     `inspatio-gym checkpoints list | download | verify | path`

Nothing here downloads but the command: loading a model never reaches for the network.
"""

from inspatio_gym.checkpoints.locate import WeightsNotFound, checkpoint_folder, locate, present
from inspatio_gym.checkpoints.registry import CHECKPOINTS, Checkpoint

__all__ = ["CHECKPOINTS", "Checkpoint", "WeightsNotFound", "checkpoint_folder", "locate", "present"]
