"""The command that checks every task: what it counts as a fault."""

from benchmarks.checks import fault


def test_a_sound_environment_has_no_fault_and_whatever_is_warned_of_or_raised_is_one():
    arguments = {"scene": "room", "model": "fake", "size": (48, 80)}
    assert fault("InSpatio-v0", arguments) == ""
    assert fault("InSpatio-v0", {**arguments, "size": (24, 40)}).startswith("UserWarning: ")  # SB3: too small a picture
    assert fault("InSpatio-v0", {**arguments, "control": "wings"}).startswith("ValueError: expected ")
