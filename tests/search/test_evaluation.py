"""Regret against its definition, and rank correlation against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.search import rank_correlation, regret

TRUTH = np.array([96.0, 97.5, 98.0, 90.0])


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, 1, 2, -1], 0.0),
        ([0, 3, 2, -1], 0.5),
        ([0, 1, 2, 3], 8.0),
        ([-np.inf, 1, np.nan, 0], 0.5),  # the best of all, but its score is not known
        ([-np.inf, -np.inf, -np.inf, -5], 8.0),
        ([np.inf, 1, 2, 3], 2.0),
        ([7, 7, 1, 2], (2.0 + 0.5) / 2),  # a lot among two
        ([1, 1, 1, 1], 98.0 - TRUTH.mean()),
        ([np.nan, -np.inf, np.nan, np.nan], np.nan),
    ],
)
def test_regret_is_what_the_choice_costs(scores: list[float], expected: float) -> None:
    value = regret(np.array(scores), TRUTH)
    assert (value.dtype, value.shape) == (jnp.float32, ())
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_array_equal(jax.jit(regret)(np.array(scores), TRUTH), value)


def test_regret_where_the_truth_is_not_known_or_failed() -> None:
    truth = np.array([np.nan, 1.0, 3.0, -np.inf])
    each = [regret(np.eye(4)[i], truth) for i in range(4)]
    np.testing.assert_array_equal(each, [np.nan, 2.0, 0.0, np.inf])
    np.testing.assert_array_equal(
        jax.jit(jax.vmap(regret, in_axes=(0, None)))(jnp.eye(4), jnp.asarray(truth, jnp.float32)), each
    )
    assert jnp.isnan(regret(np.ones(2), np.full(2, np.nan)))


def numbers(seed: int, count: int, shares: tuple[float, float]) -> np.ndarray:
    """Returns numbers with ties, some of them NaN, some -inf."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, count, count).astype(np.float32)
    values[rng.random(count) < shares[0]] = np.nan
    values[rng.random(count) < shares[1]] = -np.inf
    return values


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.sampled_from([2, 9]),
    shares=st.sampled_from([(0.0, 0.0), (0.2, 0.0), (0.1, 0.3)]),
)
def test_rank_correlation_agrees_with_scipy(seed: int, count: int, shares: tuple[float, float]) -> None:
    scores, truth = numbers(seed, count, shares), numbers(seed + 1, count, shares)
    known = ~(np.isnan(scores) | np.isnan(truth))
    ranks = [scipy.stats.rankdata(x[known]) for x in (scores, truth)]
    varied = known.sum() >= 2 and all(np.ptp(rank) > 0 for rank in ranks)
    # Of ranks, which have the same ranks, since SciPy's own test of constant input stumbles over infinities.
    expected = np.asarray(scipy.stats.spearmanr(*ranks))[0] if varied else np.nan
    np.testing.assert_allclose(rank_correlation(scores, truth), expected, rtol=1e-4, atol=1e-6)


def test_rank_correlation_of_the_same_and_the_opposite_order() -> None:
    x = np.random.default_rng(0).random(9).astype(np.float32)
    assert rank_correlation(x, np.exp(3 * x)) == 1.0
    assert rank_correlation(x, -x) == -1.0
    assert jnp.isnan(rank_correlation(x, np.ones(9)))
    assert jnp.isnan(rank_correlation(np.ones(1), np.ones(1)))


def test_rank_correlation_under_jit_and_vmap() -> None:
    scores = jnp.stack([jnp.asarray(numbers(seed, 9, (0.1, 0.1))) for seed in range(4)])
    truth = jnp.asarray(numbers(5, 9, (0.0, 0.0)))
    each = [rank_correlation(row, truth) for row in scores]
    np.testing.assert_allclose(
        jax.jit(jax.vmap(rank_correlation, in_axes=(0, None)))(scores, truth), each, rtol=1e-5, atol=1e-7
    )
    np.testing.assert_allclose(jax.jit(rank_correlation)(scores[0], truth), each[0], rtol=1e-5)


@pytest.mark.parametrize("function", [regret, rank_correlation])
def test_bad_numbers_are_refused_with_a_sentence(function) -> None:
    name = function.__name__
    with annotations_unchecked():
        with pytest.raises(ValueError, match=f"{name} takes at least one candidate; got none"):
            function(jnp.ones(0), jnp.ones(0))
        with pytest.raises(
            ValueError, match=rf"{name} takes scores \[P\] and truth \[P\] of .*; got float32\[3\] and float"
        ):
            function(jnp.ones(3), jnp.ones(4))
