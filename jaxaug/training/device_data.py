"""A split that lives on the device, and the batches cut from it inside the compiled step."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxaug.data import Split
from jaxaug.data.encoded import EncodedImages
from jaxaug.training.sharding import placed, replicated
from jaxaug.training.step import Batch

# fold_in's number for the order of the examples; steps count from 0 and never come here.
_ORDER = 2**31 - 1


class DeviceSplit(NamedTuple):
    """The arrays of a split, images as they are stored: uint8, or float32 feature vectors."""

    images: jax.Array  # [N, ...]
    labels: jax.Array  # int32 [N]

    @property
    def size(self) -> int:
        """The number of examples."""
        return self.labels.shape[0]


def device_split(split: Split, mesh: Mesh | None = None) -> DeviceSplit:
    """Returns the split, copied to the device, or to each device of a mesh."""
    if isinstance(split.images, EncodedImages):
        raise ValueError("a dataset in memory is expected here; one that is streamed from disk goes to fit.")
    if mesh is None:
        return DeviceSplit(jax.device_put(split.images), jax.device_put(split.labels))
    return DeviceSplit(*placed(tuple(split), replicated(mesh)))


def gathered_batch(data: DeviceSplit, index: jax.Array, num_classes: int) -> Batch:
    """Returns the batch of the examples in `index`: images in [0, 1] (or feature vectors) and one-hot labels."""
    return as_batch(data.images[index], data.labels[index], index, num_classes)


def as_batch(images: jax.Array, labels: jax.Array, index: jax.Array, num_classes: int) -> Batch:
    """Returns the batch of examples as they are stored, for a step."""
    if images.dtype == jnp.uint8:
        images = images.astype(jnp.float32) / 255.0
    return {"image": images, "label": jax.nn.one_hot(labels, num_classes), "index": index}


def order_key(key: jax.Array, epoch: jax.Array) -> jax.Array:
    """Returns the key of the order of an epoch."""
    return jax.random.fold_in(jax.random.fold_in(key, _ORDER), epoch)


def epoch_order(key: jax.Array, epoch: jax.Array, size: int) -> jax.Array:
    """Returns the order of the examples in an epoch, int32 `[size]`, a function of the run's key and the epoch."""
    shuffle_key = order_key(key, epoch)
    # One sort by 32 random bits. jax.random.permutation sorts twice or more and takes over twice the time, which for a
    # small network is a quarter of the epoch; a tie is one pair in 4e9, and is broken somehow.
    return jnp.argsort(jax.random.bits(shuffle_key, (size,)), stable=False).astype(jnp.int32)
