"""The elements of pooling windows, as one array for each position in the window."""

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaug.checks import check_images, check_size, described
from jaxaug.layers.precision import widened

Padding = str | Sequence[tuple[int, int]]
"""`"VALID"`, `"SAME"`, or (before, after) for height and width."""


class Windows(NamedTuple):
    """The contents of the pooling windows of a batch, in arrays that elementwise functions can be applied to."""

    elements: list[Float[Array, "b h w c"]]  # one for each position in the window; padding is zero
    inside: list[np.ndarray | None]  # for each of them, bool [1, h, w, 1], false on padding; None: no padding
    size: Float[Array, "1 h w 1"]  # number of elements in each window, without padding

    def total(self, values: Sequence[Float[Array, "b h w c"]]) -> Float[Array, "b h w c"]:
        """Returns the sum of values, one for each element, without padding."""
        pairs = zip(values, self.inside, strict=True)
        terms = (value if inside is None else jnp.where(inside, value, 0.0) for value, inside in pairs)
        return functools.reduce(operator.add, terms)


def pooling_windows(
    function: str,
    x: Float[Array, "b h w c"],
    window: Sequence[int],
    strides: Sequence[int] | None,
    padding: Padding,
) -> Windows:
    """Returns the windows of images, in at least float32.

    Every position in the window is one strided slice. XLA fuses sums over a few slices, and their gradients, into one
    loop over the input. A window reduction would need one loop per sum, and the gradient of its maximum would be a slow
    scatter.
    """
    check_images(function, x)
    sides = _pair(function, "window", window)
    steps = sides if strides is None else _pair(function, "strides", strides)
    pads = _pads(function, x, sides, steps, padding)
    counts = []
    for axis, (size, side, (before, after)) in enumerate(zip(x.shape[1:3], sides, pads, strict=True)):
        if side > size + before + after:
            raise ValueError(
                f"{function} takes a window no larger than the padded {('height', 'width')[axis]} of its input; "
                f"got {side} for {described(x)}."
            )
        counts.append((size + before + after - side) // steps[axis] + 1)

    padded = widened(x)
    if any(map(any, pads)):
        padded = jnp.pad(padded, ((0, 0), *pads, (0, 0)))
    elements, inside = [], []
    for position in np.ndindex(*sides):
        ends = [first + step * (n - 1) + 1 for first, step, n in zip(position, steps, counts, strict=True)]
        elements.append(jax.lax.slice(padded, (0, *position, 0), (x.shape[0], *ends, x.shape[3]), (1, *steps, 1)))
        rows, columns = (
            (pixel >= 0) & (pixel < size)
            for pixel, size in (
                (first + step * np.arange(n) - before, size)
                for first, step, n, (before, _), size in zip(position, steps, counts, pads, x.shape[1:3], strict=True)
            )
        )
        mask = (rows[:, None] & columns)[None, :, :, None]
        inside.append(None if mask.all() else mask)
    size = sum(np.ones((1, *counts, 1)) if mask is None else mask for mask in inside)
    return Windows(elements, inside, jnp.asarray(size, padded.dtype))


def _pair(function: str, name: str, value: Sequence[int]) -> tuple[int, int]:
    """Returns (height, width), both at least 1."""
    if not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(f"{function} takes (height, width) for {name}; got {value!r}.")
    for side in value:
        check_size(function, name, side, 1)
    return value[0], value[1]


def _pads(
    function: str, x: Array, sides: tuple[int, int], steps: tuple[int, int], padding: Padding
) -> list[tuple[int, int]]:
    """Returns (before, after) for height and width, smaller than the window, so that no window is all padding."""
    if isinstance(padding, str):
        if padding not in ("VALID", "SAME"):
            raise ValueError(f"{function} takes 'VALID', 'SAME' or two pairs for padding; got {padding!r}.")
        return list(jax.lax.padtype_to_pads(x.shape[1:3], sides, steps, padding))
    pads: list[Any] = [tuple(pair) for pair in padding]
    if len(pads) != 2 or any(len(pair) != 2 for pair in pads):
        raise ValueError(f"{function} takes ((top, bottom), (left, right)) for padding; got {padding!r}.")
    for pair, side in zip(pads, sides, strict=True):
        for pad in pair:
            check_size(function, "padding", pad, 0)
            if pad >= side:
                raise ValueError(
                    f"{function} takes padding smaller than its window; got {pad} for a window side of {side}."
                )
    return pads
