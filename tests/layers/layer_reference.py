"""Pooling windows cut one by one with NumPy, in float64, and gradients by finite differences."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

Pads = Sequence[tuple[int, int]]


def same_pads(shape: Sequence[int], window: Sequence[int], strides: Sequence[int]) -> Pads:
    """Returns the padding with which there are ceil(n / stride) windows, the surplus at the end."""
    totals = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in zip(shape, window, strides, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def pooled(
    x: Any,
    reduce: Callable[[np.ndarray], np.ndarray],
    window: Sequence[int],
    strides: Sequence[int] | None = None,
    padding: str | Pads = "VALID",
) -> np.ndarray:
    """Returns reduce(elements [B, n, C]) -> [B, C] of every window, padding left out."""
    x = np.asarray(x, np.float64)
    strides = strides or window
    pads = padding if not isinstance(padding, str) else ((0, 0), (0, 0))
    if padding == "SAME":
        pads = same_pads(x.shape[1:3], window, strides)
    starts = [
        range(-before, n + after - w + 1, s)
        for n, w, s, (before, after) in zip(x.shape[1:3], window, strides, pads, strict=True)
    ]
    rows = []
    for top in starts[0]:
        row = []
        for left in starts[1]:
            part = x[:, max(top, 0) : top + window[0], max(left, 0) : left + window[1]]
            row.append(reduce(part.reshape(part.shape[0], -1, part.shape[3])))
        rows.append(np.stack(row, axis=1))
    return np.stack(rows, axis=1)


def gradients_checked(f: Callable[..., Any], arguments: tuple[Any, ...], **options: Any) -> None:
    """Checks first derivatives of f, which takes jax's arrays only."""
    check_grads(jax.jit(lambda *a: f(*map(jnp.asarray, a))), arguments, order=1, **options)
