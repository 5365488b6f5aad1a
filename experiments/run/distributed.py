"""A run of several processes, of one host or many: how they find each other, and which of them writes."""

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
    """The processes that train together; each is begun with the same command."""

    coordinator: str | None = None
    """HOST:PORT of process 0, which the others find each other by."""
    count: int | None = None
    """How many processes there are."""
    index: int | None = None
    """Which of them this is, 0 the first."""
    cluster: bool = False
    """Ask the cluster for these three: Slurm, Kubernetes, Open MPI, a TPU pod."""


def join(processes: Processes) -> None:
    """Makes this process one of those that are named; the others' devices are then in `jax.devices()`.

    Raises:
      ValueError: some of the three are missing, or the others cannot be reached.
    """
    named = (processes.coordinator, processes.count, processes.index)
    if not processes.cluster and named == (None, None, None):
        return
    if not processes.cluster and None in named:
        raise ValueError(
            "several processes take --processes.coordinator, --processes.count and --processes.index, or "
            f"--processes.cluster alone; got {processes}."
        )
    try:
        jax.distributed.initialize(*named)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"the processes did not find each other: {str(error).splitlines()[0]}") from error


def is_first() -> bool:
    """Returns whether this is the process that writes and speaks."""
    return jax.process_index() == 0


def by_the_first(function: Callable[P, None]) -> Callable[P, None]:
    """Returns the function, made to do nothing in the other processes."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        if is_first():
            function(*args, **kwargs)

    return guarded


def wait_for_all(what: str) -> None:
    """Waits until every process is here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(what)


def leave_if_others_are_lost(error: Exception) -> None:
    """Ends this process at once, with one sentence, where what failed is a sum or a gathering over all processes."""
    failed = next((e for e in (error, error.__cause__) if isinstance(e, jax.errors.JaxRuntimeError)), None)
    if jax.process_count() == 1 or failed is None:
        return
    reason = one_line(str(failed), limit=120)
    print(
        f"error: another process of the run was lost ({reason}). The last complete checkpoint stays; begin all "
        "processes again, of any number, with --resume.",
        file=sys.stderr,
        flush=True,
    )
    # To end in order would be to wait for the others.
    os._exit(1)
