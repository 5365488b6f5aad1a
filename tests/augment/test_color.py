"""Color against Pillow's enhancers and Python's colorsys."""

import colorsys
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked
from PIL import Image, ImageEnhance
from whole import compiled

from jaxaug import augment
from jaxaug.augment import channel_planes
from jaxaug.augment.color import random_factor
from jaxaug.augment.jitter import jittered, jittered_in_order

brightness, contrast, saturation, hue = map(
    compiled, (augment.brightness, augment.contrast, augment.saturation, augment.hue)
)
color_jitter, grayscale = compiled(augment.color_jitter), compiled(augment.grayscale)
RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(size=(4, 6, 5, 3)).astype(np.float32)
BYTES = RNG.integers(0, 256, (4, 6, 5, 3), np.uint8)
KEY = jax.random.key(0)
LEVELS = st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0])


def on_images(step):
    return jax.jit(lambda images, amounts: channel_planes.on_planes(lambda p: step(p, amounts), images))


brightened, contrasted, saturated, hue_shifted = map(
    on_images,
    (channel_planes.brightened, channel_planes.contrasted, channel_planes.saturated, channel_planes.hue_shifted),
)


def of_pillow(enhancer, factor):
    return np.stack([np.asarray(enhancer(Image.fromarray(image)).enhance(factor)) for image in BYTES])


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.7, 4.0])
@pytest.mark.parametrize(
    ("function", "enhancer", "levels"),
    [
        (brightened, ImageEnhance.Brightness, 1),
        (saturated, ImageEnhance.Color, 4),  # Pillow rounds the gray, which a large factor enlarges
        (contrasted, ImageEnhance.Contrast, 4),  # and the mean
    ],
)
def test_a_factor_does_what_pillow_does_up_to_its_rounding(function, enhancer, levels, factor):
    found = 255 * np.asarray(function(np.float32(BYTES / 255), np.full(4, factor, np.float32)))
    assert np.abs(found - of_pillow(enhancer, factor)).max() <= levels


def test_the_formulas_in_float64():
    x, f = IMAGES.astype(np.float64), np.array([0.0, 0.5, 1.3, 2.5])[:, None, None, None]
    gray = (x @ [0.299, 0.587, 0.114])[..., None]
    factors = jnp.asarray(f.ravel(), jnp.float32)
    mean = gray.mean((1, 2), keepdims=True)
    for function, towards in ((brightened, 0 * x), (saturated, gray), (contrasted, mean)):
        expected = np.clip(towards + f * (x - towards), 0, 1)
        np.testing.assert_allclose(function(jnp.asarray(IMAGES), factors), expected, atol=1e-6)
    found = grayscale(KEY, jnp.asarray(IMAGES), prob=1.0)
    np.testing.assert_allclose(found, np.broadcast_to(gray, x.shape), atol=1e-6)


def test_without_three_channels_contrast_takes_the_mean_of_all_values():
    values = IMAGES[..., :2].reshape(4, -1, 2)
    found = channel_planes.mean_gray(jnp.asarray(values.transpose(0, 2, 1)))
    np.testing.assert_allclose(found, values.mean((1, 2)), rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(LEVELS, LEVELS, LEVELS), min_size=4, max_size=4), st.floats(-0.5, 0.5))
def test_hue_turns_as_in_colorsys(colors, turns):
    images = np.float32(colors).reshape(1, 2, 2, 3)
    found = np.asarray(hue_shifted(images, np.full(1, turns, np.float32))).reshape(-1, 3)
    for color, out in zip(colors, found, strict=True):
        h, s, v = colorsys.rgb_to_hsv(*color)
        np.testing.assert_allclose(out, colorsys.hsv_to_rgb((h + turns) % 1, s, v), atol=2e-6)


def test_a_whole_turn_of_hue_is_none_and_a_third_moves_the_channels():
    images = jnp.asarray(IMAGES)
    np.testing.assert_allclose(hue_shifted(images, np.ones(4, np.float32)), IMAGES, atol=2e-6)
    np.testing.assert_allclose(
        hue_shifted(images, np.full(4, 1 / 3, np.float32)), np.roll(IMAGES, 1, axis=3), atol=2e-6
    )


def test_a_gray_pixel_has_no_hue():
    gray = np.full((1, 2, 2, 3), 0.4, np.float32)
    np.testing.assert_array_equal(hue_shifted(gray, np.full(1, 0.3, np.float32)), gray)


@pytest.mark.parametrize("function", [brightness, contrast, saturation, hue])
def test_no_strength_is_the_identity(function):
    np.testing.assert_array_equal(function(KEY, jnp.asarray(IMAGES), strength=0.0), IMAGES)


def test_no_jitter_is_the_identity():
    options = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0)
    np.testing.assert_array_equal(color_jitter(KEY, jnp.asarray(IMAGES), **options), IMAGES)


def test_factors_are_uniform_and_never_negative():
    factors = np.asarray(random_factor(KEY, 4000, 0.6))
    assert scipy.stats.kstest(factors, scipy.stats.uniform(0.4, 1.2).cdf).pvalue > 1e-4
    large = np.asarray(random_factor(KEY, 4000, 3.0))
    assert large.min() == 0
    assert abs((large == 0).mean() - 1 / 3) < 0.04


