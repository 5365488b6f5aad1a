"""Gaussian filtering: a sampled kernel, convolution along one axis at a time, and its gradient."""

import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_entries, check_floating, check_size, described
from jaxaug.layers.precision import widened

# Smaller values of σ are replaced by this one, whose kernel is already an impulse, to avoid a division by zero.
_SMALLEST_SIGMA = 1e-3

Extension = Sequence[tuple[int, int]]
"""For each axis, the number of pixels by which the output extends beyond the input, before and after."""


def gaussian_kernel(sigma: ArrayLike, *, radius: int) -> Float[Array, "taps *channels"]:
    """Returns a sampled Gaussian kernel with sum 1.

    g_k = exp(-k² / 2σ²) / Z for |k| <= R, so that ∂g_k/∂σ = g_k (k² - Σ_j g_j j²) / σ³. The variance of the truncated
    kernel is below σ². For small σ the kernel is a unit impulse, for large σ a mean over 2R + 1 taps.

    Args:
      sigma: σ in pixels, above 0, a number or `[C]`; may be traced.
      radius: R, at least 0; fixes a shape.

    Returns:
      `[2R + 1]`, or `[2R + 1, C]`, float32.

    Raises:
      ValueError: σ is not positive, or the radius is negative.
      TypeError: the radius is not a Python integer.

    Example:
      >>> [round(float(g), 3) for g in gaussian_kernel(1.0, radius=2)]
      [0.054, 0.244, 0.403, 0.244, 0.054]

    References:
      Kobayashi, "Disentangled convolution for optimizing receptive field", Pattern Recognition Letters 169, 2023.
    """
    return _taps(radius, _checked_sigma(sigma, radius))


def _checked_sigma(sigma: ArrayLike, radius: int) -> Float[Array, "*channels"]:
    """Returns sigma as float32, or raises if it or the radius is invalid."""
    check_entries("gaussian_kernel", "sigma", sigma, 0.0, open_low=True)
    check_size("gaussian_kernel", "radius", radius, 0)
    sigma = jnp.asarray(sigma, jnp.float32)
    if sigma.ndim > 1:
        raise ValueError(f"gaussian_kernel takes a number or [C] for sigma; got {described(sigma)}.")
    return sigma


def _taps(radius: int, sigma: Array) -> Float[Array, "taps *entries"]:
    """Returns one kernel for each entry of sigma."""
    k = jnp.arange(-radius, radius + 1, dtype=jnp.float32).reshape(-1, *(1,) * sigma.ndim)
    weights = jnp.exp(-0.5 * (k / jnp.maximum(sigma, _SMALLEST_SIGMA)[None]) ** 2)
    return weights / weights.sum(axis=0, keepdims=True)


def gaussian_filter(x: Float[Array, "b *spatial c"], sigma: ArrayLike, *, radius: int) -> Float[Array, "b *spatial c"]:
    """Returns a batch smoothed by a Gaussian along every spatial axis.

    y = g ⋆ x with the kernel g of `gaussian_kernel`, one axis after another. Near a border, y is divided by the weight
    inside the input, so that outside pixels do not count and a constant stays constant.

    Args:
      x: `[B, ..., C]` with at least one spatial axis, floating point; computed in at least float32.
      sigma: σ in pixels, above 0, a number or `[C]`; may be traced.
      radius: R, at least 0; fixes a shape.

    Returns:
      An array with the shape and dtype of `x`, reverse-mode differentiable with respect to `x` and σ.

    Raises:
      ValueError: σ is not positive or has another shape, the radius is negative, or `x` has no spatial axis.
      TypeError: the radius is not a Python integer, or `x` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.zeros((1, 5, 1)).at[0, 2, 0].set(1.0)
      >>> [round(float(y), 3) for y in gaussian_filter(x, 1.0, radius=1).ravel()]
      [0.0, 0.274, 0.452, 0.274, 0.0]

    References:
      Kobayashi, "Disentangled convolution for optimizing receptive field", Pattern Recognition Letters 169, 2023.
    """
    check_spatial("gaussian_filter", x)
    sigma = _checked_sigma(sigma, radius)
    check_sigma("gaussian_filter", sigma, x)
    y = filtered(x, sigma, radius=radius)
    for axis, size in enumerate(x.shape[1:-1], start=1):
        ones = jnp.ones((1, size, sigma.shape[0] if sigma.ndim else 1), jnp.float32)
        inside = filtered(ones, sigma, radius=radius)
        y = y / inside.astype(y.dtype).reshape(*(size if a == axis else 1 for a in range(x.ndim - 1)), -1)
    return y.astype(x.dtype)


