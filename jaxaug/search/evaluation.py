"""How well the scores of candidates predict a known truth."""

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.search.ranking import average_ranks, candidate_numbers

NAMES = ("scores", "truth")


def regret(scores: ArrayLike, truth: ArrayLike) -> Float[Array, ""]:
    """Returns the loss in truth from choosing the candidate with the highest score.

    The regret is max_i truth_i - truth_j, where j is the arg max of the scores. If several candidates share the highest
    score, it is the mean over them, the expected regret of a random choice.

    Args:
      scores: `[P]`, higher is better. Candidates with a score of NaN or -inf are never chosen.
      truth: `[P]`, higher is better, such as test accuracy; NaN if unknown, and -inf for a failed candidate.

    Returns:
      A scalar, float32, at least 0, in the units of `truth`; NaN if no candidate can be chosen or the truth of the
      chosen one is unknown.

    Raises:
      ValueError: there are no candidates, or the lengths differ.

    Example:
      >>> import jax.numpy as jnp
      >>> regret(jnp.array([0.1, 0.9, 0.5]), jnp.array([96.0, 97.5, 98.0]))
      Array(0.5, dtype=float32)
    """
    scores, truth = candidate_numbers("regret", NAMES, scores, truth)
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    chosen = (scores == jnp.max(scores)) & (scores > -jnp.inf)
    best = jnp.max(jnp.where(jnp.isnan(truth), -jnp.inf, truth))
    regrets = jnp.where(truth == best, 0.0, best - truth)  # 0 also if both are infinite
    count = jnp.sum(chosen.astype(jnp.float32))
    return jnp.where(count > 0, jnp.sum(regrets, where=chosen) / jnp.maximum(count, 1.0), jnp.nan)


def rank_correlation(scores: ArrayLike, truth: ArrayLike) -> Float[Array, ""]:
    """Returns Spearman's rank correlation ρ, with average ranks for ties.

    Args:
      scores: `[P]`; -inf counts as the lowest rank.
      truth: `[P]`, in the same way. Candidates with a NaN in either array are ignored.

    Returns:
      A scalar, float32, in [-1, 1]; 1 if both have the same order. NaN if it is undefined, because there are fewer than
      two candidates or all their numbers are equal.

    Raises:
      ValueError: there are no candidates, or the lengths differ.

    Example:
      >>> import jax.numpy as jnp
      >>> rank_correlation(jnp.array([0.1, 0.9, 0.5]), jnp.array([96.0, 97.5, 98.0]))
      Array(0.5, dtype=float32)
    """
    scores, truth = candidate_numbers("rank_correlation", NAMES, scores, truth)
    known = ~(jnp.isnan(scores) | jnp.isnan(truth))
    middle = 0.5 * (jnp.sum(known.astype(jnp.float32)) + 1.0)
    x, y = (jnp.where(known, average_ranks(numbers, known) - middle, 0.0) for numbers in (scores, truth))
    # A single square root of the product makes the correlation of equal orders exactly 1.
    scale = jnp.sqrt(jnp.sum(x * x) * jnp.sum(y * y))
    return jnp.where(scale > 0, jnp.clip(jnp.sum(x * y) / jnp.where(scale > 0, scale, 1.0), -1.0, 1.0), jnp.nan)
