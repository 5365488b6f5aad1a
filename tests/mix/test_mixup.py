"""mixup against its formula, and the law of its weights and partners."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from whole import compiled

from jaxaug import mix

mixup = compiled(mix.mixup)
KEY = jax.random.key(0)


def mixing_matrix(key: jax.Array, batch: int, alpha: float = 1.0, per_example: bool = True) -> np.ndarray:
    """Returns `[B, B]`: how much of each example (column) is in each output (row), read off one-hot labels."""
    one_hot = np.eye(batch, dtype=np.float32)
    return np.asarray(mixup(key, one_hot[:, :1], one_hot, alpha=alpha, per_example=per_example)[1], np.float64)


def own_weights(alpha: float = 1.0, per_example: bool = True) -> np.ndarray:
    """Returns the weight of the own image, of the outputs that have another image for a partner."""
    matrix = mixing_matrix(KEY, 1024, alpha, per_example)
    return np.diag(matrix)[(matrix > 0).sum(1) == 2]


def test_images_and_labels_are_the_same_convex_combination() -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(9, 4, 6, 3)).astype(np.float32), rng.dirichlet(np.ones(5), 9).astype(np.float32)
    mixed, weighed = mixup(KEY, images, labels)
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


def matrices_of_three(alpha: float, per_example: bool) -> np.ndarray:
    """Returns `[1200, 3, 3]`, the mixing matrix of a batch of three under each of 1200 keys."""
    one_hot = np.eye(3, dtype=np.float32)
    run = jax.vmap(lambda key: mix.mixup(key, one_hot, one_hot, alpha=alpha, per_example=per_example)[1])
    return np.asarray(jax.jit(run)(jax.random.split(KEY, 1200)))


def test_partners_are_a_uniform_permutation() -> None:
    matrices = matrices_of_three(5.0, True)
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
    matrices = matrices_of_three(0.5, False)
    # The own weight, wherever there is an example with another for a partner; one that has none keeps weight 1.
    moved = matrices.diagonal(axis1=1, axis2=2).min(1)[(matrices > 0).sum((1, 2)) > 3]
    assert stats.kstest(moved, stats.beta(0.5, 0.5).cdf).pvalue > 1e-6


def test_feature_vectors_are_mixed_as_images_are() -> None:
    x, one_hot = np.float32(np.random.default_rng(0).normal(size=(9, 12))), np.eye(9, dtype=np.float32)
    flat, labels = mixup(KEY, x, one_hot)
    images, same_labels = mixup(KEY, x.reshape(9, 2, 2, 3), one_hot)
    np.testing.assert_array_equal(flat, images.reshape(9, 12))
    np.testing.assert_array_equal(labels, same_labels)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_the_rounded_result(dtype: type) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(9, 8)).astype(dtype), rng.dirichlet(np.ones(3), 9).astype(dtype)
    half = mixup(KEY, x, labels)
    full = mixup(KEY, x.astype(np.float32), labels.astype(np.float32))
    for one, other in zip(half, full, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other).astype(dtype))


def test_gradient_goes_to_each_source_by_its_weight() -> None:
    rng = np.random.default_rng(0)
    x, cotangent = (np.float32(rng.normal(size=(9, 4))) for _ in range(2))
    one_hot = np.eye(9, dtype=np.float32)
    gradient = jax.jit(jax.grad(lambda x: (cotangent * mixup(KEY, x, one_hot)[0]).sum()))(x)
    np.testing.assert_allclose(gradient, mixing_matrix(KEY, 9).T @ np.asarray(cotangent, np.float64), atol=1e-5)


def test_gradient_with_respect_to_alpha_is_finite() -> None:
    x, one_hot = np.float32(np.random.default_rng(0).normal(size=(9, 4))), np.eye(9, dtype=np.float32)
    gradient = jax.jit(jax.grad(lambda alpha: (mixup(KEY, x, one_hot, alpha=alpha)[0] ** 2).sum()))(jnp.float32(1.0))
    assert np.isfinite(gradient)
    assert gradient != 0


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_alpha_is_refused(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"mixup takes alpha in \(0, inf\); got"):
        mix.mixup(KEY, jnp.ones((2, 3)), jnp.eye(2), alpha=alpha)
