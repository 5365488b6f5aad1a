"""How the members of a population are trained: in chunks under `vmap`, or each alone, in threads."""

import concurrent.futures
import dataclasses
import math
import operator
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxaug.data import Dataset
from jaxaug.training.evaluation import InMemoryEvaluator
from jaxaug.training.fit import epoch_record, run_epoch, train_epochs
from jaxaug.training.hooks import Hooks
from jaxaug.training.in_memory import DeviceSplit, InMemoryRunner, device_split, gathered_batch, in_memory_runner
from jaxaug.training.jaxprs import value_bytes
from jaxaug.training.runner import NonFiniteError, check_batch_size
from jaxaug.training.state import TrainState
from jaxaug.training.step import TrainStep
from jaxaug.training.types import TIMES, Record, Sampling, Totals

Member = tuple[TrainState | None, list[Record]]
"""The result of a member: its state, None if it failed, and its records."""

_MEMBER = "member"  # the axis of members in a mesh of the devices


@dataclasses.dataclass(frozen=True)
class Job:
    """What all members share, and the dataset of each."""

    train_step: TrainStep
    evaluators: dict[str, InMemoryEvaluator]
    datasets: list[Dataset]
    epochs: int
    eval_every: int
    report: Callable[[int], object]
    batch_size: int
    sampling: Sampling

    def runner(self, state: TrainState, data: DeviceSplit, *, population: bool) -> InMemoryRunner:
        """Returns the runner that all members share."""
        return in_memory_runner(
            self.train_step,
            state,
            data,
            batch_size=self.batch_size,
            num_classes=self.datasets[0].num_classes,
            sampling=self.sampling,
            population=population,
        )


class Silent(Hooks):
    """Shows nothing, so nothing is copied to the host between epochs; stops when the event is set."""

    seconds_between_progress = math.inf

    def __init__(self, stopped: threading.Event | None = None):
        self._stopped = stopped or threading.Event()

    def should_stop(self) -> bool:
        """Returns whether the event is set."""
        return self._stopped.is_set()


class _MemberHooks(Silent):
    """Reports every epoch, and keeps the records, so that those of a run that fails are not lost."""

    def __init__(self, report: Callable[[int], object], stopped: threading.Event):
        super().__init__(stopped)
        self.records: list[Record] = []
        self._report = report

    def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
        self.records.append({name: value for name, value in record.items() if name not in TIMES})
        self._report(1)


def train_threaded(job: Job, states: list[TrainState], threads: int) -> Iterator[Member]:
    """Trains each member alone, in this many threads that share their programs; yields the results in order."""
    train = job.datasets[0].train
    shared = job.runner(states[0], device_split(train), population=False)
    stopped = threading.Event()

    def train_member(place: int) -> Member:
        own = job.datasets[place].train
        runner = shared if own is train else shared.with_data(device_split(own))
        hooks = _MemberHooks(job.report, stopped)
        try:
            state, _ = train_epochs(
                states[place], runner, job.evaluators, epochs=job.epochs, eval_every=job.eval_every, hooks=hooks
            )
            return state, hooks.records
        except NonFiniteError:
            return None, hooks.records

    yield from _in_threads(train_member, list(range(len(states))), threads, stopped)


def train_vmapped(job: Job, states: list[TrainState], at_once: int, threads: int) -> Iterator[Member]:
    """Trains the members in chunks of equal size, one program stepping a chunk; yields the results in order."""
    mesh = Mesh(np.array(jax.local_devices()), (_MEMBER,))
    splits = [dataset.train for dataset in job.datasets]
    own_data = any(split is not splits[0] for split in splits)
    shared_data = None if own_data else _put(device_split(splits[0]), mesh)
    evaluators = {name: each.with_data(_put(each.data, mesh)) for name, each in job.evaluators.items()}
    job = dataclasses.replace(job, evaluators=evaluators)
    stopped = threading.Event()

    def chunk_of(places: list[int]) -> tuple[TrainState, DeviceSplit]:
        data = shared_data or _put(stack([device_split(splits[place]) for place in places]), mesh, _MEMBER)
        return _put(stack([states[place] for place in places]), mesh, _MEMBER), data

    size = math.ceil(len(states) / threads) if at_once >= len(states) else at_once // threads
    chunks = list(_chunks(len(states), size, multiple_of=mesh.size))
    shared = job.runner(*jax.eval_shape(lambda: chunk_of(chunks[0])), population=True)  # shapes alone

    def train_chunk(places: list[int]) -> list[Member]:
        chunk, data = chunk_of(places)
        return _train_chunk(job, shared.with_data(data), chunk, mesh, len(set(places)), Silent(stopped))

    for results in _in_threads(train_chunk, chunks, threads, stopped):
        yield from results


