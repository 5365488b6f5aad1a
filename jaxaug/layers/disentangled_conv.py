"""Disentangled convolution: a Gaussian envelope, whose width is learned, and a structure filter."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jaxtyping import Array, Float

from jaxaug.checks import check_entries, check_floating, check_size, described
from jaxaug.layers.depthwise_conv import conv_general_dilated
from jaxaug.layers.gaussian_filter import convolved_along, filtered
from jaxaug.layers.precision import widened

Pads = Sequence[tuple[int, int]]
ConvPadding = str | int | Sequence[int | tuple[int, int]]

# What nn.Conv's names mean to jnp.pad.
_MODES = {"CIRCULAR": "wrap", "REFLECT": "reflect"}


class DisentangledConv(nn.Module):
    """A convolution by W * G_σ, in place of `nn.Conv`: a structure filter W and a Gaussian G_σ, learned together.

    y = W ⋆ (G_σ ⋆ x), where G_σ is a `gaussian_kernel` along every spatial axis. That equals one convolution by the
    kernel W * G_σ of size K + 2R with zeros outside the input, whose second moment is that of W plus that of G_σ: σ
    sets the receptive field. The Gaussian comes before stride and dilation, so that both are free of aliases. As
    σ -> 0 this is `nn.Conv` with the same kernel and bias.

    Args:
      features, kernel_size, strides, padding, kernel_dilation, feature_group_count, use_bias, dtype, param_dtype,
        precision, kernel_init, bias_init: as in `nn.Conv`.
      radius: R, taps of the Gaussian on each side of its center, at least 0.
      sigma: σ in pixels that learning begins with, above 0. Far below 0.5 its gradient vanishes.
      per_channel: whether every input channel has a σ, or the layer one.
      learn_sigma: whether σ is a parameter, or stays as given (a fixed blur).
      fold: compute W * G_σ, then one convolution: the same numbers from the same parameters. For inference where that
        is cheaper: with few input channels in a group, as in a first layer or a depthwise one.

    Raises:
      ValueError: σ is not positive, the radius is negative, or `nn.Conv` could not take the arguments.
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
        """Returns the convolution, of the shape that `nn.Conv` gives it."""
        sides = (self.kernel_size,) if isinstance(self.kernel_size, int) else tuple(self.kernel_size)
        rank = len(sides)
        check_floating("DisentangledConv", x, rank=None, what="inputs", axes="[..., C]")
        if x.ndim < rank + 1:
            raise ValueError(
                f"DisentangledConv takes inputs of {rank} spatial axes and channels for the kernel size {sides}; "
                f"got {described(x)}."
            )
        channels, groups = x.shape[-1], self.feature_group_count
        if channels % groups or self.features % groups:
            raise ValueError(
                f"DisentangledConv takes channels and features that {groups} groups divide; "
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
        sigma = jnp.abs(sigma)  # its sign has no meaning

        batch, inner = x.shape[: x.ndim - rank - 1], x.shape[-rank - 1 :]
        x, kernel, bias = promote_dtype(x.reshape(-1, *inner), kernel, bias, dtype=self.dtype)
        windows = [(side - 1) * d + 1 for side, d in zip(sides, dilation, strict=True)]
        pads = _pads(self.padding, inner[:-1], windows, strides)
        mode = _MODES.get(self.padding, "constant") if isinstance(self.padding, str) else "constant"
        if self.fold:
            x = _padded(x, pads, self.radius, mode)
            kernel = _folded(kernel, sigma, self.radius, dilation, channels).astype(kernel.dtype)
            dilation = (1,) * rank
        elif mode == "constant":  # zeros, which the filter takes for granted
            x = filtered(x, sigma, radius=self.radius, beyond=pads).astype(x.dtype)
        else:
            seen = [(-self.radius, -self.radius)] * rank
            x = filtered(_padded(x, pads, self.radius, mode), sigma, radius=self.radius, beyond=seen).astype(x.dtype)
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
            f"for padding; got {padding!r}."
        )
    each: list[Any] = [padding] * len(windows) if isinstance(padding, int) else list(padding)
    pads: list[Any] = [(pad, pad) if isinstance(pad, int) else tuple(pad) for pad in each]
    if len(pads) != len(windows) or any(len(pad) != 2 for pad in pads):
        raise ValueError(f"DisentangledConv takes a pair for each of {len(windows)} axes for padding; got {padding!r}.")
    for pad in pads:
        for side in pad:
            check_size("DisentangledConv", "padding", side, 0)
    return pads


def _padded(x: Array, pads: Pads, beyond: int, mode: str) -> Array:
    wider = [(before + beyond, after + beyond) for before, after in pads]
    return jnp.pad(x, ((0, 0), *wider, (0, 0)), mode=mode) if any(map(any, wider)) else x


def _folded(kernel: Array, sigma: Array, radius: int, dilation: Sequence[int], channels: int) -> Array:
    """Returns W * G: W with zeros between its taps as dilated, R wider on every side, filtered along every axis."""
    if sigma.ndim:
        # Output f of group f // (F / groups) sees the channels of that group.
        inputs, outputs = kernel.shape[-2:]
        group = jnp.arange(outputs) // (outputs * inputs // channels)
        sigma = sigma[group[None, :] * inputs + jnp.arange(inputs)[:, None]]
    wide = widened(kernel)
    config = [(radius, radius, d - 1) for d in dilation] + [(0, 0, 0), (0, 0, 0)]
    wide = jax.lax.pad(wide, jnp.zeros((), wide.dtype), config)
    return convolved_along(range(len(dilation)), wide, sigma, radius=radius)
