"""A split that is decoded from disk: its batches, read ahead by grain's threads, and the runner that trains on them."""

import contextlib
import dataclasses
from collections.abc import Generator
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_choice, check_size
from jaxaug.data import Split
from jaxaug.data.encoded import EncodedImages
from jaxaug.training.order import sampled_order
from jaxaug.training.runner import (
    Program,
    accumulate,
    check_batch_size,
    compile_program,
    make_batch,
    zero_totals,
)
from jaxaug.training.sharding import batch_sharding, cpu_count, replicated
from jaxaug.training.state import TrainState
from jaxaug.training.step import TrainStep
from jaxaug.training.types import Batch, Sampling, Totals

StoredBatch = dict[str, jax.Array]  # "image" uint8, "label", "index", and "skipped": how many could not be read


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How many threads decode the batches of a stream, and how far ahead.

    Args:
      threads: how many, each working on a batch of its own; None: one per core. Decoding releases Python's lock.
      ahead: how many decoded batches may wait, in addition to those being decoded.
    """

    threads: int | None = None
    ahead: int = 2

    def __post_init__(self):
        check_size("ReadOptions", "ahead", self.ahead, 1)
        if self.threads is not None:
            check_size("ReadOptions", "threads", self.threads, 1)


class StreamRunner:
    """The `Runner` of a split that is streamed from disk; it trains on the same batches as `InMemoryRunner`.

    Its totals also count the examples that were "skipped" because they could not be read.

    Args:
      train_step: of `make_train_step`.
      state: a state of the run, on the devices of the mesh.
      split: the training split.
      batch_size: at most the number of examples.
      num_classes: K.
      sampling: see `fit`.
      mesh: the devices to train on.
      reading: threads and batches ahead.
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

        def batch_of(stored: StoredBatch) -> Batch:
            return make_batch(stored["image"], stored["label"], stored["index"], num_classes)

        def one_step(state: TrainState, totals: Totals, stored: StoredBatch) -> tuple[TrainState, Totals]:
            after, metrics = train_step(state, batch_of(stored))
            skipped = totals["skipped"] + jnp.sum(stored["skipped"])
            return after, {**accumulate(totals, metrics, state.step, len(stored["index"])), "skipped": skipped}

        def order(key: jax.Array, epoch: jax.Array) -> jax.Array:
            return sampled_order(sampling, key, epoch, jnp.asarray(split.labels), num_classes)

        self._order = jax.jit(order, out_shardings=replicated(mesh))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        # One program for each size of a batch: the last batch of an epoch may be smaller.
        sizes = {batch_size, size % batch_size or batch_size}
        self._programs: dict[int, Program] = {count: compile_program(one_step, shardings) for count in sizes}
        self.called: set[Program] = set()
        stored = _abstract_stored_batch(batch_size, split.images.shape[1:])
        self._metrics = jax.eval_shape(lambda state, stored: train_step(state, batch_of(stored))[1], state, stored)

    def zero_totals(self) -> Totals:
        """Returns the totals before the first step of an epoch."""
        return {**zero_totals(self._metrics), "skipped": jnp.zeros((), jnp.int32)}

    def programs(self, state: TrainState) -> Generator[tuple[int, Program, tuple[Any, ...]], None, None]:
        """Yields (step, program, inputs) for the rest of the state's epoch; `step` are done after the program."""
        epoch, position = divmod(int(state.step), self.steps_per_epoch)
        batches = read_batches(
            *self._split,
            np.asarray(jax.device_get(self._order(state.key, jnp.int32(epoch)))),
            batch_size=self._batch_size,
            seed=(*np.ravel(jax.device_get(jax.random.key_data(state.key))).tolist(), epoch),
            start=position,
            reading=self._reading,
            mesh=self._mesh,
        )
        with contextlib.closing(batches):
            for step, stored in enumerate(batches, start=position + 1):
                yield step, self._programs[len(stored["index"])], (stored,)


def read_batches(
    images: EncodedImages,
    labels: np.ndarray,
    order: np.ndarray,
    *,
    batch_size: int,
    seed: tuple[int, ...],
    start: int,
    reading: ReadOptions,
    mesh: Mesh,
) -> Generator[StoredBatch, None, None]:
    """Yields the batches of an epoch on the devices, from batch `start` on.

    A batch depends on its number alone, so an epoch can be resumed at any of them.
    """
    import grain  # here, so that importing jaxaug does not import it

    sizes = {min(batch_size, len(order)), len(order) % batch_size or batch_size}
    rows = {size: _local_rows(mesh, size) for size in sizes}
    source = BatchSource(images, labels, order, batch_size, rows, seed)
    threads = reading.threads or cpu_count()
    batches: Any = grain.MapDataset.source(source)[start:].to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + reading.ahead)
    )
    batches = batches.map(lambda batch: _global_batch(batch, mesh, rows))
    batches = grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=2)
    iterator = iter(batches)
    try:
        yield from iterator
    finally:
        iterator.close()


@dataclasses.dataclass(frozen=True, eq=False)
class BatchSource:
    """The batches of an epoch by their numbers, as grain reads them. Each process decodes the rows of its own devices.

    Args:
      images: encoded.
      labels: int32 `[N]`.
      order: int `[M]`, the examples in the order of the epoch; batches are consecutive parts, the last may be smaller.
      batch_size: B.
      rows: the rows of a batch that this process decodes, by the size of the batch.
      seed: of the random boxes of this epoch.
    """

    images: EncodedImages
    labels: np.ndarray
    order: np.ndarray
    batch_size: int
    rows: dict[int, np.ndarray]
    seed: tuple[int, ...]

    def __len__(self) -> int:
        return -(-len(self.order) // self.batch_size)

    def __getitem__(self, index: Any) -> dict[str, np.ndarray]:
        places = self.order[int(index) * self.batch_size :][: self.batch_size]
        decoded = self.images.decoded(places[self.rows[len(places)]].tolist(), self.seed)
        taken = np.array([each.place for each in decoded], np.int32)
        return {
            "image": np.stack([each.image for each in decoded]),
            "label": self.labels[taken],
            "index": taken,
            "skipped": np.array([each.skipped for each in decoded], np.int32),
            "size": np.array(len(places)),
        }


def _local_rows(mesh: Mesh, size: int) -> np.ndarray:
    """Returns the rows of a batch that belong to this process's devices, ascending."""
    places = batch_sharding(mesh, size).addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[place] for place in places if place is not None]))


def _global_batch(batch: dict[str, np.ndarray], mesh: Mesh, rows: dict[int, np.ndarray]) -> StoredBatch:
    """Returns the batch on the devices of all processes, of which this one contributes its rows."""
    size = int(batch["size"])
    sharding, own = batch_sharding(mesh, size), rows[size]

    def array(local: np.ndarray) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(size)
            first = int(np.searchsorted(own, start))
            return local[first : first + stop - start]

        return jax.make_array_from_callback((size, *local.shape[1:]), sharding, part)

    return {name: array(local) for name, local in batch.items() if name != "size"}


def _abstract_stored_batch(size: int, shape: tuple[int, ...]) -> dict[str, jax.ShapeDtypeStruct]:
    numbers = jax.ShapeDtypeStruct((size,), jnp.int32)
    image = jax.ShapeDtypeStruct((size, *shape), jnp.uint8)
    return {"image": image, "label": numbers, "index": numbers, "skipped": numbers}
