"""Functions that combine augmentations into one.

An Augmentation is any function `(key, x) -> x`, where x is a pytree whose leaves share axis 0: the batch dict, or just
the images.

The augmentations returned here are also pytrees. Their leaves are their floating-point numbers and arrays, such as
`degrees=15.0`; everything else is static structure. They can therefore be passed through `jax.jit`, and `jax.vmap` can
run over magnitudes:

    by_angle = jax.vmap(lambda augment: augment(key, batch))(on_images(rotate, degrees=jnp.array([5.0, 10.0, 20.0])))
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.batches import batch_size, check_batch, check_callables, selected
from jaxaug.checks import check_key, check_prob

__all__ = ["Augmentation", "chain", "on_images", "on_pairs", "one_of", "sometimes"]

Augmentation = Callable[[jax.Array, Any], Any]

# Marks the place of a number. Unlike `object()`, it is the same object after copying or pickling.
_NUMBER = ...


@jax.tree_util.register_pytree_node_class
class _Composition:
    """The augmentation `function(key, x, **parts)`, as a pytree whose leaves are the numbers in `parts`."""

    def __init__(self, function: Callable[..., Any], **parts: Any):
        leaves, treedef = jax.tree.flatten(parts)
        is_number = [isinstance(leaf, float | np.floating | np.ndarray | jax.Array) for leaf in leaves]
        self._numbers = tuple(leaf for leaf, yes in zip(leaves, is_number, strict=True) if yes)
        others = tuple(_NUMBER if yes else leaf for leaf, yes in zip(leaves, is_number, strict=True))
        self._static = (function, treedef, others)

    def __call__(self, key: jax.Array, x: Any) -> Any:
        function, treedef, others = self._static
        numbers = iter(self._numbers)
        parts = treedef.unflatten([next(numbers) if leaf is _NUMBER else leaf for leaf in others])
        return function(key, x, **parts)

    def tree_flatten(self) -> tuple[tuple[Any, ...], Any]:
        return self._numbers, self._static

    @classmethod
    def tree_unflatten(cls, static: Any, numbers: Sequence[Any]) -> "_Composition":
        # Bypasses the constructor, since jax may pass placeholders instead of numbers.
        composition = object.__new__(cls)
        composition._static, composition._numbers = static, tuple(numbers)
        return composition


def chain(*fns: Augmentation) -> Augmentation:
    """Returns an augmentation that applies all the given ones in order, each with its own key.

    Args:
      *fns: augmentations `(key, x) -> x`; without any, the result is the identity.

    Returns:
      An augmentation `(key, x) -> x`.

    Raises:
      TypeError: a member cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> twice = chain(lambda key, x: x + 1, lambda key, x: x * 10)
      >>> twice(jax.random.key(0), jnp.zeros(2))
      Array([10., 10.], dtype=float32)
    """
    check_callables("chain", fns)
    return _Composition(_chained, fns=fns)


def _chained(key: jax.Array, x: Any, fns: Sequence[Augmentation]) -> Any:
    check_key("chain", key)
    for fn, fn_key in zip(fns, jax.random.split(key, len(fns)), strict=True):
        x = fn(fn_key, x)
    return x


def sometimes(fn: Augmentation, prob: jax.typing.ArrayLike) -> Augmentation:
    """Returns an augmentation that is applied to each example with probability `prob`.

    out_i = fn(x)_i if the example's coin, Bernoulli(prob), is true, and x_i bit for bit otherwise. All leaves of an
    example share one coin, so an image and its label stay together.

    Args:
      fn: augmentation `(key, x) -> x` that keeps shapes and dtypes.
      prob: probability in [0, 1]; may be traced.

    Returns:
      An augmentation `(key, x) -> x` that draws independently for each example.

    Raises:
      ValueError: `prob` is outside [0, 1], or `fn` changes a shape.
      TypeError: `fn` cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> half = sometimes(lambda key, x: x + 1, 0.5)
      >>> half(jax.random.key(0), jnp.zeros(6))
      Array([0., 1., 1., 1., 1., 0.], dtype=float32)
    """
    check_callables("sometimes", (fn,))
    check_prob("sometimes", prob)
    return _Composition(_applied_sometimes, fn=fn, prob=prob)


def _applied_sometimes(key: jax.Array, x: Any, fn: Augmentation, prob: jax.typing.ArrayLike) -> Any:
    check_key("sometimes", key)
    coin_key, fn_key = jax.random.split(key)
    coin = jax.random.bernoulli(coin_key, jnp.asarray(prob, jnp.float32), (batch_size("sometimes", x),))
    return selected("sometimes", coin, fn(fn_key, x), x)


def one_of(
    *fns: Augmentation, weights: Sequence[jax.typing.ArrayLike] | jax.typing.ArrayLike | None = None
) -> Augmentation:
    """Returns an augmentation that applies one of the given ones, drawn at random, to each example.

    P(member j) = weights_j / Σ weights, independently for each example. Every member is computed on the whole batch.

    Args:
      *fns: augmentations `(key, x) -> x` that keep shapes and dtypes; at least one.
      weights: one non-negative number per member, not all 0; uniform by default. May be a traced array.

    Returns:
      An augmentation `(key, x) -> x` that draws independently for each example.

    Raises:
      ValueError: there is no member, the weights have another length, are negative or all 0, or a member changes a
        shape.
      TypeError: a member cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> pick = one_of(lambda key, x: x + 1, lambda key, x: x + 2, weights=(3.0, 1.0))
      >>> pick(jax.random.key(0), jnp.zeros(8))
      Array([1., 1., 2., 1., 1., 2., 2., 1.], dtype=float32)
    """
    check_callables("one_of", fns)
    if not fns:
        raise ValueError("one_of takes at least one augmentation; got none.")
    weights = (1.0,) * len(fns) if weights is None else weights
    relative = jnp.asarray(weights, jnp.float32)
    if relative.shape != (len(fns),):
        raise ValueError(f"one_of takes one weight per member, {len(fns)} in all; got shape {relative.shape}.")
    # In NumPy, because under jit jax would trace this even for plain numbers.
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        numbers = np.asarray(weights, np.float32)
        if not ((numbers >= 0).all() and 0 < numbers.sum() < np.inf):
            raise ValueError(f"one_of takes non-negative weights that are not all 0; got {weights}.")
    return _Composition(_applied_one_of, fns=fns, weights=relative)


def _applied_one_of(key: jax.Array, x: Any, fns: Sequence[Augmentation], weights: jax.Array) -> Any:
    check_key("one_of", key)
    choice_key, *fn_keys = jax.random.split(key, len(fns) + 1)
    choice = jax.random.categorical(choice_key, jnp.log(weights), shape=(batch_size("one_of", x),))
    result = fns[0](fn_keys[0], x)
    for j in range(1, len(fns)):
        result = selected("one_of", choice == j, fns[j](fn_keys[j], x), result)
    return result


def on_images(fn: Callable[..., jax.Array], **options: Any) -> Augmentation:
    """Returns an augmentation of the batch dict that applies a function of images.

    Args:
      fn: `f(key, images, **options) -> images`, as in `jaxaug.augment`.
      **options: passed to `fn`.

    Returns:
      An augmentation `(key, batch) -> batch` that replaces `batch["image"]`.

    Raises:
      TypeError: `fn` cannot be called, or the batch is not a dict with an "image".

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxaug.augment import flip_left_right
      >>> mirror = on_images(flip_left_right, prob=1.0)
      >>> mirror(jax.random.key(0), {"image": jnp.arange(3.0).reshape(1, 1, 3, 1)})["image"].ravel()
      Array([2., 1., 0.], dtype=float32)
    """
    check_callables("on_images", (fn,))
    return _Composition(_with_images, fn=fn, options=options)


def _with_images(key: jax.Array, batch: Any, fn: Callable[..., jax.Array], options: dict[str, Any]) -> dict[str, Any]:
    check_batch("on_images", batch, ("image",))
    return {**batch, "image": fn(key, batch["image"], **options)}


def on_pairs(mix_fn: Callable[..., tuple[jax.Array, jax.Array]], **options: Any) -> Augmentation:
    """Returns an augmentation of the batch dict that applies a function of images and labels.

    Args:
      mix_fn: `f(key, images, labels, **options) -> (images, labels)`, as in `jaxaug.mix`.
      **options: passed to `mix_fn`.

    Returns:
      An augmentation `(key, batch) -> batch` that replaces `batch["image"]` and `batch["label"]`.

    Raises:
      TypeError: `mix_fn` cannot be called, or the batch is not a dict with an "image" and a "label".

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxaug.mix import mixup
      >>> mixed = on_pairs(mixup, alpha=1.0)(jax.random.key(0), {"image": jnp.eye(2), "label": jnp.eye(2)})
      >>> mixed["label"].sum(axis=1)
      Array([1., 1.], dtype=float32)
    """
    check_callables("on_pairs", (mix_fn,))
    return _Composition(_with_pairs, fn=mix_fn, options=options)


def _with_pairs(key: jax.Array, batch: Any, fn: Callable[..., Any], options: dict[str, Any]) -> dict[str, Any]:
    check_batch("on_pairs", batch, ("image", "label"))
    images, labels = fn(key, batch["image"], batch["label"], **options)
    return {**batch, "image": images, "label": labels}
