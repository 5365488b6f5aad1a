"""Applies a different function to each example without computing all functions on all examples."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

# Blocks per function and batch: few enough for large blocks that keep the device busy, and enough to waste little in
# the last, partly filled block of every function.
_BLOCKS_PER_FUNCTION = 4


def applied_by_choice(
    functions: Sequence[Callable[[Array, Array], Array]],
    choice: Int32[Array, " b"],
    images: Float[Array, "b *rest"],
    parameters: Float[Array, "b p"],
) -> Float[Array, "b *rest"]:
    """Returns out_i = functions[choice_i](images, parameters)_i.

    Applying every function to the whole batch and selecting costs as many passes as there are functions. Instead, this
    sorts the examples by their function and splits them into blocks that share one function, and applies one branch of
    a switch to each block. It computes about 5/4 of a pass, whatever the number of functions.

    Args:
      functions: functions `(images [n, ...], parameters [n, P]) -> images` that treat examples independently.
      choice: index of the function of each example, in [0, len(functions)).
      images: `[B, ...]`.
      parameters: parameters of the functions for each example.
    """
    batch, kinds = images.shape[0], len(functions)
    size = max(1, batch // (_BLOCKS_PER_FUNCTION * kinds))
    order = jnp.argsort(choice)
    count = jnp.sum(choice[:, None] == jnp.arange(kinds, dtype=jnp.int32)[None, :], axis=0, dtype=jnp.int32)
    first_example = jnp.cumsum(count) - count
    blocks = (count + size - 1) // size
    end = jnp.cumsum(blocks)

    def apply_block(block: Array, images: Array) -> Array:
        kind = jnp.sum(block >= end, dtype=jnp.int32)
        within = (block - end[kind] + blocks[kind]) * size + jnp.arange(size, dtype=jnp.int32)
        index = order[jnp.minimum(first_example[kind] + within, batch - 1)]
        out = jax.lax.switch(kind, functions, images[index], parameters[index])
        # Surplus entries in the last block of a function belong to other functions and are dropped.
        return images.at[jnp.where(within < count[kind], index, batch)].set(out, mode="drop")

    return jax.lax.fori_loop(0, end[-1], apply_block, images)
