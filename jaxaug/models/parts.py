"""The layers that networks are built from, those a caller may replace among them."""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.layers import linear_decay

HE_NORMAL = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
"""N(0, 2 / fan_in), not truncated: He et al., "Delving deep into rectifiers", ICCV 2015, equation 10."""

# What a factory returns need only be callable as described at its field.
Factory = Callable[..., Any]


class MaxPool(nn.Module):
    """Max pooling, called as every pooling layer is."""

    window: tuple[int, int]
    strides: tuple[int, int]

    def __call__(self, x: Float[Array, "b h w c"], deterministic: bool = True) -> Float[Array, "b h2 w2 c"]:
        """Returns the maximum of each window; a border that fills no window is dropped."""
        if self.window != self.strides:
            return nn.max_pool(x, self.window, self.strides)
        # The same numbers; the gradient, shared among equal maxima, needs no scatter, which is slow on a CPU.
        (b, h, w, c), (p, q) = x.shape, self.window
        h, w = h // p, w // q
        return x[:, : h * p, : w * q].reshape(b, h, p, w, q, c).max(axis=(2, 4))


@dataclasses.dataclass(frozen=True)
class Parts:
    """Factories of replaceable layers (None: the usual layer), and the dtype in which a network computes.

    A block or trunk calls these methods in its `setup` and gives each layer its name by assignment.
    """

    regularizer: Factory | None = None
    pool: Factory | None = None
    conv: Factory | None = None
    dtype: Any = jnp.float32

    def spatial_conv(self, features: int, *, kernel: int = 3, stride: int = 1) -> nn.Module:
        """Returns a convolution, by the caller's factory if there is one.

        Padding is symmetric: "SAME" would pad (0, 1) at stride 2 and an even size, unlike the published networks.
        """
        make = self.conv or self._usual_conv
        edge = (kernel // 2, kernel // 2)
        return make(
            features, (kernel, kernel), strides=(stride, stride), padding=(edge, edge), use_bias=False, dtype=self.dtype
        )

    def pointwise_conv(self, features: int, *, stride: int = 1) -> nn.Conv:
        """Returns a 1 x 1 convolution, which has no spatial extent for a caller's factory to shape."""
        return self._usual_conv(
            features, (1, 1), strides=(stride, stride), padding="VALID", use_bias=False, dtype=self.dtype
        )

    def max_pool(self, *, window: tuple[int, int], strides: tuple[int, int]) -> nn.Module:
        """Returns a pooling layer, by the caller's factory if there is one."""
        return (self.pool or MaxPool)(window=window, strides=strides)

    def branch_regularizer(self, keep_prob: float | int) -> nn.Module | None:
        """Returns the caller's regulariser of a residual branch, None without one."""
        return self.regularizer(keep_prob=keep_prob) if self.regularizer else None

    def batch_norm(self) -> nn.BatchNorm:
        """Returns batch normalisation in float32, to be called by `activated`."""
        return nn.BatchNorm(momentum=0.9, epsilon=1e-5, dtype=jnp.float32)

    def activated(self, norm: nn.BatchNorm, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h w c"]:
        """Returns relu(norm(x)), normalised by the batch's own statistics in training."""
        # The casts fuse into the normalisation; between layers only `dtype` is stored.
        normal = norm(x.astype(jnp.float32), use_running_average=not train)
        return nn.relu(normal).astype(self.dtype)

    @staticmethod
    def _usual_conv(features: int, kernel_size: tuple[int, int], **options: Any) -> nn.Conv:
        return nn.Conv(features, kernel_size, kernel_init=HE_NORMAL, **options)


def keep_probs(num_blocks: int) -> list[float]:
    """Returns `linear_decay` as Python numbers, which stay constants where the network is traced."""
    with jax.ensure_compile_time_eval():
        return linear_decay(num_blocks).tolist()
