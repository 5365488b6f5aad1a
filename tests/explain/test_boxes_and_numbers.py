"""Boxes against SciPy's labels, entropy and area against NumPy in float64."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from laws.interface import annotations_unchecked
from scipy import ndimage, stats

from jaxaug.explain import bounding_box, map_area, map_entropy

box = jax.jit(bounding_box)


def reference(values: np.ndarray, fraction: float = 0.2) -> tuple[int, int, int, int]:
    """Returns the box of one map, its parts labeled by SciPy."""
    mask = (values > np.float32(fraction) * values.max()) & (values > 0)
    labeled: Any = ndimage.label(mask, structure=np.ones((3, 3)))
    labels, count = labeled
    if not count:
        return 0, 0, 0, 0
    largest = np.bincount(labels.ravel())[1:].argmax()
    rows, columns = ndimage.find_objects(labels)[largest]
    return rows.start, columns.start, rows.stop, columns.stop


@settings(max_examples=150, deadline=None)
@given(arrays(np.float32, (2, 7, 9), elements=st.sampled_from([-1.0, 0.0, 0.0, 0.0, 0.5, 1.0, 2.0, 4.0])))
def test_box_is_that_of_scipy(maps: np.ndarray) -> None:
    np.testing.assert_array_equal(box(jnp.asarray(maps)), [reference(values) for values in maps])


@pytest.mark.parametrize("density", [0.1, 0.25, 0.4, 0.6])
def test_box_in_larger_maps(density: float) -> None:
    maps = np.random.default_rng(0).uniform(size=(20, 24, 15)) < density
    maps = maps.astype(np.float32)
    np.testing.assert_array_equal(box(jnp.asarray(maps)), [reference(values) for values in maps])


def test_box_around_a_long_path() -> None:
    path = np.zeros((24, 15), np.float32)
    path[::2] = 1
    path[1::4, -1] = path[3::4, 0] = 1
    path[-2:] = 0
    path[-1] = 1
    np.testing.assert_array_equal(box(jnp.asarray(path[None])), [reference(path)])
    np.testing.assert_array_equal(reference(path), [0, 0, 22, 15] if path[21].any() else [0, 0, 21, 15])


def test_corners_connect_and_ties_go_to_the_first() -> None:
    maps = jnp.array(
        [[[0.0, 0, 1, 0, 1], [1, 0, 0, 1, 0], [1, 0, 0, 0, 0]], [[0, 1, 1, 0, 0], [0] * 5, [1, 1, 0, 0, 1]]]
    )
    np.testing.assert_array_equal(bounding_box(maps), [[0, 2, 2, 5], [0, 1, 1, 3]])


def test_fraction_may_be_traced() -> None:
    maps = jnp.array([[[0.0, 1.0, 2.0, 4.0, 3.0, 0.1]]])
    boxes = jax.vmap(lambda fraction: bounding_box(maps, fraction=fraction)[0])(jnp.array([0.0, 0.3, 0.6, 0.8]))
    np.testing.assert_array_equal(boxes, [[0, 1, 1, 6], [0, 2, 1, 5], [0, 3, 1, 5], [0, 3, 1, 4]])
    areas = jax.vmap(lambda fraction: map_area(maps, fraction=fraction)[0])(jnp.array([0.0, 0.3, 0.6, 0.8]))
    np.testing.assert_allclose(areas, np.array([5, 3, 2, 1]) / 6, rtol=1e-6)


MAPS = np.random.default_rng(1).normal(size=(4, 5, 8)).astype(np.float32)


def test_entropy_and_area() -> None:
    shares = np.maximum(MAPS.astype(np.float64), 0)
    truth = stats.entropy(shares.reshape(4, -1), axis=1) / math.log(40)
    area = (np.float32(0.2) * MAPS.max(axis=(1, 2), keepdims=True) < MAPS).mean(axis=(1, 2))
    for scale in (1.0, 1e-30, 1e30):
        maps = jnp.asarray(MAPS * np.float32(scale))
        np.testing.assert_allclose(map_entropy(maps), truth, rtol=1e-5)
        np.testing.assert_allclose(map_area(maps), area, rtol=1e-6)


def test_extremes_of_entropy() -> None:
    one = jnp.zeros((1, 3, 5)).at[0, 1, 2].set(7.0)
    np.testing.assert_array_equal(map_entropy(one), 0)
    np.testing.assert_allclose(map_entropy(jnp.full((1, 3, 5), 0.3)), 1, rtol=1e-6)
    np.testing.assert_array_equal(map_entropy(jnp.ones((1, 1, 1))), 0)


@pytest.mark.parametrize("maps", [jnp.zeros((2, 3, 4)), -jnp.ones((2, 3, 4))], ids=["zeros", "negative"])
def test_maps_that_say_nothing(maps: jax.Array) -> None:
    np.testing.assert_array_equal(bounding_box(maps), jnp.zeros((2, 4)))
    np.testing.assert_array_equal(map_entropy(maps), 1)
    np.testing.assert_array_equal(map_area(maps), 0)


@pytest.mark.parametrize("function", [bounding_box, map_entropy, map_area])
def test_jit_vmap_and_half_precision(function: Any) -> None:
    maps = jnp.asarray(MAPS, jnp.bfloat16)
    eager = function(maps)
    assert eager.dtype == (jnp.int32 if function is bounding_box else jnp.float32)
    np.testing.assert_allclose(eager, function(maps.astype(jnp.float32)), rtol=1e-6)
    np.testing.assert_allclose(jax.jit(function)(maps), eager, rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(function)(maps[:, None])[:, 0], eager, rtol=1e-6)
    np.testing.assert_allclose(function(maps[:1]), eager[:1], rtol=1e-6)


@pytest.mark.parametrize("function", [bounding_box, map_entropy, map_area])
def test_bad_arguments_get_one_sentence(function: Any) -> None:
    with annotations_unchecked():
        for maps in (jnp.ones((3, 4)), jnp.ones((1, 3, 4), jnp.int32), jnp.ones((1, 0, 4))):
            with pytest.raises((ValueError, TypeError), match=rf"^{function.__name__} takes maps \[B, h, w\]"):
                function(maps)
        if function is not map_entropy:
            with pytest.raises(ValueError, match=rf"^{function.__name__} takes fraction in \[0, 1\); got 1.0\.$"):
                function(jnp.ones((1, 2, 2)), fraction=1.0)
