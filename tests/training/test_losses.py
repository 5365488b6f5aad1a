import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxaug.training.losses import cross_entropy, smoothed, soft_accuracy, soft_top_accuracy


def logits_and_labels(seed: int, batch: int, classes: int, scale: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = (scale * rng.standard_normal((batch, classes))).astype(np.float32)
    return logits, rng.dirichlet(np.ones(classes), batch).astype(np.float32)


@settings(deadline=None, max_examples=12)  # every shape compiles
@given(seed=st.integers(0, 99), batch=st.integers(1, 5), classes=st.integers(1, 12))
def test_cross_entropy_agrees_with_scipy_for_every_shape(seed, batch, classes):
    logits, labels = logits_and_labels(seed, batch, classes)
    expected = -(labels * scipy.special.log_softmax(logits.astype(np.float64), axis=1)).sum(axis=1)
    np.testing.assert_allclose(cross_entropy(jnp.asarray(logits), jnp.asarray(labels)), expected, rtol=2e-5, atol=2e-6)


def test_cross_entropy_of_a_mixed_label_is_the_weighted_sum_of_cross_entropies():
    logits, _ = logits_and_labels(0, 6, 7)
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(4), 6)  # [B, 4], as RICAP's four patches
    classes = rng.integers(0, 7, (6, 4))
    one_hot = np.eye(7, dtype=np.float32)[classes]
    mixed = (weights[..., None] * one_hot).sum(axis=1).astype(np.float32)
    each = [cross_entropy(jnp.asarray(logits), jnp.asarray(one_hot[:, k])) for k in range(4)]
    expected = sum(weights[:, k] * np.asarray(each[k]) for k in range(4))
    np.testing.assert_allclose(cross_entropy(jnp.asarray(logits), jnp.asarray(mixed)), expected, rtol=1e-5)


def test_cross_entropy_of_huge_logits_is_finite_and_exact():
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4], [1e38, -1e38]], jnp.float32)
    labels = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], jnp.float32)
    np.testing.assert_array_equal(cross_entropy(logits, labels), [0.0, 1e4, 0.0])


def test_cross_entropy_has_the_gradient_softmax_minus_label():
    logits, labels = logits_and_labels(2, 4, 5)
    gradient = jax.grad(lambda z: cross_entropy(z, jnp.asarray(labels)).sum())(jnp.asarray(logits))
    np.testing.assert_allclose(gradient, scipy.special.softmax(logits, axis=1) - labels, atol=1e-6)


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5])
def test_smoothing_moves_the_amount_evenly_to_all_classes(amount):
    _, labels = logits_and_labels(3, 5, 8)
    smooth = np.asarray(smoothed(jnp.asarray(labels), amount))
    np.testing.assert_allclose(smooth, labels * (1 - amount) + amount * np.full_like(labels, 1 / 8), rtol=1e-6)
    np.testing.assert_allclose(smooth.sum(axis=1), 1.0, rtol=1e-6)


def test_soft_accuracy_is_the_label_mass_at_the_largest_logit():
    logits, labels = logits_and_labels(4, 9, 6)
    expected = [label[np.argmax(row)] for row, label in zip(logits, labels, strict=True)]
    np.testing.assert_array_equal(soft_accuracy(jnp.asarray(logits), jnp.asarray(labels)), expected)


def test_soft_accuracy_of_hard_labels_is_zero_or_one():
    logits = jnp.array([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    np.testing.assert_array_equal(soft_accuracy(logits, jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])), [1.0, 0.0])


@settings(deadline=None, max_examples=12)  # every shape compiles
@given(seed=st.integers(0, 99), classes=st.integers(1, 12), top=st.integers(1, 6))
def test_soft_top_accuracy_is_the_label_mass_at_the_largest_logits(seed, classes, top):
    logits, labels = logits_and_labels(seed, 4, classes)
    best = np.argsort(-logits, axis=1)[:, :top]
    expected = np.take_along_axis(labels, best, axis=1).sum(axis=1)
    given_top = soft_top_accuracy(jnp.asarray(logits), jnp.asarray(labels), top)
    np.testing.assert_allclose(given_top, expected, rtol=1e-5)


def test_soft_top_accuracy_is_one_where_there_are_no_more_classes_than_five():
    logits, labels = logits_and_labels(5, 4, 3)
    np.testing.assert_allclose(soft_top_accuracy(jnp.asarray(logits), jnp.asarray(labels)), 1.0, rtol=1e-6)
