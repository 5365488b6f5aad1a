"""The keep probability of each residual block, by its depth."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_prob, check_size


def linear_decay(num_blocks: int, *, final: ArrayLike = 0.5) -> Float[Array, " L"]:
    """Returns keep probabilities that decrease linearly from the first residual block to the last.

    p_l = 1 - (l / L)(1 - P_L) for l = 1, ..., L. Early blocks are kept more often, since all later ones depend on them.

    Args:
      num_blocks: L, the number of residual blocks of the network, at least 1.
      final: P_L, the keep probability of the last block, in [0, 1]; may be traced.

    Returns:
      `[L]`, float32, the keep probability of each block.

    Raises:
      ValueError: `num_blocks` is below 1, or `final` is outside [0, 1].
      TypeError: `num_blocks` is not a Python integer.

    Example:
      >>> linear_decay(5)
      Array([0.9, 0.8, 0.7, 0.6, 0.5], dtype=float32)

    References:
      Huang et al., "Deep networks with stochastic depth", ECCV 2016, equation 4.
      Yamada et al., "ShakeDrop regularization for deep residual learning", IEEE Access 7, 2019.
    """
    check_size("linear_decay", "num_blocks", num_blocks, 1)
    check_prob("linear_decay", final, "final")
    depth = jnp.arange(1, num_blocks + 1, dtype=jnp.float32) / num_blocks
    return 1.0 - depth * (1.0 - jnp.asarray(final, jnp.float32))
