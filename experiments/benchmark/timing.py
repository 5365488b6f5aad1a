"""Times contenders in turns, so that a slowdown of the machine affects all of them alike."""

import contextlib
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from experiments.run.console import typed_command
from experiments.run.provenance import environment, environment_in_words

# Otherwise PyTorch's threads keep spinning after a call, on the cores of the next contender.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_freed_memory() -> None:
    """Makes glibc keep freed memory, for all contenders alike; does nothing with other C libraries.

    By default glibc maps and unmaps every block above 32 MB unless a freed block happens to fit. The kernel then clears
    fresh pages, three times the work of copying a batch of that size, in some calls and not in others. Per-thread
    arenas, which hold no block above 64 MB, have the same effect, so all threads share one arena.
    """
    # The numbers of M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX.
    mmap_max, trim_threshold, arena_max = -4, -1, -8
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(arena_max, 1)


def seconds_in_turns(contenders: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """Returns the seconds of every call, with contenders alternating.

    In each turn a contender is called twice and the second call counts: the first wakes its threads and fills the
    caches, which the preceding contender has displaced.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        jax.block_until_ready(call())
    for _ in range(repetitions):
        for name, call in contenders.items():
            jax.block_until_ready(call())
            started = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - started)
    return seconds


def provenance(benchmark: str, turns: int, *facts: str) -> str:
    """Returns the sentence above a benchmark's tables: command, number of turns, facts and environment."""
    command = typed_command("experiments.benchmark", benchmark)
    details = "; ".join([f"medians of {turns} turns", *facts, environment_in_words(environment())])
    return f"Printed by `{command}`: {details}."


def ratio_row(label: str, numerator: list[float], denominator: list[float], goal: str) -> str:
    """Returns a Markdown row: median and quartiles of the ratios turn by turn."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"| {label} | {middle:.3f} | {low:.3f} to {high:.3f} | {goal} |"


def header(title: str) -> str:
    """Returns the header of a table of `ratio_row`s."""
    return f"| {title} | median ratio | quartiles | goal |\n|---|---|---|---|"
