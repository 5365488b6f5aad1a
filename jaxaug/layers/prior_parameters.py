"""The sources of the parameters of a pooling layer."""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.checks import check_images
from jaxaug.layers.precision import widened

ParameterSource = Literal["adaptive", "learned", "fixed"]
"""Predicted for every example from its global features, learned for each channel, or fixed."""


def per_channel(function: str, name: str, value: Any, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Returns a parameter as a scalar or an array of rank 4, or raises if it has another shape."""
    value = jnp.asarray(value)
    batch, *_, channels = shape
    if value.shape not in ((), (channels,), (batch, 1, 1, channels)):
        raise ValueError(
            f"{function} takes a number, [{channels}] or [{batch}, 1, 1, {channels}] for {name} with an input of shape "
            f"{list(shape)}; got {list(value.shape)}."
        )
    return value.reshape(1, 1, 1, channels) if value.ndim == 1 else value


class GlobalGuide(nn.Module):
    """Predicts numbers for every example and channel from the means of the channels over all positions.

    z = relu(BN(W₁ g + b₁)) with C/2 channels, then BN(W z + b) with C channels for each number.

    Args:
      numbers: how many numbers to predict for each example and channel.

    References:
      Kobayashi, "Global feature guided local pooling", ICCV 2019.
    """

    numbers: int

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, deterministic: bool) -> list[Float[Array, "b 1 1 c"]]:
        """Returns `numbers` arrays `[B, 1, 1, C]`, float32; in training, they are normalized over the batch."""
        check_images("adaptive pooling", x)
        # A single example normalized by its own statistics is always 0.
        if x.shape[0] == 1 and not deterministic and not self.is_initializing():
            raise ValueError("adaptive pooling takes a batch of at least 2 in training, to normalize over it; got 1.")

        def normalized(y: Array, name: str) -> Array:
            return nn.BatchNorm(deterministic, momentum=0.9, epsilon=1e-5, name=name)(y)

        channels = x.shape[-1]
        features = widened(x).mean(axis=(1, 2))
        hidden = nn.relu(normalized(nn.Dense(max(1, channels // 2), name="hidden")(features), "hidden_bn"))
        return [
            normalized(nn.Dense(channels, name=f"number{n}")(hidden), f"number{n}_bn")[:, None, None, :]
            for n in range(1, self.numbers + 1)
        ]
