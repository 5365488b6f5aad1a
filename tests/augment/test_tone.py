"""Curves against Pillow's ImageOps, on 8-bit images."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from PIL import Image, ImageOps
from whole import compiled

from jaxaug import augment
from jaxaug.augment import tone

autocontrast, equalize, invert, posterize, solarize = map(
    compiled, (augment.autocontrast, augment.equalize, augment.invert, augment.posterize, augment.solarize)
)
autocontrasted, equalized, posterized, solarized = map(
    compiled, (tone.autocontrasted, tone.equalized, tone.posterized, tone.solarized)
)
KEY = jax.random.key(0)


def bytes_of(seed: int, shape=(3, 16, 20, 3), levels: int = 256) -> np.ndarray:
    rng = np.random.default_rng(seed)
    # Values of a narrow, uneven law, so that equalizing and stretching have something to do.
    return (rng.beta(2, 5, shape) * rng.integers(1, levels) + rng.integers(0, 256 - levels + 1)).astype(np.uint8)


def floats(images: np.ndarray) -> np.ndarray:
    return np.asarray(images / 255, np.float32)


def of_pillow(operation, images, *args) -> np.ndarray:
    return np.stack([np.asarray(operation(Image.fromarray(image), *args)) for image in images])


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([2, 5, 60, 256]))
def test_equalize_is_pillows_to_the_level(seed, levels):
    images = bytes_of(seed, levels=levels)
    found = 255 * np.asarray(equalized(floats(images)))
    np.testing.assert_array_equal(found.round(), of_pillow(ImageOps.equalize, images))
    np.testing.assert_allclose(found, found.round(), atol=1e-4)


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 2, 3, 1), (2, 5, 60, 2)])
def test_equalize_takes_any_size_and_number_of_channels(shape):
    images = bytes_of(3, shape)
    found = (255 * np.asarray(equalized(floats(images)))).round()
    for k in range(shape[3]):
        np.testing.assert_array_equal(found[..., k], of_pillow(ImageOps.equalize, images[..., k]))


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(bits):
    images = bytes_of(1)
    found = 255 * np.asarray(posterize(KEY, floats(images), bits=bits))
    np.testing.assert_allclose(found, of_pillow(ImageOps.posterize, images, bits), atol=1e-4)


def test_each_image_may_keep_other_bits():
    images = floats(bytes_of(2))
    found = posterized(images, np.asarray([1.0, 4.0, 8.0], np.float32))
    for n, bits in enumerate((1, 4, 8)):
        np.testing.assert_array_equal(found[n], posterize(KEY, images, bits=bits)[n])


@pytest.mark.parametrize("threshold", [0, 40, 128, 256])
def test_solarize_is_pillows(threshold):
    images = bytes_of(4)
    found = 255 * np.asarray(solarize(KEY, floats(images), threshold=(threshold - 0.5) / 255))
    np.testing.assert_allclose(found, of_pillow(ImageOps.solarize, images, threshold), atol=1e-4)


def test_each_image_may_have_another_threshold():
    images = floats(bytes_of(5))
    found = solarized(images, np.asarray([0.0, 0.3, 2.0], np.float32))
    np.testing.assert_array_equal(found[0], 1 - images[0])
    np.testing.assert_array_equal(found[2], images[2])


def test_autocontrast_is_pillows_up_to_its_rounding():
    images = bytes_of(6)
    found = 255 * np.asarray(autocontrast(KEY, floats(images), prob=1.0))
    assert np.abs(found - of_pillow(ImageOps.autocontrast, images)).max() <= 1.0001
    np.testing.assert_array_equal(found.min((1, 2)), 0)
    np.testing.assert_allclose(found.max((1, 2)), 255)


def test_a_channel_of_one_value_is_left_as_it_is():
    flat = np.full((1, 3, 3, 1), 0.37, np.float32)
    np.testing.assert_array_equal(autocontrasted(flat), flat)
    np.testing.assert_allclose(equalized(flat), np.full((1, 3, 3, 1), round(0.37 * 255) / 255), atol=1e-6)


@pytest.mark.parametrize("function", [autocontrast, equalize, invert])
def test_prob_zero_changes_no_bit(function):
    images = floats(bytes_of(8))
    np.testing.assert_array_equal(function(KEY, images, prob=0.0), images)


def test_twice_inverted_is_the_image():
    images = floats(bytes_of(7))
    np.testing.assert_allclose(invert(KEY, images, prob=1.0), 1 - images)
    np.testing.assert_allclose(invert(KEY, invert(KEY, images)), images, atol=1e-7)


def test_values_outside_the_range_are_clipped_where_levels_are_needed():
    images = np.asarray([-1.0, 0.5, 3.0], np.float32).reshape(1, 1, 3, 1)
    np.testing.assert_allclose(posterize(KEY, images, bits=8).ravel(), [0, 128 / 255, 1], atol=1e-6)
    assert float(equalized(images).min()) >= 0


@pytest.mark.parametrize("bits", [0, 9, -1])
def test_bits_are_one_to_eight(bits):
    with annotations_unchecked(), pytest.raises(ValueError, match=rf"posterize takes bits in \[1, 8\]; got {bits}"):
        augment.posterize(KEY, jnp.ones((1, 2, 2, 1)), bits=bits)


@pytest.mark.parametrize("parts", [1, 3, 16])
def test_histograms_of_parts_add_up_to_those_of_the_image(parts):
    level = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3)).astype(np.int32)
    counts = np.asarray(jax.jit(functools.partial(tone.histograms, parts=parts))(level)).reshape(2, 3, 256)
    for image in range(2):
        for channel in range(3):
            expected = np.bincount(level[image, :, :, channel].ravel(), minlength=256)
            np.testing.assert_array_equal(counts[image, channel], expected)
