import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from laws.interface import annotations_unchecked

from jaxaug.augment import rand_augment, trivial_augment
from jaxaug.augment.affine import rotated, sheared, translated
from jaxaug.augment.channel_planes import brightened, contrasted, on_planes, saturated
from jaxaug.augment.filtering import sharpened
from jaxaug.augment.policies import OPERATIONS, Reach, _after_operations
from jaxaug.augment.tone import autocontrasted, equalized, posterized, solarized

KEY = jax.random.key(0)
COUNT = len(OPERATIONS)
# One image, not symmetric, that every operation changes.
IMAGE = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.7, (1, 20, 24, 3)), jnp.float32)
REACH = Reach(degrees=30.0, shear=0.3, translation=(4.0, 5.0), factor=0.9, bits=4.0)


def each(value: float) -> jax.Array:
    return jnp.full(1, value)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_operation_is_the_function_of_its_name_at_its_strength(sign):
    s = 0.5
    f = each(1 + sign * s * 0.9)
    expected = {
        "identity": IMAGE,
        "shear_x": sheared(IMAGE, each(sign * s * 0.3), each(0.0)),
        "shear_y": sheared(IMAGE, each(0.0), each(sign * s * 0.3)),
        "translate_x": translated(IMAGE, each(0.0), each(-sign * s * 5.0)),
        "translate_y": translated(IMAGE, each(-sign * s * 4.0), each(0.0)),
        "rotate": rotated(IMAGE, each(sign * s * 30.0)),
        "brightness": on_planes(lambda planes: brightened(planes, f), IMAGE),
        "saturation": on_planes(lambda planes: saturated(planes, f), IMAGE),
        "contrast": on_planes(lambda planes: contrasted(planes, f), IMAGE),
        "sharpness": sharpened(IMAGE, f),
        "posterize": posterized(IMAGE, each(6.0)),
        "solarize": solarized(IMAGE, each(0.5)),
        "autocontrast": autocontrasted(IMAGE),
        "equalize": equalized(IMAGE),
    }
    assert tuple(expected) == OPERATIONS
    images = jnp.broadcast_to(IMAGE, (COUNT, *IMAGE.shape[1:]))
    choice, signs, strength = jnp.arange(COUNT, dtype=jnp.int32), jnp.full(COUNT, sign), jnp.full(COUNT, s)
    found = _after_operations(images, choice, signs, strength, REACH, 0.0)
    for n, name in enumerate(OPERATIONS):
        np.testing.assert_allclose(found[n], expected[name][0], atol=1e-5, err_msg=name)
        assert name == "identity" or np.abs(found[n] - IMAGE[0]).max() > 0.01, f"{name} changes nothing"


def kinds(out: np.ndarray) -> np.ndarray:
    """Returns which of the distinguishable results each image is: its index among the unique ones."""
    return np.unique(out.reshape(len(out), -1).round(3), axis=0, return_inverse=True)[1].ravel()


def test_rand_augment_draws_the_operations_and_signs_evenly_for_each_image():
    images = jnp.broadcast_to(IMAGE, (4000, *IMAGE.shape[1:]))
    out = np.asarray(rand_augment(KEY, images, num_ops=1, magnitude=9.0))
    # identity, posterize, solarize, autocontrast and equalize have no sign; the other nine have two.
    counts = np.sort(np.bincount(kinds(out)))
    assert len(counts) == 5 + 2 * 9
    expected = np.sort([4000 / 14] * 5 + [4000 / 28] * 18)
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


def test_two_operations_are_drawn_independently_and_in_order():
    images = jnp.broadcast_to(IMAGE, (3000, *IMAGE.shape[1:]))
    out = np.asarray(rand_augment(KEY, images, num_ops=2, magnitude=9.0))
    unchanged = (np.abs(out - np.asarray(images)).max((1, 2, 3)) < 1e-6).mean()
    assert abs(unchanged - 1 / 14**2) < 5 * (1 / 14**2 / 3000) ** 0.5
    assert len(np.bincount(kinds(out))) > 200


def test_trivial_augment_draws_a_strength_for_each_image():
    images = jnp.broadcast_to(IMAGE, (4000, *IMAGE.shape[1:]))
    out = np.asarray(trivial_augment(KEY, images))
    assert len(np.bincount(kinds(out))) > 250  # 9 operations of 61 signed strengths, 2 of several, 3 of one
    unchanged = (np.abs(out - np.asarray(images)).max((1, 2, 3)) < 1e-6).mean()
    # identity, and strength 0 of what has one (posterize keeps its levels only); more where strengths do nothing.
    assert 1 / 14 < unchanged < 0.25


def test_magnitude_zero_leaves_all_but_the_two_that_have_none():
    images = jnp.broadcast_to(IMAGE, (500, *IMAGE.shape[1:]))
    out = np.asarray(rand_augment(KEY, images, num_ops=1, magnitude=0.0))
    changed = np.abs(out - np.asarray(images)).max((1, 2, 3)) > 0.003  # posterize of 8 bits rounds to levels
    assert abs(changed.mean() - 2 / 14) < 5 * (2 / 14 / 500) ** 0.5


def test_the_magnitude_may_be_traced_and_go_beyond_ten():
    images = jnp.broadcast_to(IMAGE, (50, *IMAGE.shape[1:]))
    out = jax.vmap(lambda m: rand_augment(KEY, images, magnitude=m))(jnp.array([3.0, 30.0]))
    for n, magnitude in enumerate((3.0, 30.0)):
        np.testing.assert_allclose(out[n], rand_augment(KEY, images, magnitude=magnitude), atol=1e-5)
    assert bool(jnp.isfinite(out).all())


def test_one_channel_is_taken():
    images = jnp.broadcast_to(IMAGE[..., :1], (64, 20, 24, 1))
    for out in (rand_augment(KEY, images), trivial_augment(KEY, images)):
        assert out.shape == images.shape
        assert bool((out >= 0).all() & (out <= 1).all())


def test_what_comes_in_from_outside_is_the_fill():
    images = jnp.full((300, 8, 8, 3), 0.5)
    out = np.asarray(trivial_augment(KEY, images, fill=(0.0, 1.0, 0.25)))
    far = np.abs(out - [0.0, 1.0, 0.25]).max(3).min((1, 2)) < 1e-3
    assert far.any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_ops": 0}, "rand_augment takes num_ops of at least 1; got 0"),
        ({"num_ops": 1.5}, "rand_augment takes a Python integer for num_ops"),
        ({"magnitude": -1.0}, r"rand_augment takes magnitude in \[0, inf\); got -1\.0"),
        ({"fill": (0.0, 1.0)}, "rand_augment takes one number, or one for each of the 3 channels"),
    ],
)
def test_bad_options_get_one_sentence(options, message):
    with annotations_unchecked(), pytest.raises((ValueError, TypeError), match=message):
        rand_augment(KEY, IMAGE, **options)
