"""The training loop: the programs of a run, and the epochs that they are called in."""

import collections
import contextlib
import math
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_size
from jaxaug.data import Dataset, Split
from jaxaug.training.device_data import device_split
from jaxaug.training.engine import Engine, EpochRunner, Sampling, Sums
from jaxaug.training.evaluator import Evaluator, StreamEvaluator
from jaxaug.training.long_tail import shots
from jaxaug.training.program_cache import epoch_runner, evaluator
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep, TrainStep
from jaxaug.training.stream import ReadOptions
from jaxaug.training.stream_runner import StreamRunner

Record = dict[str, Any]
TIMES = ("examples_per_second", "seconds")  # of a record


class NonFiniteError(RuntimeError):
    """A loss, an update or a metric of the strategy was NaN or infinite; `step` is the first such step."""

    def __init__(self, step: int, what: str = "loss, update or a metric of the strategy"):
        super().__init__(f"{what} became non-finite at step {step}.")
        self.step = step


class Progress(NamedTuple):
    """Where an epoch is, on the host."""

    epoch: int  # counted from 1
    epochs: int
    step: int  # of the epoch
    steps: int  # in the epoch
    examples: int  # trained on in this epoch so far
    metrics: dict[str, Any]  # means over the epoch so far, a list where a strategy's metric is a vector


class Hooks:
    """What a run does beside training; override what is needed."""

    seconds_between_progress = 0.25

    def should_stop(self) -> bool:
        """Asked between programs; true stops the run, which then calls `on_stop`."""
        return False

    def on_progress(self, progress: Progress) -> None:
        """Called a few times a second."""

    def on_epoch(self, record: Record, state: TrainState, sums: Sums) -> None:
        """Called at the end of an epoch, with its line of metrics, and the sums (zero) that the next begins with."""

    def on_stop(self, state: TrainState, sums: Sums) -> None:
        """Called when `should_stop` ended the run inside an epoch; `fit(..., sums=sums)` goes on from there."""


class Programs(NamedTuple):
    """What a run calls, compiled when first called. Nothing of a run is kept, so many runs can share it."""

    runner: EpochRunner | StreamRunner
    evaluators: Mapping[str, Evaluator | StreamEvaluator]  # by the name of the split


def compiled_programs(
    state: TrainState,
    train_step: TrainStep,
    eval_step: EvalStep,
    dataset: Dataset,
    *,
    mesh: Mesh,
    engine: Engine,
    reading: ReadOptions,
    eval_batch_size: int,
    batch_size: int,
    sampling: Sampling,
) -> Programs:
    """Returns the programs of `fit`, for a state that lies on the devices of the mesh."""
    options: dict[str, Any] = {"batch_size": batch_size, "num_classes": dataset.num_classes, "sampling": sampling}
    if not dataset.streamed:
        data = device_split(dataset.train, mesh)
        runner = epoch_runner(train_step, state, data, engine=engine, mesh=mesh, **options)
        return Programs(runner, split_evaluators(eval_step, dataset, eval_batch_size, mesh))
    if engine == "scan":
        raise ValueError(f"{dataset.name} is streamed from disk, batch by batch, which the engine scan cannot be.")
    evaluation = evaluation_options(dataset, eval_batch_size)
    return Programs(
        StreamRunner(train_step, state, dataset.train, mesh=mesh, reading=reading, **options),
        {
            name: StreamEvaluator(eval_step, split, mesh=mesh, reading=reading, **evaluation)
            for name, split in held_out(dataset).items()
        },
    )


def split_evaluators(
    eval_step: EvalStep, dataset: Dataset, eval_batch_size: int, mesh: Mesh | None = None
) -> dict[str, Evaluator]:
    """Returns the evaluator of each split in memory that is not trained on."""
    options = evaluation_options(dataset, eval_batch_size)
    return {
        name: evaluator(eval_step, device_split(split, mesh), **options) for name, split in held_out(dataset).items()
    }


def held_out(dataset: Dataset) -> dict[str, Split]:
    """Returns the splits that are not trained on."""
    return {name: split for name, split in dataset.splits.items() if name != "train"}


def evaluation_options(dataset: Dataset, eval_batch_size: int) -> dict[str, Any]:
    """Returns what an evaluator of any split is told."""
    check_size("fit", "eval_batch_size", eval_batch_size, 1)
    groups = shots(np.bincount(dataset.train.labels, minlength=dataset.num_classes))
    return {
        "batch_size": eval_batch_size,
        "num_classes": dataset.num_classes,
        "groups": groups if len(set(groups)) > 1 else (),
    }


