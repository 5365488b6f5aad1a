"""Indicators: one score of each candidate augmentation from its affinity T and its diversity D.

Each takes `affinity` `[P]` and `diversity` `[P]` of P candidates and returns `[P]` float32, the higher the better.
Neither number alone predicts accuracy; which of these does is a matter of evidence, see `jaxaug.search.evaluation`. A
candidate one of whose numbers is NaN or infinite has failed: its score is -inf, and means, deviations and ranks are
those of the others. All work under `jit` and `vmap`, and their options may be traced.

`product` and `log_sum` take the ratios; the others either kind. The axes are those of Gontijo-Lopes, Smullin, Cubuk,
Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021; how to combine them is not in that paper.
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
    """Scores T D of ratios.

    Args:
      affinity: `[P]`, ratios, at least 0.
      diversity: `[P]`, ratios.

    Returns:
      `[P]`, float32; -inf for a candidate that failed.

    Raises:
      ValueError: no candidates, lengths that differ, or an affinity below 0, which is no ratio.

    Example:
      >>> import jax.numpy as jnp
      >>> product(jnp.array([1.0, 0.5, 0.9]), jnp.array([1.0, 1.5, jnp.nan]))
      Array([1.  , 0.75, -inf], dtype=float32)
    """
    t, d = candidate_numbers("product", NAMES, affinity, diversity)
    _check_ratios("product", t)
    return _scored(t, d, t * d)


def log_sum(affinity: ArrayLike, diversity: ArrayLike, *, weight: ArrayLike = 0.5) -> Float[Array, " p"]:
    """Scores log T + λ log D of ratios: at λ = 1 the order of the product, at 0 that of the affinity.

    Args:
      affinity: `[P]`, ratios, at least 0.
      diversity: `[P]`, ratios.
      weight: λ, at least 0; may be traced.

    Returns:
      `[P]`, float32; -inf for a candidate that failed, and where T or D (but for λ = 0) is not above 0.

    Raises:
      ValueError: no candidates, lengths that differ, an affinity below 0, which is no ratio, or `weight` below 0.

    Example:
      >>> import jax.numpy as jnp
      >>> log_sum(jnp.array([1.0, 0.5, 0.0]), jnp.array([1.0, 4.0, 4.0]), weight=0.5)
      Array([ 0.,  0., -inf], dtype=float32)
    """
    t, d = candidate_numbers("log_sum", NAMES, affinity, diversity)
    _check_ratios("log_sum", t)
    weight = _weight("log_sum", weight)
    # What has no logarithm is replaced first, so that no NaN is ever made.
    logs = jnp.log(jnp.where(t > 0, t, 1.0)) + weight * jnp.log(jnp.where(d > 0, d, 1.0))
    return _scored(t, d, jnp.where((t > 0) & ((d > 0) | (weight == 0)), logs, -jnp.inf))


def z_score_sum(affinity: ArrayLike, diversity: ArrayLike, *, weight: ArrayLike = 1.0) -> Float[Array, " p"]:
    """Scores z(T) + λ z(D), z(x) = (x - mean) / standard deviation over the candidates.

    No scale or origin of either number matters, but the set of candidates does. The deviation is the population's; a
    number that is the same for all candidates has z = 0.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.
      weight: λ, at least 0; may be traced.

    Returns:
      `[P]`, float32; -inf for a candidate that failed.

    Raises:
      ValueError: no candidates, lengths that differ, or `weight` below 0.

    Example:
      >>> import jax.numpy as jnp
      >>> z_score_sum(jnp.array([1.0, 0.8]), jnp.array([1.0, 3.0]), weight=0.5).round(4)
      Array([ 0.5, -0.5], dtype=float32)
    """
    t, d = candidate_numbers("z_score_sum", NAMES, affinity, diversity)
    valid = succeeded(t, d)
    return _scored(t, d, _z_scores(t, valid) + _weight("z_score_sum", weight) * _z_scores(d, valid))


def rank_sum(affinity: ArrayLike, diversity: ArrayLike) -> Float[Array, " p"]:
    """Scores rank(T) + rank(D), 1 the lowest and ties the mean of their ranks.

    Nothing but the order of each number matters.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.

    Returns:
      `[P]`, float32, from 2 to twice the number of candidates that did not fail; -inf for one that did.

    Raises:
      ValueError: no candidates, or lengths that differ.

    Example:
      >>> import jax.numpy as jnp
      >>> rank_sum(jnp.array([1.0, 0.9, 0.2, 0.9]), jnp.array([1.0, 2.0, 3.0, jnp.nan]))
      Array([  4.,   4.,   4., -inf], dtype=float32)
    """
    t, d = candidate_numbers("rank_sum", NAMES, affinity, diversity)
    valid = succeeded(t, d)
    return _scored(t, d, average_ranks(t, valid) + average_ranks(d, valid))


def constrained(affinity: ArrayLike, diversity: ArrayLike, *, at_least: ArrayLike | None = None) -> Float[Array, " p"]:
    """Scores of the best affinity subject to D >= d0.

    A candidate that is diverse enough scores its affinity. The others come below all of these, in the order of their
    diversity: the k-th most diverse of them scores min(0, lowest affinity) - k.

    Args:
      affinity: `[P]`, of either kind.
      diversity: `[P]`, of either kind.
      at_least: d0, in the units of `diversity`; may be traced. None takes the median of the candidates that did not
        fail, so that half of them are diverse enough.

    Returns:
      `[P]`, float32; -inf for a candidate that failed.

    Raises:
      ValueError: no candidates, lengths that differ, or `at_least` is not finite.

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
    place = average_ranks(-d, valid & ~diverse)
    return _scored(t, d, jnp.where(diverse, t, jnp.min(jnp.where(diverse, t, 0.0), initial=0.0) - place))


