"""Receptive fields against the convolution of kernels, whose variances add, and against derivatives by hand."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked
from scipy.signal import convolve2d

from jaxaug.explain import effective_receptive_field, receptive_field_size, receptive_field_spread

RNG = np.random.default_rng(0)


def convolved(x: jax.Array, kernels: list[np.ndarray], strides: int = 1) -> jax.Array:
    """Returns x after a convolution with each kernel of one channel; the first has the strides."""
    for i, kernel in enumerate(kernels):
        step = strides if i == 0 else 1
        weights = jnp.asarray(kernel[:, :, None, None], jnp.float32)
        x = jax.lax.conv_general_dilated(
            x, weights, (step, step), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), precision="highest"
        )
    return x


def uniform(height: int, width: int) -> np.ndarray:
    return np.full((height, width), 1 / (height * width))


def test_stack_of_uniform_kernels() -> None:
    kernels = [uniform(3, 5), uniform(5, 3), uniform(3, 3), uniform(7, 1)]
    truth = kernels[0]
    for kernel in kernels[1:]:
        truth = convolve2d(truth, kernel)
    field = effective_receptive_field(lambda x: convolved(x, kernels), jnp.zeros((1, 25, 21, 1)))
    expected = np.zeros((25, 21))
    expected[12 - 7 : 12 + 8, 10 - 4 : 10 + 5] = truth
    np.testing.assert_allclose(field, expected, rtol=1e-4, atol=1e-7)
    variances = np.sum([[(k**2 - 1) / 12 for k in kernel.shape] for kernel in kernels], axis=0)
    np.testing.assert_allclose(receptive_field_spread(field), np.sqrt(variances), rtol=1e-4)


def test_strides_widen_the_field() -> None:
    field = effective_receptive_field(lambda x: convolved(x, [uniform(3, 3)] * 2, 2), jnp.zeros((1, 17, 33, 1)))
    # The second kernel counts in steps of two pixels: variance (9 - 1) / 12 of the first, four times that of the other.
    np.testing.assert_allclose(receptive_field_spread(field), math.sqrt(5 * 8 / 12), rtol=1e-4)


def test_gaussian_blur() -> None:
    places = np.arange(-10, 11)
    line = np.exp(-(places**2) / (2 * 2.5**2))
    line /= line.sum()
    kernel = np.outer(line, line)
    field = effective_receptive_field(lambda x: convolved(x, [kernel]), jnp.zeros((1, 25, 31, 1)))
    np.testing.assert_allclose(receptive_field_spread(field), math.sqrt((line * places**2).sum()), rtol=1e-4)
    size = receptive_field_size(field)
    np.testing.assert_allclose(size, math.sqrt((kernel > 0.0455 * kernel.max()).sum()), rtol=1e-6)
    # A disc of radius σ sqrt(2 ln(1 / 0.0455)), but for whole pixels.
    np.testing.assert_allclose(size, 2.5 * math.sqrt(2 * math.pi * math.log(1 / 0.0455)), rtol=0.03)


def test_mean_over_images_of_the_sum_over_channels_of_absolute_values() -> None:
    images, kernel = RNG.normal(size=(3, 4, 6, 2)), RNG.normal(size=(2, 5))

    def features(x: jax.Array) -> jax.Array:
        return jnp.sin(x) @ jnp.asarray(kernel, jnp.float32)

    truth = np.zeros((4, 6))
    gradients = np.cos(images[:, 2, 3]) * kernel.sum(axis=1)
    truth[2, 3] = np.abs(gradients).sum(axis=1).mean()
    images = jnp.asarray(images, jnp.float32)
    for run in (effective_receptive_field, jax.jit(effective_receptive_field, static_argnums=0)):
        np.testing.assert_allclose(run(features, images), truth, rtol=1e-4)
    halves = [effective_receptive_field(features, images[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(np.mean(halves, axis=0), truth, rtol=1e-4)
    mapped = jax.vmap(lambda x: effective_receptive_field(features, x[None]))(images)
    np.testing.assert_allclose(mapped.mean(axis=0), truth, rtol=1e-4)
    half = effective_receptive_field(lambda x: jnp.sin(x), images.astype(jnp.bfloat16))
    assert half.dtype == jnp.float32


def test_finite_differences() -> None:
    kernel = RNG.normal(size=(3, 3))
    image = RNG.normal(size=(5, 7))

    def response(image: np.ndarray) -> float:
        return float(np.tanh((np.tanh(image)[1:4, 2:5] * kernel).sum()))

    truth, step = np.zeros((5, 7)), 1e-6
    for place in np.ndindex(5, 7):
        move = np.zeros((5, 7))
        move[place] = step
        truth[place] = abs(response(image + move) - response(image - move)) / (2 * step)
    field = effective_receptive_field(
        lambda x: jnp.tanh(convolved(jnp.tanh(x), [kernel])), jnp.asarray(image[None, :, :, None], jnp.float32)
    )
    np.testing.assert_allclose(field, truth, rtol=1e-3, atol=1e-5)


def test_size_and_spread_of_many_fields_at_once() -> None:
    fields = jnp.asarray(RNG.uniform(size=(2, 3, 6, 4)), jnp.float32)
    for function in (receptive_field_size, receptive_field_spread):
        together = function(fields)
        np.testing.assert_allclose(together, [[function(field) for field in row] for row in fields], rtol=1e-5)
        np.testing.assert_allclose(jax.jit(function)(fields), together, rtol=1e-5)
        np.testing.assert_allclose(jax.vmap(function)(fields), together, rtol=1e-5)
        np.testing.assert_array_equal(function(jnp.zeros((3, 4))), 0)
        np.testing.assert_allclose(function(1e30 * fields), together, rtol=1e-5)
        assert function(fields.astype(jnp.bfloat16)).dtype == jnp.float32
    weights = np.asarray(fields[0, 0], np.float64) / np.asarray(fields[0, 0], np.float64).sum()
    for axis, length in enumerate((6, 4)):
        line, places = weights.sum(axis=1 - axis), np.arange(length)
        truth = math.sqrt((line * (places - (line * places).sum()) ** 2).sum())
        np.testing.assert_allclose(receptive_field_spread(fields)[0, 0, axis], truth, rtol=1e-4)
    sizes = jax.vmap(lambda fraction: receptive_field_size(fields[0, 0], fraction=fraction))(jnp.array([0.0, 0.5]))
    share = (fields[0, 0] > 0.5 * fields[0, 0].max()).sum()
    np.testing.assert_allclose(sizes, [math.sqrt(24), math.sqrt(share)], rtol=1e-6)


def test_bad_arguments_get_one_sentence() -> None:
    images = jnp.ones((2, 4, 4, 1))
    calls: list[tuple[Any, str]] = [
        (
            lambda: effective_receptive_field(lambda x: x, images[0]),
            r"^effective_receptive_field takes images \[B, H, W",
        ),
        (
            lambda: effective_receptive_field(lambda x: x.mean((1, 2)), images),
            r"^effective_receptive_field takes a network with features \[B, h, w, C\]; got float32\[2, 1\]",
        ),
        (lambda: receptive_field_size(jnp.ones(3)), r"^receptive_field_size takes fields \[..., H, W\]; got"),
        (lambda: receptive_field_size(jnp.ones((2, 2)), fraction=1.0), r"takes fraction in \[0, 1\); got 1.0"),
        (lambda: receptive_field_spread(jnp.ones((2, 2), jnp.int32)), "of a floating-point dtype; got int32"),
        (lambda: receptive_field_spread(jnp.ones((2, 0))), "no empty axis"),
    ]
    with annotations_unchecked():
        for call, sentence in calls:
            with pytest.raises((ValueError, TypeError), match=sentence):
                call()
