"""Pictures with maps: the colors against matplotlib's, the blend against its formula."""

from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from laws.interface import annotations_unchecked

from jaxaug.explain import overlay
from jaxaug.explain.viridis import viridis

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(size=(3, 4, 6, 3)), jnp.float32)
MAPS = jnp.asarray(RNG.normal(size=(3, 4, 6)), jnp.float32)


def test_colors_are_those_of_matplotlib() -> None:
    truth = matplotlib.colormaps["viridis"](np.arange(256))[:, :3]
    found = viridis(jnp.linspace(0, 1, 256))
    assert np.abs(found - truth).max() < 0.01
    np.testing.assert_array_equal(viridis(jnp.array([-1.0, 2.0])), viridis(jnp.array([0.0, 1.0])))
    lightness = np.asarray(found) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()


def test_blend() -> None:
    shares = np.maximum(MAPS, 0) / np.asarray(MAPS).max(axis=(1, 2), keepdims=True)
    colors = matplotlib.colormaps["viridis"](shares)[..., :3]
    for strength in (0.0, 0.3, 1.0):
        truth = (1 - strength) * np.asarray(IMAGES) + strength * colors
        np.testing.assert_allclose(overlay(IMAGES, MAPS, strength=strength), truth, atol=0.02)
    np.testing.assert_array_equal(overlay(IMAGES, MAPS, strength=0.0), IMAGES)
    np.testing.assert_allclose(overlay(IMAGES, 1e-20 * MAPS), overlay(IMAGES, MAPS), atol=1e-5)


def test_map_is_resized_to_the_image() -> None:
    maps = jnp.array([[[0.0, 4.0]]])
    seen = overlay(jnp.zeros((1, 2, 4, 3)), maps, strength=1.0)
    # Bilinear with the edge repeated, which keeps the maximum here.
    np.testing.assert_allclose(seen[0, 0], viridis(jnp.array([0.0, 0.25, 0.75, 1.0])), atol=1e-6)
    np.testing.assert_array_equal(seen[:, 0], seen[:, 1])


@pytest.mark.parametrize("maps", [jnp.zeros((3, 2, 2)), -jnp.ones((3, 2, 2))], ids=["zeros", "negative"])
def test_map_that_says_nothing_leaves_the_image(maps: jax.Array) -> None:
    np.testing.assert_array_equal(overlay(IMAGES, maps, strength=0.7), IMAGES)
    mixed = overlay(IMAGES, maps.at[1].set(1.0), strength=0.7)
    np.testing.assert_array_equal(mixed[0], IMAGES[0])
    assert (mixed[1] != IMAGES[1]).any()


def test_gray_images_are_seen_in_color() -> None:
    gray = IMAGES[..., :1]
    np.testing.assert_array_equal(overlay(gray, MAPS), overlay(jnp.repeat(gray, 3, axis=3), MAPS))


def test_jit_vmap_and_half_precision() -> None:
    strengths = jnp.array([0.2, 0.9])
    eager = [overlay(IMAGES, MAPS, strength=float(strength)) for strength in strengths]
    many = jax.jit(jax.vmap(lambda strength: overlay(IMAGES, MAPS, strength=strength)))(strengths)
    np.testing.assert_allclose(many, eager, atol=1e-6)
    half = overlay(IMAGES.astype(jnp.bfloat16), MAPS.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), overlay(IMAGES, MAPS), atol=0.02)
    assert 0 <= half.min() <= half.max() <= 1


def test_bad_arguments_get_one_sentence() -> None:
    bad: list[tuple[Any, Any, Any, str]] = [
        (IMAGES[..., :2], MAPS, 0.5, r"takes images \[B, H, W, 3\] or .*; got float32\[3, 4, 6, 2\] and float32"),
        (IMAGES, MAPS[:2], 0.5, "same number of maps"),
        (IMAGES, MAPS[..., None], 0.5, r"takes maps \[B, h, w\]; got float32\[3, 4, 6, 1\]"),
        (IMAGES, MAPS, 1.5, r"takes strength in \[0, 1\]; got 1.5"),
        ((255 * IMAGES).astype(jnp.uint8), MAPS, 0.5, "of a floating-point dtype; got uint8"),
    ]
    with annotations_unchecked():
        for images, maps, strength, sentence in bad:
            with pytest.raises((ValueError, TypeError), match=f"^overlay .*{sentence}"):
                overlay(images, maps, strength=strength)
