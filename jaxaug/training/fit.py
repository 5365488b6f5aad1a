"""The training loop."""

import collections
import math
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxaug.checks import check_size
from jaxaug.data import Dataset
from jaxaug.training.device_data import device_split
from jaxaug.training.engine import Engine, EpochRunner, Evaluator, Sampling, Sums
from jaxaug.training.long_tail import SHOTS, shots
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep, TrainStep

Record = dict[str, Any]


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
    sums: Sums | None = None,
    hooks: Hooks | None = None,
) -> tuple[TrainState, list[Record]]:
    """The state after training up to `epochs` epochs, and one record per epoch.

    The dataset lives on the device; shuffling, gathering, augmenting, selecting and training are one compiled
    program. The order of epoch e and the draws of step t follow from the state's key alone, so a run continued from
    any of its states ends bit for bit as one that never stopped. `state` is given away (its buffers are reused).

    Args:
      state: of `init_state`, or a later one: training goes on from `state.step`.
      train_step: of `make_train_step`.
      eval_step: of `make_eval_step`.
      dataset: of `jaxaug.data.load`.
      epochs: length of the whole run, counted from step 0.
      batch_size: at most the training examples; the last batch of an epoch may be smaller.
      engine: "scan" runs an epoch as `lax.scan`, "loop" calls the compiled step from Python, "auto" decides.
      sampling: what an epoch of N draws is made of: "shuffled", every example once, or "class_balanced", every class
        equally often (`jaxaug.training.long_tail.class_balanced_order`).
      eval_batch_size: examples in one inference batch.
      eval_every: epochs between evaluations; the last epoch is always evaluated.
      sums: of `Hooks.on_stop`, to go on inside an epoch.
      hooks: progress, records, stopping.

    Returns:
      The state, and the records of the epochs trained here: `epoch`, `step`, `train_*`, `validation_*` (where there
      is such a split) and `test_*` means of loss, accuracy and top5 (None where not evaluated), the strategy's
      metrics, `examples_per_second` (of training) and `seconds` (evaluation included). Where the training counts of
      the classes fall into more than one of the groups of `jaxaug.training.shots`, also the mean of the class
      accuracies in each: `test_many_shot`, `test_medium_shot`, `test_few_shot`, and so for validation.

    Raises:
      ValueError: the batch is larger than the training split.
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
    for name, value in (("epochs", epochs), ("eval_batch_size", eval_batch_size), ("eval_every", eval_every)):
        check_size("fit", name, value, 1)
    hooks = hooks or Hooks()
    num_classes = dataset.num_classes
    runner = EpochRunner(
        train_step,
        state,
        device_split(dataset.train),
        batch_size=batch_size,
        num_classes=num_classes,
        engine=engine,
        sampling=sampling,
    )
    groups = shots(np.bincount(dataset.train.labels, minlength=num_classes))
    named = [f"{shot}_shot" for shot in SHOTS if shot in groups] if len(set(groups)) > 1 else []
    evaluators = {
        name: Evaluator(
            eval_step,
            device_split(split),
            batch_size=eval_batch_size,
            num_classes=num_classes,
            groups=groups if named else (),
        )
        for name, split in (("validation", dataset.validation), ("test", dataset.test))
        if split is not None
    }
    sums = runner.zero_sums() if sums is None else sums

    records: list[Record] = []
    first = int(state.step) // runner.steps_per_epoch
    for epoch in range(first, epochs):
        began = time.perf_counter()
        examples = int(jax.device_get(sums["examples"]))
        state, sums, stopped = _trained_epoch(runner, state, sums, epoch, epochs, hooks)
        host = jax.device_get(sums)
        _check_finite(host)
        if stopped:
            hooks.on_stop(state, sums)
            return state, records
        trained = time.perf_counter() - began
        evaluated = (epoch + 1) % eval_every == 0 or epoch + 1 == epochs
        results = {name: e.means(state) if evaluated else None for name, e in evaluators.items()}
        if any(result and not math.isfinite(result["loss"]) for result in results.values()):
            raise NonFiniteError((epoch + 1) * runner.steps_per_epoch, "evaluation loss")
        record: Record = {"epoch": epoch + 1, "step": (epoch + 1) * runner.steps_per_epoch}
        means = _means(host)
        record |= {f"train_{name}": means.pop(name) for name in ("loss", "accuracy", "top5")}
        for split, result in results.items():
            record |= {f"{split}_{name}": result and result[name] for name in ("loss", "accuracy", "top5", *named)}
        record |= means
        record["examples_per_second"] = (int(host["examples"]) - examples) / trained
        record["seconds"] = time.perf_counter() - began
        records.append(record)
        sums = runner.zero_sums()
        hooks.on_epoch(record, state, sums)
    return state, records


def _trained_epoch(
    runner: EpochRunner, state: TrainState, sums: Sums, epoch: int, epochs: int, hooks: Hooks
) -> tuple[TrainState, Sums, bool]:
    """Returns state and sums at the end of the epoch, or where the hooks stopped it."""
    order, start = runner.epoch_start(state)
    position = int(jax.device_get(start))
    shown = time.perf_counter()
    running: collections.deque[jax.Array] = collections.deque()
    for steps, program in runner.programs(position):
        if hooks.should_stop():
            return state, sums, True
        state, sums, done = program(state, sums, runner.data, order)
        position += steps
        # Two programs in flight keep the device busy; more would let Python run ahead of what is shown.
        running.append(done)
        if len(running) > 2:
            running.popleft().block_until_ready()
        if time.perf_counter() - shown > hooks.seconds_between_progress:
            host = jax.device_get(sums)
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
    sums = {name: value for name, value in host_sums.items() if name not in ("examples", "bad_step")}
    means = {name: np.asarray(value, np.float64) / examples for name, value in sums.items()}
    return {name: mean.tolist() if np.isfinite(mean).all() else None for name, mean in means.items()}


def _check_finite(host_sums: dict[str, Any]) -> None:
    if host_sums["bad_step"] >= 0:
        raise NonFiniteError(int(host_sums["bad_step"]))
