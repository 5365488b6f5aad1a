"""Augmentations that add noise."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_floating, check_key, check_number


def gaussian_noise(
    key: Key[Array, ""], inputs: Float[Array, "b *rest"], *, stddev: ArrayLike = 0.1
) -> Float[Array, "b *rest"]:
    """Adds white Gaussian noise to the inputs.

    out = in + stddev e with e ~ N(0, 1), independent for every element and without clipping.

    Args:
      key: PRNG key, consumed.
      inputs: `[B, ...]` of any rank, floating point: images, or feature vectors `[B, D]`.
      stddev: standard deviation in units of `inputs`, at least 0; may be traced.

    Returns:
      An array with the shape and dtype of `inputs`; drawn independently for every element.

    Raises:
      ValueError: `stddev` is negative, or `inputs` is empty or a scalar.
      TypeError: `inputs` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> noisy = gaussian_noise(jax.random.key(0), jnp.zeros((1000, 100)), stddev=2.0)
      >>> round(float(noisy.std()), 2)
      2.0

    References:
      Bishop, "Training with noise is equivalent to Tikhonov regularization", Neural Computation 7(1), 1995.
    """
    check_key("gaussian_noise", key)
    check_floating("gaussian_noise", inputs, rank=None, what="inputs", axes="[B, ...]")
    check_number("gaussian_noise", "stddev", stddev, 0.0)
    # Drawn and added in float32, because half precision would quantize the noise before it is scaled.
    noise = jax.random.normal(key, inputs.shape, jnp.float32)
    return (inputs.astype(jnp.float32) + jnp.asarray(stddev, jnp.float32) * noise).astype(inputs.dtype)
