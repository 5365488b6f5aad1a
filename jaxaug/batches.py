"""Helpers for batches: pytrees whose leaves share axis 0."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxaug.checks import described


def check_callables(function: str, fns: Sequence[Any]) -> None:
    """Raises `TypeError` unless every member can be called."""
    for fn in fns:
        if not callable(fn):
            raise TypeError(f"{function} takes functions (key, x) -> x; got {type(fn).__name__} {fn!r}.")


def check_batch(function: str, batch: Any, names: tuple[str, ...]) -> None:
    """Raises `TypeError` unless `batch` is a dict with these names."""
    if not isinstance(batch, dict) or any(name not in batch for name in names):
        given = f"a dict of {', '.join(map(repr, batch))}" if isinstance(batch, dict) else type(batch).__name__
        raise TypeError(f"{function} takes a batch dict with {' and '.join(map(repr, names))}; got {given}.")


def batch_size(function: str, x: Any) -> int:
    """Returns the length of axis 0, or raises `ValueError` if the leaves do not share it."""
    leaves = jax.tree.leaves(x)
    sizes = {leaf.shape[0] for leaf in leaves if jnp.ndim(leaf)}
    if len(sizes) != 1 or not all(map(jnp.ndim, leaves)):
        given = ", ".join(map(described, leaves)) or "no leaves"
        raise ValueError(f"{function} takes leaves that share the length of axis 0; got {given}.")
    return sizes.pop()


def selected(function: str, coin: jax.Array, on_true: Any, on_false: Any) -> Any:
    """Returns, for each example, the first pytree where its entry is true and the second otherwise."""

    def select(new: jax.Array, old: jax.Array) -> jax.Array:
        if new is old:
            return old
        if new.shape != old.shape or new.dtype != old.dtype:
            raise ValueError(
                f"{function} takes augmentations that keep shapes and dtypes; "
                f"got {old.dtype}{list(old.shape)} -> {new.dtype}{list(new.shape)}."
            )
        return jnp.where(coin.reshape(coin.shape + (1,) * (new.ndim - 1)), new, old)

    return jax.tree.map(select, on_true, on_false)
