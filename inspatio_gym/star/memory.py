"""Memory that a block frees stays with the process, because the next block asks for it again.

glibc hands a freed megabyte back to the system, and what comes from the system has no pages yet: each is made when it is
first touched, one trap each, whatever a block of a world on the CPU does with it. When it hands back depends on what was
freed before, so that the same block is fast in one program and slow in another. Two numbers settle it:

    M_MMAP_THRESHOLD    what is smaller comes from the heap; 32 MB, glibc's limit
    M_TRIM_THRESHOLD    what may lie free at the heap's end; 256 MB, for the blocks of a tiny model

`MALLOC_MMAP_THRESHOLD_` or `MALLOC_TRIM_THRESHOLD_` in the environment, or GLIBC_TUNABLES, are the user's word, and stand.

Ref: mallopt(3).
"""

import ctypes
import os
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT = {M_MMAP_THRESHOLD: 32 * 2**20, M_TRIM_THRESHOLD: 256 * 2**20}
SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed() -> bool:
    """Let the process keep up to 256 MB that it freed; says whether it does by this. Other systems do as they do."""
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in SETTINGS):
        return False
    libc = ctypes.CDLL(None)
    return all([libc.mallopt(option, value) for option, value in KEPT.items()])
