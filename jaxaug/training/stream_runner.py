"""The compiled steps that take a state through an epoch of a dataset that is streamed from disk."""

from collections.abc import Generator
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_choice
from jaxaug.data import Split
from jaxaug.training.engine import (
    Call,
    Sampling,
    Sums,
    added,
    check_batch_size,
    compiled_program,
    sampled_order,
    zero_sums,
)
from jaxaug.training.sharding import replicated
from jaxaug.training.state import TrainState
from jaxaug.training.step import TrainStep
from jaxaug.training.stream import ReadOptions, stored_batch, streamed


class StreamRunner:
    """What `EpochRunner` is for a split in memory, with the same order of the same examples, for an encoded one.

    The sums count the examples that were `skipped`, since they could not be read.
    """

    def __init__(
        self,
        train_step: TrainStep,
        state: TrainState,
        split: Split,
        *,
        batch_size: int,
        num_classes: int,
        sampling: Sampling,
        mesh: Mesh,
        reading: ReadOptions,
    ):
        check_choice("fit", "sampling", sampling, get_args(Sampling))
        size = len(split.labels)
        check_batch_size(batch_size, size)
        self._split, self._mesh, self._reading, self._batch_size = split, mesh, reading, batch_size
        self.steps_per_epoch = -(-size // batch_size)

        def one_step(state: TrainState, sums: Sums, stored: dict[str, jax.Array]) -> tuple[TrainState, Sums]:
            step, skipped = state.step, sums["skipped"] + jnp.sum(stored["skipped"])
            state, metrics = train_step(state, stored_batch(stored, num_classes))
            return state, {**added(sums, metrics, step, len(stored["index"])), "skipped": skipped}

        def order(key: jax.Array, epoch: jax.Array) -> jax.Array:
            return sampled_order(sampling, key, epoch, jnp.asarray(split.labels), num_classes)

        self._order = jax.jit(order, out_shardings=replicated(mesh))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        # One for each size of a batch: the last of an epoch may be smaller.
        self._steps = {count: compiled_program(one_step, shardings) for count in (batch_size, size % batch_size)}
        forms = stored_forms(batch_size, split.images.shape[1:])
        self._metrics = jax.eval_shape(lambda s, b: train_step(s, stored_batch(b, num_classes))[1], state, forms)

    def epoch(self, state: TrainState) -> tuple[int, Generator[tuple[int, Call], None, None]]:
        """Returns how many steps of the state's epoch are done, and (1, call) for each of the others."""
        epoch, position = divmod(int(state.step), self.steps_per_epoch)
        order = np.asarray(jax.device_get(self._order(state.key, jnp.int32(epoch))))
        seed = (*np.ravel(jax.device_get(jax.random.key_data(state.key))).tolist(), epoch)

        def calls() -> Generator[tuple[int, Call], None, None]:
            batches = streamed(
                *self._split,
                order,
                batch_size=self._batch_size,
                seed=seed,
                start=position,
                reading=self._reading,
                mesh=self._mesh,
            )
            for batch in batches:
                step = self._steps[len(batch["index"])]
                yield 1, lambda state, sums, step=step, batch=batch: step(state, sums, batch)

        return position, calls()

    def zero_sums(self) -> Sums:
        """Returns the sums of an epoch that has not begun."""
        return {**zero_sums(self._metrics), "skipped": jnp.zeros((), jnp.int32)}


def stored_forms(size: int, shape: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the forms of a batch of a stream."""
    numbers = jax.ShapeDtypeStruct((size,), jnp.int32)
    return {
        "image": jax.ShapeDtypeStruct((size, *shape), jnp.uint8),
        "label": numbers,
        "index": numbers,
        "skipped": numbers,
    }
