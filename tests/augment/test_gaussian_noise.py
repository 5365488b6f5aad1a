"""gaussian_noise: moments, normality and independence of what is added."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from whole import compiled

from jaxaug import augment

gaussian_noise = compiled(augment.gaussian_noise)
KEY = jax.random.key(0)


def test_noise_is_standard_normal_times_stddev() -> None:
    noise = (
        np.asarray(gaussian_noise(KEY, np.full((40, 5, 5, 5), 3.0, np.float32), stddev=0.5), np.float64).ravel() - 3.0
    )
    assert stats.kstest(noise / 0.5, "norm").pvalue > 1e-6
    assert abs(noise.mean()) < 5 * 0.5 / noise.size**0.5
    assert abs(noise.var() / 0.25 - 1) < 5 * (2 / noise.size) ** 0.5


@pytest.mark.parametrize("axis", range(4))
def test_noise_is_independent_along_every_axis(axis: int) -> None:
    noise = np.moveaxis(np.asarray(gaussian_noise(KEY, np.zeros((20, 10, 10, 4), np.float32), stddev=1.0)), axis, 0)
    products = noise[1:] * noise[:-1]
    assert abs(products.mean()) < 5 / products.size**0.5


def test_zero_stddev_is_the_identity() -> None:
    x = np.float32(np.random.default_rng(0).normal(size=(3, 4)))
    np.testing.assert_array_equal(gaussian_noise(KEY, x, stddev=0.0), x)


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4), (2, 3, 4, 1), (2, 3, 2, 2, 2)])
def test_any_rank_is_taken(shape: tuple[int, ...]) -> None:
    noisy = gaussian_noise(KEY, np.zeros(shape, np.float32), stddev=1.0)
    assert noisy.shape == shape
    assert len(np.unique(noisy)) == np.prod(shape)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_the_rounded_sum(dtype: type) -> None:
    x = np.random.default_rng(0).normal(size=(16, 8)).astype(dtype)
    full = np.asarray(gaussian_noise(KEY, x.astype(np.float32), stddev=0.1))
    np.testing.assert_array_equal(gaussian_noise(KEY, x, stddev=0.1), full.astype(dtype))


def test_gradient_with_respect_to_stddev_is_the_noise() -> None:
    x = np.zeros((3, 4), np.float32)
    gradient = jax.jit(jax.jacobian(lambda stddev: gaussian_noise(KEY, x, stddev=stddev)))(np.float32(2.0))
    np.testing.assert_allclose(gradient, gaussian_noise(KEY, x, stddev=1.0), rtol=1e-6)


@pytest.mark.parametrize("stddev", [-0.1, float("nan"), float("inf")])
def test_bad_stddev_is_refused(stddev: float) -> None:
    with pytest.raises(ValueError, match=r"gaussian_noise takes stddev in \[0, inf\); got"):
        augment.gaussian_noise(KEY, jnp.ones((2, 3)), stddev=stddev)
