"""Stochastic depth: drops residual branches at random."""

from typing import get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_choice, check_key, check_prob
from jaxaug.layers.levels import GateLevel, check_branch, draw_shape, module_key


def stochastic_depth(
    key: Key[Array, ""], x: Float[Array, "b *rest"], *, keep_prob: ArrayLike, level: GateLevel = "example"
) -> Float[Array, "b *rest"]:
    """Keeps a residual branch or sets it to zero.

    The result is b F(x) with b ~ Bernoulli(p); the caller adds the identity. Kept branches are not rescaled; inference
    multiplies by p instead. Dropped branches are still computed, so they update their batch statistics at every step.

    Args:
      key: PRNG key, consumed.
      x: `[B, ..., C]` of rank 2 or more, floating point, the residual branch F(x).
      keep_prob: p, in [0, 1]; may be traced.
      level: level at which b is drawn: "example", or "batch" as in the paper.

    Returns:
      An array with the shape and dtype of `x`; drawn independently at the given level.

    Raises:
      ValueError: `keep_prob` is outside [0, 1], `level` is unknown, or `x` is empty or has a rank below 2.
      TypeError: `x` is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> stochastic_depth(jax.random.key(0), jnp.ones((4, 2)), keep_prob=0.5)[:, 0]
      Array([0., 0., 1., 1.], dtype=float32)

    References:
      Huang, Sun, Liu, Sedra, Weinberger, "Deep networks with stochastic depth", ECCV 2016, equation 2.
    """
    check_key("stochastic_depth", key)
    check_branch("stochastic_depth", x)
    check_prob("stochastic_depth", keep_prob, "keep_prob")
    check_choice("stochastic_depth", "level", level, get_args(GateLevel))
    gate = jax.random.bernoulli(key, jnp.asarray(keep_prob, jnp.float32), draw_shape(level, x.shape))
    return x * gate.astype(x.dtype)


class StochasticDepth(nn.Module):
    """A Linen module of `stochastic_depth` in training and p F(x) in inference.

    Args:
      keep_prob, level: as in `stochastic_depth`.
      rng_collection: name of the RNG collection for the noise in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = StochasticDepth(keep_prob=0.75)
      >>> layer.apply({}, jnp.ones((1, 2)), deterministic=True)
      Array([[0.75, 0.75]], dtype=float32)
      >>> layer.apply({}, jnp.ones((1, 2)), deterministic=False, rngs={"dropout": jax.random.key(0)})
      Array([[1., 1.]], dtype=float32)

    References:
      Huang, Sun, Liu, Sedra, Weinberger, "Deep networks with stochastic depth", ECCV 2016, equations 2 and 5.
    """

    keep_prob: ArrayLike
    level: GateLevel = "example"
    rng_collection: str = "dropout"

    def __call__(self, x: Float[Array, "b *rest"], *, deterministic: bool) -> Float[Array, "b *rest"]:
        """Returns the kept or dropped branch, or its expectation in inference (`deterministic`), without a key."""
        if deterministic:
            check_branch("StochasticDepth", x)
            check_prob("StochasticDepth", self.keep_prob, "keep_prob")
            return x * jnp.asarray(self.keep_prob, jnp.float32).astype(x.dtype)
        return stochastic_depth(module_key(self, self.rng_collection), x, keep_prob=self.keep_prob, level=self.level)
