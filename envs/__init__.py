"""The environments: a world as a Gymnasium environment, alone (`InSpatioEnv`) or many in one process.

stage      what all worlds of an environment share: scenes, model, control
slot       one world's rig, clock, task and random numbers
actions    controls: how an action becomes a camera motion and a rate of time
spaces     what is observed
tasks      rewards
"""
