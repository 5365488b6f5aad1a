"""Mean and deviation of windows against windows cut one by one, and their gradients."""

import functools
from typing import Any

import flax.linen as nn
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

local_statistics = compiled(jaxaug.local_statistics)


def normal(seed: int, shape: tuple[int, ...], dtype: Any = jnp.float32) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype)


def deviation(part: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(part.var(axis=1), 1e-6))


@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 99))
def test_every_window_stride_and_padding_equals_numpy(data: st.DataObject, seed: int):
    window = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    strides = data.draw(st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)))
    shape = data.draw(st.tuples(st.integers(1, 2), st.integers(3, 6), st.integers(3, 6), st.integers(1, 3)))
    pad = st.integers(0, max(0, min(window) - 1))
    padding = data.draw(st.sampled_from(["VALID", "SAME"]) | st.tuples(st.tuples(pad, pad), st.tuples(pad, pad)))
    x = normal(seed, shape)
    mean, std = local_statistics(x, window=window, strides=strides, padding=padding)
    expected = functools.partial(pooled, x, window=window, strides=strides, padding=padding)
    np.testing.assert_allclose(mean, expected(lambda part: part.mean(axis=1)), atol=1e-6)
    np.testing.assert_allclose(std, expected(deviation), atol=1e-6)
    assert mean.shape == jax.eval_shape(lambda: nn.max_pool(x, window, strides or window, padding)).shape  # pyright: ignore[reportArgumentType]


def test_padding_does_not_count():
    ones = jnp.ones((1, 3, 3, 1))
    mean, std = local_statistics(ones, window=(3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))
    np.testing.assert_allclose(mean, np.ones((1, 2, 2, 1)), atol=1e-7)
    np.testing.assert_allclose(std, np.full((1, 2, 2, 1), 1e-3), rtol=1e-6)


def test_a_constant_window_has_the_gradient_of_the_mean_alone():
    x = jnp.full((1, 2, 4, 1), 7.0)
    gradient = jax.jit(jax.grad(lambda x: sum(jnp.sum(s) for s in local_statistics(x))))(x)
    np.testing.assert_array_equal(gradient, np.full(x.shape, 0.25))


def test_large_means_do_not_cancel_the_deviation():
    x = normal(0, (2, 4, 4, 2))
    _, std = local_statistics(x + 4096.0)
    # The input itself is rounded to 1/2048; E[x²] - μ² would be off by 1 and more.
    np.testing.assert_allclose(std, pooled(x, deviation, (2, 2)), atol=1e-3)


def test_bfloat16_is_computed_in_float32():
    x = normal(1, (2, 4, 4, 3), jnp.bfloat16)
    mean, std = local_statistics(x + jnp.bfloat16(64))
    exact = np.asarray(x + jnp.bfloat16(64), np.float64)
    assert mean.dtype == std.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(mean, np.float32), pooled(exact, lambda p: p.mean(1), (2, 2)), rtol=2**-8)
    np.testing.assert_allclose(np.asarray(std, np.float32), pooled(exact, deviation, (2, 2)), rtol=2**-8)


@pytest.mark.parametrize("options", [{}, {"window": (3, 2), "strides": (2, 1), "padding": "SAME"}], ids=str)
def test_gradients_are_those_of_finite_differences(options: dict[str, Any]):
    x = normal(2, (2, 4, 5, 2))
    gradients_checked(lambda x: local_statistics(x, **options), (x,), modes=["fwd", "rev"], atol=1e-2, rtol=1e-2)


def test_gradients_follow_the_closed_form():
    x = normal(3, (1, 2, 2, 1))
    mean, std = local_statistics(x)
    gradient = jax.jit(jax.grad(lambda x: (local_statistics(x)[0] + 3.0 * local_statistics(x)[1]).sum()))(x)
    np.testing.assert_allclose(gradient, (1.0 + 3.0 * (x - mean) / std) / 4.0, atol=1e-6)
    np.testing.assert_allclose(gradient.sum(), 1.0, atol=1e-6)


def test_jit_and_vmap_give_the_same():
    x = normal(4, (3, 2, 4, 4, 2))
    eager = [local_statistics(each) for each in x]
    for transformed in (jax.vmap(local_statistics)(x), jax.jit(jax.vmap(local_statistics))(x)):
        for number, arrays in enumerate(zip(*eager, strict=True)):
            np.testing.assert_allclose(transformed[number], np.stack(arrays), atol=1e-6)


@pytest.mark.parametrize(
    ("x", "options", "error", "said"),
    [
        (jnp.ones((1, 2, 3, 1)), {"window": (3, 3)}, ValueError, "no larger than the padded height"),
        (jnp.ones((1, 4, 4, 1)), {"window": (2, 5)}, ValueError, "no larger than the padded width"),
        (jnp.ones((1, 4, 4, 1), jnp.int32), {}, TypeError, "floating-point"),
        (jnp.ones((4, 4, 1)), {}, ValueError, r"\[B, H, W, C\]"),
        (jnp.ones((1, 4, 4, 1)), {"window": (2, 0)}, ValueError, "window of at least 1"),
        (jnp.ones((1, 4, 4, 1)), {"window": 2}, ValueError, "height, width"),
        (jnp.ones((1, 4, 4, 1)), {"strides": (0, 1)}, ValueError, "strides of at least 1"),
        (jnp.ones((1, 4, 4, 1)), {"padding": "same"}, ValueError, "'VALID', 'SAME'"),
        (jnp.ones((1, 4, 4, 1)), {"padding": ((2, 0), (0, 0))}, ValueError, "smaller than its window"),
        (jnp.ones((1, 4, 4, 1)), {"padding": ((1, 0),)}, ValueError, "top, bottom"),
    ],
)
def test_bad_input_gets_a_sentence(x: jax.Array, options: dict[str, Any], error: type[Exception], said: str):
    with annotations_unchecked(), pytest.raises(error, match=said):
        jaxaug.local_statistics(x, **options)
