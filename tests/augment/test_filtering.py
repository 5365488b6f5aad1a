import jax
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
from PIL import Image, ImageEnhance
from whole import compiled

from jaxaug import augment
from jaxaug.augment import filtering

# The width is fixed, and with it the radius.
gaussian_blur = jax.jit(augment.gaussian_blur, static_argnames=("sigma", "radius"))
sharpness = compiled(augment.sharpness)
blurred, sharpened = compiled(filtering.blurred), compiled(filtering.sharpened)
KEY = jax.random.key(0)
IMAGES = np.random.default_rng(0).uniform(size=(3, 9, 11, 2)).astype(np.float32)


def of_scipy(sigma, radius):
    images = IMAGES.astype(np.float64)
    return scipy.ndimage.gaussian_filter(images, (0, sigma, sigma, 0), mode="reflect", radius=(0, radius, radius, 0))


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.4])
def test_blur_agrees_with_scipy_also_beyond_the_border(sigma):
    found = gaussian_blur(KEY, IMAGES, sigma=sigma)
    np.testing.assert_allclose(found, of_scipy(sigma, int(np.ceil(3 * sigma))), atol=1e-5)


def test_a_radius_of_ones_own_cuts_the_kernel():
    found = gaussian_blur(KEY, IMAGES, sigma=2.0, radius=1)
    np.testing.assert_allclose(found, of_scipy(2.0, 1), atol=1e-5)


@pytest.mark.parametrize("options", [{"sigma": 0.0}, {"sigma": 0.0, "radius": 3}, {"sigma": 5.0, "radius": 0}])
def test_no_width_is_the_identity(options):
    np.testing.assert_allclose(gaussian_blur(KEY, IMAGES, **options), IMAGES, rtol=1e-6)


def test_each_image_may_have_another_width():
    found = blurred(IMAGES, np.asarray([0.0, 0.7, 1.5], np.float32), 5)
    np.testing.assert_allclose(found[0], IMAGES[0], rtol=1e-6)
    for n, sigma in ((1, 0.7), (2, 1.5)):
        np.testing.assert_allclose(found[n], gaussian_blur(KEY, IMAGES, sigma=sigma)[n], atol=1e-6)


def test_the_mean_stays_and_the_variance_falls():
    found = np.asarray(gaussian_blur(KEY, IMAGES, sigma=1.5))
    np.testing.assert_allclose(found.mean((1, 2)), IMAGES.mean((1, 2)), atol=1e-5)
    assert (found.var((1, 2)) < 0.3 * IMAGES.var((1, 2))).all()


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 2.0])
def test_sharpness_does_what_pillow_does_up_to_its_rounding(factor):
    images = np.random.default_rng(1).integers(0, 256, (2, 7, 8, 3), np.uint8)
    found = 255 * np.asarray(sharpened(np.asarray(images / 255, np.float32), np.full(2, factor, np.float32)))
    expected = [np.asarray(ImageEnhance.Sharpness(Image.fromarray(image)).enhance(factor)) for image in images]
    assert np.abs(found - np.stack(expected)).max() <= 2


def test_sharpening_is_a_blend_with_the_smoothed_image():
    weights = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]])[:, :, None] / 13
    factors = np.asarray([0.0, 0.6, 1.8], np.float32)
    sharp = np.asarray(sharpened(IMAGES, factors))
    for image, factor, found in zip(IMAGES, np.asarray(factors), sharp, strict=True):
        smooth = scipy.ndimage.convolve(image.astype(np.float64), weights)
        expected = image.copy()
        expected[1:-1, 1:-1] = np.clip(smooth + factor * (image - smooth), 0, 1)[1:-1, 1:-1]
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 5, 1), (2, 2, 2, 3)])
def test_an_image_that_is_all_border_stays(shape):
    images = np.full(shape, 0.3, np.float32)
    np.testing.assert_array_equal(sharpness(KEY, images, strength=1.0), images)


def test_sharpness_draws_its_factor_uniformly():
    spike = np.zeros((3000, 3, 3, 1), np.float32)
    spike[:, 1, 1] = 0.4
    smooth = 0.4 * 5 / 13
    factor = (np.asarray(sharpness(KEY, spike, strength=0.7))[:, 1, 1, 0] - smooth) / (0.4 - smooth)
    assert scipy.stats.kstest(factor, scipy.stats.uniform(0.3, 1.4).cdf).pvalue > 1e-4
