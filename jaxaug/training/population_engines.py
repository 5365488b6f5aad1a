"""How the members of a population are trained: in chunks under `vmap` or each alone, in threads."""

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
from jaxaug.training.device_data import DeviceSplit, device_split, gathered_batch
from jaxaug.training.engine import EpochRunner, Sampling, check_batch_size
from jaxaug.training.evaluator import Evaluator
from jaxaug.training.loop import (
    TIMES,
    Hooks,
    NonFiniteError,
    Programs,
    Record,
    finished_record,
    fitted,
    run_epoch,
)
from jaxaug.training.program_cache import epoch_runner
from jaxaug.training.state import TrainState
from jaxaug.training.step import TrainStep

Member = tuple[TrainState | None, list[Record]]
"""What training makes of a member: its state, None where it failed, and its records."""

_MEMBER = "member"  # the axis of members, in a mesh of the devices


@dataclasses.dataclass(frozen=True)
class Job:
    """What is the same for all members, and the data of each."""

    train_step: TrainStep
    evaluators: dict[str, Evaluator]
    datasets: list[Dataset]
    epochs: int
    eval_every: int
    report: Callable[[int], object]
    batch_size: int
    sampling: Sampling

    def runner(self, state: TrainState, data: DeviceSplit, *, population: bool) -> EpochRunner:
        """Returns the training programs of all members."""
        return epoch_runner(
            self.train_step,
            state,
            data,
            batch_size=self.batch_size,
            num_classes=self.datasets[0].num_classes,
            sampling=self.sampling,
            population=population,
        )


class Silent(Hooks):
    """Shows nothing, and so also looks at nothing between the epochs; stops when it is told so."""

    seconds_between_progress = math.inf

    def __init__(self, stopped: threading.Event | None = None):
        self._stopped = stopped or threading.Event()

    def should_stop(self) -> bool:
        """Returns whether the run is to stop."""
        return self._stopped.is_set()


class _Records(Silent):
    """Keeps the records, also of a run that fails, and says when an epoch is done."""

    def __init__(self, report: Callable[[int], object], stopped: threading.Event):
        super().__init__(stopped)
        self.records: list[Record] = []
        self._report = report

    def on_epoch(self, record: Record, state: TrainState, sums: Any) -> None:
        self.records.append({name: value for name, value in record.items() if name not in TIMES})
        self._report(1)


def train_threaded(job: Job, states: list[TrainState], threads: int) -> Iterator[Member]:
    """Yields every member, trained by the same programs in so many threads."""
    train = job.datasets[0].train
    shared = job.runner(states[0], device_split(train), population=False)
    stopped = threading.Event()

    def member(place: int) -> Member:
        own = job.datasets[place].train
        runner = shared if own is train else shared.with_data(device_split(own))
        programs, hooks = Programs(runner, job.evaluators), _Records(job.report, stopped)
        try:
            state, _ = fitted(programs, states[place], epochs=job.epochs, eval_every=job.eval_every, hooks=hooks)
            return state, hooks.records
        except NonFiniteError:
            return None, hooks.records

    yield from _in_threads(member, list(range(len(states))), threads, stopped)


def together(job: Job, states: list[TrainState], at_once: int, threads: int) -> Iterator[Member]:
    """Yields every member, trained in chunks of equal size by the same programs in so many threads."""
    mesh = Mesh(np.array(jax.local_devices()), (_MEMBER,))
    splits = [dataset.train for dataset in job.datasets]
    own_data = any(split is not splits[0] for split in splits)
    shared_data = None if own_data else _spread(device_split(splits[0]), mesh)
    for evaluator in job.evaluators.values():
        evaluator.data = _spread(evaluator.data, mesh)
    stopped = threading.Event()

    def chunk_of(places: list[int]) -> tuple[TrainState, DeviceSplit]:
        data = shared_data or _spread(stacked([device_split(splits[place]) for place in places]), mesh, _MEMBER)
        return _spread(stacked([states[place] for place in places]), mesh, _MEMBER), data

    size = math.ceil(len(states) / threads) if at_once >= len(states) else at_once // threads
    chunks = list(_chunks(len(states), size, multiple_of=mesh.size))
    shared = job.runner(*jax.eval_shape(lambda: chunk_of(chunks[0])), population=True)  # of forms alone

    def members(places: list[int]) -> list[Member]:
        chunk, data = chunk_of(places)
        return _trained_chunk(job, shared.with_data(data), chunk, mesh, len(set(places)), Silent(stopped))

    for trained in _in_threads(members, chunks, threads, stopped):
        yield from trained


