"""Disentangled convolution: a Gaussian envelope of learned width, and a structure filter."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

from jaxaug.checks import check_entries, check_floating, check_size, described
from jaxaug.layers._gaussian_filter import convolved_along, filtered
from jaxaug.layers.depthwise_conv import conv_general_dilated
from jaxaug.layers.precision import widened

Pads = Sequence[tuple[int, int]]
ConvPadding = str | int | Sequence[int | tuple[int, int]]

# Names of padding modes in nn.Conv and jnp.pad.
_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect"}


class DisentangledConv(nn.Module):
    """A replacement for `nn.Conv` that convolves with W * G_σ, where the filter W and the width σ are both learned.

    y = W ⋆ (G_σ ⋆ x), where G_σ is a `gaussian_kernel` along every spatial axis. This equals one convolution with the
    kernel W * G_σ of size K + 2R and zero padding. The second moment of that kernel is the sum of those of W and G_σ,
    so σ controls the receptive field. The Gaussian precedes stride and dilation and so prevents aliasing. As σ -> 0,
    the layer becomes `nn.Conv` with the same kernel and bias.

    Args:
      features, kernel_size, strides, padding, kernel_dilation, feature_group_count, use_bias, dtype, param_dtype,
        precision, kernel_init, bias_init: as in `nn.Conv`.
      radius: R, number of taps of the Gaussian on each side of its center, at least 0.
      sigma: initial σ in pixels, above 0. The gradient vanishes far below 0.5.
      per_channel: whether each input channel has its own σ, instead of one for the layer.
      learn_sigma: whether σ is a parameter; if not, it stays constant (a fixed blur).
      fold: whether to compute W * G_σ first and then one convolution, with the same parameters and result. This is
        cheaper in inference if groups have few input channels, as in a first layer or a depthwise convolution.

    Raises:
      ValueError: σ is not positive, the radius is negative, or an argument is not valid for `nn.Conv`.
      TypeError: the input is not floating point.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = DisentangledConv(8, (3, 3), strides=(2, 2))
      >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 8, 8, 4)))
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'bias': (8,), 'kernel': (3, 3, 4, 8), 'sigma': ()}}
      >>> layer.apply(variables, jnp.ones((2, 8, 8, 4))).shape
      (2, 4, 4, 8)

    References:
      Kobayashi, "Disentangled convolution for optimizing receptive field", Pattern Recognition Letters 169, 2023.
      Shelhamer, Wang, Darrell, "Blurring the line between structure and learning", arXiv 1904.11486, 2019.
    """

    features: int
    kernel_size: int | Sequence[int]
    strides: int | Sequence[int] | None = 1
    padding: ConvPadding = "SAME"
    kernel_dilation: int | Sequence[int] | None = 1
    feature_group_count: int = 1
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    precision: Any = None
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    radius: int = 2
    sigma: float | int = 0.75
    per_channel: bool = False
    learn_sigma: bool = True
    fold: bool = False

    @nn.compact
    def __call__(self, x: Float[Array, "*inputs c"]) -> Float[Array, "*outputs f"]:
        """Returns the convolution, with the shape that `nn.Conv` returns."""
        sides = (self.kernel_size,) if isinstance(self.kernel_size, int) else tuple(self.kernel_size)
        rank = len(sides)
        check_floating("DisentangledConv", x, rank=None, what="inputs", axes="[..., C]")
        if x.ndim < rank + 1:
            raise ValueError(
                f"DisentangledConv with kernel_size={sides} takes inputs with {rank} spatial axes and channels; "
                f"got {described(x)}."
            )
        channels, groups = x.shape[-1], self.feature_group_count
        if channels % groups or self.features % groups:
            raise ValueError(
                f"DisentangledConv takes numbers of channels and features divisible by feature_group_count={groups}; "
                f"got {channels} channels and {self.features} features."
            )
        check_size("DisentangledConv", "radius", self.radius, 0)
        check_entries("DisentangledConv", "sigma", self.sigma, 0.0, open_low=True)
        strides = _numbers("strides", self.strides, rank)
        dilation = _numbers("kernel_dilation", self.kernel_dilation, rank)

        kernel = self.param("kernel", self.kernel_init, (*sides, channels // groups, self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        sigma = jnp.full((channels,) if self.per_channel else (), self.sigma, jnp.float32)
        if self.learn_sigma:
            sigma = self.param("sigma", lambda _: sigma)
        sigma = jnp.abs(sigma)  # learning may change the sign, which has no meaning

        batch, inner = x.shape[: x.ndim - rank - 1], x.shape[-rank - 1 :]
        x, kernel, bias = promote_dtype(x.reshape(-1, *inner), kernel, bias, dtype=self.dtype)
        windows = [(side - 1) * d + 1 for side, d in zip(sides, dilation, strict=True)]
        pads = _pads(self.padding, inner[:-1], windows, strides)
        mode = _MODES.get(self.padding, "constant") if isinstance(self.padding, str) else "constant"
        if self.fold:
            x = _padded(x, pads, self.radius, mode)
            kernel = _folded(kernel, sigma, self.radius, dilation, channels).astype(kernel.dtype)
            dilation = (1,) * rank
        elif mode == "constant":  # zero padding, which the filter assumes
            x = filtered(x, sigma, radius=self.radius, extend=pads).astype(x.dtype)
        else:
            crop = [(-self.radius, -self.radius)] * rank
            x = filtered(_padded(x, pads, self.radius, mode), sigma, radius=self.radius, extend=crop).astype(x.dtype)
        spatial = "DHW"[-rank:] if rank <= 3 else ""
        numbers = jax.lax.conv_dimension_numbers(
            x.shape, kernel.shape, (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
        )
        y = conv_general_dilated(
            x,
            kernel,
            strides,
            "VALID",
            rhs_dilation=dilation,
            dimension_numbers=numbers,
            feature_group_count=groups,
            precision=self.precision,
        )
        y = y if bias is None else y + bias.reshape(*(1,) * (y.ndim - 1), -1)
        return y.reshape(*batch, *y.shape[1:])


def _numbers(name: str, value: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Returns a positive integer for each spatial axis."""
    numbers = (1 if value is None else value,) * rank if value is None or isinstance(value, int) else tuple(value)
    if len(numbers) != rank:
        raise ValueError(f"DisentangledConv takes {rank} numbers for {name}; got {value!r}.")
    for number in numbers:
        check_size("DisentangledConv", name, number, 1)
    return numbers


