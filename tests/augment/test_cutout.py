"""cutout: the hole pixel by pixel, and the law of its center."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from whole import compiled

from jaxaug import augment

cutout = compiled(augment.cutout)
KEY = jax.random.key(0)


def segment(center: int, side: int, length: int) -> np.ndarray:
    """Returns which pixels of a line a hole of `side` around `center` covers: [c - side // 2, c - side // 2 + side)."""
    covered = np.zeros(length, bool)
    for pixel in range(center - side // 2, center - side // 2 + side):
        if 0 <= pixel < length:
            covered[pixel] = True
    return covered


def holes(height: int, width: int, size: tuple[int, int]) -> list[bytes]:
    """Returns the hole around each pixel in turn, as bytes."""
    rows = [segment(y, size[0], height) for y in range(height)]
    columns = [segment(x, size[1], width) for x in range(width)]
    return [np.outer(row, column).tobytes() for row in rows for column in columns]


def found_holes(count: int, height: int, width: int, size: int | tuple[int, int], key: jax.Array = KEY) -> np.ndarray:
    height_width = jax.tree.map(np.int32, size)  # An array is traced: one program for all sizes.
    return np.asarray(cutout(key, np.ones((count, height, width, 1), np.float32), size=height_width))[..., 0] == 0


@settings(max_examples=40, deadline=None)
@given(
    shape=st.sampled_from([(1, 1), (4, 7), (6, 3)]),
    size=st.integers(0, 15),
    seed=st.integers(0, 99),
)
def test_every_hole_is_a_clipped_square_around_a_pixel(shape: tuple[int, int], size: int, seed: int) -> None:
    allowed = holes(*shape, (size, size))
    found = found_holes(8, *shape, size, jax.random.key(seed))
    assert all(hole.tobytes() in allowed for hole in found)


@pytest.mark.parametrize("size", [1, 2, 3, (3, 2)])
def test_center_is_uniform_over_all_pixels(size: int | tuple[int, int]) -> None:
    height, width, count = 4, 6, 6000
    pair = size if isinstance(size, tuple) else (size, size)
    expected: dict[bytes, float] = {}
    for hole in holes(height, width, pair):
        expected[hole] = expected.get(hole, 0.0) + count / (height * width)
    found = dict.fromkeys(expected, 0)
    for hole in found_holes(count, height, width, size):
        found[hole.tobytes()] += 1
    assert stats.chisquare(list(found.values()), list(expected.values())).pvalue > 1e-6


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_hole_away_from_the_border_has_exactly_the_size(size: int) -> None:
    areas = found_holes(256, 9, 9, size).sum((1, 2))
    assert areas.max() == size**2
    assert areas.min() < size**2 or size == 1


def test_mean_masked_area_is_the_closed_form() -> None:
    # An even side L in length I loses L^2 / 4 of its I L center-pixel pairs at the borders: L - L^2 / (4 I) remain.
    length, side, count = 32, 16, 4096
    areas = found_holes(count, length, length, side).astype(float).mean(axis=(1, 2))
    expected = (side - side**2 / (4 * length)) ** 2 / length**2
    assert expected == pytest.approx(0.19140625)
    assert abs(areas.mean() - expected) < 5 * areas.std() / count**0.5


def test_pixels_outside_the_hole_keep_their_bits() -> None:
    images = jnp.asarray(np.random.default_rng(0).normal(size=(16, 5, 7, 3)), jnp.float32)
    cut = cutout(KEY, images, size=3, fill=9.0)
    hole = np.asarray(cut == 9.0)
    assert (hole.all(3) == hole.any(3)).all()
    np.testing.assert_array_equal(np.asarray(cut)[~hole], np.asarray(images)[~hole])


@pytest.mark.parametrize("fill", [(1.0, 2.0, 3.0), np.asarray([1.0, 2.0, 3.0], np.float32)])
def test_fill_may_differ_between_channels(fill: tuple[float, ...] | jax.Array) -> None:
    cut = np.asarray(cutout(KEY, np.zeros((8, 5, 7, 3), np.float32), size=3, fill=fill))
    hole = cut[..., 0] != 0
    assert hole.any((1, 2)).all()
    np.testing.assert_array_equal(cut, hole[..., None] * np.array([1, 2, 3], np.float32))


@pytest.mark.parametrize("size", [0, (0, 3), (3, 0)])
def test_no_size_is_no_hole(size: int | tuple[int, int]) -> None:
    assert not found_holes(8, 5, 7, size).any()


def test_size_above_twice_the_image_erases_all() -> None:
    assert found_holes(8, 5, 7, 16).all()


def test_traced_size_equals_the_static_one() -> None:
    images = jnp.ones((6, 5, 7, 1))
    traced = jax.jit(jax.vmap(lambda size: augment.cutout(KEY, images, size=size)))(np.arange(5))
    for size in range(5):
        np.testing.assert_array_equal(traced[size], augment.cutout(KEY, images, size=size))


def test_half_precision_erases_the_same_pixels() -> None:
    images = np.ones((8, 5, 7, 1), np.float32)
    for dtype in (jnp.bfloat16, jnp.float16):
        half = cutout(KEY, images.astype(dtype), size=3)
        np.testing.assert_array_equal(np.float32(half), cutout(KEY, images, size=3))


def test_erased_pixels_have_no_gradient() -> None:
    ones = np.ones((8, 5, 7, 3), np.float32)
    gradient = jax.jit(jax.grad(lambda x: cutout(KEY, x, size=3, fill=0.0).sum()))(ones)
    np.testing.assert_array_equal(gradient, cutout(KEY, ones, size=3, fill=0.0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": -1}, r"cutout takes size in \[0, inf\); got -1"),
        ({"size": (3, -1)}, r"cutout takes size in \[0, inf\); got -1"),
        ({"fill": (0.0, 1.0)}, "cutout takes one number, or one for each of the 3 channels"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        augment.cutout(KEY, jnp.ones((2, 4, 4, 3)), **options)
