"""How many threads of Python have a core of their own."""

import os


def cpu_count() -> int:
    """Returns the cores that this process may run on, which taskset and batch systems can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
