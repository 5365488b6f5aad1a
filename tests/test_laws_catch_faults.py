"""The laws are worth what they catch: each fault breaks the law it should, and a sound function breaks none."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.core import Tracer
from jaxtyping import Array, Float, Key
from laws import arrays, interface, labels, randomness
from laws.operations import Operation

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


LAWS = [
    interface.key_arrays_then_keyword_options,
    interface.operation_is_documented,
    interface.options_go_by_name,
    interface.bad_arguments_get_one_sentence,
    arrays.shape_and_dtype_are_kept,
    arrays.one_example_in_half_precision_is_finite,
    arrays.numbers_are_the_same_however_run,
    randomness.key_alone_decides,
    randomness.no_key_is_used_twice,
    randomness.examples_are_independent,
]
MIX_LAWS = [*LAWS, labels.label_weight_is_the_share_of_pixels, labels.soft_labels_are_weighed_as_one_hot_ones]


@pytest.mark.parametrize("law", [*LAWS, arrays.numbers_may_be_traced, randomness.prob_is_the_rate])
def test_sound_function_breaks_no_law(law: Callable[[Operation], None]) -> None:
    law(Operation("sound", sound))


@pytest.mark.parametrize("law", MIX_LAWS)
def test_sound_mix_breaks_no_law(law: Callable[[Operation], None]) -> None:
    law(Operation("sound_mix", sound_mix))


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


def neighbours_share_a_shift(key, images):
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


FAULTS = [
    (randomness.examples_are_independent, one_shift_per_batch, "share a draw"),
    (randomness.examples_are_independent, one_coin_per_batch, "share a draw"),
    (randomness.examples_are_independent, one_weight_per_batch, "share a draw"),
    (randomness.examples_are_independent, neighbours_share_a_shift, "examples 0 and 1 share a draw"),
    (randomness.examples_are_independent, only_the_first_image_changes, "treated differently"),
    (randomness.examples_are_independent, key_not_used, "nothing in the output varies"),
    (randomness.prob_is_the_rate, prob_applied_twice, "prob=0.2 changed 0.0"),
    (randomness.prob_is_the_rate, prob_of_the_opposite, "prob=0.0 changed 1"),
    (randomness.prob_is_the_rate, changed_a_little_at_zero, "prob=0.0 changed 1"),
    (randomness.no_key_is_used_twice, key_used_twice, "uses a key twice"),
    (randomness.no_key_is_used_twice, key_not_used, "leaves its key"),
    (randomness.key_alone_decides, key_not_used, "eight keys gave one result"),
    (randomness.key_alone_decides, host_randomness, "another result"),
    (randomness.key_alone_decides, counting_calls, "another result"),
    (arrays.shape_and_dtype_are_kept, float32_whatever_comes, "turns"),
    (arrays.shape_and_dtype_are_kept, height_for_width, "turns"),
    (arrays.one_example_in_half_precision_is_finite, float32_whatever_comes, "float32"),
    (arrays.one_example_in_half_precision_is_finite, infinite_in_half_precision, "finite"),
    (arrays.numbers_are_the_same_however_run, branching_on_values, "Attempted boolean conversion"),
    (arrays.numbers_are_the_same_however_run, other_numbers_when_compiled, "Not equal to tolerance"),
    (arrays.numbers_may_be_traced, option_that_cannot_be_traced, "concrete value"),
    (arrays.numbers_may_be_traced, option_rounded_when_traced, "Not equal to tolerance"),
    (interface.key_arrays_then_keyword_options, option_by_position, "starts with"),
    (interface.options_go_by_name, option_by_position, "by position"),
    (interface.bad_arguments_get_one_sentence, arguments_unchecked, "a raw key"),
    (interface.bad_arguments_get_one_sentence, prob_unchecked, "accepts prob=-0.1"),
    (interface.bad_arguments_get_one_sentence, message_without_the_name, "does not name"),
    (interface.bad_arguments_get_one_sentence, labels_unchecked, "class indices"),
    (interface.operation_is_documented, undocumented, "not a sentence"),
    (labels.label_weight_is_the_share_of_pixels, share_of_pixels_is_not_the_weight, "Not equal to tolerance"),
    (labels.soft_labels_are_weighed_as_one_hot_ones, labels_made_hard, "weighed otherwise"),
    (labels.soft_labels_are_weighed_as_one_hot_ones, weights_that_do_not_sum_to_one, "do not sum to 1"),
]


@pytest.mark.parametrize(("law", "fault", "seen"), FAULTS, ids=lambda case: getattr(case, "__name__", "-"))
def test_fault_breaks_its_law(law: Callable[[Operation], None], fault: Callable[..., Any], seen: str) -> None:
    with pytest.raises((AssertionError, jax.errors.ConcretizationTypeError), match=seen):
        law(Operation(fault.__name__, fault))


def test_key_reuse_is_seen_eagerly_too() -> None:
    with jax.debug_key_reuse(True), pytest.raises(jax.errors.KeyReuseError):
        key_used_twice(jax.random.key(0), jnp.ones((2, 4, 4, 1)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Images shifted by a random amount each.", "Images shifted by a random amount each"),
        ("Images shifted by a random amount each.", "Images shifted by\n    a random amount each."),
        ("      shift: standard deviation of the shift.\n", ""),
        ("Returns:", "Result:"),
        ("      >>> ", "      "),
        ("Example:", "Examples:"),
    ],
)
def test_incomplete_docstring_is_seen(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = sound.__doc__ or ""
    assert old in text
    monkeypatch.setattr(sound, "__doc__", text.replace(old, new))
    with pytest.raises(AssertionError):
        interface.docstring_is_complete("sound", sound)


def test_missing_reference_of_a_mix_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_mix, "__doc__", (sound_mix.__doc__ or "").split("    References")[0])
    with pytest.raises(AssertionError, match="References"):
        interface.operation_is_documented(Operation("sound_mix", sound_mix))
