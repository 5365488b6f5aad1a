"""mixup against its formula, and the law of its weights and partners."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxaug.mix import mixup

KEY = jax.random.key(0)


@functools.cache
def compiled(batch: int, per_example: bool) -> Callable[[jax.Array, float], jax.Array]:
    """Returns what mixes one-hot labels under a key and an alpha."""
    features, labels = jnp.zeros((batch, 1)), jnp.eye(batch)
    return jax.jit(lambda key, alpha: mixup(key, features, labels, alpha=alpha, per_example=per_example)[1])


def mixing_matrix(key: jax.Array, batch: int, alpha: float = 1.0, per_example: bool = True) -> np.ndarray:
    """Returns `[B, B]`: how much of each example (column) is in each output (row), read off one-hot labels."""
    return np.asarray(compiled(batch, per_example)(key, alpha), np.float64)


def own_weights(alpha: float = 1.0, per_example: bool = True) -> np.ndarray:
    """Returns the weight of the own image, of the outputs that have another image for a partner."""
    matrix = mixing_matrix(KEY, 1024, alpha, per_example)
    return np.diag(matrix)[(matrix > 0).sum(1) == 2]


def test_images_and_labels_are_the_same_convex_combination() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(9, 4, 6, 3)).astype(np.float32), rng.dirichlet(np.ones(5), 9).astype(np.float32)
    mixed, weighed = mixup(KEY, jnp.asarray(images), jnp.asarray(labels))
    matrix = mixing_matrix(KEY, 9)
    np.testing.assert_allclose(mixed, np.einsum("bs,shwc->bhwc", matrix, images), atol=1e-6)
    np.testing.assert_allclose(weighed, matrix @ labels, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_weights_follow_the_beta_law(alpha: float) -> None:
    weight = own_weights(alpha)
    law = stats.beta(alpha, alpha)
    assert law.var() == pytest.approx(1 / (4 * (2 * alpha + 1)))
    assert abs(weight.mean() - 0.5) < 5 * law.std() / weight.size**0.5
    fourth = law.expect(lambda x: (x - 0.5) ** 4)
    assert abs(weight.var() - law.var()) < 5 * ((fourth - law.var() ** 2) / weight.size) ** 0.5
    assert stats.kstest(weight, law.cdf).pvalue > 1e-6


def test_own_weight_is_not_folded() -> None:
    weight = own_weights()
    assert abs((weight < 0.5).mean() - 0.5) < 5 * 0.5 / weight.size**0.5


def test_small_alpha_mixes_nothing_and_large_alpha_takes_the_mean() -> None:
    one_sided = own_weights(1e-3)
    assert np.median(np.minimum(one_sided, 1 - one_sided)) < 1e-6
    np.testing.assert_allclose(own_weights(1e6), 0.5, atol=5e-3)


def test_every_example_is_partner_once() -> None:
    for seed in range(5):
        matrix = mixing_matrix(jax.random.key(seed), 9, alpha=5.0)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
        assert ((matrix > 0).sum(1) <= 2).all()
        partner = np.where((matrix > 0).sum(1) == 2, (matrix - np.diag(np.diag(matrix))).argmax(1), np.arange(9))
        assert sorted(partner) == list(range(9))


def test_partners_are_a_uniform_permutation() -> None:
    matrices = np.asarray(jax.vmap(compiled(3, True), (0, None))(jax.random.split(KEY, 1200), 5.0))
    partner = np.stack([(m - np.diag(np.diag(m))).argmax(1) for m in matrices])
    # A fixed point leaves zeros off the diagonal, where argmax would answer 0.
    fixed = (matrices > 0).sum(2) == 1
    partner = np.where(fixed, np.arange(3), partner)
    _, counts = np.unique(partner, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-6


def test_one_weight_per_batch_on_request() -> None:
    weight = own_weights(per_example=False)
    assert weight.size > 1000
    assert len(np.unique(weight)) == 1


def test_weight_per_batch_follows_the_beta_law() -> None:
    matrices = np.asarray(jax.vmap(compiled(3, False), (0, None))(jax.random.split(KEY, 1024), 0.5))
    # The own weight, wherever there is an example with another for a partner; one that has none keeps weight 1.
    moved = matrices.diagonal(axis1=1, axis2=2).min(1)[(matrices > 0).sum((1, 2)) > 3]
    assert stats.kstest(moved, stats.beta(0.5, 0.5).cdf).pvalue > 1e-6


def test_feature_vectors_are_mixed_as_images_are() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 12)), jnp.float32)
    flat, labels = mixup(KEY, x, jnp.eye(9))
    images, same_labels = mixup(KEY, x.reshape(9, 2, 2, 3), jnp.eye(9))
    np.testing.assert_array_equal(flat, images.reshape(9, 12))
    np.testing.assert_array_equal(labels, same_labels)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_the_rounded_result(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x, labels = jnp.asarray(rng.normal(size=(9, 8)), dtype), jnp.asarray(rng.dirichlet(np.ones(3), 9), dtype)
    half = mixup(KEY, x, labels)
    full = mixup(KEY, x.astype(jnp.float32), labels.astype(jnp.float32))
    for one, other in zip(half, full, strict=True):
        np.testing.assert_array_equal(one, other.astype(dtype))


def test_gradient_goes_to_each_source_by_its_weight() -> None:
    rng = np.random.default_rng(0)
    x, cotangent = (jnp.asarray(rng.normal(size=(9, 4)), jnp.float32) for _ in range(2))
    gradient = jax.grad(lambda x: (cotangent * mixup(KEY, x, jnp.eye(9))[0]).sum())(x)
    np.testing.assert_allclose(gradient, mixing_matrix(KEY, 9).T @ np.asarray(cotangent, np.float64), atol=1e-5)


def test_gradient_with_respect_to_alpha_is_finite() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(9, 4)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda alpha: (mixup(KEY, x, jnp.eye(9), alpha=alpha)[0] ** 2).sum()))(jnp.float32(1.0))
    assert np.isfinite(gradient)
    assert gradient != 0


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"mixup takes alpha in \(0, inf\); got"):
        mixup(KEY, jnp.ones((2, 3)), jnp.eye(2), alpha=alpha)
