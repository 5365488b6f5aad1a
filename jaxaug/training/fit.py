"""The training loop."""

import collections
import contextlib
import math
import time
import warnings
from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh

from jaxaug.checks import check_size
from jaxaug.data import Dataset
from jaxaug.training.evaluation import Evaluator, make_evaluators
from jaxaug.training.hooks import Hooks, Progress
from jaxaug.training.in_memory import device_split, in_memory_runner
from jaxaug.training.runner import NonFiniteError, Runner, check_finite, means
from jaxaug.training.sharding import data_mesh, device_put_global, replicated, shard_state
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep, TrainStep
from jaxaug.training.stream import ReadOptions, StreamRunner
from jaxaug.training.types import Engine, Record, Sampling, Totals


def fit(
    state: TrainState,
    train_step: TrainStep,
    eval_step: EvalStep,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    engine: Engine = "auto",
    sampling: Sampling = "shuffled",
    eval_batch_size: int = 500,
    eval_every: int = 1,
    totals: Totals | None = None,
    hooks: Hooks | None = None,
    shard_optimizer: bool = False,
    reading: ReadOptions | None = None,
    sums: Totals | None = None,
) -> tuple[TrainState, list[Record]]:
    """Trains a network, and returns its state and one record per epoch.

    A dataset in memory is kept on the device; shuffling, gathering, augmenting, selecting and training are one compiled
    program. A streamed dataset is decoded on the host, ahead of the step and in the same order. The order of epoch e
    and the draws of step t follow from the state's key alone, so a run resumed from any of its states ends
    bit-identical to a run that never stopped. `state` is donated: its buffers are reused.

    All devices of all processes take part, each with a share of every batch. Batch statistics, mixing partners and the
    memory of a strategy are global, so the number of devices does not change the result beyond float rounding. With
    several processes (`jax.distributed`), each calls `fit` with the same arguments.

    Args:
      state: of `init_state`, or a later one: training resumes at `state.step`.
      train_step: of `make_train_step`. A second call with the same steps and shapes compiles nothing, if the dataset
        is in memory.
      eval_step: of `make_eval_step`.
      dataset: of `jaxaug.data.load`.
      epochs: length of the whole run, counted from step 0.
      batch_size: at most the number of training examples; the last batch of an epoch may be smaller.
      engine: "scan" runs the steps of an epoch as `lax.scan`, "loop" calls the compiled step from Python, "auto"
        chooses the faster one.
      sampling: "shuffled" takes every example once per epoch, "class_balanced" every class equally often
        (`jaxaug.training.order.class_balanced_order`).
      eval_batch_size: at most this many examples in an inference batch.
      eval_every: epochs between evaluations; the last epoch is always evaluated.
      totals: of `Hooks.on_stop` or `Checkpoints.restore`, to resume inside an epoch.
      hooks: callbacks, for progress, records and stopping.
      shard_optimizer: keep only a part of the optimizer's state on each device.
      reading: threads that decode a streamed dataset, and how far ahead; None: one thread per core.
      sums: deprecated name of `totals`.

    Returns:
      The state, and the records of the epochs trained by this call: `epoch`, `step`, the means `train_*`,
      `validation_*` (if there is such a split) and `test_*` of loss, accuracy and top5 (None where not evaluated), the
      strategy's metrics, `examples_per_second` (of training) and `seconds` (evaluation included). If the training
      counts of the classes fall into more than one group of `jaxaug.training.shots`, also the mean of the class
      accuracies in each group: `test_many_shot`, `test_medium_shot`, `test_few_shot`, and the same of validation.

    Raises:
      ValueError: an option is out of range, the batch is larger than the training split, a streamed dataset is
        trained by "scan", or the totals are those of another step.
      NonFiniteError: a loss, an update or a metric of the strategy was NaN or infinite.

    Example:
      >>> import jax
      >>> from jaxaug import create_model, load, make_eval_step, make_train_step, never
      >>> from jaxaug.training import init_state, make_optimizer
      >>> data = load("iris")
      >>> model, optimizer = create_model("mlp", data.num_classes), make_optimizer(learning_rate=0.1)
      >>> state = init_state(
      ...     jax.random.key(0), model, optimizer, never(), shape=data.shape, num_examples=len(data.train.labels))
      >>> train_step, eval_step = make_train_step(model, optimizer, never()), make_eval_step(model)
      >>> state, records = fit(state, train_step, eval_step, data, epochs=20, batch_size=32)
      >>> records[-1]["train_accuracy"] > 0.95
      True
    """
    check_size("fit", "epochs", epochs, 1)
    check_size("fit", "eval_every", eval_every, 1)
    if sums is not None:
        warnings.warn("fit: sums is now called totals.", DeprecationWarning, stacklevel=2)
        totals = sums if totals is None else totals
    mesh, reading = data_mesh(), reading or ReadOptions()
    with jax.set_mesh(mesh):
        state = shard_state(state, shard_optimizer=shard_optimizer)
        runner = make_runner(
            train_step,
            state,
            dataset,
            batch_size=batch_size,
            engine=engine,
            sampling=sampling,
            mesh=mesh,
            reading=reading,
        )
        evaluators = make_evaluators(eval_step, dataset, eval_batch_size, mesh=mesh, reading=reading)
        if totals is not None:
            if totals.keys() != (expected := runner.zero_totals().keys()):
                raise ValueError(
                    f"fit takes the totals of an epoch of this train_step, {', '.join(sorted(expected))}; got "
                    f"{', '.join(sorted(totals))}. Leave totals out to count from here."
                )
            totals = device_put_global(totals, replicated(mesh))
        return train_epochs(
            state, runner, evaluators, epochs=epochs, eval_every=eval_every, totals=totals, hooks=hooks or Hooks()
        )


