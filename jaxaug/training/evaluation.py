"""Evaluation of a split: an evaluation step, averaged over every example exactly once."""

import copy
import dataclasses
import math
import operator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_size
from jaxaug.data import Dataset, Split
from jaxaug.training.in_memory import DeviceSplit, device_split, gathered_batch
from jaxaug.training.long_tail import SHOTS, accuracies_by_shots, shots
from jaxaug.training.program_cache import abstract, cached, signature
from jaxaug.training.runner import make_batch
from jaxaug.training.sharding import shard_batch
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep
from jaxaug.training.stream import ReadOptions, read_batches
from jaxaug.training.types import Batch, Totals

_METRICS = ("loss", "accuracy", "top5")


@runtime_checkable
class Evaluator(Protocol):
    """Averages an evaluation step over one split."""

    names: list[str]  # of the means

    def means(self, state: TrainState) -> dict[str, Any]:
        """Returns loss, accuracy and top5 over the split, and the accuracy of each group of `shots`, if any."""
        ...


def make_evaluators(
    eval_step: EvalStep, dataset: Dataset, eval_batch_size: int, *, mesh: Mesh, reading: ReadOptions
) -> dict[str, Evaluator]:
    """Returns the evaluator of each split but the training split."""
    if not dataset.streamed:
        return {**in_memory_evaluators(eval_step, dataset, eval_batch_size, mesh)}
    options = _options(dataset, eval_batch_size)
    return {
        name: StreamEvaluator(eval_step, split, mesh=mesh, reading=reading, **options)
        for name, split in _held_out(dataset).items()
    }


def in_memory_evaluators(
    eval_step: EvalStep, dataset: Dataset, eval_batch_size: int = 500, mesh: Mesh | None = None
) -> dict[str, "InMemoryEvaluator"]:
    """The evaluator of each split except the training split, for a dataset in memory.

    Args:
      eval_step: of `make_eval_step`.
      dataset: in memory.
      eval_batch_size: at most this many examples in a batch.
      mesh: of `data_mesh`, to be called under; None for the default device.

    Returns:
      The evaluators by the names of their splits. `means(state)` returns loss, accuracy and top5.

    Example:
      >>> import jax, optax
      >>> from jaxaug import create_model, load, make_eval_step, never
      >>> from jaxaug.training import init_state
      >>> data = load("iris")
      >>> model = create_model("mlp", data.num_classes)
      >>> state = init_state(jax.random.key(0), model, optax.sgd(0.1), never(), shape=data.shape, num_examples=120)
      >>> sorted(in_memory_evaluators(make_eval_step(model), data)["test"].means(state))
      ['accuracy', 'loss', 'top5']
    """
    options, evaluators = _options(dataset, eval_batch_size), {}
    for name, split in _held_out(dataset).items():
        data = device_split(split, mesh)
        key = (InMemoryEvaluator, signature(data), *sorted(options.items()))
        evaluator = cached(eval_step, key, lambda data=data: InMemoryEvaluator(eval_step, abstract(data), **options))
        evaluators[name] = evaluator.with_data(data)
    return evaluators


def _held_out(dataset: Dataset) -> dict[str, Split]:
    return {name: split for name, split in dataset.splits.items() if name != "train"}


def _options(dataset: Dataset, eval_batch_size: int) -> dict[str, Any]:
    """Returns the options of the evaluator of any split."""
    check_size("fit", "eval_batch_size", eval_batch_size, 1)
    groups = shots(np.bincount(dataset.train.labels, minlength=dataset.num_classes))
    return {
        "batch_size": eval_batch_size,
        "num_classes": dataset.num_classes,
        "groups": groups if len(set(groups)) > 1 else (),
    }


class InMemoryEvaluator:
    """The `Evaluator` of a split in memory.

    Args:
      eval_step: of `make_eval_step`.
      data: the split, or its shapes: see `with_data`.
      batch_size: at most this many examples in a batch.
      num_classes: K.
      groups: `shots` of the classes, or () to leave out the accuracies of the groups.
    """

    def __init__(
        self,
        eval_step: EvalStep,
        data: DeviceSplit,
        *,
        batch_size: int,
        num_classes: int,
        groups: tuple[str, ...] = (),
    ):
        self.data, self._totals = data, _EvaluationTotals(eval_step, num_classes=num_classes, groups=groups)
        self.names, accumulate = self._totals.names, self._totals.accumulate
        self.batches, size = _equal_batches(data.size, batch_size)

        def one_batch(totals: Totals, state: TrainState, data: DeviceSplit) -> Totals:
            position = totals["batch"] * size + jnp.arange(size, dtype=jnp.int32)
            batch = shard_batch(gathered_batch(data, jnp.minimum(position, data.size - 1), num_classes))
            return accumulate(totals, state, batch, position < data.size)

        self._one_batch = jax.jit(one_batch, donate_argnums=(0,))
        self._one_batch_of_members = jax.jit(jax.vmap(one_batch, (0, 0, None)), donate_argnums=(0,))

    def with_data(self, data: DeviceSplit) -> "InMemoryEvaluator":
        """Returns an evaluator with the same programs, for another split of the same shapes."""
        other = copy.copy(self)
        other.data = data
        return other

    def means(self, state: TrainState) -> dict[str, Any]:
        """Returns loss, accuracy and top5 over the split, and the accuracy of each group of `shots`, if any."""
        totals, state = self._totals.zero(), _for_inference(state)
        for _ in range(self.batches):
            totals = self._one_batch(totals, state, self.data)
        return self._totals.means(jax.device_get(totals))

    def population_means(self, states: TrainState) -> list[dict[str, Any]]:
        """Returns the `means` of each member, for states with a leading axis of members."""
        members, states = len(states.step), _for_inference(states)
        totals = jax.tree.map(lambda x: jnp.stack([x] * members), self._totals.zero())
        for _ in range(self.batches):
            totals = self._one_batch_of_members(totals, states, self.data)
        host = jax.device_get(totals)
        return [self._totals.means(jax.tree.map(operator.itemgetter(member), host)) for member in range(members)]


