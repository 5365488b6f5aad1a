"""Diversity against its definition, where it falls back, and the entropy against SciPy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.augment import flip_left_right
from jaxaug.search import diversity, entropy_diversity

SHAPES = [((), ()), ((3,), ()), ((3,), (3,)), ((2, 1), (3,))]


@settings(max_examples=15, deadline=None)
@given(shapes=st.sampled_from(SHAPES), seed=st.integers(0, 2**31))
def test_it_is_the_ratio_or_difference_of_two_losses(shapes: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    augmented, clean = (0.01 + rng.exponential(size=shape) for shape in shapes)
    np.testing.assert_allclose(diversity(augmented, clean), augmented / clean, rtol=1e-5)
    np.testing.assert_allclose(diversity(augmented, clean, kind="difference"), augmented - clean, atol=1e-6)


@pytest.mark.parametrize("loss", [0.3, np.float64(0.3), jnp.float32(0.3), jnp.bfloat16(0.3), np.full(4, 0.3), 1])
def test_the_same_loss_is_no_diversity(loss: Any) -> None:
    assert (diversity(loss, loss) == 1).all()
    assert (diversity(loss, loss, kind="difference") == 0).all()
    assert diversity(loss, loss).dtype == jnp.float32


def test_jit_and_vmap_give_the_same_numbers() -> None:
    losses = jnp.array([0.0, 0.1, 0.25, 3.0])
    each = [diversity(loss, 0.3) for loss in losses]
    np.testing.assert_array_equal(diversity(losses, 0.3), each)
    np.testing.assert_allclose(jax.vmap(lambda loss: diversity(loss, 0.3))(losses), each, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(diversity)(losses, 0.3), each, rtol=1e-6)


def test_near_zero_it_is_the_difference_and_says_so() -> None:
    augmented, clean = jnp.array([0.5, 0.5, 0.5]), jnp.array([0.25, 2e-5, 0.0])
    with pytest.warns(UserWarning, match="a clean loss of at least 0.001 for a ratio; got 0 and") as said:
        values = diversity(augmented, clean)
    assert len(said) == 1
    np.testing.assert_allclose(values, [2.0, 0.49998, 0.5], rtol=1e-6)
    # Traced, no warning: it would be an error here. The comparison says which are differences.
    traced, fell_back = jax.jit(lambda a, c: (diversity(a, c), c < 1e-3))(augmented, clean)
    np.testing.assert_allclose(traced, values, rtol=1e-6)
    assert fell_back.tolist() == [False, True, True]


def test_the_limit_is_an_option_that_may_be_traced() -> None:
    assert diversity(0.5, 1e-4, near_zero=1e-5) == np.float32(0.5) / np.float32(1e-4)
    limits = jax.vmap(lambda limit: diversity(0.5, 0.1, near_zero=limit))(jnp.array([0.05, 0.1, 0.2]))
    np.testing.assert_allclose(limits, [5.0, 5.0, 0.4], rtol=1e-6)
    diversity(0.5, 0.0, kind="difference")  # divides by nothing and says nothing


def test_no_division_by_zero_is_made() -> None:
    with jax.debug_nans(True), pytest.warns(UserWarning, match="difference"):
        diversity(jnp.zeros(2), jnp.zeros(2)).block_until_ready()


def test_losses_that_are_not_finite_stay_so() -> None:
    values = diversity(jnp.array([jnp.nan, 1.0, jnp.inf]), jnp.array([1.0, jnp.nan, 1.0]))
    np.testing.assert_array_equal(values, [np.nan, np.nan, np.inf])


def test_bad_losses_are_refused_with_a_sentence() -> None:
    with annotations_unchecked():
        with pytest.raises(ValueError, match="one of 'ratio', 'difference' for kind; got 'entropy'"):
            diversity(1.0, 1.0, kind="entropy")  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match=r"shapes that broadcast; got \[3\] and \[2\]"):
            diversity(jnp.ones(3), jnp.ones(2))
        with pytest.raises(ValueError, match=r"near_zero in \(0, inf\); got 0"):
            diversity(1.0, 1.0, near_zero=0)


@settings(max_examples=15, deadline=None)
@given(shape=st.sampled_from([(1,), (2, 1, 3)]), seed=st.integers(0, 2**31))
def test_entropy_agrees_with_scipy(shape: tuple[int, ...], seed: int) -> None:
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), shape[:-1]).astype(np.float32)
    expected = scipy.stats.entropy(probabilities.astype(np.float64), axis=-1)
    np.testing.assert_allclose(entropy_diversity(jnp.asarray(probabilities)), expected, rtol=1e-5, atol=1e-6)


def test_entropy_of_a_flip_is_binary_entropy() -> None:
    images = jnp.broadcast_to(jnp.array([[0.0], [1.0]]), (2000, 1, 2, 1))
    flipped = (flip_left_right(jax.random.key(0), images, prob=0.2)[:, 0, 0, 0] == 1).mean()
    measured = entropy_diversity(jnp.stack([flipped, 1 - flipped]))
    np.testing.assert_allclose(measured, -(0.2 * np.log(0.2) + 0.8 * np.log(0.8)), atol=0.04)


def test_entropy_has_its_limits_and_adds_up() -> None:
    np.testing.assert_array_equal(entropy_diversity(jnp.array([[1.0, 0.0], [0.0, 1.0]])), 0.0)
    np.testing.assert_allclose(entropy_diversity(jnp.full(8, 0.125)), np.log(8), rtol=1e-6)
    first, second = jnp.array([0.3, 0.7]), jnp.array([0.1, 0.4, 0.5])
    together = entropy_diversity(jnp.outer(first, second).ravel())
    np.testing.assert_allclose(together, entropy_diversity(first) + entropy_diversity(second), rtol=1e-6)
    np.testing.assert_array_equal(jax.jit(jax.vmap(entropy_diversity))(jnp.eye(3)), jnp.zeros(3))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_entropy_keeps_the_dtype(dtype: Any) -> None:
    value = entropy_diversity(jnp.full(10, 0.1, dtype))
    assert value.dtype == dtype
    np.testing.assert_allclose(value.astype(jnp.float32), np.log(10), rtol=float(jnp.finfo(dtype).eps) * 4)


def test_bad_probabilities_are_refused_with_a_sentence() -> None:
    with annotations_unchecked():
        with pytest.raises(ValueError, match=r"sum to 1; got a minimum of 0\.2 and sums from 0\.7 to 1"):
            entropy_diversity(jnp.array([[0.2, 0.5], [0.5, 0.5]]))
        with pytest.raises(ValueError, match=r"got a minimum of -0\.5 and sums from 1 to 1"):
            entropy_diversity(jnp.array([1.5, -0.5]))
        with pytest.raises(ValueError, match="got a minimum of nan"):
            entropy_diversity(jnp.array([1.0, jnp.nan]))
        with pytest.raises(TypeError, match=r"floating-point probabilities \[..., K\]; got int32\[2\]"):
            entropy_diversity(jnp.array([1, 0]))
        for empty in (jnp.float32(1.0), jnp.ones((2, 0))):
            with pytest.raises(ValueError, match=r"probabilities \[..., K\], K >= 1; got float32"):
                entropy_diversity(empty)
