"""Maximum-entropy pooling against its equation, its limits and its gradients."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from layer_reference import gradients_checked, pooled
from whole import compiled

import jaxaug
from jaxaug import MaxEntropyPool

max_entropy_pool = compiled(jaxaug.max_entropy_pool)
KEY = jax.random.key(0)


def normal(seed: int, shape: tuple[int, ...] = (2, 4, 5, 3)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def softmax_mean(part: np.ndarray, scale: float) -> np.ndarray:
    weights = np.exp(scale * (part - part.max(axis=1, keepdims=True)))
    return (part * weights).sum(axis=1) / weights.sum(axis=1)


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    scale=st.floats(0, 20),
    options=st.sampled_from(
        [{}, {"window": (3, 2), "strides": (1, 2)}, {"window": (3, 3), "padding": "SAME"}, {"window": (1, 1)}]
    ),
)
def test_it_is_the_mean_under_the_softmax_of_the_window(seed: int, scale: float, options: dict[str, Any]):
    x = normal(seed)
    expected = pooled(x, lambda part: softmax_mean(part, scale), **{"window": (2, 2), **options})
    np.testing.assert_allclose(max_entropy_pool(x, scale, **options), expected, atol=1e-5)


def test_the_limits_are_average_and_maximum():
    x = normal(0) * 100.0 - 500.0  # all negative, and large
    np.testing.assert_allclose(max_entropy_pool(x, 0.0), pooled(x, lambda p: p.mean(1), (2, 2)), rtol=1e-6)
    np.testing.assert_allclose(max_entropy_pool(x, 1e4), pooled(x, lambda p: p.max(1), (2, 2)), rtol=1e-6)


def test_gradients_follow_the_closed_forms():
    x = normal(1, (1, 2, 2, 2))
    scale = jnp.array([0.5, 3.0])
    gradients_checked(max_entropy_pool, (x, scale), modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)
    y = max_entropy_pool(x, scale)
    exponent = np.exp(np.asarray(scale) * np.asarray(x))
    weights = exponent / exponent.sum((1, 2), keepdims=True)
    dx, dscale = jax.jit(jax.grad(lambda *a: max_entropy_pool(*a).sum(), argnums=(0, 1)))(x, scale)
    slope = weights * (1 + np.asarray(scale) * np.asarray(x - y))
    np.testing.assert_allclose(dx, slope, atol=1e-5)
    variance = (weights * np.asarray(x - y) ** 2).sum((1, 2))[0]
    np.testing.assert_allclose(dscale, variance, atol=1e-5)


def test_bfloat16_stays_and_jit_changes_nothing():
    x = normal(2)
    assert max_entropy_pool(x.astype(jnp.bfloat16), 1.0).dtype == jnp.bfloat16
    scales = jnp.array([0.0, 1.0])
    each = np.stack([max_entropy_pool(x, scale) for scale in scales])
    np.testing.assert_allclose(jax.jit(jax.vmap(lambda s: max_entropy_pool(x, s)))(scales), each, atol=1e-6)


@pytest.mark.parametrize(
    ("x", "scale", "error", "said"),
    [
        (jnp.ones((1, 2, 2, 1)), -1.0, ValueError, "scale in .0, inf.; got -1"),
        (jnp.ones((1, 2, 2, 1)), float("inf"), ValueError, "scale in .0, inf.; got inf"),
        (jnp.ones((1, 2, 2, 1)), jnp.ones(2), ValueError, r"\[1\] or \[1, 1, 1, 1\] for scale"),
        (jnp.ones((1, 1, 1, 1)), 1.0, ValueError, "no larger than the padded height"),
        (jnp.ones((1, 2, 2, 1), jnp.int32), 1.0, TypeError, "floating-point"),
    ],
)
def test_bad_input_gets_a_sentence(x: jax.Array, scale: Any, error: type[Exception], said: str):
    with annotations_unchecked(), pytest.raises(error, match=said):
        jaxaug.max_entropy_pool(x, scale)


def test_the_module_takes_its_scale_from_where_it_is_told():
    x = normal(3, (4, 4, 4, 6))
    expected = max_entropy_pool(x, 2.0)
    for source, names in (("fixed", set()), ("learned", {"scale"})):
        layer: Any = MaxEntropyPool(parameters=cast(Any, source), scale=2.0)
        variables = compiled(layer.init)(KEY, x, deterministic=True)
        assert set(variables.get("params", {})) == names
        np.testing.assert_allclose(compiled(layer.apply)(variables, x, deterministic=True), expected, atol=1e-6)
    low, high = pooled(x, lambda p: p.mean(1), (2, 2)), pooled(x, lambda p: p.max(1), (2, 2))
    for link in ("softplus", "sigmoid"):
        layer: Any = MaxEntropyPool(link=cast(Any, link))
        variables = compiled(layer.init)(KEY, x, deterministic=True)
        y, _ = compiled(layer.apply)(variables, x, deterministic=False, mutable=["batch_stats"])  # needs no key
        assert ((low - 1e-6 <= y) & (y <= high + 1e-6)).all()
        np.testing.assert_allclose(
            compiled(layer.apply)(variables, x, deterministic=True)[1:2],
            compiled(layer.apply)(variables, x[1:2], deterministic=True),
            atol=1e-6,
        )
