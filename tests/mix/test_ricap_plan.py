"""The draws of RICAP: boundary, sizes, offsets, sources and weights against their laws."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws.interface import annotations_unchecked
from scipy import stats
from whole import compiled

from jaxaug import mix
from jaxaug.mix import RicapPlan

ricap_plan = compiled(mix.ricap_plan)
KEY = jax.random.key(0)
COUNT, HEIGHT, WIDTH = 4096, 5, 8


@functools.cache
def plan(beta: float) -> RicapPlan:
    """Returns the plan of one batch of `COUNT`, as NumPy arrays."""
    return jax.tree.map(np.asarray, ricap_plan(KEY, (COUNT, HEIGHT, WIDTH, 3), beta=beta))


@functools.cache
def shared_plans() -> RicapPlan:
    """Returns the plans of 3600 batches of 3, one boundary and set of offsets per batch, as NumPy arrays."""
    run = jax.jit(jax.vmap(lambda key: ricap_plan(key, (3, HEIGHT, WIDTH), beta=1.0, per_example=False)))
    return RicapPlan(*map(np.asarray, run(jax.random.split(KEY, 3600))))  # pyright: ignore[reportArgumentType]


def sizes(boundary: Any) -> np.ndarray:
    """Returns `[..., 4, 2]`, height and width of the patches: top left, top right, bottom left, bottom right."""
    h, w = np.moveaxis(np.asarray(boundary), -1, 0)
    below, right = HEIGHT - h, WIDTH - w
    return np.stack([np.stack(pair, -1) for pair in ((h, w), (h, right), (below, w), (below, right))], -2)


def rounded_beta(beta: float, length: int) -> np.ndarray:
    """Returns P(round(b length) = 0, ..., length) for b ~ Beta(beta, beta)."""
    edges = np.clip((np.arange(length + 2) - 0.5) / length, 0, 1)
    return np.diff(stats.beta(beta, beta).cdf(edges))


def test_fields_have_the_shapes_and_dtypes_of_the_contract() -> None:
    found = ricap_plan(KEY, (7, HEIGHT, WIDTH, 3))
    assert [(x.shape, x.dtype) for x in found] == [
        ((7, 4), jnp.int32),
        ((7, 2), jnp.int32),
        ((7, 4, 2), jnp.int32),
        ((7, 4), jnp.float32),
    ]


def test_only_batch_height_and_width_of_the_shape_matter() -> None:
    one, other = ricap_plan(KEY, (7, HEIGHT, WIDTH)), ricap_plan(KEY, (7, HEIGHT, WIDTH, 64))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_boundary_is_a_rounded_beta_along_each_side(beta: float) -> None:
    boundary = np.asarray(plan(beta).boundary)
    for axis, length in enumerate((HEIGHT, WIDTH)):
        found = np.bincount(boundary[:, axis], minlength=length + 1)
        assert found.size == length + 1
        assert stats.chisquare(found, COUNT * rounded_beta(beta, length)).pvalue > 1e-6
        centered = boundary[:, axis] / length - 0.5
        assert abs(centered.mean()) < 5 * centered.std() / COUNT**0.5


def test_boundary_height_is_independent_of_its_width() -> None:
    h, w = np.asarray(plan(1.0).boundary).T
    cells = np.bincount(h * (WIDTH + 1) + w, minlength=(HEIGHT + 1) * (WIDTH + 1))
    expected = COUNT * np.outer(rounded_beta(1.0, HEIGHT), rounded_beta(1.0, WIDTH)).ravel()
    assert stats.chisquare(cells, expected).pvalue > 1e-6


def test_small_beta_goes_to_the_corners_and_large_beta_to_the_center() -> None:
    boundary = np.asarray(plan(1e-3).boundary)
    assert (np.isin(boundary, [[0, HEIGHT], [0, WIDTH]])).mean() > 0.98
    np.testing.assert_array_equal(np.asarray(plan(1e6).boundary)[:, 1], WIDTH // 2)


def test_weights_are_the_shares_of_the_rounded_patches() -> None:
    found = plan(1.0)
    area = sizes(found.boundary).prod(-1)
    # To the last bit or the one before: XLA divides by multiplying.
    np.testing.assert_allclose(found.weight, area / (HEIGHT * WIDTH), rtol=1.2e-7)
    np.testing.assert_allclose(np.asarray(found.weight, np.float64).sum(1), 1, atol=1.2e-7)


def test_offsets_are_uniform_over_all_places_where_the_patch_fits() -> None:
    found = plan(1.0)
    room = np.array([HEIGHT, WIDTH]) - sizes(found.boundary)
    offset = np.asarray(found.offset)
    assert (offset >= 0).all()
    assert (offset <= room).all()
    for patch in range(4):
        for axis, length in enumerate((HEIGHT, WIDTH)):
            for places in range(1, length + 1):
                chosen = offset[room[:, patch, axis] == places, patch, axis]
                # Both ends, 0 and the room itself, are among the values.
                assert stats.chisquare(np.bincount(chosen, minlength=places + 1)).pvalue > 1e-6


def test_offsets_of_patches_and_axes_are_independent() -> None:
    found = plan(1.0)
    room = np.array([HEIGHT, WIDTH]) - sizes(found.boundary)
    # Where in its room each patch lies, centered: uncorrelated whatever the room.
    place = (np.asarray(found.offset) - room / 2).reshape(-1, 8)
    correlation = np.corrcoef(place.T) - np.eye(8)
    assert np.abs(correlation).max() < 5 / COUNT**0.5
    neighbors = (place[1:] * place[:-1]).mean(0) / place.var(0)
    assert np.abs(neighbors).max() < 5 / COUNT**0.5


def test_every_source_is_a_permutation_of_the_batch() -> None:
    source = np.asarray(plan(0.3).source)
    np.testing.assert_array_equal(np.sort(source, axis=0), np.tile(np.arange(COUNT)[:, None], (1, 4)))
    source = np.asarray(shared_plans().source)
    np.testing.assert_array_equal(np.sort(source, axis=1), np.tile(np.arange(3)[:, None], (3600, 1, 4)))


def test_the_four_permutations_are_uniform_and_independent() -> None:
    source = np.asarray(shared_plans().source)
    index = np.unique(source.transpose(0, 2, 1).reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(3600, 4)
    assert index.max() == 5
    for one in range(4):
        for other in range(one + 1, 4):
            pairs = np.bincount(6 * index[:, one] + index[:, other], minlength=36)
            assert stats.chisquare(pairs).pvalue > 1e-6


def test_one_boundary_and_one_set_of_offsets_per_batch_on_request() -> None:
    found = shared_plans()
    for field in (found.boundary, found.offset, found.weight):
        np.testing.assert_array_equal(field, np.broadcast_to(field[:, :1], field.shape))
    # Over the keys they vary, and the sources still differ within the batch.
    assert len(np.unique(np.asarray(found.boundary)[:, 0], axis=0)) == (HEIGHT + 1) * (WIDTH + 1)
    assert (np.asarray(found.source) != np.asarray(found.source)[:, :1]).any()


def test_examples_draw_boundaries_and_offsets_of_their_own() -> None:
    found = plan(1.0)
    assert len(np.unique(found.boundary, axis=0)) == (HEIGHT + 1) * (WIDTH + 1)
    assert len(np.unique(np.asarray(found.offset).reshape(COUNT, 8), axis=0)) > 0.9 * COUNT


def test_compiled_plan_equals_the_eager_one() -> None:
    eager = mix.ricap_plan(KEY, (COUNT, HEIGHT, WIDTH, 3), beta=1.0)
    for one, other in zip(eager, plan(1.0), strict=True):
        np.testing.assert_allclose(one, other, rtol=1.2e-7)


def test_a_plan_of_one_pixel_and_one_image_is_that_image() -> None:
    found = ricap_plan(KEY, (1, 1, 1, 1))
    np.testing.assert_array_equal(found.source, [[0, 0, 0, 0]])
    assert sorted(found.weight[0].tolist()) == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((4, 5), {}, "ricap_plan takes the shape"),
        ((0, 5, 8), {}, "ricap_plan takes B of at least 1; got 0."),
        ((4, 0, 8), {}, "ricap_plan takes H of at least 1; got 0."),
        ((4, 5, 8), {"beta": 0.0}, r"ricap_plan takes beta in \(0, inf\); got 0.0."),
        ((4, 5, 8), {"beta": float("nan")}, r"ricap_plan takes beta in \(0, inf\); got nan."),
    ],
)
def test_bad_arguments_are_refused(shape: tuple[int, ...], options: dict, message: str) -> None:
    with annotations_unchecked(), pytest.raises(ValueError, match=message):
        mix.ricap_plan(KEY, shape, **options)


def test_a_raw_key_is_refused() -> None:
    with annotations_unchecked(), pytest.raises(TypeError, match="ricap_plan takes one typed key"):
        mix.ricap_plan(jnp.zeros(2, jnp.uint32), (4, 5, 8))
