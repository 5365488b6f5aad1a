"""The Gaussian kernel and filter against SciPy, their moments and their gradient."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from layer_reference import gradients_checked
from scipy import ndimage
from whole import compiled

import jaxaug
from jaxaug.layers._gaussian_filter import filtered as filtered_eagerly

gaussian_filter, gaussian_kernel = compiled(jaxaug.gaussian_filter), compiled(jaxaug.gaussian_kernel)
filtered = compiled(filtered_eagerly)


def normal(seed: int, shape: tuple[int, ...] = (2, 7, 6, 3)) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def reference_kernel(sigma: float, radius: int) -> np.ndarray:
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return weights / weights.sum()


@settings(max_examples=10, deadline=None)
@given(sigma=st.floats(0.05, 20), radius=st.integers(0, 5))
def test_the_kernel_is_a_normalized_gaussian(sigma: float, radius: int):
    np.testing.assert_allclose(gaussian_kernel(sigma, radius=radius), reference_kernel(sigma, radius), atol=1e-6)


def test_the_limits_of_sigma_are_an_impulse_and_a_mean():
    np.testing.assert_allclose(gaussian_kernel(1e-8, radius=2), [0, 0, 1, 0, 0])
    np.testing.assert_allclose(gaussian_kernel(1e6, radius=2), [0.2] * 5, rtol=1e-6)
    np.testing.assert_array_equal(gaussian_kernel(1.0, radius=0), [1.0])
    assert np.isfinite(jax.jit(jax.grad(lambda s: gaussian_kernel(s, radius=2)[2]))(1e-8))


def test_the_truncated_variance_is_the_documented_one():
    weights = np.asarray(gaussian_kernel(2.0, radius=4), np.float64)
    assert (weights * np.arange(-4, 5) ** 2).sum() == pytest.approx(3.43, abs=0.005)


def test_the_gradient_to_sigma_is_the_closed_form():
    sigma, k = 0.8, np.arange(-2, 3)
    weights = reference_kernel(sigma, 2)
    expected = weights * (k**2 - (weights * k**2).sum()) / sigma**3
    np.testing.assert_allclose(jax.jit(jax.jacrev(lambda s: gaussian_kernel(s, radius=2)))(sigma), expected, atol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(lambda s: gaussian_kernel(s, radius=2)))(sigma), expected, atol=1e-6)


def test_a_kernel_for_each_channel():
    both = gaussian_kernel(jnp.array([0.5, 2.0]), radius=3)
    assert both.shape == (7, 2)
    for column, sigma in enumerate((0.5, 2.0)):
        np.testing.assert_allclose(both[:, column], reference_kernel(sigma, 3), atol=1e-6)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), sigma=st.floats(0.3, 3), radius=st.integers(0, 3))
def test_the_filter_is_scipys_where_the_border_does_not_count(seed: int, sigma: float, radius: int):
    x = np.asarray(normal(seed), np.float64)
    kernel = reference_kernel(sigma, radius)

    def both_axes(a: np.ndarray) -> np.ndarray:
        for axis in (1, 2):
            a = ndimage.correlate1d(a, kernel, axis=axis, mode="constant")
        return a

    expected = both_axes(x) / both_axes(np.ones_like(x))
    np.testing.assert_allclose(gaussian_filter(jnp.asarray(x, jnp.float32), sigma, radius=radius), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 5, 1), (1, 3, 4, 2), (1, 2, 3, 4, 1)])
def test_a_constant_stays_in_any_number_of_axes(shape: tuple[int, ...]):
    np.testing.assert_allclose(
        gaussian_filter(np.full(shape, 3, np.float32), 1.5, radius=4), np.full(shape, 3.0), rtol=1e-6
    )


def test_channels_have_a_width_each():
    x, sigmas = normal(1), jnp.array([0.4, 1.0, 2.5])
    y = gaussian_filter(x, sigmas, radius=2)
    for channel in range(3):
        alone = gaussian_filter(x[..., channel : channel + 1], sigmas[channel], radius=2)
        np.testing.assert_allclose(y[..., channel : channel + 1], alone, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "sigma"),
    [((1, 4, 3, 2), 0.8), ((1, 2, 9, 2), 0.8), ((1, 2, 1, 2), [0.6, 1.1]), ((2, 3, 1), 1.5)],
    ids=str,
)
def test_gradients_are_those_of_finite_differences(shape: tuple[int, ...], sigma: Any):
    # Also where the radius exceeds the image.
    sigma = jnp.asarray(sigma)
    gradients_checked(lambda x, s: gaussian_filter(x, s, radius=2), (normal(2, shape), sigma), modes=["rev"], rtol=1e-2)


@pytest.mark.parametrize("beyond", [((3, 1), (0, 2)), ((-2, -1), (-1, 0)), ((4, -1), (-3, 5))], ids=str)
@pytest.mark.parametrize("sigma", [0.8, jnp.array([0.5, 1.0, 2.0])], ids=["one", "per channel"])
def test_beyond_the_border_there_are_zeros(beyond: Any, sigma: Any):
    x, no = normal(5), (0, 0, 0)
    wide = jax.lax.pad(x, jnp.float32(0), [no, (6, 6, 0), (6, 6, 0), no])
    middle = jax.lax.pad(
        filtered(wide, jnp.asarray(sigma), radius=2), jnp.float32(0), [no, *((b - 6, a - 6, 0) for b, a in beyond), no]
    )
    np.testing.assert_allclose(filtered(x, jnp.asarray(sigma), radius=2, extend=beyond), middle, atol=1e-6)
    arguments = normal(6, (1, 5, 4, 3)), jnp.asarray(sigma)
    gradients_checked(lambda x, s: 2.0 * filtered(x, s, radius=2, extend=beyond), arguments, modes=["rev"], rtol=1e-2)


def test_jit_vmap_and_bfloat16():
    x, sigmas = normal(3), jnp.array([0.5, 1.5])
    each = np.stack([gaussian_filter(x, s, radius=2) for s in sigmas])
    together = jax.jit(jax.vmap(lambda s: gaussian_filter(x, s, radius=2)))(sigmas)
    np.testing.assert_allclose(together, each, atol=1e-6)
    y = gaussian_filter(x.astype(jnp.bfloat16), 1.5, radius=2)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(y, np.float32), each[1], atol=0.02)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: jaxaug.gaussian_kernel(0.0, radius=1), ValueError, r"sigma in \(0, inf\); got 0"),
        (lambda: jaxaug.gaussian_kernel(jnp.array([1.0, -1.0]), radius=1), ValueError, "got -1"),
        (lambda: jaxaug.gaussian_kernel(1.0, radius=-1), ValueError, "radius of at least 0"),
        (lambda: jaxaug.gaussian_kernel(1.0, radius=cast(Any, 1.5)), TypeError, "Python integer for radius"),
        (lambda: jaxaug.gaussian_kernel(jnp.ones((2, 2)), radius=1), ValueError, r"a number or \[C\] for sigma"),
        (lambda: jaxaug.gaussian_filter(jnp.ones((2, 3, 3, 1)), -1.0, radius=1), ValueError, "sigma in"),
        (lambda: jaxaug.gaussian_filter(jnp.ones((2, 3, 3, 1)), jnp.ones(2), radius=1), ValueError, "one sigma or"),
        (lambda: jaxaug.gaussian_filter(jnp.ones((2, 3)), 1.0, radius=1), ValueError, "at least one spatial axis"),
        (lambda: jaxaug.gaussian_filter(jnp.ones((2, 3, 3, 1), jnp.int32), 1.0, radius=1), TypeError, "floating-point"),
    ],
)
def test_bad_input_gets_a_sentence(call: Any, error: type[Exception], said: str):
    with annotations_unchecked(), pytest.raises(error, match=said):
        call()
