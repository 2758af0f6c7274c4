"""Numbers that the user's environment variables set.

INSPATIO_GYM_THREADS    threads that work at a time; by default one for every core that the process may use
INSPATIO_GYM_LAYER_MB   most memory of the warp world's layers, for each size of picture; 512
INSPATIO_GYM_FRAME_MB   most memory of decoded frames, of all scenes together; 512
"""

import os


def whole_number(name: str, default: int) -> int:
    """The variable `name` as a number of at least 1, or `default`. Raises ValueError for anything else."""
    setting = os.environ.get(name, "")
    if not setting:
        return default
    if not setting.isdecimal() or int(setting) < 1:
        raise ValueError(f"expected {name} to be a whole number from 1 on, got {setting!r}: unset it for {default}")
    return int(setting)
