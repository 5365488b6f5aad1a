"""Training with several processes, on one host or many."""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import jax
from jax.experimental import multihost_utils

from jaxaug.checks import one_line

P = ParamSpec("P")


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes that train together; start each with the same command."""

    coordinator: str | None = None
    """HOST:PORT of process 0, which the others connect to."""
    count: int | None = None
    """Number of processes."""
    index: int | None = None
    """Index of this process, from 0."""
    cluster: bool = False
    """Read these three from the cluster: Slurm, Kubernetes, Open MPI, or a TPU pod."""


def init_distributed(processes: Processes) -> None:
    """Connects this process to the others, whose devices are in `jax.devices()` from then on.

    Raises:
      ValueError: some options are missing, or the others cannot be reached.
    """
    options = (processes.coordinator, processes.count, processes.index)
    if not processes.cluster and options == (None, None, None):
        return
    if not processes.cluster and None in options:
        raise ValueError(
            "training with several processes requires --processes.coordinator, --processes.count and "
            f"--processes.index, or --processes.cluster alone; got {processes}."
        )
    try:
        jax.distributed.initialize(*options)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the processes cannot connect: {str(error).splitlines()[0]}") from error


def is_primary() -> bool:
    """Returns whether this is process 0, the one that writes files and prints."""
    return jax.process_index() == 0


def primary_only(function: Callable[P, None]) -> Callable[P, None]:
    """Returns the function, which does nothing in the other processes."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_primary():
            function(*args, **kwargs)

    return guarded


def wait_for_all(name: str) -> None:
    """Waits until every process has reached the barrier of this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def exit_if_process_lost(error: Exception) -> None:
    """Exits at once with one sentence if a collective operation failed, since another process has then died."""
    failed = next((e for e in (error, error.__cause__) if isinstance(e, jax.errors.JaxRuntimeError)), None)
    if jax.process_count() == 1 or failed is None:
        return
    reason = one_line(str(failed), limit=120)
    print(
        f"error: another process of the run was lost ({reason}). The last complete checkpoint is kept; restart all "
        "processes (their number may change) with --resume.",
        file=sys.stderr,
        flush=True,
    )
    # A regular exit would wait for the other processes.
    os._exit(1)
