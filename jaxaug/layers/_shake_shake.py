"""Shake-Shake: a random convex combination of two branches."""

import functools
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_choice, check_key, described
from jaxaug.layers.levels import Level, check_branch, draw_shape, module_key

Forward = Literal["shake", "even"]
Backward = Literal["shake", "even", "keep"]


def shake_shake(
    key: Key[Array, ""],
    a: Float[Array, "b *rest"],
    b: Float[Array, "b *rest"],
    *,
    forward: Forward = "shake",
    backward: Backward = "shake",
    level: Level = "example",
) -> Float[Array, "b *rest"]:
    """Sums two branches with random weights, and uses other random weights in the gradient.

    The forward pass computes α a + (1 - α) b. In the backward pass, a receives the gradient times β and b the gradient
    times 1 - β, with independent α, β ~ U[0, 1]. The caller adds the identity. Inference uses (a + b) / 2. The paper's
    best (forward, backward, level) are ("shake", "shake", "example") on CIFAR-10 and ("shake", "even", "example") on
    CIFAR-100.

    Args:
      key: PRNG key, consumed.
      a: `[B, ..., C]` of rank 2 or more, floating point, the first branch.
      b: the second branch, with the shape and dtype of `a`.
      forward: "shake" draws α, "even" uses 1/2.
      backward: "shake" draws β, "even" uses 1/2, and "keep" uses β = α, the true gradient. Only "keep" has a
        forward-mode derivative.
      level: level at which α and β are drawn: "batch", "example", "channel" (of an example) or "pixel".

    Returns:
      An array with the shape and dtype of `a`; drawn independently at the given level.

    Raises:
      ValueError: the branches differ in shape or dtype, are empty or have a rank below 2, or an option is unknown.
      TypeError: a branch is not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> shake = lambda a, b: shake_shake(jax.random.key(0), a, b)
      >>> mixed, gradients = jax.vjp(shake, jnp.ones((3, 1)), jnp.zeros((3, 1)))
      >>> (100 * mixed).round().ravel().tolist()
      [84.0, 18.0, 23.0]
      >>> [(100 * g).round().ravel().tolist() for g in gradients(jnp.ones((3, 1)))]
      [[1.0, 2.0, 58.0], [99.0, 98.0, 42.0]]

    References:
      Gastaldi, "Shake-shake regularization", ICLR workshop 2017 (arXiv 1705.07485), equation 2.
    """
    check_key("shake_shake", key)
    _check_branches(a, b)
    check_choice("shake_shake", "forward", forward, get_args(Forward))
    check_choice("shake_shake", "backward", backward, get_args(Backward))
    check_choice("shake_shake", "level", level, get_args(Level))
    alpha_key, beta_key = jax.random.split(key)
    alpha = _weight(forward, alpha_key, level, a.shape)
    if backward == "keep" or (forward, backward) == ("even", "even"):
        return _weighted_sum(alpha, a, b)
    return _shaken(backward, level, a, b, alpha, beta_key)


def _check_branches(a: Array, b: Array) -> None:
    """Raises unless both are floating-point `[B, ..., C]` with the same shape and dtype."""
    check_branch("shake_shake", a)
    check_branch("shake_shake", b)
    if (a.shape, a.dtype) != (b.shape, b.dtype):
        raise ValueError(
            f"shake_shake takes two branches of the same shape and dtype; got {described(a)} and {described(b)}."
        )


def _weight(kind: Forward, key: Array, level: Level, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Returns the weight of the first branch, which broadcasts to `shape`."""
    if kind == "even":
        return jnp.full((1,) * len(shape), 0.5, jnp.float32)
    return jax.random.uniform(key, draw_shape(level, shape), jnp.float32)


def _weighted_sum(alpha: Array, a: Array, b: Array) -> Array:
    """Returns α a + (1 - α) b, computed in float32, since half precision would round each term first."""
    alpha, wide_a, wide_b = (x.astype(_wide(a.dtype)) for x in (alpha, a, b))
    return (alpha * wide_a + (1.0 - alpha) * wide_b).astype(a.dtype)


def _wide(dtype: Any) -> Any:
    """Returns the dtype, but at least float32."""
    return dtype if dtype.itemsize > 4 else jnp.float32


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _shaken(backward: Forward, level: Level, a: Array, b: Array, alpha: Array, key: Array) -> Array:
    """Returns α a + (1 - α) b; the backward pass draws another weight and splits the gradient by it."""
    return _weighted_sum(alpha, a, b)


def _shaken_forward(backward: Forward, level: Level, a: Array, b: Array, alpha: Array, key: Array) -> Any:
    # Stores neither branch for the backward pass.
    return _weighted_sum(alpha, a, b), key


def _shaken_backward(backward: Forward, level: Level, key: Array, cotangent: Array) -> Any:
    beta = _weight(backward, key, level, cotangent.shape)
    beta, gradient = (x.astype(_wide(cotangent.dtype)) for x in (beta, cotangent))
    shares = (beta * gradient, (1.0 - beta) * gradient)
    return *(share.astype(cotangent.dtype) for share in shares), None, None


_shaken.defvjp(_shaken_forward, _shaken_backward)


class ShakeShake(nn.Module):
    """A Linen module of `shake_shake` in training and (a + b) / 2 in inference.

    Args:
      forward, backward, level: as in `shake_shake`.
      rng_collection: name of the RNG collection for the noise in training.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> a, b = jnp.ones((1, 2)), jnp.zeros((1, 2))
      >>> ShakeShake().apply({}, a, b, deterministic=True)
      Array([[0.5, 0.5]], dtype=float32)
      >>> (100 * ShakeShake().apply({}, a, b, deterministic=False, rngs={"dropout": jax.random.key(0)})).round()
      Array([[85., 85.]], dtype=float32)

    References:
      Gastaldi, "Shake-shake regularization", ICLR workshop 2017 (arXiv 1705.07485), equation 2.
    """

    forward: Forward = "shake"
    backward: Backward = "shake"
    level: Level = "example"
    rng_collection: str = "dropout"

    def __call__(
        self, a: Float[Array, "b *rest"], b: Float[Array, "b *rest"], *, deterministic: bool
    ) -> Float[Array, "b *rest"]:
        """Returns a random combination of the branches, or their mean in inference (`deterministic`), without a key."""
        if deterministic:
            _check_branches(a, b)
            return _weighted_sum(jnp.full((1,) * a.ndim, 0.5, jnp.float32), a, b)
        key = module_key(self, self.rng_collection)
        return shake_shake(key, a, b, forward=self.forward, backward=self.backward, level=self.level)
