"""A table of the last observed loss of every training example, on the device and indexed by the batch's "index".

`init_losses` creates the table, `lookup_losses` reads the losses of a batch and `update_losses` writes them. Examples
that were never observed have an infinite loss.
"""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxaug.batches import check_batch


def init_losses(num_examples: int) -> Float[Array, " n"]:
    """Returns the table before training, with an infinite loss for every example."""
    return jnp.full(num_examples, jnp.inf, jnp.float32)


def lookup_losses(function: str, table: Float[Array, " n"], batch: Any) -> Float[Array, " b"]:
    """Returns the last observed losses of the batch.

    A concrete index outside the table raises; a traced one gives NaN.
    """
    _check_index(function, table, batch)
    return table.at[_without_wrapping(batch["index"])].get(mode="fill", fill_value=jnp.nan)


def update_losses(
    function: str, table: Float[Array, " n"], batch: Any, losses: Float[Array, " b"]
) -> Float[Array, " n"]:
    """Returns the table with the losses of the batch written to it.

    If the batch contains an example twice, either loss may be kept. A traced index outside the table is ignored.
    """
    _check_index(function, table, batch)
    return table.at[_without_wrapping(batch["index"])].set(losses.astype(jnp.float32), mode="drop")


def _without_wrapping(index: Int[Array, " b"]) -> Int[Array, " b"]:
    """Returns the index with negative entries, which would count from the end, moved outside the table."""
    return jnp.where(index < 0, jnp.iinfo(index.dtype).max, index)


def _check_index(function: str, table: Float[Array, " n"], batch: Any) -> None:
    """Raises unless the batch has an index and, if it is concrete, the index is inside the table."""
    check_batch(function, batch, ("index",))
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        index = np.asarray(batch["index"])
        outside = (index < 0) | (index >= table.shape[0])
        if outside.any():
            raise ValueError(
                f"{function} takes an index in [0, {table.shape[0]}), the number of examples passed to init; "
                f"got {index[outside][0]}."
            )
