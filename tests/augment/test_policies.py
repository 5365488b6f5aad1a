import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from laws.interface import annotations_unchecked
from whole import compiled

from jaxaug import augment
from jaxaug.augment.affine import rotated, sheared, translated
from jaxaug.augment.channel_planes import brightened, contrasted, on_planes, saturated
from jaxaug.augment.filtering import sharpened
from jaxaug.augment.policies import OPERATIONS, Reach, _after_operations
from jaxaug.augment.tone import autocontrasted, equalized, posterized, solarized

rand_augment, trivial_augment = compiled(augment.rand_augment), compiled(augment.trivial_augment)
KEY = jax.random.key(0)
COUNT = len(OPERATIONS)
# One image, not symmetric, that every operation changes.
IMAGE = np.float32(np.random.default_rng(0).uniform(0.2, 0.7, (1, 20, 24, 3)))
REACH = Reach(degrees=30.0, shear=0.3, translation=(4.0, 5.0), factor=0.9, bits=4.0)


def each(value: float | jax.Array) -> jax.Array:
    return jnp.full(1, value)


@jax.jit
def by_name(image: jax.Array, sign: jax.Array) -> dict[str, jax.Array]:
    """Returns the image under each operation at half strength."""
    s = 0.5
    f = each(1 + sign * s * 0.9)
    expected = {
        "identity": image,
        "shear_x": sheared(image, each(sign * s * 0.3), each(0.0)),
        "shear_y": sheared(image, each(0.0), each(sign * s * 0.3)),
        "translate_x": translated(image, each(0.0), each(-sign * s * 5.0)),
        "translate_y": translated(image, each(-sign * s * 4.0), each(0.0)),
        "rotate": rotated(image, each(sign * s * 30.0)),
        "brightness": on_planes(lambda planes: brightened(planes, f), image),
        "saturation": on_planes(lambda planes: saturated(planes, f), image),
        "contrast": on_planes(lambda planes: contrasted(planes, f), image),
        "sharpness": sharpened(image, f),
        "posterize": posterized(image, each(6.0)),
        "solarize": solarized(image, each(0.5)),
        "autocontrast": autocontrasted(image),
        "equalize": equalized(image),
    }
    assert tuple(expected) == OPERATIONS
    return expected


@jax.jit
def by_choice(images: jax.Array, sign: jax.Array) -> jax.Array:
    """Returns as many images as there are operations, each under its own at half strength."""
    choice = jnp.arange(COUNT, dtype=jnp.int32)
    return _after_operations(images, choice, jnp.full(COUNT, sign), jnp.full(COUNT, 0.5), REACH, 0.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_each_operation_is_the_function_of_its_name_at_its_strength(sign):
    expected = jax.tree.map(np.asarray, by_name(IMAGE, np.float32(sign)))
    found = np.asarray(by_choice(copies(COUNT), np.float32(sign)))
    for n, name in enumerate(OPERATIONS):
        np.testing.assert_allclose(found[n], expected[name][0], atol=1e-5, err_msg=name)
        assert name == "identity" or np.abs(found[n] - np.asarray(IMAGE)[0]).max() > 0.01, f"{name} changes nothing"


def copies(count: int) -> np.ndarray:
    return np.broadcast_to(IMAGE, (count, *IMAGE.shape[1:]))


def kinds(out: np.ndarray) -> np.ndarray:
    """Returns which of the distinguishable results each image is: its index among the unique ones."""
    return np.unique(out.reshape(len(out), -1).round(3), axis=0, return_inverse=True)[1].ravel()


def test_rand_augment_draws_the_operations_and_signs_evenly_for_each_image():
    images = copies(4000)
    out = np.asarray(rand_augment(KEY, images, num_ops=1, magnitude=9.0))
    # identity, posterize, solarize, autocontrast and equalize have no sign; the other nine have two.
    counts = np.sort(np.bincount(kinds(out)))
    assert len(counts) == 5 + 2 * 9
    expected = np.sort([4000 / 14] * 5 + [4000 / 28] * 18)
    assert scipy.stats.chisquare(counts, expected).pvalue > 1e-4


def test_two_operations_are_drawn_independently_and_in_order():
    images = copies(4000)
    out = np.asarray(rand_augment(KEY, images, num_ops=2, magnitude=9.0))
    unchanged = (np.abs(out - np.asarray(images)).max((1, 2, 3)) < 1e-6).mean()
    expected = 2 / 14**2  # identity twice, or solarize twice: at this magnitude it inverts all, and all back
    assert abs(unchanged - expected) < 5 * (expected / 4000) ** 0.5
    assert len(np.bincount(kinds(out))) > 200


def test_trivial_augment_draws_a_strength_for_each_image():
    images = copies(4000)
    out = np.asarray(trivial_augment(KEY, images))
    assert len(np.bincount(kinds(out))) > 250  # 9 operations of 61 signed strengths, 2 of several, 3 of one
    unchanged = (np.abs(out - np.asarray(images)).max((1, 2, 3)) < 1e-6).mean()
    # identity, and strength 0 of what has one (posterize keeps its levels only); more where strengths do nothing.
    assert 1 / 14 < unchanged < 0.25


def test_magnitude_zero_leaves_all_but_the_two_that_have_none():
    images = copies(4000)
    out = np.asarray(rand_augment(KEY, images, num_ops=1, magnitude=0.0))
    changed = np.abs(out - np.asarray(images)).max((1, 2, 3)) > 0.003  # posterize of 8 bits rounds to levels
    assert abs(changed.mean() - 2 / 14) < 5 * (2 / 14 / 4000) ** 0.5


def test_the_magnitude_may_be_traced_and_go_beyond_ten():
    images = copies(50)
    out = jax.jit(jax.vmap(lambda m: rand_augment(KEY, images, magnitude=m)))(np.asarray([3.0, 30.0], np.float32))
    alone = jax.jit(augment.rand_augment, static_argnames="magnitude")
    for n, magnitude in enumerate((3.0, 30.0)):
        np.testing.assert_allclose(out[n], alone(KEY, images, magnitude=magnitude), atol=1e-5)
    assert np.isfinite(out).all()


def test_one_channel_is_taken():
    images = copies(64)[..., :1]
    for out in (rand_augment(KEY, images), trivial_augment(KEY, images)):
        assert out.shape == images.shape
        assert ((np.asarray(out) >= 0) & (np.asarray(out) <= 1)).all()


def test_what_comes_in_from_outside_is_the_fill():
    images = np.full((300, 8, 8, 3), 0.5, np.float32)
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
        augment.rand_augment(KEY, jnp.asarray(IMAGE), **options)
