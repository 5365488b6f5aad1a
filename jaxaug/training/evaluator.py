"""How a split is evaluated: an evaluation step, averaged over every example exactly once."""

import dataclasses
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.training.device_data import DeviceSplit, gathered_batch
from jaxaug.training.engine import Sums
from jaxaug.training.long_tail import SHOTS, accuracies_by_shots
from jaxaug.training.mesh import shared_out
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep


def _for_inference(state: TrainState) -> TrainState:
    """Returns the state without what only training needs, so that other strategies take the same program."""
    return dataclasses.replace(state, opt_state=(), strategy_state=(), score_state=())


class Evaluator:
    """The compiled programs that average an evaluation step over every example of one split, exactly once each.

    Where `groups` has the `shots` of the classes, the accuracy of every class is taken too.
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
        self.data, self._groups = data, groups
        self._class_sizes = np.bincount(jax.device_get(data.labels), minlength=num_classes)
        self.batches = math.ceil(data.size / batch_size)
        # Batches of one size, so that one program serves all: the surplus of the last is masked out.
        size = math.ceil(data.size / self.batches)

        def one_batch(sums: Sums, state: TrainState, data: DeviceSplit) -> Sums:
            position = sums["batch"] * size + jnp.arange(size, dtype=jnp.int32)
            batch = shared_out(gathered_batch(data, jnp.minimum(position, data.size - 1), num_classes))
            counted = position < data.size
            metrics = eval_step(state, batch)
            added = {name: sums[name] + jnp.sum(jnp.where(counted, value, 0.0)) for name, value in metrics.items()}
            if groups:
                hits = jnp.where(counted, metrics["accuracy"], 0.0)
                # A product with the labels, not a scatter, whose order of additions a GPU leaves open.
                added["hits"] = sums["hits"] + hits @ batch["label"]
            return {**added, "batch": sums["batch"] + 1}

        def zero_sums() -> Sums:
            sums = {name: jnp.zeros((), jnp.float32) for name in ("loss", "accuracy", "top5")}
            if groups:
                sums["hits"] = jnp.zeros(num_classes, jnp.float32)
            return {**sums, "batch": jnp.zeros((), jnp.int32)}

        self._one_batch = jax.jit(one_batch, donate_argnums=(0,))
        self._one_batch_of_all = jax.jit(jax.vmap(one_batch, (0, 0, None)), donate_argnums=(0,))
        self._zero_sums = zero_sums
        self.names = ["loss", "accuracy", "top5", *(f"{shot}_shot" for shot in SHOTS if shot in groups)]

    def means(self, state: TrainState) -> dict[str, Any]:
        """Returns loss, accuracy and top5 over the split, and the accuracies of the groups of classes."""
        sums, state = self._zero_sums(), _for_inference(state)
        for _ in range(self.batches):
            sums = self._one_batch(sums, state, self.data)
        return self._means(jax.device_get(sums))

    def population_means(self, states: TrainState) -> list[dict[str, Any]]:
        """Returns the `means` of every member, of states with a leading axis of members."""
        members, states = len(states.step), _for_inference(states)
        sums = jax.tree.map(lambda x: jnp.stack([x] * members), self._zero_sums())
        for _ in range(self.batches):
            sums = self._one_batch_of_all(sums, states, self.data)
        host = jax.device_get(sums)
        return [self._means(jax.tree.map(operator.itemgetter(member), host)) for member in range(members)]

    def _means(self, host: dict[str, Any]) -> dict[str, Any]:
        means = {name: float(host[name]) / self.data.size for name in ("loss", "accuracy", "top5")}
        return means | (accuracies_by_shots(host["hits"], self._class_sizes, self._groups) if self._groups else {})
