"""Each example through the function it has chosen, at the cost of that function alone."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

# Examples that go through a function together: enough to keep the device busy, few enough that the last, partly
# filled block of every function wastes little.
_BLOCK_SHARE = 4


def applied_by_choice(
    functions: Sequence[Callable[[Array, Array], Array]],
    choice: Int32[Array, " b"],
    images: Float[Array, "b *rest"],
    parameters: Float[Array, "b p"],
) -> Float[Array, "b *rest"]:
    """Returns out_i = functions[choice_i](images, parameters)_i.

    Applying every function to every example and selecting costs as many passes as there are functions. Here the
    examples are sorted by their choice and cut into blocks of one choice each; a block goes through one branch of a
    switch, so about 1 + 1 / share of the batch is computed in all, whatever the number of functions.

    Args:
      functions: each `(images [n, ...], parameters [n, P]) -> images`, example by example.
      choice: the function of each example, in [0, len(functions)).
      images: `[B, ...]`.
      parameters: what the functions need to know of each example.
    """
    batch, kinds = images.shape[0], len(functions)
    size = max(1, batch // (_BLOCK_SHARE * kinds))
    order = jnp.argsort(choice)
    count = jnp.sum(choice[:, None] == jnp.arange(kinds, dtype=jnp.int32)[None, :], axis=0, dtype=jnp.int32)
    first_example = jnp.cumsum(count) - count
    blocks = (count + size - 1) // size
    end = jnp.cumsum(blocks)

    def through_block(block: Array, images: Array) -> Array:
        kind = jnp.sum(block >= end, dtype=jnp.int32)
        within = (block - end[kind] + blocks[kind]) * size + jnp.arange(size, dtype=jnp.int32)
        index = order[jnp.minimum(first_example[kind] + within, batch - 1)]
        out = jax.lax.switch(kind, functions, images[index], parameters[index])
        # The surplus of a function's last block is another function's example, and is not written.
        return images.at[jnp.where(within < count[kind], index, batch)].set(out, mode="drop")

    return jax.lax.fori_loop(0, end[-1], through_block, images)
