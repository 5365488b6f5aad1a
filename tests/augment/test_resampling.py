import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from whole import compiled

from jaxaug.augment import affine
from jaxaug.augment.resampling import resampled

rotated, sheared, translated, zoomed = map(compiled, (affine.rotated, affine.sheared, affine.translated, affine.zoomed))
IMAGES = np.random.default_rng(0).uniform(0.1, 0.9, (3, 7, 10, 2)).astype(np.float32)
RESAMPLED = jax.jit(resampled, static_argnames=("interpolation", "border"))


def full(count: int, value: float) -> np.ndarray:
    return np.full(count, value, np.float32)


def random_inverse(seed: int, batch: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    inverse = np.zeros((batch, 2, 3))
    inverse[:, :, :2] = np.eye(2) + 0.6 * rng.standard_normal((batch, 2, 2))
    inverse[:, :, 2] = 3 * rng.standard_normal((batch, 2))
    return inverse.astype(np.float32)


def reference(images, inverse, order, mode, fill=0.0):
    """SciPy's map_coordinates at the same points, in float64; a frame of `fill` stands for the outside."""
    _, h, w, c = images.shape
    center = np.array([(h - 1) / 2, (w - 1) / 2])[:, None, None]
    grid = np.stack(np.meshgrid(np.arange(h), np.arange(w), indexing="ij")) - center
    out = np.empty(images.shape)
    for n, matrix in enumerate(inverse.astype(np.float64)):
        points = np.einsum("ij,jhw->ihw", matrix[:, :2], grid) + matrix[:, 2, None, None] + center
        for k in range(c):
            out[n, :, :, k] = scipy.ndimage.map_coordinates(
                images[n, :, :, k].astype(np.float64), points, order=order, mode=mode, cval=fill
            )
    return out


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10_000), border=st.sampled_from(["constant", "reflect"]))
def test_bilinear_agrees_with_scipy(seed, border):
    inverse = random_inverse(seed)
    # grid-constant is SciPy's name for a border that is interpolated with.
    expected = reference(IMAGES, inverse, 1, {"constant": "grid-constant", "reflect": "reflect"}[border], 0.3)
    np.testing.assert_allclose(RESAMPLED(IMAGES, inverse, border=border, fill=0.3), expected, atol=2e-5)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), border=st.sampled_from(["constant", "reflect"]))
def test_nearest_agrees_with_scipy_but_where_two_are_equally_near(seed, border):
    inverse = random_inverse(seed)
    expected = reference(IMAGES, inverse, 0, {"constant": "grid-constant", "reflect": "reflect"}[border], 0.3)
    found = RESAMPLED(IMAGES, inverse, border=border, fill=0.3, interpolation="nearest")
    assert (np.abs(found - expected) < 1e-6).mean() > 0.97


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("border", ["constant", "reflect"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_identity_is_exact(interpolation, border, dtype):
    images = IMAGES.astype(dtype)
    inverse = np.tile(np.eye(2, 3, dtype=np.float32), (3, 1, 1))
    np.testing.assert_array_equal(RESAMPLED(images, inverse, interpolation=interpolation, border=border), images)


def test_each_channel_has_its_own_fill():
    far = np.tile(np.array([[1, 0, 100.0], [0, 1, 0]], np.float32), (3, 1, 1))
    out = RESAMPLED(IMAGES, far, fill=np.asarray([0.25, 0.75], np.float32))
    np.testing.assert_array_equal(out, np.broadcast_to([0.25, 0.75], IMAGES.shape).astype(np.float32))


@pytest.mark.parametrize("turns", [1, 2, 3, -1])
def test_a_quarter_turn_is_rot90(turns):
    square = IMAGES[:, :, :7]
    out = rotated(square, full(3, 90.0 * turns))
    np.testing.assert_allclose(out, np.rot90(square, turns, axes=(1, 2)), atol=1e-5)


def test_whole_pixels_are_moved_exactly():
    out = translated(IMAGES, np.asarray([2.0, 0.0, -1.0], np.float32), np.asarray([-3.0, 1.0, 0.0], np.float32))
    expected = np.zeros_like(IMAGES)
    expected[0, 2:, :-3] = IMAGES[0, :-2, 3:]
    expected[1, :, 1:] = IMAGES[1, :, :-1]
    expected[2, :-1] = IMAGES[2, 1:]
    np.testing.assert_array_equal(out, expected)


def test_reflection_is_half_sample_symmetric():
    row = np.arange(1, 5, dtype=np.float32).reshape(1, 1, 4, 1)
    out = translated(row, full(1, 0.0), full(1, 3.0), border="reflect")
    np.testing.assert_array_equal(np.ravel(out), [3, 2, 1, 1])
    far = translated(row, full(1, 0.0), full(1, 8.0), border="reflect")  # a whole period
    np.testing.assert_array_equal(np.ravel(far), [1, 2, 3, 4])


def test_a_zoom_by_two_of_a_ramp_is_half_the_ramp():
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32)[None, None, :, None], (1, 5, 9, 1))
    out = np.asarray(zoomed(ramp, full(1, 2.0)))
    np.testing.assert_allclose(out[0, 2, :, 0], np.linspace(2, 6, 9), atol=1e-5)


def test_a_shear_moves_rows_in_proportion_to_their_height():
    images = np.zeros((1, 5, 9, 1), np.float32)
    images[:, :, 4] = 1
    horizontal = np.asarray(sheared(images, full(1, 1.0), full(1, 0.0)))[0, :, :, 0]
    np.testing.assert_allclose(horizontal, np.eye(9)[[6, 5, 4, 3, 2]], atol=1e-6)
    vertical = np.asarray(sheared(images.transpose(0, 2, 1, 3), full(1, 0.0), full(1, 1.0)))[0, :, :, 0]
    np.testing.assert_allclose(vertical, np.eye(9)[[6, 5, 4, 3, 2]].T, atol=1e-6)


def test_turning_there_and_back_gives_the_image_inside():
    smooth = np.fromfunction(lambda b, i, j, c: np.sin(i / 3) + np.cos(j / 4), (1, 24, 24, 1)).astype(np.float32)
    back = np.asarray(rotated(rotated(smooth, full(1, 30.0)), full(1, -30.0)))
    np.testing.assert_allclose(back[:, 8:16, 8:16], smooth[:, 8:16, 8:16], atol=0.06)


def test_the_gradient_is_that_of_finite_differences():
    """In the images it is linear; in the matrix the taps' weights carry it."""
    images, inverse = jnp.asarray(IMAGES[:1]), random_inverse(3, 1)

    @jax.jit
    def total(inverse):
        return jnp.sum(resampled(images, inverse) ** 2)

    direction = np.float32(np.random.default_rng(0).standard_normal(inverse.shape))
    step = 1e-3
    slope = (total(inverse + step * direction) - total(inverse - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.vdot(jax.grad(total)(inverse), direction), slope, rtol=0.05)
