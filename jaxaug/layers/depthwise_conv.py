"""Convolution of each channel by itself, fast on a CPU, too."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxaug.layers.precision import widened

# Every tap is an operation of its own; of larger kernels the program would be long.
_MOST_TAPS = 49

Pads = str | Sequence[tuple[int, int]]


def conv_general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Sequence[int],
    padding: Pads,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Array:
    """Returns what `jax.lax.conv_general_dilated` returns, on a CPU several times as fast if it is depthwise.

    There y = Σ_k w_k x shifted by k: XLA's convolution on a CPU takes each channel as a group, one after the other,
    and its gradients take ten times as long as those of shifted slices, which are fused. Elsewhere, and if it is not
    depthwise, it is that convolution. Made for `flax.linen.Conv(conv_general_dilated=)`, with channels last.

    References:
      Howard et al., "MobileNets", arXiv 1704.04861, 2017, section 3.1.
    """
    options = {
        "lhs_dilation": lhs_dilation,
        "rhs_dilation": rhs_dilation,
        "dimension_numbers": dimension_numbers,
        "feature_group_count": feature_group_count,
        "batch_group_count": batch_group_count,
        "precision": precision,
        "preferred_element_type": preferred_element_type,
    }

    def usual(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(x, kernel, tuple(window_strides), padding, **options)

    channels_last = _channels_last(lhs.ndim, dimension_numbers)
    depthwise = channels_last and 1 < feature_group_count == lhs.shape[-1] == rhs.shape[-1]
    dilated = lhs_dilation is not None and any(d != 1 for d in lhs_dilation)
    sides = rhs.shape[:-2]
    if not depthwise or dilated or preferred_element_type is not None or math.prod(sides) > _MOST_TAPS:
        return usual(lhs, rhs)
    dilation = (1,) * len(sides) if rhs_dilation is None else tuple(rhs_dilation)
    windows = [(side - 1) * d + 1 for side, d in zip(sides, dilation, strict=True)]
    named = isinstance(padding, str)
    pads = jax.lax.padtype_to_pads(lhs.shape[1:-1], windows, window_strides, padding) if named else padding
    steps = _Steps(tuple(window_strides), dilation, tuple((before, after) for before, after in pads))
    return jax.lax.platform_dependent(lhs, rhs, cpu=functools.partial(_shifted, steps), default=usual)


def _channels_last(rank: int, numbers: Any) -> bool:
    """Returns whether axes are numbered [B, ..., C] and [..., I, F]."""
    inner = tuple(range(1, rank - 1))
    first, kernel, out = jax.lax.conv_dimension_numbers((1,) * rank, (1,) * rank, numbers)
    return first == out == (0, rank - 1, *inner) and kernel == (rank - 1, rank - 2, *range(rank - 2))


class _Steps(NamedTuple):
    """How a kernel goes over the spatial axes."""

    strides: tuple[int, ...]
    dilation: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _shifted(steps: _Steps, x: Array, kernel: Array) -> Array:
    """Returns the sum over taps of what they see of x, times their weights."""
    wide, sides = _wide(x, steps.pads), kernel.shape[:-2]
    weights = widened(kernel).reshape(*sides, *(1,) * (x.ndim - 1), -1)
    first, *others = (_seen(wide, kernel, tap, steps) * weights[tap] for tap in np.ndindex(sides))
    return sum(others, start=first).astype(x.dtype)


def _shifted_forward(steps: _Steps, x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return _shifted(steps, x, kernel), (x, kernel)


def _shifted_backward(steps: _Steps, kept: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    x, kernel = kept
    return _to_inputs(steps, x, kernel, cotangent), _to_kernel(steps, x, kernel, cotangent)


_shifted.defvjp(_shifted_forward, _shifted_backward)


def _to_inputs(steps: _Steps, x: Array, kernel: Array, cotangent: Array) -> Array:
    """Returns the gradient to x: the cotangent with zeros for what strides left out, under the mirrored kernel."""
    sides = kernel.shape[:-2]
    zeros = [(0, 0, stride - 1) for stride in steps.strides]
    dense = jax.lax.pad(cotangent, jnp.zeros((), cotangent.dtype), [(0, 0, 0), *zeros, (0, 0, 0)])
    before = [(side - 1) * d - pad[0] for side, d, pad in zip(sides, steps.dilation, steps.pads, strict=True)]
    # As long as x after a kernel that takes (side - 1) dilation pixels away.
    lengths = zip(x.shape[1:-1], sides, steps.dilation, before, dense.shape[1:-1], strict=True)
    after = [size + (side - 1) * d - first - seen for size, side, d, first, seen in lengths]
    mirrored = _Steps((1,) * len(sides), steps.dilation, tuple(zip(before, after, strict=True)))
    to_x: Array = _shifted(mirrored, dense, jnp.flip(kernel, range(len(sides))))
    return to_x.astype(x.dtype)


def _to_kernel(steps: _Steps, x: Array, kernel: Array, cotangent: Array) -> Array:
    """Returns the gradient to the kernel: for each tap the products of the cotangent and what it sees, summed.

    Example after example into maps: XLA sums over the leading axes of products several times as slowly on a CPU.
    """
    wide, cotangent = _wide(x, steps.pads), widened(cotangent)
    taps = list(np.ndindex(kernel.shape[:-2]))

    def added(maps: list[Array], example: tuple[Array, Array]) -> tuple[list[Array], None]:
        wide, cotangent = example
        seen = (_seen(wide[None], kernel, tap, steps)[0] for tap in taps)
        return [total + one * cotangent for total, one in zip(maps, seen, strict=True)], None

    maps, _ = jax.lax.scan(added, [jnp.zeros(cotangent.shape[1:], cotangent.dtype)] * len(taps), (wide, cotangent))
    sums = jnp.stack([total.sum(range(total.ndim - 1)) for total in maps])
    return sums.reshape(kernel.shape).astype(kernel.dtype)


def _wide(x: Array, pads: Sequence[tuple[int, int]]) -> Array:
    """Returns x in float32 at least with zeros around it; a negative pad takes pixels away."""
    x = widened(x)
    return jax.lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *((*pad, 0) for pad in pads), (0, 0, 0)])


def _seen(wide: Array, kernel: Array, tap: Sequence[int], steps: _Steps) -> Array:
    """Returns what a tap of the kernel sees of a padded batch, one pixel for each output."""
    axes = zip(tap, kernel.shape, wide.shape[1:-1], steps.dilation, steps.strides, strict=False)
    pixels = [slice(k * d, max(0, size - (side - 1 - k) * d), stride) for k, side, size, d, stride in axes]
    return wide[:, *pixels]
