"""How good the scores of candidates are, where the truth about them is known."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.search.ranking import average_ranks, candidate_numbers

NAMES = ("scores", "truth")


def regret(scores: ArrayLike, truth: ArrayLike) -> Float[Array, ""]:
    """How far below the best the candidate is that the scores choose.

    max_i truth_i - truth_j, j the arg max of the scores; if several share the highest score, the mean over them, which
    is what a choice by lot among them costs, whatever the order of the candidates.

    Args:
      scores: `[P]`, the higher the better. A candidate of score NaN or -inf is never chosen.
      truth: `[P]`, the higher the better, such as test accuracy. NaN where it is not known, -inf for a candidate that
        failed.

    Returns:
      A scalar, float32, at least 0, in the units of `truth`; NaN if none can be chosen or the truth of the chosen one
      is not known.

    Raises:
      ValueError: no candidates, or lengths that differ.

    Example:
      >>> import jax.numpy as jnp
      >>> regret(jnp.array([0.1, 0.9, 0.5]), jnp.array([96.0, 97.5, 98.0]))
      Array(0.5, dtype=float32)
    """
    scores, truth = candidate_numbers("regret", NAMES, scores, truth)
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    chosen = (scores == jnp.max(scores)) & (scores > -jnp.inf)
    best = jnp.max(jnp.where(jnp.isnan(truth), -jnp.inf, truth))
    each = jnp.where(truth == best, 0.0, best - truth)  # where both are infinite too
    count = jnp.sum(chosen.astype(jnp.float32))
    return jnp.where(count > 0, jnp.sum(each, where=chosen) / jnp.maximum(count, 1.0), jnp.nan)


def rank_correlation(scores: ArrayLike, truth: ArrayLike) -> Float[Array, ""]:
    """Spearman's ρ: Pearson's correlation of the ranks, ties the mean of theirs.

    Args:
      scores: `[P]`; -inf is a rank like any other, the lowest.
      truth: `[P]`, likewise. A candidate either number of which is NaN is left out.

    Returns:
      A scalar, float32, in [-1, 1]; 1 if both have the same order. NaN where it is not defined: fewer than two
      candidates, or the same number for all.

    Raises:
      ValueError: no candidates, or lengths that differ.

    Example:
      >>> import jax.numpy as jnp
      >>> rank_correlation(jnp.array([0.1, 0.9, 0.5]), jnp.array([96.0, 97.5, 98.0]))
      Array(0.5, dtype=float32)
    """
    scores, truth = candidate_numbers("rank_correlation", NAMES, scores, truth)
    known = ~(jnp.isnan(scores) | jnp.isnan(truth))
    middle = 0.5 * (jnp.sum(known.astype(jnp.float32)) + 1.0)
    x, y = (jnp.where(known, average_ranks(numbers, known) - middle, 0.0) for numbers in (scores, truth))
    # One root of the product: the same order then has exactly 1.
    scale = jnp.sqrt(jnp.sum(x * x) * jnp.sum(y * y))
    return jnp.where(scale > 0, jnp.clip(jnp.sum(x * y) / jnp.where(scale > 0, scale, 1.0), -1.0, 1.0), jnp.nan)
