"""The loss that training last met on each example: a table on the device, looked up by the batch's "index"."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxaug.batches import check_batch


def init_losses(num_examples: int) -> Float[Array, " n"]:
    """Returns the table before training: every example is infinitely hard."""
    return jnp.full(num_examples, jnp.inf, jnp.float32)


def lookup_losses(function: str, table: Float[Array, " n"], batch: Any) -> Float[Array, " b"]:
    """Returns the losses of the batch, NaN for an index outside the table where that cannot be seen while tracing."""
    _check_index(function, table, batch)
    return table.at[_from_the_start(batch["index"])].get(mode="fill", fill_value=jnp.nan)


def update_losses(
    function: str, table: Float[Array, " n"], batch: Any, losses: Float[Array, " b"]
) -> Float[Array, " n"]:
    """Returns the table with the losses of the batch; of an example that stands in it twice, either."""
    _check_index(function, table, batch)
    return table.at[_from_the_start(batch["index"])].set(losses.astype(jnp.float32), mode="drop")


def _from_the_start(index: Int[Array, " b"]) -> Int[Array, " b"]:
    """Returns the index with negative ones, which would count from the end, put outside."""
    return jnp.where(index < 0, jnp.iinfo(index.dtype).max, index)


def _check_index(function: str, table: Float[Array, " n"], batch: Any) -> None:
    """Raises unless the batch has an index, inside the table as far as that can be seen while tracing."""
    check_batch(function, batch, ("index",))
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        index = np.asarray(batch["index"])
        outside = (index < 0) | (index >= table.shape[0])
        if outside.any():
            raise ValueError(
                f"{function} takes an index in [0, {table.shape[0]}), the examples it was initialized for; "
                f"got {index[outside][0]}."
            )
