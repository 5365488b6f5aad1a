"""mixup against its formula, and the law of its weights and partners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxaug.mix import mixup

KEY = jax.random.key(0)


def mixing_matrix(key: jax.Array, batch: int, **options: float) -> np.ndarray:
    """Returns `[B, B]`: how much of each example (column) is in each output (row), read off one-hot labels."""
    return np.asarray(mixup(key, jnp.zeros((batch, 1)), jnp.eye(batch), **options)[1], np.float64)


def own_weights(key: jax.Array, batch: int, **options: float) -> np.ndarray:
    """Returns the weight of the own image, of the outputs that have another image for a partner."""
    matrix = mixing_matrix(key, batch, **options)
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
    weight = own_weights(KEY, 1024, alpha=alpha)
    law = stats.beta(alpha, alpha)
    assert law.var() == pytest.approx(1 / (4 * (2 * alpha + 1)))
    assert abs(weight.mean() - 0.5) < 5 * law.std() / weight.size**0.5
    fourth = law.expect(lambda x: (x - 0.5) ** 4)
    assert abs(weight.var() - law.var()) < 5 * ((fourth - law.var() ** 2) / weight.size) ** 0.5
    assert stats.kstest(weight, law.cdf).pvalue > 1e-6


def test_own_weight_is_not_folded() -> None:
    weight = own_weights(KEY, 1024)
    assert abs((weight < 0.5).mean() - 0.5) < 5 * 0.5 / weight.size**0.5


def test_small_alpha_mixes_nothing_and_large_alpha_takes_the_mean() -> None:
    one_sided = own_weights(KEY, 64, alpha=1e-3)
    assert np.median(np.minimum(one_sided, 1 - one_sided)) < 1e-6
    np.testing.assert_allclose(own_weights(KEY, 64, alpha=1e6), 0.5, atol=5e-3)


def test_every_example_is_partner_once() -> None:
    for seed in range(5):
        matrix = mixing_matrix(jax.random.key(seed), 17, alpha=5.0)
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
        assert ((matrix > 0).sum(1) <= 2).all()
        partner = np.where((matrix > 0).sum(1) == 2, (matrix - np.diag(np.diag(matrix))).argmax(1), np.arange(17))
        assert sorted(partner) == list(range(17))


def test_partners_are_a_uniform_permutation() -> None:
    count = 1200
    run = jax.jit(jax.vmap(lambda key: mixup(key, jnp.zeros((3, 1)), jnp.eye(3), alpha=5.0)[1]))
    matrices = np.asarray(run(jax.random.split(KEY, count)))
    partner = np.stack([(m - np.diag(np.diag(m))).argmax(1) for m in matrices])
    # A fixed point leaves zeros off the diagonal, where argmax would answer 0.
    fixed = (matrices > 0).sum(2) == 1
    partner = np.where(fixed, np.arange(3), partner)
    _, counts = np.unique(partner, axis=0, return_counts=True)
    assert len(counts) == 6
    assert stats.chisquare(counts).pvalue > 1e-6


def test_one_weight_per_batch_on_request() -> None:
    weight = own_weights(KEY, 64, per_example=False)
    assert weight.size > 50
    assert len(np.unique(weight)) == 1


def test_weight_per_batch_follows_the_beta_law() -> None:
    run = jax.jit(jax.vmap(lambda key: mixup(key, jnp.zeros((3, 1)), jnp.eye(3), alpha=0.5, per_example=False)[1]))
    matrices = np.asarray(run(jax.random.split(KEY, 1024)))
    moved = matrices.diagonal(axis1=1, axis2=2).min(1)[(matrices > 0).sum((1, 2)) > 3]
    assert stats.kstest(moved, stats.beta(0.5, 0.5).cdf).pvalue > 1e-6


def test_feature_vectors_are_mixed_as_images_are() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(5, 12)), jnp.float32)
    flat, labels = mixup(KEY, x, jnp.eye(5))
    images, same_labels = mixup(KEY, x.reshape(5, 2, 2, 3), jnp.eye(5))
    np.testing.assert_array_equal(flat, images.reshape(5, 12))
    np.testing.assert_array_equal(labels, same_labels)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_the_rounded_result(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x, labels = jnp.asarray(rng.normal(size=(6, 8)), dtype), jnp.asarray(rng.dirichlet(np.ones(3), 6), dtype)
    half = mixup(KEY, x, labels)
    full = mixup(KEY, x.astype(jnp.float32), labels.astype(jnp.float32))
    for one, other in zip(half, full, strict=True):
        np.testing.assert_array_equal(one, other.astype(dtype))


def test_gradient_goes_to_each_source_by_its_weight() -> None:
    rng = np.random.default_rng(0)
    x, cotangent = (jnp.asarray(rng.normal(size=(6, 4)), jnp.float32) for _ in range(2))
    gradient = jax.grad(lambda x: (cotangent * mixup(KEY, x, jnp.eye(6))[0]).sum())(x)
    np.testing.assert_allclose(gradient, mixing_matrix(KEY, 6).T @ np.asarray(cotangent, np.float64), atol=1e-5)


def test_gradient_with_respect_to_alpha_is_finite() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda alpha: (mixup(KEY, x, jnp.eye(6), alpha=alpha)[0] ** 2).sum()))(jnp.float32(1.0))
    assert np.isfinite(gradient)
    assert gradient != 0


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"mixup takes alpha in \(0, inf\); got"):
        mixup(KEY, jnp.ones((2, 3)), jnp.eye(2), alpha=alpha)
