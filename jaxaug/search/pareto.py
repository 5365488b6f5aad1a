"""The Pareto front of affinity and diversity."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool

from jaxaug.search.ranking import candidate_numbers, succeeded


def pareto_front(affinity: ArrayLike, diversity: ArrayLike) -> Bool[Array, " p"]:
    """Returns whether each candidate is on the Pareto front of affinity T and diversity D.

    A candidate is dominated if another one has at least the same T and D, and a greater T or D. The front consists of
    the candidates that are not dominated. Indicators that increase with T and D never choose a dominated candidate.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.

    Returns:
      `[P]`, bool; False for a failed candidate. Equal candidates do not dominate each other.

    Raises:
      ValueError: there are no candidates, or the lengths differ.

    Example:
      >>> import jax.numpy as jnp
      >>> pareto_front(jnp.array([1.0, 0.75, 0.5, 0.25]), jnp.array([1.0, 2.0, 3.0, 2.5]))
      Array([ True,  True,  True, False], dtype=bool)
    """
    t, d = candidate_numbers("pareto_front", ("affinity", "diversity"), affinity, diversity)
    valid = succeeded(t, d)
    as_good = (t[:, None] >= t[None, :]) & (d[:, None] >= d[None, :])
    better = (t[:, None] > t[None, :]) | (d[:, None] > d[None, :])
    return valid & ~jnp.any(as_good & better & valid[:, None], axis=0)
