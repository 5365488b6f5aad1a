"""ShakeDrop: multiplies residual branches by random factors where stochastic depth would drop them."""

import functools
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_choice, check_key, check_prob, check_range, concrete
from jaxaug.layers.levels import GateLevel, Level, check_branch, draw_shape, module_key

Range = tuple[ArrayLike, ArrayLike] | list[ArrayLike]
Bounds = tuple[ArrayLike, ArrayLike]


def shake_drop(
    key: Key[Array, ""],
    x: Float[Array, "b *rest"],
    *,
    keep_prob: ArrayLike,
    alpha: Range = (-1.0, 1.0),
    beta: Range = (0.0, 1.0),
    gate_level: GateLevel = "example",
    noise_level: Level = "example",
    true_gradient: bool = False,
) -> Float[Array, "b *rest"]:
    """Keeps a residual branch or multiplies it by a random factor, with another random factor in its gradient.

    The forward pass computes (b + α - b α) F(x), the backward pass (b + β - b β) dL/dG, with the same b ~ Bernoulli(p)
    and independent α ~ U[alpha] and β ~ U[beta]. A kept branch (b = 1) and its gradient stay unchanged. A dropped
    branch (b = 0) is multiplied by α, and its gradient by β. The caller adds the identity. With α = β = 1 nothing
    changes; α = β = 0 is stochastic depth.

    α in [-1, 1] is for residual branches that end with batch normalization, without a ReLU after the addition. With
    a ReLU after the addition, use α = 0. Under `jit` over several devices, one draw per batch is shared by all devices.

    Args:
      key: PRNG key, consumed.
      x: `[B, ..., C]` of rank 2 or more, floating point, the residual branch F(x).
      keep_prob: p, in [0, 1]; may be traced.
      alpha: (low, high) of the forward factor; may be traced. Nothing is drawn if both are the same Python number.
      beta: (low, high) of the backward factor; may be traced.
      gate_level: level at which b is drawn: "example", or "batch" as in the paper.
      noise_level: level at which α and β are drawn: "batch", "example", "channel" (of an example) or "pixel". The
        paper's best is "pixel". β is not stored but drawn in the backward pass.
      true_gradient: whether to use β = α, the true gradient, and ignore `beta`. If not, there is no forward-mode
        derivative and no derivative with respect to the options.

    Returns:
      An array with the shape and dtype of `x`; drawn independently at the given levels.

    Raises:
      ValueError: `keep_prob` is outside [0, 1], a range is descending, a level is unknown or not valid for the gate, or
        `x` is empty or has a rank below 2.
      TypeError: `x` is not floating point, a range is not a pair, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> shaken, gradient = jax.vjp(lambda x: shake_drop(jax.random.key(1), x, keep_prob=0.5), jnp.ones((5, 1)))
      >>> (100 * shaken).round().ravel().tolist()
      [-19.0, 100.0, -55.0, 100.0, 100.0]
      >>> (100 * gradient(jnp.ones((5, 1)))[0]).round().ravel().tolist()
      [56.0, 100.0, 75.0, 100.0, 100.0]

    References:
      Yamada, Iwamura, Akiba, Kise, "ShakeDrop regularization for deep residual learning", IEEE Access 7, 2019,
      equation 6.
    """
    check_key("shake_drop", key)
    check_branch("shake_drop", x)
    check_prob("shake_drop", keep_prob, "keep_prob")
    check_range("shake_drop", "alpha", alpha)
    check_range("shake_drop", "beta", beta)
    check_choice("shake_drop", "gate_level", gate_level, get_args(GateLevel))
    check_choice("shake_drop", "noise_level", noise_level, get_args(Level))

    gate_key, alpha_key, beta_key = jax.random.split(key, 3)
    gate = jax.random.bernoulli(gate_key, jnp.asarray(keep_prob, jnp.float32), draw_shape(gate_level, x.shape))
    low, high = map(concrete, alpha)
    # A constant α needs no draw, which saves time at the pixel level.
    alpha_level = "batch" if low is not None and low == high else noise_level
    forward = _coefficient(alpha_key, gate, _bounds(alpha), draw_shape(alpha_level, x.shape)).astype(x.dtype)
    if true_gradient:
        return x * forward
    return _shaken(noise_level, x, forward, gate, beta_key, _bounds(beta))


def _bounds(pair: Range) -> Bounds:
    low, high = (jnp.asarray(bound, jnp.float32) for bound in pair)
    return low, high


