"""Argument checks that run at trace time and raise one sentence: what is expected and what was given.

Numbers may be traced, so that `jax.vmap` over magnitudes works. A traced number has no value to check and passes.
"""

import difflib
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, Concatenate, NoReturn, ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

P = ParamSpec("P")
R = TypeVar("R")


def described(x: Any) -> str:
    """Returns the dtype and shape of an array, as in `float32[8, 32, 32, 3]`, or the type name of anything else."""
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return f"{x.dtype}[{', '.join(map(str, x.shape))}]"
    return type(x).__name__


def one_line(text: str, *, limit: int = 200) -> str:
    """Returns the text for use in a sentence: on one line, and truncated to `limit` characters."""
    text = "".join(character if character.isprintable() else " " for character in text[: limit + 1])
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """Returns an error message for an unknown name that suggests the closest known name."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}."
    return f"unknown {what} {one_line(repr(name))}; {hint}"


def check_key(function: str, key: Any) -> None:
    """Raises `TypeError` unless `key` is one typed PRNG key."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key) or key.shape != ():
        raise TypeError(
            f"{function} takes one typed key, such as jax.random.key(0), as its first argument; got {described(key)}."
        )


def check_floating(function: str, x: Any, *, rank: int | None, what: str, axes: str) -> None:
    """Raises unless `x` is a non-empty floating-point array of `rank` (None: any rank but 0)."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"{function} takes {what} {axes} of a floating-point dtype; got {described(x)}.")
    if (x.ndim != rank) if rank is not None else (x.ndim == 0):
        raise ValueError(f"{function} takes {what} {axes}; got {described(x)}.")
    if 0 in x.shape:
        raise ValueError(f"{function} takes {what} {axes} with no empty axis; got {described(x)}.")


def check_images(function: str, images: Any) -> None:
    """Raises unless `images` is a non-empty floating-point `[B, H, W, C]`."""
    check_floating(function, images, rank=4, what="images", axes="[B, H, W, C]")


def check_labels(function: str, labels: Any, batch: int) -> None:
    """Raises unless `labels` is a floating-point `[B, K]` of `batch` rows."""
    check_floating(function, labels, rank=2, what="one-hot or soft labels", axes="[B, K]")
    if labels.shape[0] != batch:
        raise ValueError(
            f"{function} takes as many labels as inputs; got {batch} inputs and labels {described(labels)}."
        )


def concrete(value: Any) -> Any | None:
    """Returns `value` as a Python number, or None if it is traced or not a single number."""
    try:
        return value.item() if hasattr(value, "item") else value
    except (jax.errors.ConcretizationTypeError, ValueError):
        return None


def check_number(
    function: str,
    name: str,
    value: Any,
    low: float | int = -math.inf,
    high: float | int = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Raises `ValueError` unless the number is finite and in [low, high], excluding open ends."""
    if isinstance(value, (str, bytes, bool)) or value is None:
        raise TypeError(f"{function} takes a number for {name}; got {value!r}.")
    number = concrete(value)
    if number is None:
        return
    inside = (low < number if open_low else low <= number) and (number < high if open_high else number <= high)
    if not (inside and math.isfinite(number)):
        left, right = "(" if open_low or low == -math.inf else "[", ")" if open_high or high == math.inf else "]"
        raise ValueError(f"{function} takes {name} in {left}{low:g}, {high:g}{right}; got {number!r}.")


def check_entries(function: str, name: str, value: Any, low: float | int, *, open_low: bool = False) -> None:
    """Raises unless every entry of a number or array is finite and at least `low` (above `low` if it is open)."""
    if isinstance(value, Tracer):
        return
    entries = np.asarray(value, np.float64)
    inside = np.isfinite(entries) & (entries > low if open_low else entries >= low)
    if not inside.all():
        check_number(function, name, float(entries[~inside].flat[0]), low, open_low=open_low)


def check_range(
    function: str,
    name: str,
    value: Any,
    low: float | int = -math.inf,
    high: float | int = math.inf,
    *,
    open_low: bool = False,
) -> None:
    """Raises unless `value` is an ascending pair of numbers in [low, high], excluding `low` if it is open."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{function} takes a pair (low, high) for {name}; got {value!r}.")
    for end in value:
        check_number(function, name, end, low, high, open_low=open_low)
    first, last = map(concrete, value)
    if first is not None and last is not None and first > last:
        raise ValueError(f"{function} takes (low, high) with low <= high for {name}; got {value!r}.")


def check_prob(function: str, prob: Any, name: str = "prob") -> None:
    """Raises `ValueError` unless the probability is in [0, 1]."""
    check_number(function, name, prob, 0.0, 1.0)


def check_size(function: str, name: str, value: Any, low: int = 0) -> None:
    """Raises unless `value` is a Python integer of at least `low`; it fixes a shape and cannot be traced."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or isinstance(value, jax.Array):
        raise TypeError(f"{function} takes a Python integer for {name}, which fixes a shape; got {described(value)}.")
    if value < low:
        raise ValueError(f"{function} takes {name} of at least {low}; got {value}.")


def check_choice(function: str, name: str, value: Any, choices: Iterable[str]) -> None:
    """Raises `ValueError` unless `value` is one of the names."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(f"{function} takes one of {', '.join(map(repr, choices))} for {name}; got {value!r}.")


def checked_images(function: Callable[Concatenate[Any, Any, P], R]) -> Callable[Concatenate[Any, Any, P], R]:
    """Adds the common checks to `f(key, images, *, ...)`, and converts NumPy arrays."""

    @functools.wraps(function)
    def wrapper(key: Any, images: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        check_key(function.__name__, key)
        check_images(function.__name__, images)
        return function(key, jnp.asarray(images), *args, **kwargs)

    return wrapper


def checked_pairs(
    *, rank: int | None
) -> Callable[[Callable[Concatenate[Any, Any, Any, P], R]], Callable[Concatenate[Any, Any, Any, P], R]]:
    """Adds the common checks to `f(key, images, labels, *, ...)`; `rank=None` also allows feature vectors."""

    def decorator(function: Callable[Concatenate[Any, Any, Any, P], R]) -> Callable[Concatenate[Any, Any, Any, P], R]:
        @functools.wraps(function)
        def wrapper(key: Any, images: Any, labels: Any, *args: P.args, **kwargs: P.kwargs) -> R:
            check_key(function.__name__, key)
            axes = "[B, H, W, C]" if rank == 4 else "[B, ...]"
            check_floating(function.__name__, images, rank=rank, what="images", axes=axes)
            check_labels(function.__name__, labels, images.shape[0])
            return function(key, jnp.asarray(images), jnp.asarray(labels), *args, **kwargs)

        return wrapper

    return decorator


def unknown(name: str, known: Iterable[str], what: str) -> NoReturn:
    """Raises `ValueError` for an unknown name and suggests the closest known name."""
    raise ValueError(nearest(name, known, what))
