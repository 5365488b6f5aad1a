import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug import mix

cutmix = compiled(mix.cutmix)
KEY = jax.random.key(0)


def constant_images(batch, height=12, width=10):
    """Every image is its index, so that the output shows where each pixel comes from."""
    return np.broadcast_to(np.arange(batch, dtype=np.float32)[:, None, None, None], (batch, height, width, 2))


def one_hot(batch):
    return np.eye(batch, dtype=np.float32)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), alpha=st.sampled_from([0.2, 1.0, 5.0]), per_example=st.booleans())
def test_one_box_is_pasted_and_the_label_is_the_share_of_its_pixels(seed, alpha, per_example):
    images, labels = cutmix(jax.random.key(seed), constant_images(7), one_hot(7), alpha=alpha, per_example=per_example)
    images, labels = np.asarray(images)[..., 0], np.asarray(labels)
    boxes = set()
    for n in range(7):
        share = np.bincount(images[n].astype(int).ravel(), minlength=7) / 120
        np.testing.assert_allclose(labels[n], share, atol=1e-6)
        other = images[n] != n
        if other.any():
            rows, columns = other.any(1), other.any(0)
            assert (other == rows[:, None] & columns[None, :]).all()
            assert len(np.unique(images[n][other])) == 1
            for line in (rows, columns):
                assert (np.diff(np.flatnonzero(line)) == 1).all()
            boxes.add((tuple(rows), tuple(columns)))
    if not per_example:
        assert len(boxes) <= 1
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)


def test_partners_are_a_permutation():
    images, _ = cutmix(KEY, constant_images(50), one_hot(50), alpha=1e-3)
    images = np.asarray(images)[..., 0]
    pasted = [np.unique(image[image != n]) for n, image in enumerate(images)]
    partners = [p[0] for p in pasted if len(p)]
    assert len(set(partners)) == len(partners)


def test_an_unclipped_box_covers_one_minus_lambda_which_is_uniform_for_alpha_one():
    """Sides of the box where it lies inside: floor(H sqrt(1 - λ)), so the share of the sides is sqrt of a uniform."""
    batch, side = 3000, 64
    images, _ = cutmix(KEY, constant_images(batch, side, side), np.zeros((batch, 1), np.float32))
    other = np.asarray(images)[..., 0] != np.arange(batch)[:, None, None]
    rows, columns = other.any(2), other.any(1)
    heights, widths = rows.sum(1), columns.sum(1)
    inside = ~(rows[:, [0, -1]].any(1) | columns[:, [0, -1]].any(1))
    assert (heights[inside] == widths[inside]).all()
    small = heights[inside & (heights > 0)]
    # A box of side s lies inside with probability about (1 - s)^2; of the uniform center nothing else is lost.
    u = np.arange(1, side) / side
    expected = 2 * u * (1 - u) ** 2
    counts = np.bincount(small, minlength=side)[1:side]
    bins = np.array_split(np.arange(side - 1), 6)
    observed = np.array([counts[b].sum() for b in bins])
    wanted = np.array([expected[b].sum() for b in bins])
    keep = wanted / wanted.sum() * observed.sum() > 5
    assert scipy.stats.chisquare(observed[keep], wanted[keep] / wanted[keep].sum() * observed[keep].sum()).pvalue > 1e-4


def test_the_center_is_uniform_over_all_pixels():
    """With a tiny box, what is pasted is the center itself."""
    batch = 4000
    images, _ = cutmix(KEY, constant_images(batch, 8, 8), np.zeros((batch, 1), np.float32), alpha=1.0)
    other = np.asarray(images)[..., 0] != np.arange(batch)[:, None, None]
    single = other[other.sum((1, 2)) == 1]
    if len(single) > 50:
        counts = single.sum(0).ravel()
        assert scipy.stats.chisquare(counts).pvalue > 1e-4


def test_the_limits_of_alpha():
    labels = np.asarray(cutmix(KEY, constant_images(200, 40, 40), one_hot(200), alpha=1e-3)[1]).max(1)
    assert abs((labels == 1).mean() - 0.5) < 5 * 0.5 / 200**0.5  # λ is 0 or 1; at 0 the box is the image, clipped
    _, half = cutmix(KEY, constant_images(200, 40, 40), one_hot(200), alpha=1e5)
    assert np.asarray(half).max(1).min() > 0.48  # never more than half is pasted


def test_soft_labels_are_mixed():
    soft = np.float32(np.random.default_rng(0).dirichlet(np.ones(5), 6))
    _, hard = cutmix(KEY, constant_images(6), one_hot(6))
    _, mixed = cutmix(KEY, constant_images(6), soft)
    np.testing.assert_allclose(mixed, np.asarray(hard) @ soft, atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, -1.0, float("nan"), float("inf")])
def test_alpha_is_positive(alpha):
    with annotations_unchecked(), pytest.raises(ValueError, match=r"cutmix takes alpha in \(0, inf\)"):
        mix.cutmix(KEY, jnp.asarray(constant_images(2)), jnp.eye(2), alpha=alpha)