def _pads(padding: ConvPadding, shape: Sequence[int], windows: Sequence[int], strides: Sequence[int]) -> Pads:
    """Returns (before, after) for each spatial axis, by the rules of `nn.Conv`."""
    if isinstance(padding, str):
        if padding in ("SAME", "SAME_LOWER", "VALID"):
            return jax.lax.padtype_to_pads(shape, windows, strides, padding)
        if padding in _MODES:
            return [((window - 1) // 2, window // 2) for window in windows]
        if padding == "CAUSAL" and len(windows) == 1:
            return [(windows[0] - 1, 0)]
        raise ValueError(
            "DisentangledConv takes 'SAME', 'VALID', 'CIRCULAR', 'REFLECT', 'CAUSAL' (one axis), an integer or pairs "
            f"of integers for padding; got {padding!r}."
        )
    each: list[Any] = [padding] * len(windows) if isinstance(padding, int) else list(padding)
    pads: list[Any] = [(pad, pad) if isinstance(pad, int) else tuple(pad) for pad in each]
    if len(pads) != len(windows) or any(len(pad) != 2 for pad in pads):
        raise ValueError(f"DisentangledConv takes a pair for each of {len(windows)} axes for padding; got {padding!r}.")
    for pad in pads:
        for side in pad:
            check_size("DisentangledConv", "padding", side, 0)
    return pads


def _padded(x: Array, pads: Pads, extra: int, mode: str) -> Array:
    wider = [(before + extra, after + extra) for before, after in pads]
    return jnp.pad(x, ((0, 0), *wider, (0, 0)), mode=mode) if any(map(any, wider)) else x


def _folded(kernel: Array, sigma: Array, radius: int, dilation: Sequence[int], channels: int) -> Array:
    """Returns W * G: the dilated W, padded by R on every side and filtered along every axis."""
    if sigma.ndim:
        # Output f belongs to group f // (F / groups) and sees the channels of that group.
        inputs, outputs = kernel.shape[-2:]
        group = jnp.arange(outputs) // (outputs * inputs // channels)
        sigma = sigma[group[None, :] * inputs + jnp.arange(inputs)[:, None]]
    wide = widened(kernel)
    config = [(radius, radius, d - 1) for d in dilation] + [(0, 0, 0), (0, 0, 0)]
    wide = jax.lax.pad(wide, jnp.zeros((), wide.dtype), config)
    return convolved_along(range(len(dilation)), wide, sigma, radius=radius)
