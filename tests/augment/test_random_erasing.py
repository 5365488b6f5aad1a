import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug import augment
from jaxaug.augment import boxes

random_erasing, fitting_box = compiled(augment.random_erasing), compiled(boxes.fitting_box)
KEY = jax.random.key(0)
COUNT = 1500


def holes(**options):
    return np.asarray(random_erasing(KEY, np.ones((COUNT, 40, 60, 1), np.float32), **options))[..., 0] == 0


def sides(hole):
    return hole.any(2).sum(1), hole.any(1).sum(1)


def test_one_box_is_erased_with_the_area_and_aspect_asked_for():
    hole = holes(prob=1.0)
    h, w = sides(hole)
    assert (hole.sum((1, 2)) == h * w).all()  # a full rectangle
    share = h * w / 2400
    assert 0.015 < share.min() < 0.03
    assert 0.36 < share.max() < 0.42
    aspect = w / h
    assert 0.2 < aspect.min() < 0.4
    assert 2.5 < aspect.max() < 4.5


def test_areas_are_uniform_and_aspects_log_uniform_where_every_draw_fits():
    h, w = sides(holes(prob=1.0, area=(0.05, 0.2), aspect=(0.5, 2.0)))
    assert scipy.stats.kstest(h * w / 2400, scipy.stats.uniform(0.05, 0.15).cdf).statistic < 0.06
    assert scipy.stats.kstest(np.log2(w / h), scipy.stats.uniform(-1, 2).cdf).statistic < 0.06


def test_the_rate_is_prob():
    changed = holes(prob=0.3).any((1, 2)).mean()
    assert abs(changed - 0.3) < 5 * (0.21 / COUNT) ** 0.5


def test_where_no_box_fits_the_image_stays():
    images = np.float32(np.random.default_rng(0).uniform(size=(5, 4, 100, 2)))
    out = random_erasing(KEY, images, prob=1.0, area=(0.9, 1.0), aspect=(0.3, 0.5))
    np.testing.assert_array_equal(out, images)


def test_what_is_written_is_the_fill_of_each_channel():
    images = np.full((20, 10, 10, 3), 0.5, np.float32)
    out = np.asarray(random_erasing(KEY, images, prob=1.0, fill=(0.1, 0.2, 0.3)))
    for k, fill in enumerate((0.1, 0.2, 0.3)):
        np.testing.assert_allclose(np.unique(out[..., k]), [fill, 0.5], atol=1e-6)


def test_noise_is_standard_normal_and_differs_everywhere():
    images = np.full((200, 12, 12, 2), 9.0, np.float32)
    out = np.asarray(random_erasing(KEY, images, prob=1.0, fill="noise"))
    noise = out[out != 9.0]
    assert scipy.stats.kstest(noise, "norm").pvalue > 1e-4
    assert len(np.unique(noise)) > 0.99 * len(noise)


def test_the_box_is_the_one_that_fits():
    _, box_key, _ = jax.random.split(KEY, 3)
    box = fitting_box(box_key, (COUNT, 40, 60), area=(0.02, 0.4), aspect=(0.3, 1 / 0.3))
    start, size = np.asarray(box.start), np.asarray(box.size)
    hole = holes(prob=1.0)
    for n in range(0, COUNT, 300):
        (y, x), (h, w) = start[n], size[n]
        assert hole[n, y : y + h, x : x + w].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": "mean"}, "random_erasing takes one of 'noise' for fill; got 'mean'"),
        ({"fill": (0.0, 1.0)}, "random_erasing takes one number, or one for each of the 3 channels"),
        ({"area": (0.0, 0.5)}, r"random_erasing takes area in \(0, 1\]; got 0\.0"),
        ({"aspect": (2.0, 1.0)}, "low <= high for aspect"),
        ({"area": 0.3}, r"random_erasing takes a pair \(low, high\) for area; got 0\.3"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=message):
        augment.random_erasing(KEY, jnp.ones((1, 4, 4, 3)), **options)
