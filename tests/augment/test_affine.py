import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug.augment import rotate, shear, translate, zoom
from jaxaug.augment.affine import rotated

COUNT, SIDE = 400, 33
# A ramp along each axis, so that the center's neighborhood tells the map that was drawn.
Y, X = np.meshgrid(np.arange(SIDE) - SIDE // 2, np.arange(SIDE) - SIDE // 2, indexing="ij")
RAMPS = np.broadcast_to(np.float32(np.stack([Y, X], -1)), (COUNT, SIDE, SIDE, 2))


def drawn_maps(function, seed=0, **options):
    """Returns the matrix [A | t] of every example, read off at the center of the ramps."""
    out = np.asarray(compiled(function)(jax.random.key(seed), RAMPS, border="reflect", **options))
    c = SIDE // 2
    t = out[:, c, c]
    return np.stack([(out[:, c + 1, c] - out[:, c - 1, c]) / 2, (out[:, c, c + 1] - out[:, c, c - 1]) / 2, t], axis=2)


def assert_uniform(values, low, high):
    assert scipy.stats.kstest(values, scipy.stats.uniform(low, high - low).cdf).pvalue > 1e-4


def test_rotations_are_uniform_and_are_rotations():
    maps = drawn_maps(rotate, degrees=25.0)
    np.testing.assert_allclose(maps[:, 0, 0], maps[:, 1, 1], atol=1e-4)
    np.testing.assert_allclose(maps[:, 0, 1], -maps[:, 1, 0], atol=1e-4)
    np.testing.assert_allclose(maps[:, 0, 0] ** 2 + maps[:, 0, 1] ** 2, 1, atol=1e-4)
    np.testing.assert_allclose(maps[:, :, 2], 0, atol=1e-4)
    assert_uniform(np.rad2deg(np.arctan2(maps[:, 0, 1], maps[:, 0, 0])), -25, 25)


def test_translations_are_uniform_along_both_axes_and_independent():
    maps = drawn_maps(translate, fraction=0.1)
    np.testing.assert_allclose(maps[:, :, :2], np.broadcast_to(np.eye(2), (COUNT, 2, 2)), atol=1e-4)
    for axis in (0, 1):
        assert_uniform(maps[:, axis, 2], -3.3, 3.3)
    assert abs(np.corrcoef(maps[:, 0, 2], maps[:, 1, 2])[0, 1]) < 5 / COUNT**0.5


def test_a_translation_is_a_fraction_of_each_side():
    wide = np.broadcast_to(np.arange(64, dtype=np.float32)[None, None, :, None], (COUNT, 4, 64, 1))
    out = compiled(translate)(jax.random.key(1), wide, fraction=0.25, border="reflect")
    assert_uniform(np.asarray(out)[:, 2, 32, 0] - 32, -16, 16)


def test_shears_are_uniform_in_their_angles_and_independent():
    maps = drawn_maps(shear, degrees=20.0)
    np.testing.assert_allclose(maps[:, 0, 0], 1, atol=1e-4)
    np.testing.assert_allclose(maps[:, 1, 1], 1, atol=1e-4)
    angles = np.rad2deg(np.arctan(maps[:, [0, 1], [1, 0]]))
    for axis in (0, 1):
        assert_uniform(angles[:, axis], -20, 20)
    assert abs(np.corrcoef(angles[:, 0], angles[:, 1])[0, 1]) < 5 / COUNT**0.5


def test_zooms_are_uniform_in_their_logarithm_and_keep_the_shape_of_things():
    maps = drawn_maps(zoom, factor=(0.5, 3.0))
    np.testing.assert_allclose(maps[:, 0, 0], maps[:, 1, 1], atol=1e-4)
    assert_uniform(-np.log(maps[:, 0, 0]), np.log(0.5), np.log(3.0))


@pytest.mark.parametrize(
    ("function", "options"),
    [(rotate, {"degrees": 0.0}), (translate, {"fraction": 0.0}), (shear, {"degrees": 0.0}), (zoom, {"factor": (1, 1)})],
)
def test_no_strength_is_no_change(function, options):
    images = np.float32(np.random.default_rng(0).uniform(size=(3, 5, 8, 2)))
    np.testing.assert_array_equal(compiled(function)(jax.random.key(0), images, **options), images)


def test_the_drawn_angle_is_what_is_applied():
    images = RAMPS[:4]
    turned = compiled(rotate)(jax.random.key(5), images, degrees=40.0)
    angle = jax.random.uniform(jax.random.key(5), (4,), minval=-1.0, maxval=1.0) * 40.0
    np.testing.assert_allclose(turned, compiled(rotated)(images, angle), atol=1e-4)


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (rotate, {"degrees": -1.0}, r"rotate takes degrees in \[0, inf\); got -1\.0"),
        (shear, {"degrees": 90.0}, r"shear takes degrees in \[0, 90\); got 90\.0"),
        (translate, {"fraction": -0.1}, r"translate takes fraction in \[0, inf\); got -0\.1"),
        (zoom, {"factor": (0.0, 1.0)}, r"zoom takes factor in \(0, inf\); got 0\.0"),
        (zoom, {"factor": (2.0, 1.0)}, r"zoom takes \(low, high\) with low <= high for factor; got \(2\.0, 1\.0\)"),
        (zoom, {"factor": 2.0}, r"zoom takes a pair \(low, high\) for factor; got 2\.0"),
        (rotate, {"interpolation": "cubic"}, "one of 'bilinear', 'nearest' for interpolation; got 'cubic'"),
        (zoom, {"border": "wrap"}, "one of 'constant', 'reflect' for border; got 'wrap'"),
        (shear, {"fill": (0.1, 0.2, 0.3)}, "shear takes one number, or one for each of the 2 channels, for fill; got"),
    ],
)
def test_bad_options_get_one_sentence(function, options, message):
    with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=message):
        function(jax.random.key(0), jnp.asarray(RAMPS[:1]), **options)
