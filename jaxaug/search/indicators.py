"""Indicators, which combine the affinity T and the diversity D of each candidate augmentation into one score.

Each takes `affinity` `[P]` and `diversity` `[P]` of P candidates and returns `[P]` float32; higher is better. Neither
number alone predicts accuracy; `jaxaug.search.evaluation` measures how well an indicator does. A candidate with a NaN
or infinite number has failed: its score is -inf, and means, standard deviations and ranks ignore it. All indicators
work under `jit` and `vmap`, and their options may be traced.

`product` and `log_sum` need ratios; the others accept ratios or differences. Affinity and diversity come from
Gontijo-Lopes, Smullin, Cubuk, Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021, which does not
combine them into one number.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from jaxaug.checks import check_choice, check_number, concrete
from jaxaug.search.ranking import average_ranks, candidate_numbers, succeeded
from jaxaug.search.relative import Kind, check_kind

NAMES = ("affinity", "diversity")


def product(affinity: ArrayLike, diversity: ArrayLike) -> Float[Array, " p"]:
    """Returns the scores T D of ratios.

    Args:
      affinity: `[P]`, ratios, at least 0.
      diversity: `[P]`, ratios.

    Returns:
      `[P]`, float32; -inf for a failed candidate.

    Raises:
      ValueError: there are no candidates, the lengths differ, or an affinity is below 0 and so not a ratio.

    Example:
      >>> import jax.numpy as jnp
      >>> product(jnp.array([1.0, 0.5, 0.9]), jnp.array([1.0, 1.5, jnp.nan]))
      Array([1.  , 0.75, -inf], dtype=float32)
    """
    t, d = candidate_numbers("product", NAMES, affinity, diversity)
    _check_ratios("product", t)
    return _scored(t, d, t * d)


def log_sum(affinity: ArrayLike, diversity: ArrayLike, *, weight: ArrayLike = 0.5) -> Float[Array, " p"]:
    """Returns the scores log T + λ log D of ratios, which order like the product for λ = 1 and like T for λ = 0.

    Args:
      affinity: `[P]`, ratios, at least 0.
      diversity: `[P]`, ratios.
      weight: λ, at least 0; may be traced.

    Returns:
      `[P]`, float32; -inf for a failed candidate, or if T or (unless λ = 0) D is not above 0.

    Raises:
      ValueError: there are no candidates, the lengths differ, an affinity is below 0 and so not a ratio, or `weight` is
        below 0.

    Example:
      >>> import jax.numpy as jnp
      >>> log_sum(jnp.array([1.0, 0.5, 0.0]), jnp.array([1.0, 4.0, 4.0]), weight=0.5)
      Array([ 0.,  0., -inf], dtype=float32)
    """
    t, d = candidate_numbers("log_sum", NAMES, affinity, diversity)
    _check_ratios("log_sum", t)
    weight = _weight("log_sum", weight)
    # Replaces values without a logarithm first, so that no NaN arises.
    logs = jnp.log(jnp.where(t > 0, t, 1.0)) + weight * jnp.log(jnp.where(d > 0, d, 1.0))
    return _scored(t, d, jnp.where((t > 0) & ((d > 0) | (weight == 0)), logs, -jnp.inf))


def z_score_sum(affinity: ArrayLike, diversity: ArrayLike, *, weight: ArrayLike = 1.0) -> Float[Array, " p"]:
    """Returns the scores z(T) + λ z(D), where z(x) = (x - mean) / standard deviation over the candidates.

    The scores do not depend on the scale or origin of T and D, but on the set of candidates. The standard deviation is
    the population standard deviation. If a number is the same for all candidates, z = 0.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.
      weight: λ, at least 0; may be traced.

    Returns:
      `[P]`, float32; -inf for a failed candidate.

    Raises:
      ValueError: there are no candidates, the lengths differ, or `weight` is below 0.

    Example:
      >>> import jax.numpy as jnp
      >>> z_score_sum(jnp.array([1.0, 0.8]), jnp.array([1.0, 3.0]), weight=0.5).round(4)
      Array([ 0.5, -0.5], dtype=float32)
    """
    t, d = candidate_numbers("z_score_sum", NAMES, affinity, diversity)
    valid = succeeded(t, d)
    return _scored(t, d, _z_scores(t, valid) + _weight("z_score_sum", weight) * _z_scores(d, valid))


def rank_sum(affinity: ArrayLike, diversity: ArrayLike) -> Float[Array, " p"]:
    """Returns the scores rank(T) + rank(D), with 1 for the lowest rank and average ranks for ties.

    The scores depend only on the order of each number.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.

    Returns:
      `[P]`, float32, from 2 to twice the number of successful candidates; -inf for a failed one.

    Raises:
      ValueError: there are no candidates, or the lengths differ.

    Example:
      >>> import jax.numpy as jnp
      >>> rank_sum(jnp.array([1.0, 0.9, 0.2, 0.9]), jnp.array([1.0, 2.0, 3.0, jnp.nan]))
      Array([  4.,   4.,   4., -inf], dtype=float32)
    """
    t, d = candidate_numbers("rank_sum", NAMES, affinity, diversity)
    valid = succeeded(t, d)
    return _scored(t, d, average_ranks(t, valid) + average_ranks(d, valid))


def constrained(affinity: ArrayLike, diversity: ArrayLike, *, at_least: ArrayLike | None = None) -> Float[Array, " p"]:
    """Returns scores for maximizing the affinity subject to D >= d0.

    The score of a candidate with D >= d0 is its affinity. All others score lower, ordered by diversity: the k-th most
    diverse of them scores min(0, lowest affinity) - k.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.
      at_least: d0, in the units of `diversity`; may be traced. None means the median of the successful candidates, so
        that half of them satisfy the constraint.

    Returns:
      `[P]`, float32; -inf for a failed candidate.

    Raises:
      ValueError: there are no candidates, the lengths differ, or `at_least` is not finite.

    Example:
      >>> import jax.numpy as jnp
      >>> constrained(jnp.array([1.0, 0.75, 0.5, 0.25]), jnp.array([1.0, 2.0, 3.0, 0.5]), at_least=1.5)
      Array([-1.  ,  0.75,  0.5 , -2.  ], dtype=float32)
    """
    t, d = candidate_numbers("constrained", NAMES, affinity, diversity)
    valid = succeeded(t, d)
    if at_least is None:
        least = jnp.nanmedian(jnp.where(valid, d, jnp.nan))
    else:
        check_number("constrained", "at_least", at_least)
        least = jnp.asarray(at_least, jnp.float32)
    diverse = valid & (d >= least)
    rank = average_ranks(-d, valid & ~diverse)
    return _scored(t, d, jnp.where(diverse, t, jnp.min(jnp.where(diverse, t, 0.0), initial=0.0) - rank))


INDICATORS: dict[str, Callable[..., Array]] = {
    function.__name__: function for function in (product, log_sum, z_score_sum, rank_sum, constrained)
}
Indicator = Callable[[Array, Array], Array]

# Indicators whose score of a candidate does not depend on the others; both need ratios.
ABSOLUTE = ("product", "log_sum")


def chosen_indicator(function: str, indicator: str | Indicator | None, kind: Kind, known: Sequence[str]) -> Indicator:
    """Returns the indicator for the `indicator` argument of a function, or raises if it is invalid.

    Args:
      function: name of the function.
      indicator: a function, one of the names in `known`, or None for `log_sum` of ratios and `rank_sum` (if known) of
        differences.
      kind: kind of affinity and diversity.
      known: names of the allowed indicators.
    """
    check_kind(function, kind)
    if callable(indicator):
        return indicator
    default = "rank_sum" if kind == "difference" and "rank_sum" in known else "log_sum"
    name = default if indicator is None else indicator
    check_choice(function, "indicator", name, known)
    if name in ABSOLUTE and kind != "ratio":
        raise ValueError(f"{function} takes kind='ratio' for the indicator {name!r}; got {kind!r}.")
    return INDICATORS[name]


def _scored(t: Float[Array, " p"], d: Float[Array, " p"], scores: Float[Array, " p"]) -> Float[Array, " p"]:
    """Returns the scores, with -inf for failed candidates."""
    return jnp.where(succeeded(t, d), scores, -jnp.inf)


def _weight(function: str, weight: ArrayLike) -> Float[Array, ""]:
    check_number(function, "weight", weight, 0.0)
    return jnp.asarray(weight, jnp.float32)


def _check_ratios(function: str, affinity: Float[Array, " p"]) -> None:
    """Raises if an affinity is below 0 and not traced."""
    lowest = concrete(jnp.min(affinity, where=jnp.isfinite(affinity), initial=jnp.inf))
    if lowest is not None and lowest < 0:
        raise ValueError(
            f"{function} takes affinities of kind='ratio', which are at least 0; got {lowest:.3g}. "
            "For differences, use z_score_sum, rank_sum or constrained."
        )


def _z_scores(x: Float[Array, " p"], valid: Bool[Array, " p"]) -> Float[Array, " p"]:
    """Returns (x - mean) / standard deviation over the valid entries, and 0 if the standard deviation is 0."""
    # Relative to the minimum and in units of the range, so that equal numbers have a standard deviation of exactly 0
    # despite rounding, and no square overflows float32.
    x = jnp.where(valid, x - jnp.min(x, where=valid, initial=jnp.inf), 0.0)
    x /= jnp.maximum(jnp.max(x), jnp.finfo(x.dtype).tiny)
    count = jnp.maximum(jnp.sum(valid.astype(jnp.float32)), 1.0)
    centered = jnp.where(valid, x - jnp.sum(x) / count, 0.0)
    std = jnp.sqrt(jnp.sum(jnp.square(centered)) / count)
    return centered / jnp.where(std > 0, std, 1.0)