def check_spatial(function: str, x: Array) -> None:
    """Raises unless `x` is a floating-point `[B, ..., C]` with a spatial axis."""
    check_floating(function, x, rank=None, what="a batch", axes="[B, ..., C]")
    if x.ndim < 3:
        raise ValueError(f"{function} takes a batch [B, ..., C] with at least one spatial axis; got {described(x)}.")


def check_sigma(function: str, sigma: Array, x: Array) -> None:
    """Raises unless there is one σ or one for each channel."""
    if sigma.ndim and sigma.shape[0] != x.shape[-1]:
        raise ValueError(
            f"{function} takes one sigma or [{x.shape[-1]}], one for each channel; got [{sigma.shape[0]}]."
        )


def filtered(
    x: Float[Array, "b *spatial c"], sigma: Float[Array, "*c"], *, radius: int, extend: Extension | None = None
) -> Float[Array, "b *outputs c"]:
    """Returns a batch filtered along every spatial axis with zero padding, in at least float32.

    Args:
      x: `[B, ..., C]`.
      sigma: σ in pixels, a scalar or `[C]`.
      radius: R, the number of taps on each side.
      extend: number of pixels by which the result extends beyond `x` at both ends of each spatial axis; negative
        numbers make it narrower.
    """
    return convolved_along(range(1, x.ndim - 1), widened(x), sigma, radius=radius, extend=extend)


def convolved_along(
    axes: range, x: Float[Array, "..."], sigma: Float[Array, "*last"], *, radius: int, extend: Extension | None = None
) -> Array:
    """Returns an array convolved along the axes with one Gaussian, or one for each entry of the last axes."""
    ends = [(0, 0)] * len(axes) if extend is None else extend
    for axis, end in reversed(list(zip(axes, ends, strict=True))):  # starts with the axis that is contiguous in memory
        x = _filtered_along(axis, radius, tuple(end), x, sigma)
    return x


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1, 2))
def _filtered_along(axis: int, radius: int, end: tuple[int, int], x: Array, sigma: Array) -> Array:
    """Returns x filtered along one axis by the Gaussian, with zero padding, extended by `end` pixels."""
    return _weighted_sum(axis, end, x, _taps(radius, sigma))


def _filtered_along_forward(
    axis: int, radius: int, end: tuple[int, int], x: Array, sigma: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _filtered_along(axis, radius, end, x, sigma), (x, sigma)


def _filtered_along_backward(
    axis: int, radius: int, end: tuple[int, int], residuals: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    x, sigma = residuals
    _, slopes = jax.jvp(functools.partial(_taps, radius), (sigma,), (jnp.ones_like(sigma),))
    to_sigma = _sums(cotangent * _weighted_sum(axis, end, x, slopes), sigma)
    # A symmetric kernel is its own transpose.
    return _filtered_along(axis, radius, (-end[0], -end[1]), cotangent, sigma), to_sigma


_filtered_along.defvjp(_filtered_along_forward, _filtered_along_backward)


def _weighted_sum(axis: int, end: tuple[int, int], x: Array, kernel: Array) -> Array:
    """Returns x convolved along one axis with symmetric taps, with zero padding, extended by `end` pixels.

    This is a sum of shifted slices, which XLA fuses. A depthwise convolution is many times slower on a CPU.
    """
    kernel = kernel.astype(x.dtype)
    radius, size = kernel.shape[0] // 2, x.shape[axis] + sum(end)
    padding = [(radius + end[0], radius + end[1], 0) if a == axis else (0, 0, 0) for a in range(x.ndim)]
    padded = jax.lax.pad(x, jnp.zeros((), x.dtype), padding)
    taps = kernel.reshape(-1, *(1,) * (x.ndim - kernel.ndim + 1), *kernel.shape[1:])

    def shifted(k: int) -> Array:
        return jax.lax.slice_in_dim(padded, radius + k, radius + k + size, axis=axis)

    return sum(((shifted(-k) + shifted(k)) * taps[radius + k] for k in range(1, radius + 1)), shifted(0) * taps[radius])


def _sums(x: Array, sigma: Array) -> Array:
    """Returns the sums over all axes that sigma does not have, with the shape and dtype of sigma.

    These are products with ones, because XLA is ten times slower at summing over leading axes on a CPU.
    """
    last = x.shape[x.ndim - sigma.ndim :] if sigma.ndim else x.shape[-1:]
    rows = x.reshape(x.shape[0], -1, math.prod(last))
    ones = jnp.ones(rows.shape[:2], x.dtype)
    sums = jnp.einsum("bn,bnc->bc", ones, rows, precision=jax.lax.Precision.HIGHEST).sum(axis=0)
    return (sums.reshape(sigma.shape) if sigma.ndim else sums.sum()).astype(sigma.dtype)
