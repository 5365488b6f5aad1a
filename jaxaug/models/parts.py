"""The layers that networks are built from, those a caller may replace among them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.layers import linear_decay
from jaxaug.layers.depthwise_conv import conv_general_dilated
from jaxaug.models.pooling import NO_PADS, AveragePool, MaxPool, Pads


def _he_normal(*, fan_axis: int) -> nn.initializers.Initializer:
    """Returns the initializer that draws N(0, 2 / fan), with the inputs (axis -2) or the outputs (-1) as fan."""

    def draw(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> Array:
        fan = math.prod(shape[:-2]) * shape[fan_axis]
        # Drawn flat, the same bits compile in a tenth of the time of a draw of rank 4.
        values = jax.random.normal(key, (math.prod(shape),), dtype)
        return (values * jnp.asarray(math.sqrt(2.0 / fan), dtype)).reshape(shape)

    return draw


HE_NORMAL = _he_normal(fan_axis=-2)
"""N(0, 2 / fan_in), not truncated: He et al., "Delving deep into rectifiers", ICCV 2015, equation 10."""

HE_NORMAL_OUT = _he_normal(fan_axis=-1)
"""N(0, 2 / fan_out): equation 14 there, and what fb.resnet.torch made usual for residual networks."""

# What a factory returns need only be callable as described at its field.
Factory = Callable[..., Any]


@dataclasses.dataclass(frozen=True)
class Parts:
    """Factories of replaceable layers (None: the usual layer), and how a network computes.

    A layer calls these methods in its `setup` and gives each part its name by assignment.
    """

    regularizer: Factory | None = None
    pool: Factory | None = None
    conv: Factory | None = None
    dtype: Any = jnp.float32
    remat: bool = False  # the backward pass computes anew what is inside a layer, instead of keeping it
    kernel_init: nn.initializers.Initializer = HE_NORMAL

    def spatial_conv(
        self, features: int, *, kernel: int = 3, stride: int = 1, groups: int = 1, use_bias: bool = False
    ) -> nn.Module:
        """Returns a convolution, by the caller's factory if there is one.

        Padding is symmetric: "SAME" would pad (0, 1) at stride 2 and an even size, unlike the published networks.
        """
        make = self.conv or self._usual_conv
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
        # A layer whose caller did not say how its kernel starts starts as the usual one: else two would be compared
        # in which more differs than the layer.
        unsaid = getattr(conv, "kernel_init", None) is nn.linear.default_kernel_init
        return conv.clone(kernel_init=self.kernel_init) if unsaid else conv

    def pointwise_conv(self, features: int, *, stride: int = 1) -> nn.Conv:
        """Returns a 1 x 1 convolution, which has no spatial extent for a caller's factory to shape."""
        return self._usual_conv(
            features, (1, 1), strides=(stride, stride), padding="VALID", use_bias=False, dtype=self.dtype
        )

    def max_pool(self, *, window: tuple[int, int], strides: tuple[int, int], padding: Pads = NO_PADS) -> nn.Module:
        """Returns a pooling layer, by the caller's factory if there is one, called `module(x, deterministic=)`."""
        return self._pool(MaxPool, window, strides, padding)

    def average_pool(self, *, window: tuple[int, int], strides: tuple[int, int]) -> nn.Module:
        """Returns a pooling layer likewise, the usual one being the average."""
        return self._pool(AveragePool, window, strides, NO_PADS)

    def branch_regularizer(self, keep_prob: float | int) -> nn.Module | None:
        """Returns the caller's regularizer of a residual branch, None without one."""
        return self.regularizer(keep_prob=keep_prob) if self.regularizer else None

    def batch_norm(self) -> nn.BatchNorm:
        """Returns batch normalization in float32, to be called by `normalized` or `activated`."""
        return nn.BatchNorm(momentum=0.9, epsilon=1e-5, dtype=jnp.float32)

    def normalized(self, norm: nn.BatchNorm, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns norm(x), normalized by the batch's own statistics in training."""
        # The casts fuse into the normalization; between layers only `dtype` is stored.
        return norm(x.astype(jnp.float32), use_running_average=not train).astype(self.dtype)

    def activated(self, norm: nn.BatchNorm, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(norm(x))."""
        return nn.relu(self.normalized(norm, x, train=train))

    def _pool(self, usual: Factory, window: tuple[int, int], strides: tuple[int, int], padding: Pads) -> nn.Module:
        # A factory meets `padding` only where there is some.
        return (self.pool or usual)(
            window=window, strides=strides, **({} if padding == NO_PADS else {"padding": padding})
        )

    def _usual_conv(self, features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Conv:
        if "feature_group_count" in options:
            options["conv_general_dilated"] = conv_general_dilated
        return nn.Conv(features, kernel_size, kernel_init=self.kernel_init, **options)


def keep_probs(num_blocks: int) -> list[float]:
    """Returns `linear_decay` as Python numbers, which stay constants where the network is traced."""
    with jax.ensure_compile_time_eval():
        return linear_decay(num_blocks).tolist()