def fitted(
    programs: Programs, state: TrainState, *, epochs: int, eval_every: int, sums: Sums | None = None, hooks: Hooks
) -> tuple[TrainState, list[Record]]:
    """Returns the results of `fit`."""
    for name, value in (("epochs", epochs), ("eval_every", eval_every)):
        check_size("fit", name, value, 1)
    runner, evaluators = programs
    sums = runner.zero_sums() if sums is None else sums
    records: list[Record] = []
    first = int(state.step) // runner.steps_per_epoch
    for epoch in range(first, epochs):
        began = time.perf_counter()
        examples = int(jax.device_get(sums["examples"]))
        state, sums, stopped = run_epoch(runner, state, sums, epoch, epochs, hooks)
        host = jax.device_get(sums)
        _check_finite(host)
        if stopped:
            hooks.on_stop(state, sums)
            return state, records
        trained = time.perf_counter() - began
        evaluated = (epoch + 1) % eval_every == 0 or epoch + 1 == epochs
        results = {name: e.means(state) if evaluated else None for name, e in evaluators.items()}
        record = finished_record(programs, epoch, host, results)
        times = ((int(host["examples"]) - examples) / trained, time.perf_counter() - began)
        record |= dict(zip(TIMES, times, strict=True))
        records.append(record)
        sums = runner.zero_sums()
        hooks.on_epoch(record, state, sums)
    return state, records


def finished_record(programs: Programs, epoch: int, host_sums: dict[str, Any], results: dict[str, Any]) -> Record:
    """Returns the record of an epoch from its sums and what was evaluated after it, or raises `NonFiniteError`."""
    _check_finite(host_sums)
    step = (epoch + 1) * programs.runner.steps_per_epoch
    if any(result and not math.isfinite(result["loss"]) for result in results.values()):
        raise NonFiniteError(step, "evaluation loss")
    record: Record = {"epoch": epoch + 1, "step": step}
    means = _means(host_sums)
    record |= {f"train_{name}": means.pop(name) for name in ("loss", "accuracy", "top5")}
    for split, result in results.items():
        record |= {f"{split}_{name}": result and result[name] for name in programs.evaluators[split].names}
    if "skipped" in host_sums:
        record["skipped"] = int(host_sums["skipped"])
    return record | means


def run_epoch(
    runner: EpochRunner | StreamRunner, state: TrainState, sums: Sums, epoch: int, epochs: int, hooks: Hooks
) -> tuple[TrainState, Sums, bool]:
    """Returns state and sums at the end of the epoch, or where the hooks stopped it."""
    position, calls = runner.epoch(state)
    shown = time.perf_counter()
    running: collections.deque[jax.Array] = collections.deque()
    with contextlib.closing(calls):
        for steps, call in calls:
            if hooks.should_stop():
                return state, sums, True
            state, sums, done = call(state, sums)
            position += steps
            # Two programs in flight keep the device busy; more would let Python run ahead of what is shown.
            running.append(done)
            if len(running) > 2:
                running.popleft().block_until_ready()
            if time.perf_counter() - shown > hooks.seconds_between_progress:
                host = jax.device_get(sums)
                if jax.process_count() == 1:  # several stop together, at the end of the epoch
                    _check_finite(host)
                hooks.on_progress(
                    Progress(epoch + 1, epochs, position, runner.steps_per_epoch, int(host["examples"]), _means(host))
                )
                shown = time.perf_counter()
    return state, sums, False


def _means(host_sums: dict[str, Any]) -> dict[str, Any]:
    """Returns the means over the examples summed so far: numbers, and lists where a metric is a vector.

    A strategy's metric that is infinite is None: JSON has no such number.
    """
    examples = max(int(host_sums["examples"]), 1)
    sums = {name: value for name, value in host_sums.items() if name not in ("examples", "bad_step", "skipped")}
    means = {name: np.asarray(value, np.float64) / examples for name, value in sums.items()}
    return {name: mean.tolist() if np.isfinite(mean).all() else None for name, mean in means.items()}


def _check_finite(host_sums: dict[str, Any]) -> None:
    if host_sums["bad_step"] >= 0:
        raise NonFiniteError(int(host_sums["bad_step"]))