INDICATORS: dict[str, Callable[..., Array]] = {
    function.__name__: function for function in (product, log_sum, z_score_sum, rank_sum, constrained)
}
Indicator = Callable[[Array, Array], Array]

# Scores of a candidate that do not depend on the others; both need ratios.
ABSOLUTE = ("product", "log_sum")


def chosen_indicator(function: str, indicator: str | Indicator | None, kind: Kind, known: Sequence[str]) -> Indicator:
    """Returns the indicator itself, or that of a name, before anything is trained for it.

    Args:
      function: whose argument it is.
      indicator: a function, one of the names `known`, or None for `log_sum` of ratios and `rank_sum`, where
        known, of differences.
      kind: of the numbers that it will get.
      known: names.
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
    """Returns the scores, -inf where a candidate failed."""
    return jnp.where(succeeded(t, d), scores, -jnp.inf)


def _weight(function: str, weight: ArrayLike) -> Float[Array, ""]:
    check_number(function, "weight", weight, 0.0)
    return jnp.asarray(weight, jnp.float32)


def _check_ratios(function: str, affinity: Float[Array, " p"]) -> None:
    """Raises where an affinity is known to be below 0."""
    lowest = concrete(jnp.min(affinity, where=jnp.isfinite(affinity), initial=jnp.inf))
    if lowest is not None and lowest < 0:
        raise ValueError(
            f"{function} takes affinities of kind='ratio', which are at least 0; got {lowest:.3g}. "
            "z_score_sum, rank_sum and constrained take differences too."
        )


def _z_scores(x: Float[Array, " p"], valid: Bool[Array, " p"]) -> Float[Array, " p"]:
    """Returns (x - mean) / standard deviation over those that are valid, 0 where the deviation is."""
    # From the lowest on and in units of the range, so that equal numbers have a deviation of exactly 0, not one of
    # rounding, and no square leaves the range of float32.
    x = jnp.where(valid, x - jnp.min(x, where=valid, initial=jnp.inf), 0.0)
    x /= jnp.maximum(jnp.max(x), jnp.finfo(x.dtype).tiny)
    count = jnp.maximum(jnp.sum(valid.astype(jnp.float32)), 1.0)
    centered = jnp.where(valid, x - jnp.sum(x) / count, 0.0)
    deviation = jnp.sqrt(jnp.sum(jnp.square(centered)) / count)
    return centered / jnp.where(deviation > 0, deviation, 1.0)
