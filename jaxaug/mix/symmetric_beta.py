"""Samples from the symmetric Beta distribution, the mixing weights."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key


def symmetric_beta(key: Key[Array, ""], concentration: ArrayLike, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Returns samples of Beta(a, a), exact for every a > 0, without the rejection loops of a Gamma sampler.

    With U and V uniform on (0, 1), T = sqrt(n (U^(-2/n) - 1)) cos(2 π V) has Student's t-distribution with n degrees of
    freedom (Bailey, "Polar generation of random variates with the t-distribution", Mathematics of Computation 62,
    1994), and 1/2 + T / (2 sqrt(n + T²)) has the distribution Beta(n/2, n/2) (Devroye, "Random variate generation in
    one line of code", 1996).
    """
    a = jnp.asarray(concentration, jnp.float32)
    size_key, angle_key = jax.random.split(key)
    # U and cos² must not be 0, because a logarithm and a division follow.
    log_u = jnp.log(jax.random.uniform(size_key, shape, minval=jnp.finfo(jnp.float32).tiny))
    cos = jnp.cos(2.0 * jnp.pi * jax.random.uniform(angle_key, shape))
    # q = n / T². The distance to the nearer end is (1 - 1 / sqrt(1 + q)) / 2, in a form without cancellation for small
    # q, since a small concentration puts its mass near the ends of the interval.
    power = jnp.exp(log_u / a)
    q = power / jnp.maximum(-jnp.expm1(log_u / a) * jnp.square(cos), 1e-30)
    root = jnp.sqrt(1.0 + q)
    tail = 0.5 * (q / (root * (1.0 + root)))
    return jnp.where(cos < 0, tail, 1.0 - tail)