def make_runner(
    train_step: TrainStep,
    state: TrainState,
    dataset: Dataset,
    *,
    batch_size: int,
    engine: Engine,
    sampling: Sampling,
    mesh: Mesh,
    reading: ReadOptions,
) -> Runner:
    """Returns the runner of the training split, for a state on the devices of the mesh."""
    num_classes = dataset.num_classes
    if not dataset.streamed:
        data = device_split(dataset.train, mesh)
        return in_memory_runner(
            train_step,
            state,
            data,
            batch_size=batch_size,
            num_classes=num_classes,
            engine=engine,
            sampling=sampling,
            mesh=mesh,
        )
    if engine == "scan":
        raise ValueError(
            f'fit takes engine="auto" or "loop" for a dataset that is streamed from disk, as {dataset.name} is; got '
            '"scan". Load it without stream=True to scan over it in memory.'
        )
    return StreamRunner(
        train_step,
        state,
        dataset.train,
        batch_size=batch_size,
        num_classes=num_classes,
        sampling=sampling,
        mesh=mesh,
        reading=reading,
    )


def train_epochs(
    state: TrainState,
    runner: Runner,
    evaluators: Mapping[str, Evaluator],
    *,
    epochs: int,
    eval_every: int,
    totals: Totals | None = None,
    hooks: Hooks,
) -> tuple[TrainState, list[Record]]:
    """Trains up to `epochs` epochs, evaluating each split in turn, and returns the state and the records."""
    totals = runner.zero_totals() if totals is None else totals
    records: list[Record] = []
    for epoch in range(int(state.step) // runner.steps_per_epoch, epochs):
        start = time.perf_counter()
        examples_before = int(jax.device_get(totals["examples"]))
        state, totals, stopped = run_epoch(runner, state, totals, epoch, epochs, hooks)
        host_totals = jax.device_get(totals)
        check_finite(host_totals)
        if stopped:
            hooks.on_stop(state, totals)
            break
        train_seconds = time.perf_counter() - start
        due = (epoch + 1) % eval_every == 0 or epoch + 1 == epochs
        evaluations = {
            split: evaluator.means(state) if due else dict.fromkeys(evaluator.names)
            for split, evaluator in evaluators.items()
        }
        record = epoch_record(epoch, runner.steps_per_epoch, host_totals, evaluations)
        record["examples_per_second"] = (int(host_totals["examples"]) - examples_before) / train_seconds
        record["seconds"] = time.perf_counter() - start
        records.append(record)
        totals = runner.zero_totals()
        hooks.on_epoch(record, state, totals)
    return state, records


def run_epoch(
    runner: Runner, state: TrainState, totals: Totals, epoch: int, epochs: int, hooks: Hooks
) -> tuple[TrainState, Totals, bool]:
    """Trains to the end of the epoch, or until the hooks stop it; returns state, totals, and whether they did."""
    in_flight: collections.deque[jax.Array] = collections.deque()
    last_progress = time.perf_counter()
    with contextlib.closing(runner.programs(state)) as programs:
        for step, program, inputs in programs:
            if hooks.should_stop():
                return state, totals, True
            # All arguments of a compiled program are on the device. A transfer would be a mistake, and raises.
            with jax.transfer_guard("disallow" if program in runner.called else "allow"):
                state, totals = program(state, totals, *inputs)
            runner.called.add(program)
            # Two programs in flight keep the device busy; with more, Python would run ahead of the progress it shows.
            in_flight.append(totals["examples"])
            if len(in_flight) > 2:
                in_flight.popleft().block_until_ready()
            if time.perf_counter() - last_progress > hooks.seconds_between_progress:
                host_totals = jax.device_get(totals)
                if jax.process_count() == 1:  # several processes must stop together, at the end of the epoch
                    check_finite(host_totals)
                examples = int(host_totals["examples"])
                hooks.on_progress(
                    Progress(epoch + 1, epochs, step, runner.steps_per_epoch, examples, means(host_totals))
                )
                last_progress = time.perf_counter()
    return state, totals, False


def epoch_record(
    epoch: int, steps_per_epoch: int, host_totals: dict[str, Any], evaluations: Mapping[str, dict[str, Any]]
) -> Record:
    """Returns the record of an epoch without its times, or raises `NonFiniteError`."""
    check_finite(host_totals)
    step = (epoch + 1) * steps_per_epoch
    record: Record = {"epoch": epoch + 1, "step": step}
    averages = means(host_totals)
    record |= {f"train_{name}": averages.pop(name) for name in ("loss", "accuracy", "top5")}
    for split, evaluation in evaluations.items():
        if evaluation["loss"] is not None and not math.isfinite(evaluation["loss"]):
            raise NonFiniteError(step, f"The {split} loss")
        record |= {f"{split}_{name}": value for name, value in evaluation.items()}
    if "skipped" in host_totals:
        record["skipped"] = int(host_totals["skipped"])
    return record | averages
