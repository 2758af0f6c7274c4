"""Trainers of networks that come with the package, on worlds whose truth is known.

depth      `inspatio-gym train-depth`: near and far in one picture (`depth_data`, `augment`, `depth_loss`)
"""
