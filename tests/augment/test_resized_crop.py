import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug import augment
from jaxaug.augment import boxes as augment_boxes

resized_crop, fitting_box = compiled(augment.resized_crop), compiled(augment_boxes.fitting_box)
COUNT = 2000
KEY = jax.random.key(0)


def boxes(shape, seed=0, **options):
    options = {"area": (0.08, 1.0), "aspect": (3 / 4, 4 / 3), **options}
    box = fitting_box(jax.random.key(seed), (COUNT, *shape), **options)
    return np.asarray(box.start), np.asarray(box.size), np.asarray(box.fits)


def test_a_box_lies_inside_its_image_and_has_the_shape_asked_for():
    start, size, fits = boxes((40, 60))
    assert fits.all()
    assert (start >= 0).all()
    assert (start + size <= [40, 60]).all()
    share = size.prod(1) / 2400
    assert share.min() > 0.07
    aspect = size[:, 1] / size[:, 0]
    assert 0.68 < aspect.min() < 0.8 < 1.25 < aspect.max() < 1.45


def test_small_boxes_are_uniform_in_area_log_uniform_in_aspect_and_uniform_in_place():
    start, size, fits = boxes((400, 600), area=(0.05, 0.3), aspect=(0.5, 2.0))
    assert fits.all()
    uniform = scipy.stats.uniform
    assert scipy.stats.kstest(size.prod(1) / 240_000, uniform(0.05, 0.25).cdf).pvalue > 1e-4
    assert scipy.stats.kstest(np.log2(size[:, 1] / size[:, 0]), uniform(-1, 2).cdf).pvalue > 1e-4
    for axis, length in enumerate((400, 600)):
        assert scipy.stats.kstest(start[:, axis] / (length - size[:, axis]), uniform(0, 1).cdf).pvalue > 1e-4


def test_a_box_that_cannot_fit_says_so():
    _, _, fits = boxes((10, 100), area=(0.9, 1.0), aspect=(0.5, 2.0))
    assert not fits.any()


def test_where_no_box_fits_the_central_one_of_the_nearest_aspect_is_taken():
    ramp = np.broadcast_to(np.arange(100, dtype=np.float32)[None, None, :, None], (3, 10, 100, 1))
    out = resized_crop(KEY, ramp, size=(10, 20), area=(0.9, 1.0), aspect=(0.5, 2.0))
    np.testing.assert_allclose(out, np.broadcast_to(np.arange(40.0, 60.0)[None, None, :, None], out.shape))


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_the_whole_image_at_its_own_size_is_itself(interpolation):
    images = np.float32(np.random.default_rng(0).uniform(size=(2, 6, 9, 3)))
    out = resized_crop(KEY, images, area=(1.0, 1.0), aspect=(1.5, 1.5), interpolation=interpolation)
    np.testing.assert_array_equal(out, images)


@pytest.mark.parametrize("size", [(4, 7), (13, 5), 11])
def test_the_pixels_are_those_of_the_box_read_at_half_pixel_centers(size):
    images = np.random.default_rng(0).uniform(size=(5, 12, 10, 1)).astype(np.float32)
    area, aspect = (0.2, 0.6), (0.5, 2.0)
    box = fitting_box(KEY, (5, 12, 10), area=area, aspect=aspect)
    start, sides = np.asarray(box.start), np.asarray(box.size)
    out = np.asarray(resized_crop(KEY, images, size=size, area=area, aspect=aspect))
    height, width = size if isinstance(size, tuple) else (size, size)
    for n in range(5):
        (y0, x0), (h, w) = start[n], sides[n]
        inside = images[n, y0 : y0 + h, x0 : x0 + w, 0].astype(np.float64)
        y, x = (np.arange(height) + 0.5) * h / height - 0.5, (np.arange(width) + 0.5) * w / width - 0.5
        expected = scipy.ndimage.map_coordinates(inside, np.meshgrid(y, x, indexing="ij"), order=1, mode="nearest")
        np.testing.assert_allclose(out[n, :, :, 0], expected, atol=1e-5)


def test_nearest_takes_pixels_as_they_are():
    images = np.float32(np.random.default_rng(0).uniform(size=(4, 9, 9, 1)))
    out = resized_crop(KEY, images, size=5, area=(0.1, 0.5), interpolation="nearest")
    for image, small in zip(np.asarray(images), np.asarray(out), strict=True):
        assert np.isin(small, image).all()


def test_one_pixel_can_be_cropped():
    np.testing.assert_array_equal(resized_crop(KEY, np.ones((2, 1, 1, 3), np.float32), size=4), np.ones((2, 4, 4, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "resized_crop takes size of at least 1; got 0"),
        ({"size": 2.5}, "resized_crop takes a Python integer for size"),
        ({"area": (0.5, 0.2)}, r"low <= high for area; got \(0\.5, 0\.2\)"),
        ({"area": (0.5, 1.2)}, r"resized_crop takes area in \(0, 1\]; got 1\.2"),
        ({"aspect": (0, 1)}, r"resized_crop takes aspect in \(0, inf\); got 0"),
        ({"interpolation": "cubic"}, "for interpolation; got 'cubic'"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=message):
        augment.resized_crop(KEY, jnp.ones((1, 4, 4, 1)), **options)
