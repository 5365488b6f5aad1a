"""Flips against NumPy's slicing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from whole import compiled

from jaxaug import augment

flip_left_right, flip_up_down = compiled(augment.flip_left_right), compiled(augment.flip_up_down)
KEY = jax.random.key(0)


def images(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_prob_one_mirrors_the_width_of_every_image() -> None:
    given = images(3, 2, 5, 3)
    np.testing.assert_array_equal(flip_left_right(KEY, given, prob=1.0), np.asarray(given)[:, :, ::-1])


def test_prob_zero_changes_no_bit() -> None:
    given = images(3, 2, 5, 3)
    np.testing.assert_array_equal(flip_left_right(KEY, given, prob=0.0), given)


def test_every_image_is_itself_or_its_mirror() -> None:
    given = np.asarray(images(64, 3, 4, 2))
    flipped = np.asarray(flip_left_right(KEY, jnp.asarray(given)))
    kept, mirrored = (flipped == given).all((1, 2, 3)), (flipped == given[:, :, ::-1]).all((1, 2, 3))
    assert (kept ^ mirrored).all()
    assert kept.any()
    assert mirrored.any()


def test_the_same_key_twice_is_the_identity() -> None:
    given = images(16, 3, 4, 1)
    np.testing.assert_array_equal(flip_left_right(KEY, flip_left_right(KEY, given)), given)


def test_one_column_has_no_left_and_right() -> None:
    given = images(4, 3, 1, 2)
    np.testing.assert_array_equal(flip_left_right(KEY, given, prob=1.0), given)


def test_default_flips_half() -> None:
    count = 4096
    flipped = np.asarray(flip_left_right(KEY, np.broadcast_to(images(1, 1, 2, 1), (count, 1, 2, 1))))
    assert abs(float((flipped[:, 0, 0, 0] == 1).mean()) - 0.5) < 5 * 0.5 / count**0.5


def test_gradient_is_the_gradient_of_the_mirror() -> None:
    weight = images(4, 3, 4, 1)
    gradient = jax.jit(jax.grad(lambda x: (weight * flip_left_right(KEY, x)).sum()))(weight)
    # The adjoint of a flip is the same flip.
    np.testing.assert_array_equal(gradient, flip_left_right(KEY, weight))


@pytest.mark.parametrize("prob", [-0.1, 1.1, float("inf"), float("nan")])
def test_prob_outside_the_unit_interval_is_refused(prob: float) -> None:
    with pytest.raises(ValueError, match=r"flip_left_right takes prob in \[0, 1\]; got"):
        augment.flip_left_right(KEY, jnp.asarray(images(2, 2, 2, 1)), prob=prob)


def test_up_and_down_are_exchanged_with_probability_prob() -> None:
    given = np.asarray(images(400, 3, 2, 1))
    np.testing.assert_array_equal(flip_up_down(KEY, jnp.asarray(given), prob=1.0), given[:, ::-1])
    np.testing.assert_array_equal(flip_up_down(KEY, jnp.asarray(given), prob=0.0), given)
    out = np.asarray(flip_up_down(KEY, jnp.asarray(given), prob=0.3))
    kept, mirrored = (out == given).all((1, 2, 3)), (out == given[:, ::-1]).all((1, 2, 3))
    assert (kept ^ mirrored).all()
    assert abs(mirrored.mean() - 0.3) < 5 * (0.21 / 400) ** 0.5