def _in_threads(
    function: Callable[[Any], Any], inputs: list[Any], threads: int, stopped: threading.Event
) -> Iterator[Any]:
    """Yields the results of the function in the order of the inputs; whatever ends this sets `stopped` for the rest."""
    if threads == 1:  # in the caller's own, where its contexts of jax's options hold
        yield from map(function, inputs)
        return
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            for running in [pool.submit(function, given) for given in inputs]:
                yield running.result()
        finally:
            stopped.set()
            pool.shutdown(cancel_futures=True)


def _trained_chunk(
    job: Job, runner: EpochRunner, states: TrainState, mesh: Mesh, members: int, hooks: Hooks
) -> list[Member]:
    """Returns the first so many members of stacked states, trained as one."""
    programs, evaluators = Programs(runner, job.evaluators), job.evaluators
    records: list[list[Record]] = [[] for _ in range(members)]
    running = set(range(members))
    for epoch in range(int(states.step[0]) // runner.steps_per_epoch, job.epochs):
        sums = _spread(runner.zero_sums(), mesh, _MEMBER)
        states, sums, stopped = run_epoch(runner, states, sums, epoch, job.epochs, hooks)
        if stopped:
            break
        host = jax.device_get(sums)
        evaluated = (epoch + 1) % job.eval_every == 0 or epoch + 1 == job.epochs
        results = {name: e.population_means(states) if evaluated else None for name, e in evaluators.items()}
        for member in sorted(running):
            own = {name: means and means[member] for name, means in results.items()}
            try:
                records[member].append(finished_record(programs, epoch, _member(host, member), own))
            except NonFiniteError:
                running.remove(member)
        job.report(members)
    return [(_member(states, i) if i in running else None, records[i]) for i in range(members)]


def stacked(trees: list[Any]) -> Any:
    """Returns one tree whose leaves have a leading axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def _member(tree: Any, place: int) -> Any:
    return jax.tree.map(operator.itemgetter(place), tree)


def _spread(tree: Any, mesh: Mesh, *axes: str) -> Any:
    """Returns the tree on all devices: shared out along its leading axis where that is named, or a copy for each."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec(*axes)))


def _chunks(members: int, at_once: int, multiple_of: int) -> Iterator[list[int]]:
    """Yields the places of the members of every chunk: all of one size, so the last may take some twice."""
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
    """Returns how many members half of the free memory of the devices surely holds, at least 1.

    Each is given what its state takes and every value of its step, though a program keeps few of them at a time.
    """
    own = 2 * sum(leaf.nbytes for leaf in jax.tree.leaves(state)) + _value_bytes(jaxpr.jaxpr)
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if "bytes_limit" in stats:
        free = (stats["bytes_limit"] - stats.get("bytes_in_use", 0)) * jax.local_device_count()
    else:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, int(0.5 * free / own))


def _value_bytes(jaxpr: Any) -> int:
    """Returns the bytes of all that a jaxpr computes, inner ones included."""
    own = sum(
        math.prod(variable.aval.shape) * variable.aval.dtype.itemsize
        for equation in jaxpr.eqns
        for variable in equation.outvars
    )
    parameters = [value for equation in jaxpr.eqns for value in jax.tree.leaves(list(equation.params.values()))]
    inner = [getattr(value, "jaxpr", value) for value in parameters]  # closed ones hold the jaxpr
    return own + sum(_value_bytes(value) for value in inner if hasattr(value, "eqns"))
