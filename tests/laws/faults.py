"""Functions that keep every law, `sound` and `sound_mix`, and functions that each break one, as their names say."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_number, check_prob, checked_images, checked_pairs

Images = Float[Array, "b h w c"]


@checked_images
def sound(key: Key[Array, ""], images: Images, *, shift: float | Array = 0.5, prob: float | Array = 0.5) -> Images:
    """Images shifted by a random amount each.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`.
      shift: standard deviation of the shift.
      prob: probability that an image is shifted.

    Returns:
      `[B, H, W, C]`; one shift per image.

    Example:
      >>> sound(jax.random.key(0), jnp.ones((1, 1, 1, 1)), prob=0.0).ravel()
      Array([1.], dtype=float32)
    """
    check_number("sound", "shift", shift, 0.0)
    check_prob("sound", prob)
    coin_key, shift_key = jax.random.split(key)
    coin = jax.random.bernoulli(coin_key, prob, (images.shape[0], 1, 1, 1))
    moved = images.astype(jnp.float32) + shift * jax.random.normal(shift_key, coin.shape)
    return jnp.where(coin, moved.astype(images.dtype), images)


@checked_pairs(rank=4)
def sound_mix(key: Key[Array, ""], images: Images, labels: Float[Array, "b k"]) -> tuple[Images, Float[Array, "b k"]]:
    """Images blended with a random partner.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`.
      labels: `[B, K]`.

    Returns:
      Images and labels; one weight per example.

    Example:
      >>> sound_mix(jax.random.key(0), jnp.ones((1, 1, 1, 1)), jnp.ones((1, 1)))[1]
      Array([[1.]], dtype=float32)

    References:
      Nobody, "Nothing", 2000.
    """
    return blended(key, images, labels)


def blended(key: Any, images: Any, labels: Any, image_power: float = 1.0, shared: bool = False) -> Any:
    """Returns the blend of each example with a partner, with faults on request."""
    weight_key, partner_key = jax.random.split(key)
    partner = jax.random.permutation(partner_key, images.shape[0])
    weight = jax.random.uniform(weight_key, images.shape[:1])
    weight = jnp.broadcast_to(weight[:1], weight.shape) if shared else weight
    return mean(weight**image_power, images, images[partner]), mean(weight, labels, labels[partner])


def mean(weight: Any, one: Any, other: Any) -> Any:
    weight = weight.reshape(-1, *[1] * (one.ndim - 1)).astype(one.dtype)
    return weight * one + (jnp.ones_like(weight) - weight) * other


def draws(key: Any, images: Any, rows: int | None = None) -> Any:
    """Returns one normal number per image, or `rows` of them."""
    return jax.random.normal(key, (rows or images.shape[0], 1, 1, 1))


def coins(key: Any, images: Any, prob: Any) -> Any:
    return jax.random.bernoulli(key, prob, (images.shape[0], 1, 1, 1))


def one_shift_per_batch(key, images):
    return images + draws(key, images, rows=1)


def one_coin_per_batch(key, images):
    coin_key, noise_key = jax.random.split(key)
    coin = jax.random.bernoulli(coin_key, 0.5)
    return jnp.where(coin, images + draws(noise_key, images), images)


def neighbors_share_a_shift(key, images):
    shift = draws(key, images)
    return images + shift.at[1::2].set(shift[::2][: shift[1::2].shape[0]])


def only_the_first_image_changes(key, images):
    return images.at[:1].add(draws(key, images)[:1])


def float32_whatever_comes(key, images):
    return images.astype(jnp.float32) + draws(key, images)


def height_for_width(key, images):
    return (images + draws(key, images).astype(images.dtype)).transpose(0, 2, 1, 3)


def prob_applied_twice(key, images, *, prob=0.5):
    one, two, noise_key = jax.random.split(key, 3)
    return jnp.where(coins(one, images, prob) & coins(two, images, prob), images + draws(noise_key, images), images)


def prob_of_the_opposite(key, images, *, prob=0.5):
    coin_key, noise_key = jax.random.split(key)
    return jnp.where(coins(coin_key, images, prob), images, images + draws(noise_key, images))


def changed_a_little_at_zero(key, images, *, prob=0.5):
    return images + coins(key, images, prob).astype(images.dtype) + 1e-5


def key_used_twice(key, images, *, prob=0.5):
    return jnp.where(coins(key, images, prob), images + draws(key, images), images)


def key_not_used(key, images):
    return images + draws(jax.random.key(0), images)


def host_randomness(key, images):
    return images + jnp.float32(np.random.normal())  # noqa: NPY002


def counting_calls(key, images, calls=iter(range(1000))):  # noqa: B008
    return images + draws(key, images) + jnp.float32(next(calls))


def branching_on_values(key, images):
    return images + draws(key, images) if images.mean() > 0.5 else images


def other_numbers_when_compiled(key, images):
    compiled = isinstance(images, Tracer)
    return images + draws(key, images) + jnp.float32(compiled)


def option_that_cannot_be_traced(key, images, *, strength=0.5):
    return images + float(strength) * draws(key, images)


def option_rounded_when_traced(key, images, *, strength=0.4):
    strength = jnp.round(strength) if isinstance(strength, Tracer) else jnp.float32(strength)
    return images + strength * draws(key, images)


def infinite_in_half_precision(key, images):
    return images + jnp.exp(jnp.float32(100)).astype(images.dtype) + draws(key, images).astype(images.dtype)


def option_by_position(key, images, strength=0.5):
    return images + jnp.float32(strength) * draws(key, images)


def arguments_unchecked(key, images, *, prob=0.5):
    return images + coins(key, images, prob).astype(images.dtype)


@checked_images
def prob_unchecked(key, images, *, prob=0.5):
    return images + coins(key, images, prob).astype(images.dtype)


def message_without_the_name(key, images):
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise TypeError("expected a typed key.")
    return images + draws(key, images)


@checked_images
def labels_unchecked(key, images, labels):
    return blended(key, images, labels)


def undocumented(key, images):
    return images + draws(key, images)


def share_of_pixels_is_not_the_weight(key, images, labels):
    return blended(key, images, labels, image_power=2.0)


def labels_made_hard(key, images, labels):
    hard = jax.nn.one_hot(labels.argmax(1), labels.shape[1], dtype=labels.dtype)
    return blended(key, images, hard)


def weights_that_do_not_sum_to_one(key, images, labels):
    mixed, weighed = blended(key, images, labels)
    return mixed, jnp.float32(0.9) * weighed


def one_weight_per_batch(key, images, labels):
    return blended(key, images, labels, shared=True)