class StreamEvaluator:
    """The `Evaluator` of a split that is streamed from disk. An image that cannot be read does not count."""

    def __init__(
        self,
        eval_step: EvalStep,
        split: Split,
        *,
        batch_size: int,
        num_classes: int,
        mesh: Mesh,
        reading: ReadOptions,
        groups: tuple[str, ...] = (),
    ):
        self._split, self._mesh, self._reading = split, mesh, reading
        self._totals = _EvaluationTotals(eval_step, num_classes=num_classes, groups=groups)
        self.names, accumulate = self._totals.names, self._totals.accumulate
        count = len(split.labels)
        batches, self._size = _equal_batches(count, batch_size)
        self._order = np.minimum(np.arange(batches * self._size), count - 1)
        size = self._size

        def one_batch(totals: Totals, state: TrainState, stored: dict[str, jax.Array]) -> Totals:
            batch = make_batch(stored["image"], stored["label"], stored["index"], num_classes)
            position = totals["batch"] * size + jnp.arange(size, dtype=jnp.int32)
            return accumulate(totals, state, batch, (position < count) & (stored["skipped"] == 0))

        self._one_batch = jax.jit(one_batch, donate_argnums=(0,))

    def means(self, state: TrainState) -> dict[str, Any]:
        """Returns loss, accuracy and top5 over the split, and the accuracy of each group of `shots`, if any."""
        totals, state = self._totals.zero(), _for_inference(state)
        batches = read_batches(
            *self._split,
            self._order,
            batch_size=self._size,
            seed=(0,),
            start=0,
            reading=self._reading,
            mesh=self._mesh,
        )
        for stored in batches:
            totals = self._one_batch(totals, state, stored)
        return self._totals.means(jax.device_get(totals))


class _EvaluationTotals:
    """The sums of an evaluation step over the examples of a split, and the means computed from them."""

    def __init__(self, eval_step: EvalStep, *, num_classes: int, groups: tuple[str, ...]):
        self._eval_step, self._num_classes, self._groups = eval_step, num_classes, groups
        self.names = [*_METRICS, *(f"{shot}_shot" for shot in SHOTS if shot in groups)]

    def zero(self) -> Totals:
        """Returns the totals before the first batch."""
        totals = {name: jnp.zeros((), jnp.float32) for name in _METRICS}
        if self._groups:
            totals |= {name: jnp.zeros(self._num_classes, jnp.float32) for name in ("hits", "members")}
        return {**totals, "batch": jnp.zeros((), jnp.int32), "examples": jnp.zeros((), jnp.int32)}

    def accumulate(self, totals: Totals, state: TrainState, batch: Batch, counted: jax.Array) -> Totals:
        """Returns the totals after one more batch, of which only the examples in the mask `counted` count."""
        metrics = self._eval_step(state, batch)
        sums = {name: totals[name] + jnp.sum(jnp.where(counted, value, 0.0)) for name, value in metrics.items()}
        if self._groups:
            # Products with the labels rather than scatters: a GPU adds scattered values in any order.
            each = {"hits": metrics["accuracy"], "members": jnp.ones_like(metrics["accuracy"])}
            sums |= {name: totals[name] + jnp.where(counted, x, 0.0) @ batch["label"] for name, x in each.items()}
        examples = totals["examples"] + jnp.sum(counted, dtype=jnp.int32)
        return {**sums, "batch": totals["batch"] + 1, "examples": examples}

    def means(self, host: dict[str, Any]) -> dict[str, Any]:
        """Returns loss, accuracy and top5, and the accuracies of the groups of classes."""
        averages = {name: float(host[name]) / max(int(host["examples"]), 1) for name in _METRICS}
        return averages | (accuracies_by_shots(host["hits"], host["members"], self._groups) if self._groups else {})


def _for_inference(state: TrainState) -> TrainState:
    """Returns the state without the parts that only training needs, so that all strategies share one program."""
    return dataclasses.replace(state, opt_state=(), strategy_state=(), score_state=())


def _equal_batches(examples: int, most: int) -> tuple[int, int]:
    """Returns the number of batches and their size, at most `most`.

    All have one size, so that one program runs them all; the surplus examples of the last one are masked.
    """
    batches = math.ceil(examples / most)
    return batches, math.ceil(examples / batches)
