"""Importance weights against SciPy and their limits."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.sampling import importance_weights

KINDS = ("loss", "one_minus_prob", "softmax", "uniform")


def reference(losses: np.ndarray, importance: str, temperature: float = 1.0) -> np.ndarray:
    losses = losses.astype(np.float64)
    if importance == "softmax":
        return scipy.special.softmax(losses / temperature, axis=0)
    weights = {"loss": losses, "one_minus_prob": 1 - np.exp(-losses), "uniform": np.ones_like(losses)}[importance]
    total = weights.sum(axis=0)
    return np.where(total == 0, 1 / len(losses), weights / np.where(total == 0, 1, total))


@settings(max_examples=25, deadline=None)
@given(
    m=st.sampled_from([1, 2, 5]),  # few shapes, since each compiles anew
    b=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**31),
    scale=st.sampled_from([1e-4, 1.0, 30.0]),
    importance=st.sampled_from(KINDS),
)
def test_weights_agree_with_the_definition(m: int, b: int, seed: int, scale: float, importance: Any) -> None:
    losses = scale * np.random.default_rng(seed).random((m, b), np.float32)
    weights = importance_weights(jnp.asarray(losses), importance=importance, temperature=0.7)
    assert weights.shape == (m, b)
    np.testing.assert_allclose(weights, reference(losses, importance, 0.7), rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-5)


@pytest.mark.parametrize("importance", KINDS)
def test_all_zero_is_uniform(importance: Any) -> None:
    weights = importance_weights(jnp.zeros((4, 3)), importance=importance)
    np.testing.assert_allclose(weights, 0.25)


def test_softmax_goes_from_the_largest_to_uniform() -> None:
    losses = jnp.array([[0.1, 5.0], [0.3, 1.0], [0.2, 3.0]])
    cold = importance_weights(losses, importance="softmax", temperature=1e-5)
    hot = importance_weights(losses, importance="softmax", temperature=1e6)
    np.testing.assert_allclose(cold, [[0, 1], [1, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(hot, 1 / 3, rtol=1e-4)


def test_softmax_at_one_is_inverse_probability() -> None:
    probability = jnp.array([[0.5, 0.9], [0.25, 0.3]])
    weights = importance_weights(-jnp.log(probability), importance="softmax")
    np.testing.assert_allclose(weights, (1 / probability) / (1 / probability).sum(axis=0, keepdims=True), rtol=1e-5)


def test_temperature_is_traced() -> None:
    losses = jnp.array([[0.1], [0.3]])
    temperatures = jnp.array([0.5, 1.0, 2.0])
    weights = jax.vmap(lambda t: importance_weights(losses, importance="softmax", temperature=t))(temperatures)
    expected = [reference(np.asarray(losses), "softmax", float(t)) for t in temperatures]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)


@pytest.mark.parametrize("importance", ["loss", "softmax"])
def test_extreme_losses_have_weights(importance: Any) -> None:
    losses = jnp.array([[3e38, jnp.inf, 1e-38], [3e38, 1.0, 0.0], [0.0, jnp.inf, 0.0]])
    weights = importance_weights(losses, importance=importance)
    assert np.isfinite(weights).all()
    np.testing.assert_allclose(weights.sum(axis=0), 1.0, rtol=1e-6)
    np.testing.assert_allclose(weights[:, :2], [[0.5, 0.5], [0.5, 0.0], [0.0, 0.5]])


@pytest.mark.parametrize("importance", KINDS)
def test_nan_stays_in_its_column(importance: Any) -> None:
    weights = importance_weights(jnp.array([[1.0, jnp.nan], [2.0, 1.0]]), importance=importance)
    assert np.isfinite(weights[:, 0]).all()
    assert np.isnan(weights[:, 1]).all()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_dtype_is_kept(dtype: Any) -> None:
    assert importance_weights(jnp.ones((2, 3), dtype)).dtype == dtype


def test_bad_input_is_refused() -> None:
    with annotations_unchecked():
        with pytest.raises(ValueError, match="'loss', 'one_minus_prob', 'softmax', 'uniform'"):
            importance_weights(jnp.ones((2, 3)), importance="entropy")  # pyright: ignore[reportArgumentType]
        with pytest.raises(ValueError, match=r"temperature in \(0"):
            importance_weights(jnp.ones((2, 3)), temperature=0.0)
        with pytest.raises(ValueError, match=r"losses \[M, B\]"):
            importance_weights(jnp.ones(3))
        with pytest.raises(TypeError, match="floating-point"):
            importance_weights(jnp.ones((2, 3), jnp.int32))
