"""The candidates that no other beats in both affinity and diversity."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool

from jaxaug.search.ranking import candidate_numbers, succeeded


def pareto_front(affinity: ArrayLike, diversity: ArrayLike) -> Bool[Array, " p"]:
    """Whether each candidate is one to which no other is preferable in both affinity and diversity.

    A candidate is dominated by another whose T and D are both at least its own, and one of them greater. No indicator
    that rises with both chooses a candidate that is dominated.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.

    Returns:
      `[P]`, bool; False for a candidate that failed. Candidates that are equal stay together.

    Raises:
      ValueError: no candidates, or lengths that differ.

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
