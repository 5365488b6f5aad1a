"""Batches of encoded images, read and decoded ahead of the step that takes them, by grain's threads."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxaug.checks import check_size
from jaxaug.data.encoded import EncodedImages
from jaxaug.training.cores import cpu_count
from jaxaug.training.device_data import as_batch
from jaxaug.training.sharding import batch_sharding
from jaxaug.training.step import Batch

HostBatch = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """Who reads and decodes the batches of a stream, and how far ahead.

    Args:
      threads: how many, each at a batch of its own; None: one per core. Decoding does not hold Python's lock.
      ahead: decoded batches that wait, beside those that are being decoded.
    """

    threads: int | None = None
    ahead: int = 2

    def __post_init__(self):
        check_size("ReadOptions", "ahead", self.ahead, 1)
        if self.threads is not None:
            check_size("ReadOptions", "threads", self.threads, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class BatchSource:
    """The batches of an epoch by their numbers, of which this process decodes the rows for its own devices.

    Args:
      images: encoded.
      labels: int32 `[N]`.
      order: int `[M]`, the examples in their order; batches are consecutive parts of it, the last may be smaller.
      batch_size: B.
      rows: the rows of a batch that this process has, by the size of the batch.
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

    def __getitem__(self, index: Any) -> HostBatch:
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


def streamed(
    images: EncodedImages,
    labels: np.ndarray,
    order: np.ndarray,
    *,
    batch_size: int,
    seed: tuple[int, ...],
    start: int,
    reading: ReadOptions,
    mesh: Mesh,
) -> Iterator[dict[str, jax.Array]]:
    """Yields the batches of an epoch on the devices, from number `start` on: image, label, index and skipped.

    Batch k is a function of its number alone, so that an epoch goes on exactly wherever it was left.
    """
    # Here, so that jaxaug is imported without it.
    import grain

    sizes = {min(batch_size, len(order)), len(order) % batch_size or batch_size}
    rows = {size: _local_rows(mesh, size) for size in sizes}
    source = BatchSource(images, labels, order, batch_size, rows, seed)
    threads = reading.threads or cpu_count()
    batches: Any = grain.MapDataset.source(source)[start:].to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads + reading.ahead)
    )
    batches = batches.map(lambda batch: _on_devices(batch, mesh, rows))
    batches = grain.experimental.ThreadPrefetchIterDataset(batches, prefetch_buffer_size=2)
    iterator = iter(batches)
    try:
        yield from iterator
    finally:
        iterator.close()


def stored_batch(stored: dict[str, Any], num_classes: int) -> Batch:
    """Returns the batch that a step takes, of one that was streamed."""
    return as_batch(stored["image"], stored["label"], stored["index"], num_classes)


def _local_rows(mesh: Mesh, size: int) -> np.ndarray:
    """Returns the rows of a batch that lie on this process's devices, ascending."""
    places = batch_sharding(mesh, size).addressable_devices_indices_map((size,)).values()
    return np.unique(np.concatenate([np.arange(size)[place] for place in places if place is not None]))


def _on_devices(batch: HostBatch, mesh: Mesh, rows: dict[int, np.ndarray]) -> dict[str, jax.Array]:
    """Returns the batch of all processes, of which each has given its rows."""
    size = int(batch["size"])
    sharding, own = batch_sharding(mesh, size), rows[size]

    def array(local: np.ndarray) -> jax.Array:
        def part(index: Any) -> np.ndarray:
            start, stop, _ = index[0].indices(size)
            first = int(np.searchsorted(own, start))
            return local[first : first + stop - start]

        return jax.make_array_from_callback((size, *local.shape[1:]), sharding, part)

    return {name: array(local) for name, local in batch.items() if name != "size"}
