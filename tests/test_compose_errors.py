"""The combinators refuse bad arguments with one sentence, when they are made or when they are applied."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from laws.interface import annotations_unchecked

from jaxaug.augment import flip_left_right
from jaxaug.compose import chain, on_images, on_pairs, one_of, sometimes
from jaxaug.mix import mixup

KEY = jax.random.key(0)


def one(key: jax.Array, x: jax.Array) -> jax.Array:
    return x + 1


def longer(key: jax.Array, x: jax.Array) -> jax.Array:
    return jnp.concatenate([x, x])


def halved(key: jax.Array, x: jax.Array) -> jax.Array:
    return x.astype(jnp.bfloat16)


def refusals() -> dict[str, tuple[type[Exception], str, Any]]:
    """Returns calls that must be refused: the error, its message, and the call."""
    x = jnp.ones(3)
    wrong: Any = "flip"
    raw = jnp.zeros(2, jnp.uint32)
    return {
        "chain of no function": (TypeError, "chain takes functions", lambda: chain(one, wrong)),
        "sometimes of no function": (TypeError, "sometimes takes functions", lambda: sometimes(wrong, 0.5)),
        "one_of of no function": (TypeError, "one_of takes functions", lambda: one_of(one, wrong)),
        "on_images of no function": (TypeError, "on_images takes functions", lambda: on_images(wrong)),
        "on_pairs of no function": (TypeError, "on_pairs takes functions", lambda: on_pairs(wrong)),
        "negative prob": (ValueError, r"sometimes takes prob in \[0, 1\]; got -0.1.", lambda: sometimes(one, -0.1)),
        "prob above one": (ValueError, r"sometimes takes prob in \[0, 1\]; got 1.5.", lambda: sometimes(one, 1.5)),
        "prob not a number": (ValueError, r"sometimes takes prob in \[0, 1\]", lambda: sometimes(one, float("nan"))),
        "other shape": (ValueError, "sometimes takes augmentations that keep", lambda: sometimes(longer, 0.5)(KEY, x)),
        "other dtype": (ValueError, "one_of takes augmentations that keep", lambda: one_of(one, halved)(KEY, x)),
        "no member": (ValueError, "one_of takes at least one", lambda: one_of()),
        "too few weights": (ValueError, "one_of takes one weight per member", lambda: one_of(one, one, weights=[1.0])),
        "negative weight": (ValueError, "one_of takes non-negative", lambda: one_of(one, one, weights=[1.0, -1.0])),
        "no weight at all": (ValueError, "one_of takes non-negative", lambda: one_of(one, one, weights=[0.0, 0.0])),
        "infinite weight": (ValueError, "one_of takes non-negative", lambda: one_of(one, weights=[float("inf")])),
        "weight not a number": (ValueError, "one_of takes non-negative", lambda: one_of(one, weights=[float("nan")])),
        "raw key for chain": (TypeError, "chain takes one typed key", lambda: chain(one)(raw, x)),
        "raw key for sometimes": (TypeError, "sometimes takes one typed key", lambda: sometimes(one, 0.5)(raw, x)),
        "raw key for one_of": (TypeError, "one_of takes one typed key", lambda: one_of(one)(raw, x)),
        "leaves of other lengths": (
            ValueError,
            "sometimes takes leaves that share",
            lambda: sometimes(one, 0.5)(KEY, {"image": x, "label": jnp.ones(4)}),
        ),
        "a scalar leaf": (ValueError, "sometimes takes leaves", lambda: sometimes(one, 0.5)(KEY, jnp.float32(1))),
        "images where a batch is due": (
            TypeError,
            "on_images takes a batch",
            lambda: on_images(flip_left_right)(KEY, x),
        ),
        "a batch without images": (
            TypeError,
            "on_images takes a batch dict with 'image'; got a dict of 'x'.",
            lambda: on_images(flip_left_right)(KEY, {"x": x}),
        ),
        "a batch without labels": (
            TypeError,
            "on_pairs takes a batch dict with 'image' and 'label'",
            lambda: on_pairs(mixup)(KEY, {"image": x}),
        ),
    }


@pytest.mark.parametrize("name", refusals())
@pytest.mark.parametrize("compiled", [False, True])
def test_bad_arguments_are_refused(name: str, compiled: bool) -> None:
    error, message, call = refusals()[name]

    def traced() -> jax.Array:
        call()
        return jnp.zeros(())

    with annotations_unchecked(), pytest.raises(error, match=message) as caught:
        jax.jit(traced)() if compiled else call()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", "?"))
