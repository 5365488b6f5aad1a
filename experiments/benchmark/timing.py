"""Timing of contenders that take turns, so that a machine which slows down slows all of them."""

import contextlib
import ctypes
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from experiments.run.console import typed_command
from experiments.run.directory import environment, environment_in_words

# PyTorch's threads otherwise spin for a while after each call, on the cores of the contender whose turn is next.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def keep_freed_memory() -> None:
    """Lets the C library keep what is freed, for all contenders alike, where it is glibc.

    It otherwise maps and unmaps every block above 32 MB, unless some freed one happened to fit: the kernel's clearing
    of fresh pages, three times the work of copying a batch of that size, then falls on some calls and not on others.
    So it does where a thread has an arena of its own, which holds no block above 64 MB: all share one.
    """
    # The numbers of M_MMAP_MAX, M_TRIM_THRESHOLD and M_ARENA_MAX.
    mmap_max, trim_threshold, arena_max = -4, -1, -8
    with contextlib.suppress(OSError, AttributeError, TypeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(mmap_max, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(arena_max, 1)


def seconds_in_turns(contenders: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """Returns the seconds of every call, contenders alternating.

    In its turn a contender is called twice and the second call counts: the first wakes its threads and fills the caches
    with its data, which would otherwise be charged to whoever comes after another library.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        jax.block_until_ready(call())
    for _ in range(repetitions):
        for name, call in contenders.items():
            jax.block_until_ready(call())
            began = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - began)
    return seconds


def provenance(benchmark: str, turns: int, *facts: str) -> str:
    """Returns the sentence above a benchmark's tables: the command as it was typed, what to know of it, the machine."""
    command = typed_command("experiments.benchmark", benchmark)
    known = "; ".join([f"medians of {turns} turns", *facts, environment_in_words(environment())])
    return f"Printed by `{command}`, {known}."


def ratio_row(what: str, numerator: list[float], denominator: list[float], goal: str) -> str:
    """Returns a Markdown row: the median of the ratios turn by turn, with their quartiles."""
    ratios = [a / b for a, b in zip(numerator, denominator, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"| {what} | {middle:.3f} | {low:.3f} to {high:.3f} | {goal} |"


def header(title: str) -> str:
    """Returns the head of such a table."""
    return f"| {title} | median ratio | quartiles | goal |\n|---|---|---|---|"
