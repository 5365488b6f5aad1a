"""crop against np.pad and slicing; the law of its offsets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked
from scipy import stats
from whole import compiled

from jaxaug import augment

crop = compiled(augment.crop)
MODES = ("constant", "edge", "reflect", "symmetric", "wrap")
KEY = jax.random.key(0)


def pictures(*shape: int) -> np.ndarray:
    """Returns images whose pixels are all different and none is the zero of the border."""
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


def windows(image: np.ndarray, padding: int, mode: str) -> dict[bytes, tuple[int, int]]:
    """Returns every crop of the padded image, as bytes, with its offset."""
    h, w, _ = image.shape
    padded = np.pad(image, ((padding, padding), (padding, padding), (0, 0)), mode=mode)  # pyright: ignore[reportCallIssue, reportArgumentType]
    offsets = [(y, x) for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
    return {padded[y : y + h, x : x + w].tobytes(): (y, x) for y, x in offsets}


@pytest.mark.parametrize("mode", MODES)
def test_every_output_is_a_window_of_the_padded_image(mode: str) -> None:
    images = pictures(16, 4, 6, 2)
    cropped = np.asarray(crop(KEY, images, padding=2, mode=mode))
    for image, out in zip(images, cropped, strict=True):
        assert out.tobytes() in windows(image, 2, mode)


@pytest.mark.parametrize(
    ("shape", "padding"),
    [((1, 1, 1, 1), 0), ((2, 1, 6, 2), 7), ((3, 5, 2, 1), 1), ((1, 6, 6, 3), 3), ((8, 2, 3, 1), 4)],
)
def test_any_shape_and_padding_gives_a_window(shape: tuple[int, ...], padding: int) -> None:
    images = pictures(*shape)
    cropped = np.asarray(crop(KEY, images, padding=padding))
    for image, out in zip(images, cropped, strict=True):
        assert out.tobytes() in windows(image, padding, "constant")


def test_zero_padding_is_the_identity() -> None:
    images = pictures(5, 3, 4, 2)
    np.testing.assert_array_equal(crop(KEY, images, padding=0), images)


def offsets(count: int, padding: int) -> np.ndarray:
    """Returns `[count, 2]` offsets (y, x), read at the central pixel, whose channels are its row and column."""
    side = 2 * padding + 1
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), axis=-1).astype(np.float32)
    images = np.broadcast_to(grid, (count, side, side, 2))
    return np.asarray(crop(KEY, images, padding=padding))[:, padding, padding].astype(int)


def test_offsets_are_uniform_and_rows_independent_of_columns() -> None:
    padding, count = 2, 5000
    y, x = offsets(count, padding).T
    cells = np.bincount(y * (2 * padding + 1) + x, minlength=(2 * padding + 1) ** 2)
    assert len(cells) == 25
    assert stats.chisquare(cells).pvalue > 1e-6


def test_offsets_of_neighbors_are_independent() -> None:
    found = offsets(5000, 1).reshape(2500, 2, 2)
    for axis in range(2):
        pairs = np.bincount(found[:, 0, axis] * 3 + found[:, 1, axis], minlength=9)
        assert stats.chisquare(pairs).pvalue > 1e-6


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"padding": -1}, ValueError, "crop takes padding of at least 0; got -1."),
        ({"padding": 1.5}, TypeError, "crop takes a Python integer for padding"),
        ({"padding": jnp.int32(1)}, TypeError, "crop takes a Python integer for padding"),
        ({"mode": "mirror"}, ValueError, "crop takes one of 'constant', 'edge', .* for mode; got 'mirror'."),
    ],
)
def test_bad_options_are_refused(options: dict, error: type[Exception], message: str) -> None:
    with annotations_unchecked(), pytest.raises(error, match=message):
        augment.crop(KEY, jnp.ones((2, 4, 4, 1)), **options)
