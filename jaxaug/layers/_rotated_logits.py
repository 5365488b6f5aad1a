"""Rotation regularization: samples the logits of randomly rotated features without rotating them."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_floating, check_key, check_number, check_size, described
from jaxaug.layers.levels import module_key
from jaxaug.layers.precision import widened

# Rounding error of |x|² |w|² - (w x)², relative to |x|² |w|².
_ROUNDING = 1e-6


def rotated_logits(
    key: Key[Array, ""],
    x: Float[Array, "b d"],
    kernel: Float[Array, "d k"],
    *,
    degrees: ArrayLike = 45.0,
    dimension: int | None = None,
) -> Float[Array, "b k"]:
    """Returns logits of features that are rotated by a fixed angle in random directions.

    z_c = cos α (w_c x) + sin α ε_c sqrt(|x|² |w_c|² - (w_c x)²) with ε_c ~ N(0, 1/(D - 1)). This has the mean and
    variance of w_c R x over the rotations R that move x by the angle α in a uniformly random direction. Inference uses
    w_c x without scaling.

    Args:
      key: PRNG key, consumed.
      x: `[B, D]`, floating point, features; computed in at least float32.
      kernel: `[D, K]`, with w_c in column c.
      degrees: α in degrees; 0 gives the plain logits. May be traced.
      dimension: D in the variance, at least 2; None uses the number of features. The author's code uses the smaller of
        D and K.

    Returns:
      `[B, K]`, dtype of `x`; drawn independently for each example and class.

    Raises:
      ValueError: the shapes do not match, there is only one feature, or α is not finite.
      TypeError: an array is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x, kernel = jnp.array([[3.0, 4.0]]), jnp.array([[1.0, 3.0], [0.0, 4.0]])
      >>> rotated_logits(jax.random.key(0), x, kernel, degrees=0.0).tolist()
      [[3.0, 25.0]]
      >>> [round(float(z), 3) for z in rotated_logits(jax.random.key(0), x, kernel, degrees=60.0)[0]]
      [7.121, 12.5]

    References:
      Kobayashi, "Rotation regularization without rotation", ECCV 2022.
    """
    check_key("rotated_logits", key)
    check_floating("rotated_logits", x, rank=2, what="features", axes="[B, D]")
    check_floating("rotated_logits", kernel, rank=2, what="a kernel", axes="[D, K]")
    check_number("rotated_logits", "degrees", degrees)
    if x.shape[1] != kernel.shape[0]:
        raise ValueError(
            f"rotated_logits takes features [B, D] and a kernel [D, K]; got {described(x)} and {described(kernel)}."
        )
    if dimension is None and x.shape[1] < 2:
        raise ValueError(f"rotated_logits takes at least 2 features, since one cannot rotate; got {described(x)}.")
    size = x.shape[1] if dimension is None else dimension
    check_size("rotated_logits", "dimension", size, 2)

    features, weights = widened(x), widened(kernel)
    plain = features @ weights
    norms = jnp.sum(features**2, axis=1, keepdims=True) * jnp.sum(weights**2, axis=0, keepdims=True)
    squared = norms - plain**2
    # Rounding can make this negative, where the square root has no gradient.
    positive = squared > _ROUNDING * norms
    length = jnp.where(positive, jnp.sqrt(jnp.where(positive, squared, 1.0)), 0.0)
    angle = jnp.asarray(degrees, plain.dtype) * (math.pi / 180.0)
    noise = jax.random.normal(key, plain.shape, plain.dtype) / math.sqrt(size - 1)
    return (jnp.cos(angle) * plain + jnp.sin(angle) * noise * length).astype(x.dtype)


class RotatedDense(nn.Module):
    """A dense classifier with `rotated_logits` in training, which can be passed as `head` to `create_model`.

    Args:
      features: K, the number of classes.
      degrees, dimension: as in `rotated_logits`.
      use_bias: whether to add a bias, also in training; the paper has none.
      dtype: dtype of the computation; None uses the dtype of the input.
      param_dtype, kernel_init, bias_init: as in `nn.Dense`.
      rng_collection: name of the RNG collection for the noise in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = RotatedDense(3)
      >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 4)), deterministic=True)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'kernel': (4, 3)}}
      >>> layer.apply(variables, jnp.ones((2, 4)), deterministic=False, rngs={"dropout": jax.random.key(1)}).shape
      (2, 3)

    References:
      Kobayashi, "Rotation regularization without rotation", ECCV 2022.
    """

    features: int
    degrees: float | int = 45.0
    dimension: int | None = None
    use_bias: bool = False
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = nn.linear.default_kernel_init
    bias_init: nn.initializers.Initializer = nn.initializers.zeros
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], *, deterministic: bool) -> Float[Array, "b k"]:
        """Returns the logits; in inference (`deterministic`) these are the plain ones, and no key is needed."""
        check_floating("RotatedDense", x, rank=2, what="features", axes="[B, D]")
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype) if self.use_bias else None
        x, kernel, bias = promote_dtype(x, kernel, bias, dtype=self.dtype)
        if deterministic:
            logits = x @ kernel
        else:
            key = module_key(self, self.rng_collection)
            logits = rotated_logits(key, x, kernel, degrees=self.degrees, dimension=self.dimension)
        return logits if bias is None else logits + bias[None]