def _in_threads(
    function: Callable[[Any], Any], inputs: list[Any], threads: int, stopped: threading.Event
) -> Iterator[Any]:
    """Yields the results of the function in the order of the inputs; an error sets `stopped` for the other threads."""
    if threads == 1:  # in the caller's thread, which may have set options of jax
        yield from map(function, inputs)
        return
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(function, given) for given in inputs]:
                yield future.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _train_chunk(
    job: Job, runner: InMemoryRunner, states: TrainState, mesh: Mesh, members: int, hooks: Hooks
) -> list[Member]:
    """Trains stacked states, and returns the results of the first `members` of them."""
    records: list[list[Record]] = [[] for _ in range(members)]
    running = set(range(members))
    for epoch in range(int(states.step[0]) // runner.steps_per_epoch, job.epochs):
        totals = _put(runner.zero_totals(), mesh, _MEMBER)
        states, totals, stopped = run_epoch(runner, states, totals, epoch, job.epochs, hooks)
        if stopped:
            break
        host_totals = jax.device_get(totals)
        due = (epoch + 1) % job.eval_every == 0 or epoch + 1 == job.epochs
        evaluations = {
            split: evaluator.population_means(states) if due else [dict.fromkeys(evaluator.names)] * members
            for split, evaluator in job.evaluators.items()
        }
        for member in sorted(running):
            own = {split: means[member] for split, means in evaluations.items()}
            try:
                record = epoch_record(epoch, runner.steps_per_epoch, _member(host_totals, member), own)
                records[member].append(record)
            except NonFiniteError:
                running.remove(member)
        job.report(members)
    return [(_member(states, i) if i in running else None, records[i]) for i in range(members)]


def stack(trees: list[Any]) -> Any:
    """Returns one tree whose leaves have a leading axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _member(tree: Any, place: int) -> Any:
    return jax.tree.map(operator.itemgetter(place), tree)


def _put(tree: Any, mesh: Mesh, *axes: str) -> Any:
    """Returns the tree on all devices: sharded along its leading axis if that is named, else replicated."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))


def _chunks(members: int, at_once: int, multiple_of: int) -> Iterator[list[int]]:
    """Yields the places of the members of each chunk. All have one size, so the last may repeat its last member."""
    size = math.ceil(members / math.ceil(members / at_once))
    size = math.ceil(size / multiple_of) * multiple_of
    for start in range(0, members, size):
        yield [min(place, members - 1) for place in range(start, start + size)]


def step_jaxpr(train_step: TrainStep, state: TrainState, dataset: Dataset, batch_size: int) -> Any:
    """Returns the jaxpr of a step of one member."""
    check_batch_size(batch_size, len(dataset.train.labels))
    data = jax.eval_shape(lambda: device_split(dataset.train))
    batch = jax.eval_shape(lambda d: gathered_batch(d, jnp.zeros(batch_size, jnp.int32), dataset.num_classes), data)
    return jax.make_jaxpr(train_step)(state, batch)


def members_that_fit(state: TrainState, jaxpr: Any) -> int:
    """Returns how many members are sure to fit into half of the free memory, at least 1.

    Each counts with its state and every value that its step computes, although a program keeps few of them at a time.
    """
    own = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + value_bytes(jaxpr.jaxpr)
    return max(1, int(0.5 * _free_bytes() / own))


def _free_bytes() -> int:
    """Returns the free memory of the local devices."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) * jax.local_device_count()
    # macOS does not report free pages, and Windows has no sysconf.
    names = getattr(os, "sysconf_names", {})
    pages = next((name for name in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES") if name in names), None)
    return 2**32 if pages is None else os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