def _coefficient(key: Array, gate: Array, bounds: Bounds, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Returns b + α - b α: 1 where the gate is open, and a uniform draw elsewhere."""
    return jnp.where(gate, 1.0, jax.random.uniform(key, shape, jnp.float32, *bounds))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _shaken(level: Level, x: Array, forward: Array, gate: Array, key: Array, beta: Bounds) -> Array:
    """Returns `x * forward`; the backward pass draws another coefficient and multiplies the gradient by it."""
    return x * forward


def _shaken_forward(level: Level, x: Array, forward: Array, gate: Array, key: Array, beta: Bounds) -> Any:
    # Stores nothing of the size of x for the backward pass, not even at the pixel level.
    return x * forward, (gate, key, beta)


def _shaken_backward(level: Level, residuals: Any, cotangent: Array) -> Any:
    gate, key, beta = residuals
    backward = _coefficient(key, gate, beta, draw_shape(level, cotangent.shape))
    return cotangent * backward.astype(cotangent.dtype), None, None, None, None


_shaken.defvjp(_shaken_forward, _shaken_backward)


def shake_drop_expected(
    x: Float[Array, "b *rest"], *, keep_prob: ArrayLike, alpha: Range = (-1.0, 1.0)
) -> Float[Array, "b *rest"]:
    """Multiplies a residual branch by the mean of the forward coefficient of ShakeDrop, for inference.

    The result is (p + (1 - p) E[α]) F(x) with E[α] = (low + high) / 2. For both settings of the paper E[α] = 0, which
    gives p F(x).

    Args:
      x: `[B, ..., C]` of rank 2 or more, floating point, the residual branch F(x).
      keep_prob: p, in [0, 1]; may be traced.
      alpha: (low, high) of the forward factor in training; may be traced.

    Returns:
      An array with the shape and dtype of `x`.

    Raises:
      ValueError: `keep_prob` is outside [0, 1], the range is descending, or `x` is empty or has a rank below 2.
      TypeError: `x` is not floating point, or the range is not a pair.

    Example:
      >>> import jax.numpy as jnp
      >>> shake_drop_expected(jnp.array([[1.0, 2.0]]), keep_prob=0.5)
      Array([[0.5, 1. ]], dtype=float32)
      >>> shake_drop_expected(jnp.array([[1.0, 2.0]]), keep_prob=0.5, alpha=(0.0, 1.0))
      Array([[0.75, 1.5 ]], dtype=float32)

    References:
      Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019, equation 6.
    """
    check_branch("shake_drop_expected", x)
    check_prob("shake_drop_expected", keep_prob, "keep_prob")
    check_range("shake_drop_expected", "alpha", alpha)
    low, high = _bounds(alpha)
    prob = jnp.asarray(keep_prob, jnp.float32)
    return x * (prob + (1.0 - prob) * (0.5 * low + 0.5 * high)).astype(x.dtype)


class ShakeDrop(nn.Module):
    """A Linen module of `shake_drop` in training and `shake_drop_expected` in inference.

    `ShakeDrop.without_final_relu` and `ShakeDrop.with_final_relu` are the two settings of the paper, and can be passed
    as `regularizer` to `create_model`.

    Args:
      keep_prob, alpha, beta, gate_level, noise_level, true_gradient: as in `shake_drop`.
      rng_collection: name of the RNG collection for the noise in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = ShakeDrop.without_final_relu(keep_prob=0.5)
      >>> layer.apply({}, jnp.ones((1, 2)), deterministic=True)
      Array([[0.5, 0.5]], dtype=float32)
      >>> shaken = layer.apply({}, jnp.ones((4, 1)), deterministic=False, rngs={"dropout": jax.random.key(7)})
      >>> (100 * shaken).round().ravel().tolist()
      [100.0, 100.0, -28.0, 28.0]

    References:
      Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019, equation 6.
    """

    keep_prob: ArrayLike
    alpha: Range = (-1.0, 1.0)
    beta: Range = (0.0, 1.0)
    gate_level: GateLevel = "example"
    noise_level: Level = "example"
    true_gradient: bool = False
    rng_collection: str = "dropout"

    @classmethod
    def without_final_relu(
        cls,
        *,
        keep_prob: ArrayLike,
        gate_level: GateLevel = "example",
        noise_level: Level = "example",
        rng_collection: str = "dropout",
    ) -> "ShakeDrop":
        """Returns the module with α ~ U[-1, 1] and β ~ U[0, 1], for blocks that end with the addition (PyramidNet)."""
        return cls(keep_prob, (-1.0, 1.0), (0.0, 1.0), gate_level, noise_level, rng_collection=rng_collection)

    @classmethod
    def with_final_relu(
        cls,
        *,
        keep_prob: ArrayLike,
        gate_level: GateLevel = "example",
        noise_level: Level = "example",
        rng_collection: str = "dropout",
    ) -> "ShakeDrop":
        """Returns the module with α = 0 and β ~ U[0, 1], for blocks with a ReLU after the addition (ResNet)."""
        return cls(keep_prob, (0.0, 0.0), (0.0, 1.0), gate_level, noise_level, rng_collection=rng_collection)

    @property
    def suits_final_relu(self) -> bool:
        """Whether α is always 0 or always 1; otherwise, training with a ReLU after the addition can diverge."""
        return tuple(map(concrete, self.alpha)) in ((0, 0), (1, 1))

    def __call__(self, x: Float[Array, "b *rest"], *, deterministic: bool) -> Float[Array, "b *rest"]:
        """Returns the shaken branch, or its expectation in inference (`deterministic`), which needs no key."""
        if deterministic:
            return shake_drop_expected(x, keep_prob=self.keep_prob, alpha=self.alpha)
        return shake_drop(
            module_key(self, self.rng_collection),
            x,
            keep_prob=self.keep_prob,
            alpha=self.alpha,
            beta=self.beta,
            gate_level=self.gate_level,
            noise_level=self.noise_level,
            true_gradient=self.true_gradient,
        )
