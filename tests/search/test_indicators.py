"""Indicators against NumPy and SciPy, their invariances, ties, and candidates that failed."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.search import pareto_front
from jaxaug.search.indicators import INDICATORS, constrained, log_sum, product, rank_sum, z_score_sum

COMPILED = {name: jax.jit(indicator) for name, indicator in INDICATORS.items()}


def candidates(seed: int, count: int, *, failed: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Returns affinities and diversities with ties, and with candidates that failed in either."""
    rng = np.random.default_rng(seed)
    affinity = rng.choice([0.0, 0.1, 0.25, 0.5, 0.75, 1.0, 1.1], count).astype(np.float32)
    diversity = rng.choice([0.8, 1.0, 1.5, 2.0, 3.5, 8.0], count).astype(np.float32)
    if failed:
        affinity[rng.random(count) < 0.15] = np.nan
        diversity[rng.random(count) < 0.15] = rng.choice([np.nan, np.inf])
    return affinity, diversity


def reference(name: str, t: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Returns the scores of candidates of which none failed, at the default options, in float64."""
    t, d = t.astype(np.float64), d.astype(np.float64)
    if name == "product":
        return t * d
    if name == "log_sum":
        with np.errstate(divide="ignore"):
            return np.log(t) + 0.5 * np.log(d)
    if name == "z_score_sum":
        z_t, z_d = ((x - x.mean()) / x.std() if np.ptp(x) else np.zeros(len(x)) for x in (t, d))
        return z_t + z_d
    if name == "rank_sum":
        return scipy.stats.rankdata(t) + scipy.stats.rankdata(d)
    diverse = d >= np.median(d)
    place = scipy.stats.rankdata(-d[~diverse])
    return np.where(diverse, t, 0.0) - np.array(
        [0.0 if ok else place[sum(~diverse[:i])] for i, ok in enumerate(diverse)]
    )


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(INDICATORS)), seed=st.integers(0, 2**31), count=st.sampled_from([1, 8])
)  # each count compiles
def test_scores_agree_with_the_definition(name: str, seed: int, count: int) -> None:
    t, d = candidates(seed, count)
    valid = np.isfinite(t) & np.isfinite(d)
    expected = np.full(count, -np.inf)
    if valid.any():
        expected[valid] = reference(name, t[valid], d[valid])
    scores = INDICATORS[name](t, d)
    assert (scores.dtype, scores.shape) == (jnp.float32, (count,))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(COMPILED[name](t, d), scores, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", INDICATORS)
def test_vmap_gives_the_same_numbers_and_float16_is_taken(name: str) -> None:
    sets = [candidates(seed, 8) for seed in range(3)]
    t, d = (jnp.asarray(np.stack(numbers)) for numbers in zip(*sets, strict=True))
    each = jnp.stack([INDICATORS[name](*pair) for pair in sets])
    np.testing.assert_allclose(jax.jit(jax.vmap(INDICATORS[name]))(t, d), each, rtol=1e-5, atol=1e-6)
    exact = jnp.array([0.5, 0.25, 1.0, 2.0, 4.0, 0.5, 1.0, 8.0])
    for dtype in (jnp.float16, jnp.bfloat16):
        narrow = INDICATORS[name](exact.astype(dtype), exact.astype(dtype))
        np.testing.assert_array_equal(narrow, INDICATORS[name](exact, exact))


@pytest.mark.parametrize("name", INDICATORS)
def test_the_order_of_candidates_does_not_matter(name: str) -> None:
    t, d = candidates(4, 8)
    order = np.random.default_rng(0).permutation(8)
    scores = np.asarray(INDICATORS[name](t, d))
    np.testing.assert_allclose(INDICATORS[name](t[order], d[order]), scores[order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", INDICATORS)
def test_what_failed_does_not_change_the_others(name: str) -> None:
    t, d = candidates(1, 8, failed=False)
    alone = INDICATORS[name](t, d)
    beside = COMPILED[name](np.append(t, [np.nan, 1.0, np.nan]), np.append(d, [2.0, np.inf, np.nan]))
    np.testing.assert_allclose(beside[:8], alone, rtol=1e-5)
    np.testing.assert_array_equal(beside[8:], -np.inf)


@pytest.mark.parametrize("name", INDICATORS)
def test_all_failed_and_one_candidate(name: str) -> None:
    np.testing.assert_array_equal(INDICATORS[name](np.full(8, np.nan), np.ones(8)), -np.inf)
    assert np.isfinite(INDICATORS[name](np.ones(1), np.ones(1))).all()


@pytest.mark.parametrize("name", INDICATORS)
def test_a_candidate_that_is_better_in_both_scores_higher(name: str) -> None:
    scores = INDICATORS[name](np.array([0.5, 0.9, 0.7]), np.array([2.0, 2.5, 2.2]))
    assert np.argsort(scores).tolist() == [0, 2, 1]


def test_log_sum_has_the_order_of_the_product_and_of_its_parts() -> None:
    t, d = candidates(9, 8, failed=False)
    t, d = t + np.float32(0.1), d + np.arange(8, dtype=np.float32) / 100
    np.testing.assert_allclose(log_sum(t, d, weight=1.0), np.log(product(t, d)), atol=1e-5)
    np.testing.assert_allclose(log_sum(t, d, weight=0.0), np.log(t), rtol=1e-5)
    np.testing.assert_allclose(log_sum(t, d, weight=3.0), np.log(t) + 3 * np.log(d), rtol=1e-4, atol=1e-5)


def test_log_sum_of_what_has_no_logarithm() -> None:
    t, d = jnp.array([0.0, 0.5, 0.5]), jnp.array([2.0, 0.0, -0.5])
    with jax.debug_nans(True):
        np.testing.assert_array_equal(log_sum(t, d), -np.inf)
        np.testing.assert_allclose(log_sum(t, d, weight=0.0), [-np.inf, np.log(0.5), np.log(0.5)])


@pytest.mark.parametrize("indicator", [log_sum, z_score_sum])
def test_weights_may_be_traced(indicator: Any) -> None:
    t, d = candidates(2, 8)
    weights = jnp.array([0.0, 0.5, 2.0])
    each = [indicator(t, d, weight=weight) for weight in weights.tolist()]
    np.testing.assert_allclose(
        jax.jit(jax.vmap(lambda w: indicator(t, d, weight=w)))(weights), each, rtol=1e-5, atol=1e-6
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), scale=st.sampled_from([1e-12, 0.3, 1e20]), shift=st.sampled_from([0.0, 4.0, -30.0]))
def test_z_scores_ignore_scale_and_origin(seed: int, scale: float, shift: float) -> None:
    t, d = candidates(seed, 8)
    moved = z_score_sum(t * np.float32(0.5) - 1, (d + np.float32(shift)) * np.float32(scale), weight=0.7)
    np.testing.assert_allclose(moved, z_score_sum(t, d, weight=0.7), rtol=1e-3, atol=1e-4)


def test_z_scores_of_equal_numbers_are_exactly_0() -> None:
    t = np.full(8, 0.9, np.float32)
    np.testing.assert_array_equal(z_score_sum(t, t / 3), 0.0)


@pytest.mark.parametrize("rises", [np.exp, np.cbrt, lambda x: 2 * x - 9])
def test_rank_sum_ignores_maps_that_rise(rises: Any) -> None:
    t, d = candidates(6, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.testing.assert_array_equal(rank_sum(rises(t), d), rank_sum(t, d))
        valid = np.isfinite(d)
        np.testing.assert_array_equal(rank_sum(t, np.where(valid, rises(d), np.nan)), rank_sum(t, d))


def test_constrained_puts_what_is_diverse_enough_first() -> None:
    t = np.array([0.9, -0.4, 0.5, 1.0, 0.8, np.nan])
    d = np.array([1.0, 2.0, 3.0, 1.5, 1.0, 9.0])
    np.testing.assert_allclose(constrained(t, d, at_least=2.0), [-2.9, -0.4, 0.5, -1.4, -2.9, -np.inf], rtol=1e-6)
    np.testing.assert_allclose(constrained(t, d, at_least=0.0), np.where(np.isnan(t), -np.inf, t))
    np.testing.assert_allclose(constrained(t, d, at_least=50.0), [-4.5, -2, -1, -3, -4.5, -np.inf])
    np.testing.assert_array_equal(constrained(t, d), constrained(t, d, at_least=1.5))  # the median of five
    limits = jnp.array([0.0, 2.0, 50.0])
    each = [constrained(t, d, at_least=limit) for limit in limits.tolist()]
    np.testing.assert_array_equal(jax.jit(jax.vmap(lambda limit: constrained(t, d, at_least=limit)))(limits), each)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), count=st.sampled_from([1, 8]))
def test_pareto_front_is_what_nothing_dominates(seed: int, count: int) -> None:
    t, d = candidates(seed, count)
    valid = [i for i in range(count) if np.isfinite(t[i]) and np.isfinite(d[i])]

    def dominated(i: int) -> bool:
        return any(t[j] >= t[i] and d[j] >= d[i] and (t[j] > t[i] or d[j] > d[i]) for j in valid)

    front = pareto_front(t, d)
    assert front.tolist() == [i in valid and not dominated(i) for i in range(count)]
    np.testing.assert_array_equal(jax.jit(pareto_front)(t, d), front)
    for name in ("product", "z_score_sum", "rank_sum"):
        scores = np.asarray(INDICATORS[name](t, d), np.float64)
        highest = [i for i in valid if scores[i] >= scores.max() - 1e-5]
        # A product of 0 does not rise with diversity.
        assert not valid or any(front[i] for i in highest) or scores.max() == 0


@pytest.mark.parametrize("name", [*INDICATORS, "pareto_front"])
def test_bad_numbers_are_refused_with_a_sentence(name: str) -> None:
    indicator = {**INDICATORS, "pareto_front": pareto_front}[name]
    with annotations_unchecked():
        with pytest.raises(ValueError, match=f"{name} takes at least one candidate; got none"):
            indicator(jnp.ones(0), jnp.ones(0))
        both = r"affinity \[P\] and diversity \[P\] of the same P candidates; got "
        with pytest.raises(ValueError, match=both + r"float32\[3\] and float32\[2\]"):
            indicator(jnp.ones(3), jnp.ones(2))
        with pytest.raises(ValueError, match=both + r"float32\[\] and float32\[\]"):
            indicator(1.0, 1.0)


def test_bad_options_are_refused_with_a_sentence() -> None:
    pair = jnp.ones(2), jnp.ones(2)
    for indicator in (log_sum, z_score_sum):
        with pytest.raises(ValueError, match=r"takes weight in \[0, inf\); got -1"):
            indicator(*pair, weight=-1)
    with pytest.raises(ValueError, match="takes at_least in"):
        constrained(*pair, at_least=float("nan"))
    for indicator in (product, log_sum):
        with pytest.raises(ValueError, match=r"affinities of kind='ratio', which are at least 0; got -0\.2"):
            indicator(jnp.array([0.0, -0.2, jnp.nan]), jnp.ones(3))
