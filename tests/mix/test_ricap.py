"""ricap: the two halves put together, and the paper's two ablations."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from whole import compiled

from jaxaug import mix
from jaxaug.mix import RicapPlan

ricap, ricap_plan = compiled(mix.ricap), compiled(mix.ricap_plan)
apply_ricap, mix_labels = compiled(mix.apply_ricap), compiled(mix.mix_labels)
KEY = jax.random.key(0)
BATCH = 9
RNG = np.random.default_rng(0)
IMAGES = np.float32(RNG.normal(size=(BATCH, 6, 4, 3)))
LABELS = np.float32(RNG.dirichlet(np.ones(5), BATCH))


@pytest.fixture(scope="module")
def plan() -> RicapPlan:
    """The plan that `ricap` uses under this key."""
    return ricap_plan(KEY, IMAGES.shape, beta=1.0)


@pytest.mark.parametrize("options", [{}, {"beta": 1.0}, {"per_example": False}, {"beta": 2.0, "per_example": False}])
def test_ricap_is_its_plan_applied_bit_for_bit(options: dict[str, Any]) -> None:
    plan = ricap_plan(KEY, IMAGES.shape, **options)
    patched, labels = ricap(KEY, IMAGES, LABELS, **options)
    np.testing.assert_array_equal(patched, apply_ricap(plan, IMAGES))
    np.testing.assert_array_equal(labels, mix_labels(plan.source, plan.weight, LABELS))


def test_label_weight_equals_pasted_area() -> None:
    images = np.broadcast_to(np.arange(BATCH, dtype=np.float32)[:, None, None, None], IMAGES.shape)
    patched, labels = ricap(KEY, images, np.eye(BATCH, dtype=np.float32), beta=1.0)
    pixels = (np.asarray(patched)[:, :, :, 0, None] == np.arange(BATCH)).sum((1, 2))
    np.testing.assert_allclose(labels, pixels / 24, atol=1e-7)
    assert (pixels > 0).sum(1).max() == 4


def test_cross_entropy_of_the_mixed_label_is_the_papers_loss(plan: RicapPlan) -> None:
    log_prob = scipy.special.log_softmax(RNG.normal(size=(BATCH, 5)), axis=1)
    labels = np.asarray(ricap(KEY, IMAGES, LABELS, beta=1.0)[1])
    source, weight = np.asarray(plan.source), np.asarray(plan.weight)
    parts = -np.stack([(np.asarray(LABELS)[source[:, k]] * log_prob).sum(1) for k in range(4)], axis=1)
    np.testing.assert_allclose(-(labels * log_prob).sum(1), (weight * parts).sum(1), atol=1e-5)


def test_without_image_mixing_the_images_stay_and_labels_mix(plan: RicapPlan) -> None:
    images, labels = ricap(KEY, IMAGES, LABELS, beta=1.0, image_mixing=False)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, mix_labels(plan.source, plan.weight, LABELS))
    assert np.abs(np.asarray(labels) - LABELS).max() > 0.1


def test_without_label_mixing_the_largest_patch_gives_the_label(plan: RicapPlan) -> None:
    images, labels = ricap(KEY, IMAGES, LABELS, beta=1.0, label_mixing=False)
    np.testing.assert_array_equal(images, apply_ricap(plan, IMAGES))
    source, weight, given = np.asarray(plan.source), np.asarray(plan.weight), np.asarray(LABELS)
    for b in range(BATCH):
        largest = [given[source[b, k]] for k in range(4) if weight[b, k] == weight[b].max()]
        assert any((np.asarray(labels)[b] == label).all() for label in largest)


def test_without_either_mixing_nothing_changes() -> None:
    images, labels = ricap(KEY, IMAGES, LABELS, image_mixing=False, label_mixing=False)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


@pytest.mark.parametrize("switches", [{}, {"image_mixing": False}, {"label_mixing": False}])
def test_half_precision_labels_are_the_rounded_ones(switches: dict[str, Any]) -> None:
    labels = LABELS.astype(jnp.bfloat16)
    half = ricap(KEY, IMAGES, labels, beta=1.0, **switches)[1]
    full = np.asarray(ricap(KEY, IMAGES, labels.astype(np.float32), beta=1.0, **switches)[1])
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, full.astype(jnp.bfloat16))


def test_one_hot_labels_of_one_class_stay_certain() -> None:
    labels = np.tile(np.asarray([[0, 1]], np.float32), (BATCH, 1))
    np.testing.assert_allclose(ricap(KEY, IMAGES, labels)[1], labels, atol=1.2e-7)


def test_gradient_through_images_and_labels_is_finite_and_conserves_mass() -> None:
    def total(images: jax.Array, labels: jax.Array) -> jax.Array:
        patched, mixed = ricap(KEY, images, labels, beta=1.0)
        return patched.sum() + mixed.sum()

    by_image, by_label = jax.tree.map(np.asarray, jax.jit(jax.grad(total, argnums=(0, 1)))(IMAGES, LABELS))
    # Each output pixel comes from one input pixel, each output label from shares that sum to one.
    assert float(by_image.sum()) == IMAGES.size
    np.testing.assert_allclose(by_label.sum(), LABELS.size, rtol=1e-5)
    np.testing.assert_array_equal(by_image, by_image.round())


@pytest.mark.parametrize("beta", [0.0, -0.3, float("nan")])
def test_bad_beta_is_refused(beta: float) -> None:
    with pytest.raises(ValueError, match=r"takes beta in \(0, inf\); got"):
        mix.ricap(KEY, jnp.asarray(IMAGES), jnp.asarray(LABELS), beta=beta)
