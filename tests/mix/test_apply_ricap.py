"""apply_ricap against a loop over the four patches, on drawn plans and on plans made by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from laws.interface import annotations_unchecked

from jaxaug.mix import RicapPlan, apply_ricap, ricap_plan

BATCH, HEIGHT, WIDTH = 5, 4, 7
APPLY = jax.jit(apply_ricap)
DRAW_ALL = jax.jit(jax.vmap(lambda key, beta: ricap_plan(key, (BATCH, HEIGHT, WIDTH), beta=beta), (0, None)))


def pictures(channels: int = 2) -> np.ndarray:
    """Returns images whose pixels are all different."""
    shape = (BATCH, HEIGHT, WIDTH, channels)
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def drawn(seed: int, beta: float = 1.0) -> list[RicapPlan]:
    """Returns the plans of eight keys, as NumPy arrays."""
    plans = jax.tree.map(np.asarray, DRAW_ALL(jax.random.split(jax.random.key(seed), 8), np.float32(beta)))
    return [jax.tree.map(lambda field: field[n], plans) for n in range(8)]  # noqa: B023


def pasted(plan: Any, images: np.ndarray) -> np.ndarray:
    """Returns the outputs patch by patch, as the paper draws them."""
    batch, height, width, _ = images.shape
    out = np.full_like(images, np.nan)
    for b in range(batch):
        h, w = map(int, plan.boundary[b])
        places = [(0, h, 0, w), (0, h, w, width), (h, height, 0, w), (h, height, w, width)]
        for k, (top, bottom, left, right) in enumerate(places):
            y, x = map(int, plan.offset[b, k])
            rows, columns = slice(y, y + bottom - top), slice(x, x + right - left)
            out[b, top:bottom, left:right] = images[int(plan.source[b, k])][rows, columns]
    return out


def random_plan(boundary: list[tuple[int, int]], seed: int) -> RicapPlan:
    """Returns a plan with the given boundaries, and sources and offsets drawn by NumPy."""
    rng = np.random.default_rng(seed)
    source = np.stack([rng.permutation(BATCH) for _ in range(4)], axis=1)
    offset, weight = np.zeros((BATCH, 4, 2), np.int32), np.zeros((BATCH, 4), np.float32)
    for b, (h, w) in enumerate(boundary):
        for k, (rows, columns) in enumerate([(h, w), (h, WIDTH - w), (HEIGHT - h, w), (HEIGHT - h, WIDTH - w)]):
            offset[b, k] = (
                rng.integers(0, HEIGHT - rows, endpoint=True),
                rng.integers(0, WIDTH - columns, endpoint=True),
            )
            weight[b, k] = rows * columns / (HEIGHT * WIDTH)
    return RicapPlan(*map(jnp.asarray, (np.asarray(source, np.int32), np.asarray(boundary, np.int32), offset, weight)))


@pytest.mark.parametrize("beta", [0.3, 1.0, 5.0])
def test_drawn_plan_pastes_the_four_patches(beta: float) -> None:
    for plan in drawn(1, beta):
        np.testing.assert_array_equal(APPLY(plan, pictures()), pasted(plan, pictures()))


@settings(max_examples=60, deadline=None)
@given(
    boundary=st.lists(st.tuples(st.integers(0, HEIGHT), st.integers(0, WIDTH)), min_size=BATCH, max_size=BATCH),
    seed=st.integers(0, 999),
)
def test_any_plan_pastes_the_four_patches(boundary: list[tuple[int, int]], seed: int) -> None:
    plan = random_plan(boundary, seed)
    np.testing.assert_array_equal(APPLY(plan, pictures()), pasted(plan, pictures()))


@pytest.mark.parametrize(("corner", "whole"), [((0, 0), 3), ((0, WIDTH), 2), ((HEIGHT, 0), 1), ((HEIGHT, WIDTH), 0)])
def test_boundary_in_a_corner_leaves_one_whole_image(corner: tuple[int, int], whole: int) -> None:
    plan = random_plan([corner] * BATCH, 0)
    np.testing.assert_array_equal(plan.weight, np.eye(4)[[whole] * BATCH])
    np.testing.assert_array_equal(APPLY(plan, pictures()), pictures()[np.asarray(plan.source)[:, whole]])


def test_share_of_pixels_of_each_source_is_its_weight() -> None:
    constant = np.broadcast_to(np.arange(BATCH, dtype=np.float32)[:, None, None, None], (BATCH, HEIGHT, WIDTH, 2))
    for plan in drawn(2):
        patched = np.asarray(APPLY(plan, constant))[..., 0]
        for b in range(BATCH):
            for image in range(BATCH):
                pixels = int((patched[b] == image).sum())
                weight = np.asarray(plan.weight[b], np.float64)[np.asarray(plan.source[b]) == image].sum()
                assert round(weight * HEIGHT * WIDTH, 4) == pixels


def test_masks_are_cut_as_their_images_are() -> None:
    plan, images = drawn(3)[0], pictures()
    mask = np.floor(images / 3)
    np.testing.assert_array_equal(APPLY(plan, mask), np.floor(np.asarray(APPLY(plan, images)) / 3))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_copies_bits(dtype: type) -> None:
    plan = drawn(4)[0]
    images = np.random.default_rng(0).normal(size=(BATCH, HEIGHT, WIDTH, 3)).astype(dtype)
    expected = pasted(plan, np.asarray(images, np.float32))
    patched = APPLY(plan, images)
    assert patched.dtype == dtype
    np.testing.assert_array_equal(np.asarray(patched, np.float32), expected)


def test_one_plan_serves_under_vmap_over_images() -> None:
    plan, images = drawn(5)[0], np.stack([pictures(), -pictures()])
    mapped = np.asarray(jax.jit(jax.vmap(apply_ricap, (None, 0)))(plan, images))
    np.testing.assert_array_equal(mapped[1], -mapped[0])


def test_gradient_counts_how_often_each_pixel_was_pasted() -> None:
    plan = random_plan([(0, 0), (2, 3), (4, 7), (1, 6), (3, 1)], 0)
    gradient = np.asarray(jax.jit(jax.grad(lambda images: apply_ricap(plan, images).sum()))(pictures(1)))
    pixels = pasted(plan, pictures(1)).astype(int).ravel()
    np.testing.assert_array_equal(gradient.ravel(), np.bincount(pixels, minlength=pictures(1).size))


@pytest.mark.parametrize("shape", [(BATCH, HEIGHT, WIDTH), (BATCH + 1, HEIGHT, WIDTH, 1)])
def test_images_that_do_not_fit_the_plan_are_refused(shape: tuple[int, ...]) -> None:
    plan = random_plan([(1, 1)] * BATCH, 0)
    with annotations_unchecked(), pytest.raises(ValueError, match=r"apply_ricap takes images \[5, H, W, C\]"):
        apply_ricap(plan, jnp.ones(shape))