def test_brightness_draws_the_factor_that_it_applies():
    dim = np.full((2000, 1, 1, 1), 0.25, np.float32)
    out = 4 * np.asarray(brightness(KEY, dim, strength=0.5)).ravel()
    assert scipy.stats.kstest(out, scipy.stats.uniform(0.5, 1.0).cdf).pvalue > 1e-4


def test_hue_turns_both_ways_uniformly():
    red = np.broadcast_to(np.asarray([1, 0, 0], np.float32), (2000, 1, 1, 3))
    out = np.asarray(hue(KEY, red, strength=0.15))[:, 0, 0]
    turns = np.array([colorsys.rgb_to_hsv(*pixel)[0] for pixel in out])
    turns = np.where(turns > 0.5, turns - 1, turns)
    assert scipy.stats.kstest(turns, scipy.stats.uniform(-0.15, 0.3).cdf).pvalue > 1e-4


def test_jitter_takes_its_steps_in_the_order_given():
    steps = (brightened, contrasted, saturated, hue_shifted)
    orders = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2], [2, 0, 3, 1]], np.int32)
    amounts = np.array(
        [[1.3, 0.6, 1.4, 0.1], [0.7, 1.5, 0.5, -0.2], [1.6, 1.6, 1.6, 0.3], [0.5, 0.5, 2.0, 0.05]], np.float32
    )
    images, drawn = IMAGES, amounts
    ordered = ORDERED(images, drawn, jnp.asarray(orders))
    unordered = JITTERED(images, drawn)
    for found, taken in ((ordered, orders), (unordered, np.tile(np.arange(4), (4, 1)))):
        for n in range(4):
            image = images[n : n + 1]
            for step in taken[n]:
                image = steps[step](image, drawn[n : n + 1, step])
            np.testing.assert_allclose(found[n], image[0], atol=1e-6)


NAMES = ("brightness", "contrast", "saturation", "hue")


@pytest.mark.parametrize("pair", list(itertools.combinations(range(4), 2)))
def test_of_any_two_steps_either_comes_first_in_half_of_the_images(pair):
    images = np.broadcast_to(IMAGES[:1, :2, :2], (2000, 2, 2, 3))
    strengths = {name: (1.0 if k < 3 else 0.5) * (k in pair) for k, name in enumerate(NAMES)}
    fixed, random = (np.asarray(color_jitter(KEY, images, random_order=order, **strengths)) for order in (False, True))
    differ = (np.abs(fixed - random) > 1e-5).any((1, 2, 3)).mean()

    # How often the order matters at all, with amounts of the same laws and the two steps exchanged.
    amounts = np.random.default_rng(1).uniform(-1, 1, (2000, 4)).astype(np.float32) * list(strengths.values())
    amounts = np.float32(amounts + np.array([1, 1, 1, 0]))
    orders = np.tile(np.arange(4, dtype=np.int32), (2, 2000, 1))
    orders[1, :, pair] = orders[0, :, pair[::-1]]
    one, other = (np.asarray(ORDERED(images, amounts, order)) for order in orders)
    matters = (np.abs(one - other) > 1e-5).any((1, 2, 3)).mean()
    assert matters > 0.05, "the test sees no order"
    assert abs(differ - matters / 2) < 5 * (matters / 2000) ** 0.5


JITTERED = jax.jit(lambda images, drawn: channel_planes.on_planes(lambda p: jittered(p, drawn), images))
ORDERED = jax.jit(lambda images, *drawn: channel_planes.on_planes(lambda p: jittered_in_order(p, *drawn), images))


def test_grayscale_has_three_equal_channels_at_its_rate():
    out = np.asarray(grayscale(KEY, jnp.asarray(np.repeat(IMAGES, 250, axis=0)), prob=0.3))
    gray = (np.ptp(out, axis=3) < 1e-6).all((1, 2))
    assert abs(gray.mean() - 0.3) < 5 * (0.21 / 1000) ** 0.5


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (augment.brightness, {"strength": -0.1}, r"brightness takes strength in \[0, inf\); got -0\.1"),
        (augment.hue, {"strength": 0.6}, r"hue takes strength in \[0, 0\.5\]; got 0\.6"),
        (augment.color_jitter, {"contrast": -1.0}, r"color_jitter takes contrast in \[0, inf\); got -1\.0"),
        (augment.grayscale, {"prob": 2.0}, r"grayscale takes prob in \[0, 1\]; got 2\.0"),
    ],
)
def test_bad_options_get_one_sentence(function, options, message):
    with annotations_unchecked(), pytest.raises(ValueError, match=message):
        function(KEY, jnp.asarray(IMAGES), **options)


@pytest.mark.parametrize("function", [saturation, hue, color_jitter, grayscale])
def test_two_channels_are_no_color(function):
    with pytest.raises(ValueError, match=r"takes RGB images \[B, H, W, 3\]; got float32\[4, 6, 5, 2\]"):
        function(KEY, jnp.asarray(IMAGES[..., :2]))
