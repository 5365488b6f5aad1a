"""The layers that networks are built from, with or without the caller's replacements."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.layers.depthwise_conv import conv_general_dilated
from jaxaug.models.pooling import NO_PADDING, AveragePool, MaxPool, Padding


def _he_normal(*, fan_axis: int) -> nn.initializers.Initializer:
    """Returns the initializer N(0, 2 / fan), with the number of inputs (axis -2) or outputs (axis -1) as the fan."""

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        fan = math.prod(shape[:-2]) * shape[fan_axis]
        # A flat draw gives the same bits as a draw of rank 4 and compiles ten times faster.
        values = jax.random.normal(key, (math.prod(shape),), dtype)
        return (values * jnp.asarray(math.sqrt(2.0 / fan), dtype)).reshape(shape)

    return draw


HE_NORMAL = _he_normal(fan_axis=-2)
"""N(0, 2 / fan_in), not truncated: He et al., "Delving deep into rectifiers", ICCV 2015, equation 10."""

HE_NORMAL_OUT = _he_normal(fan_axis=-1)
"""N(0, 2 / fan_out): equation 14 of the same paper, and the choice of fb.resnet.torch for residual networks."""

ModuleDef = Callable[..., Any]
"""A function that makes a layer, such as a module class or a `functools.partial` of one."""


@dataclasses.dataclass(frozen=True)
class LayerFactory:
    """Makes the layers of a network: the caller's where one was passed in (not None), the default ones elsewhere.

    A module calls these methods in its `setup` and names each layer by assigning it to an attribute.
    """

    regularizer: ModuleDef | None = None
    pool: ModuleDef | None = None
    conv: ModuleDef | None = None
    dtype: Any = jnp.float32
    remat: bool = False  # whether the backward pass recomputes the inside of each layer instead of storing it
    kernel_init: nn.initializers.Initializer = HE_NORMAL

    def spatial_conv(
        self, features: int, *, kernel: int = 3, stride: int = 1, groups: int = 1, use_bias: bool = False
    ) -> nn.Module:
        """Returns a convolution that the caller may replace.

        Padding is symmetric. "SAME" would pad an even size by (0, 1) at stride 2, unlike the published networks.
        """
        make = self.conv or self._default_conv
        edge = (kernel // 2, kernel // 2)
        conv = make(
            features,
            (kernel, kernel),
            strides=(stride, stride),
            padding=(edge, edge),
            use_bias=use_bias,
            dtype=self.dtype,
            **({} if groups == 1 else {"feature_group_count": groups}),
        )
        # A caller's layer starts like the default one unless the caller chose an initializer, so that a comparison of
        # the two changes the layer only.
        keeps_default = getattr(conv, "kernel_init", None) is nn.linear.default_kernel_init
        return conv.clone(kernel_init=self.kernel_init) if keeps_default else conv

    def pointwise_conv(self, features: int, *, stride: int = 1) -> nn.Conv:
        """Returns a 1 x 1 convolution, which the caller cannot replace."""
        return self._default_conv(
            features, (1, 1), strides=(stride, stride), padding="VALID", use_bias=False, dtype=self.dtype
        )

    def max_pool(
        self, *, window: tuple[int, int], strides: tuple[int, int], padding: Padding = NO_PADDING
    ) -> nn.Module:
        """Returns a pooling layer that the caller may replace; call it as `module(x, deterministic=)`."""
        return self._pool(MaxPool, window, strides, padding)

    def average_pool(self, *, window: tuple[int, int], strides: tuple[int, int]) -> nn.Module:
        """Returns a pooling layer that the caller may replace and that averages by default."""
        return self._pool(AveragePool, window, strides, NO_PADDING)

    def branch_regularizer(self, keep_prob: float | int) -> nn.Module | None:
        """Returns the caller's regularizer of a residual branch, or None if there is none."""
        return self.regularizer(keep_prob=keep_prob) if self.regularizer else None

    def batch_norm(self) -> nn.BatchNorm:
        """Returns batch normalization in float32; apply it with `normalized` or `activated`."""
        return nn.BatchNorm(momentum=0.9, epsilon=1e-5, dtype=jnp.float32)

    def normalized(self, norm: nn.BatchNorm, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns norm(x), which uses the statistics of the batch in training and the running ones otherwise."""
        # The casts fuse into the normalization, so only arrays of `dtype` are stored between layers.
        return norm(x.astype(jnp.float32), use_running_average=not train).astype(self.dtype)

    def activated(self, norm: nn.BatchNorm, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(norm(x))."""
        return nn.relu(self.normalized(norm, x, train=train))

    def _pool(
        self, default: ModuleDef, window: tuple[int, int], strides: tuple[int, int], padding: Padding
    ) -> nn.Module:
        # A caller's function receives `padding` only where the default layer pads.
        return (self.pool or default)(
            window=window, strides=strides, **({} if padding == NO_PADDING else {"padding": padding})
        )

    def _default_conv(self, features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Conv:
        if "feature_group_count" in options:
            options["conv_general_dilated"] = conv_general_dilated
        return nn.Conv(features, kernel_size, kernel_init=self.kernel_init, **options)
