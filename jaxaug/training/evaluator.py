"""How a split is evaluated: an evaluation step, averaged over every example exactly once."""

import copy
import dataclasses
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxaug.data import Split
from jaxaug.training.device_data import DeviceSplit, gathered_batch
from jaxaug.training.engine import Sums
from jaxaug.training.long_tail import SHOTS, accuracies_by_shots
from jaxaug.training.sharding import shard_batch
from jaxaug.training.state import TrainState
from jaxaug.training.step import Batch, EvalStep
from jaxaug.training.stream import ReadOptions, stored_batch, streamed


def _for_inference(state: TrainState) -> TrainState:
    """Returns the state without what only training needs, so that other strategies take the same program."""
    return dataclasses.replace(state, opt_state=(), strategy_state=(), score_state=())


class _Averages:
    """The sums of an evaluation step over the examples of a split, and the means made of them.

    Where `groups` has the `shots` of the classes, the accuracy of every class is taken too.
    """

    def __init__(self, eval_step: EvalStep, *, num_classes: int, groups: tuple[str, ...]):
        self._eval_step, self._num_classes, self._groups = eval_step, num_classes, groups
        self.names = ["loss", "accuracy", "top5", *(f"{shot}_shot" for shot in SHOTS if shot in groups)]

    def zero_sums(self) -> Sums:
        """Returns the sums before the first batch."""
        sums = {name: jnp.zeros((), jnp.float32) for name in ("loss", "accuracy", "top5")}
        if self._groups:
            sums |= {name: jnp.zeros(self._num_classes, jnp.float32) for name in ("hits", "members")}
        return {**sums, "batch": jnp.zeros((), jnp.int32), "examples": jnp.zeros((), jnp.int32)}

    def advanced(self, sums: Sums, state: TrainState, batch: Batch, counted: jax.Array) -> Sums:
        """Returns the sums with the examples of a batch added that count."""
        metrics = self._eval_step(state, batch)
        added = {name: sums[name] + jnp.sum(jnp.where(counted, value, 0.0)) for name, value in metrics.items()}
        if self._groups:
            # Products with the labels, not scatters, whose order of additions a GPU leaves open.
            each = {"hits": metrics["accuracy"], "members": jnp.ones_like(metrics["accuracy"])}
            added |= {name: sums[name] + jnp.where(counted, x, 0.0) @ batch["label"] for name, x in each.items()}
        examples = sums["examples"] + jnp.sum(counted, dtype=jnp.int32)
        return {**added, "batch": sums["batch"] + 1, "examples": examples}

    def means(self, host: dict[str, Any]) -> dict[str, Any]:
        """Returns loss, accuracy and top5, and the accuracies of the groups of classes."""
        means = {name: float(host[name]) / max(int(host["examples"]), 1) for name in ("loss", "accuracy", "top5")}
        return means | (accuracies_by_shots(host["hits"], host["members"], self._groups) if self._groups else {})


class Evaluator:
    """The compiled programs that average an evaluation step over every example of one split, exactly once each."""

    def __init__(
        self,
        eval_step: EvalStep,
        data: DeviceSplit,
        *,
        batch_size: int,
        num_classes: int,
        groups: tuple[str, ...] = (),
    ):
        self.data, self._averages = data, _Averages(eval_step, num_classes=num_classes, groups=groups)
        self.batches = math.ceil(data.size / batch_size)
        # Batches of one size, so that one program serves all: the surplus of the last is masked out.
        size = math.ceil(data.size / self.batches)
        self.names = self._averages.names

        def one_batch(sums: Sums, state: TrainState, data: DeviceSplit) -> Sums:
            position = sums["batch"] * size + jnp.arange(size, dtype=jnp.int32)
            batch = shard_batch(gathered_batch(data, jnp.minimum(position, data.size - 1), num_classes))
            return self._averages.advanced(sums, state, batch, position < data.size)

        self._one_batch = jax.jit(one_batch, donate_argnums=(0,))
        self._one_batch_of_all = jax.jit(jax.vmap(one_batch, (0, 0, None)), donate_argnums=(0,))

    def with_data(self, data: DeviceSplit) -> "Evaluator":
        """Returns an evaluator of the same programs on another split of the same shapes."""
        other = copy.copy(self)
        other.data = data
        return other

    def means(self, state: TrainState) -> dict[str, Any]:
        """Returns loss, accuracy and top5 over the split, and the accuracies of the groups of classes."""
        sums, state = self._averages.zero_sums(), _for_inference(state)
        for _ in range(self.batches):
            sums = self._one_batch(sums, state, self.data)
        return self._averages.means(jax.device_get(sums))

    def population_means(self, states: TrainState) -> list[dict[str, Any]]:
        """Returns the `means` of every member, of states with a leading axis of members."""
        members, states = len(states.step), _for_inference(states)
        sums = jax.tree.map(lambda x: jnp.stack([x] * members), self._averages.zero_sums())
        for _ in range(self.batches):
            sums = self._one_batch_of_all(sums, states, self.data)
        host = jax.device_get(sums)
        return [self._averages.means(jax.tree.map(operator.itemgetter(member), host)) for member in range(members)]


class StreamEvaluator:
    """What `Evaluator` is for a split in memory, for one that is streamed; an image that is skipped does not count."""

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
        self._split, self._averages = split, _Averages(eval_step, num_classes=num_classes, groups=groups)
        self._mesh, self._reading = mesh, reading
        count = len(split.labels)
        self._size = math.ceil(count / math.ceil(count / batch_size))
        # Batches of one size here too.
        self._order = np.minimum(np.arange(math.ceil(count / self._size) * self._size), count - 1)
        self.names = self._averages.names

        def one_batch(sums: Sums, state: TrainState, stored: dict[str, jax.Array]) -> Sums:
            batch = stored_batch(stored, num_classes)
            position = sums["batch"] * self._size + jnp.arange(self._size, dtype=jnp.int32)
            return self._averages.advanced(sums, state, batch, (position < count) & (stored["skipped"] == 0))

        self._one_batch = jax.jit(one_batch, donate_argnums=(0,))

    def means(self, state: TrainState) -> dict[str, Any]:
        """Returns loss, accuracy and top5 over the split, and the accuracies of the groups of classes."""
        sums, state = self._averages.zero_sums(), _for_inference(state)
        batches = streamed(
            *self._split,
            self._order,
            batch_size=self._size,
            seed=(0,),
            start=0,
            reading=self._reading,
            mesh=self._mesh,
        )
        for stored in batches:
            sums = self._one_batch(sums, state, stored)
        return self._averages.means(jax.device_get(sums))
