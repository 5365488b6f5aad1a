"""Maximum-entropy pooling: between the average and the maximum of a window."""

import functools
from collections.abc import Sequence
from typing import Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_choice, check_entries
from jaxaug.layers.prior_parameters import GlobalGuide, ParameterSource, per_channel
from jaxaug.layers.windows import Padding, pooling_windows

Link = Literal["softplus", "sigmoid"]


def max_entropy_pool(
    x: Float[Array, "b h w c"],
    scale: ArrayLike,
    *,
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "b h2 w2 c"]:
    """Returns the mean of each window, weighted by the softmax of its elements.

    Y = Σ_p x_p e^{λ x_p} / Σ_p e^{λ x_p} over the elements of a window. Of all weights that give the same mean, these
    have the largest entropy. λ = 0 is average pooling, λ -> ∞ max pooling. Padding does not count.

    Args:
      x: `[B, H, W, C]`, floating point; computed in at least float32.
      scale: λ, finite and at least 0, a number, `[C]` or `[B, 1, 1, C]`; may be traced.
      window: as in `local_statistics`.
      strides: as in `local_statistics`.
      padding: as in `local_statistics`.

    Returns:
      `[B, H', W', C]`, dtype of `x`.

    Raises:
      ValueError: λ is negative or has another shape, or the window is larger than the input.
      TypeError: `x` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> x = jnp.array([[0.0, 0.0], [0.0, 4.0]])[None, :, :, None]
      >>> [round(float(max_entropy_pool(x, scale).item()), 3) for scale in (0.0, 1.0, 100.0)]
      [1.0, 3.792, 4.0]

    References:
      Kobayashi, "Global feature guided local pooling", ICCV 2019.
    """
    check_entries("max_entropy_pool", "scale", scale, 0.0)
    windows = pooling_windows("max_entropy_pool", x, window, strides, padding)
    scale = per_channel("max_entropy_pool", "scale", scale, x.shape).astype(windows.elements[0].dtype)
    scaled = [
        element * scale if inside is None else jnp.where(inside, element * scale, -jnp.inf)
        for element, inside in zip(windows.elements, windows.inside, strict=True)
    ]
    # Shifts the exponents so that the largest one in each window is 0.
    largest = jax.lax.stop_gradient(functools.reduce(jnp.maximum, scaled))
    weights = [jnp.exp(exponent - largest) for exponent in scaled]
    weighted = [element * weight for element, weight in zip(windows.elements, weights, strict=True)]
    return (windows.total(weighted) / windows.total(weights)).astype(x.dtype)


class MaxEntropyPool(nn.Module):
    """A Linen module of `max_entropy_pool`, which can be passed as `pool` to `create_model`.

    λ is "fixed"; or "learned", one per channel, starting from the given value (λ is the magnitude of its parameter); or
    "adaptive", predicted for each example by the small network of `GaussianPool`, λ = softplus(BN(W₂ z + b₂)).

    Args:
      window, strides, padding: as in `local_statistics`.
      parameters: "adaptive", "learned" or "fixed".
      scale: fixed or initial value of λ.
      link: function that makes an adaptive λ positive, "softplus" or "sigmoid".

    Raises:
      ValueError: λ is adaptive and a training batch has one example, which cannot be normalized.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.array([[0.0, 0.0], [0.0, 4.0]])[None, :, :, None]
      >>> float(MaxEntropyPool(parameters="fixed", scale=0.0).apply({}, x, deterministic=True).item())
      1.0

    References:
      Kobayashi, "Global feature guided local pooling", ICCV 2019.
    """

    window: Sequence[int] = (2, 2)
    strides: Sequence[int] | None = None
    padding: Padding = "VALID"
    parameters: ParameterSource = "adaptive"
    scale: float | int = 1.0
    link: Link = "softplus"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, deterministic: bool) -> Float[Array, "b h2 w2 c"]:
        """Returns the pooled batch; `deterministic` only affects the batch normalization of adaptive parameters."""
        check_choice("MaxEntropyPool", "parameters", self.parameters, get_args(ParameterSource))
        check_choice("MaxEntropyPool", "link", self.link, get_args(Link))
        scale = self.scale
        if self.parameters == "learned":
            check_entries("MaxEntropyPool", "scale", scale, 0.0)
            shape = (x.shape[-1],)
            scale = jnp.abs(self.param("scale", nn.initializers.constant(scale), shape, jnp.float32))
        elif self.parameters == "adaptive":
            (raw,) = GlobalGuide(1, name="guide")(x, deterministic=deterministic)
            scale = jax.nn.softplus(raw) if self.link == "softplus" else jax.nn.sigmoid(raw)
        return max_entropy_pool(x, scale, window=self.window, strides=self.strides, padding=self.padding)
