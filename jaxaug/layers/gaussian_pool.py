"""Gaussian-based pooling: the mean of a window plus noise in units of its deviation."""

import math
from collections.abc import Sequence
from typing import Literal, cast, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_choice, check_entries, check_key
from jaxaug.layers.levels import module_key
from jaxaug.layers.local_statistics import statistics
from jaxaug.layers.prior_parameters import GlobalGuide, ParameterSource, per_channel
from jaxaug.layers.windows import Padding

Prior = Literal["isp", "half", "gaussian"]
NoiseLevel = Literal["channel", "position"]
Inference = Literal["published", "mean"]

# Of E[softplus(μ + σ ε)]: within 2e-6 for σ up to 3, 2e-4 for 5.
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
_WEIGHTS /= _WEIGHTS.sum()


def gaussian_pool(
    key: Key[Array, ""] | None,
    x: Float[Array, "b h w c"],
    mu: ArrayLike,
    sigma: ArrayLike,
    *,
    prior: Prior = "isp",
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
    noise_level: NoiseLevel = "channel",
    deterministic: bool = False,
    inference: Inference = "published",
) -> Float[Array, "b h2 w2 c"]:
    """Pooling by a draw from a Gaussian-based prior, between the average and above the maximum.

    Y = m + η s with m and s the mean and standard deviation of a window, and of ε ~ N(0, 1)
    η = μ + σ ε ("gaussian"), η = μ + σ |ε| ("half"), or η = softplus(μ + σ ε) ("isp", the inverse-softplus Gaussian).
    In inference η is its mean μ, its mean μ + σ sqrt(2/π), and softplus(μ), which is its median.

    Args:
      key: PRNG key, consumed; None where `deterministic`.
      x: `[B, H, W, C]`, floating point; computed in float32 at least.
      mu: μ, a number, `[C]` or `[B, 1, 1, C]`; may be traced.
      sigma: σ, likewise, at least 0.
      prior: "isp", "half" or "gaussian". The paper's Gaussian and half-Gaussian have μ = 0 and σ = 1.
      window: as in `local_statistics`.
      strides: as there.
      padding: as there.
      noise_level: what shares one ε: a "channel" of an example, at all positions, or nothing but one "position".
      deterministic: whether this is inference.
      inference: "published", or "mean": the mean of η also for "isp".

    Returns:
      `[B, H', W', C]` of the dtype of `x`; drawn independently for each example and channel.

    Raises:
      ValueError: an unknown name, a negative σ, parameters of another shape, or a window larger than the input.
      TypeError: `x` is not floating point, or `key` is no typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> x = jnp.array([[0.0, 0.0], [0.0, 4.0]])[None, :, :, None]
      >>> float(gaussian_pool(None, x, 0.0, 1.0, prior="gaussian", deterministic=True).item())
      1.0
      >>> round(float(gaussian_pool(None, x, 0.0, 1.0, deterministic=True).item()), 3)
      2.201
      >>> round(float(gaussian_pool(jax.random.key(0), x, 0.0, 1.0).item()), 3)
      4.122

    References:
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019, equations 1 and 2.
    """
    check_choice("gaussian_pool", "prior", prior, get_args(Prior))
    check_choice("gaussian_pool", "noise_level", noise_level, get_args(NoiseLevel))
    check_choice("gaussian_pool", "inference", inference, get_args(Inference))
    mean, std = statistics("gaussian_pool", x, window, strides, padding)
    check_entries("gaussian_pool", "sigma", sigma, 0.0)
    mu = per_channel("gaussian_pool", "mu", mu, x.shape).astype(mean.dtype)
    sigma = per_channel("gaussian_pool", "sigma", sigma, x.shape).astype(mean.dtype)
    if deterministic:
        eta = _expected(prior, mu, sigma, inference)
    else:
        check_key("gaussian_pool", key)
        shape = mean.shape if noise_level == "position" else (x.shape[0], 1, 1, x.shape[-1])
        eta = _transformed(prior, mu, sigma, jax.random.normal(cast(Array, key), shape, mean.dtype))
    return (mean + eta * std).astype(x.dtype)


def _transformed(prior: Prior, mu: Array, sigma: Array, noise: Array) -> Array:
    """Returns η of standard normal noise."""
    if prior == "half":
        return mu + sigma * jnp.abs(noise)
    return jax.nn.softplus(mu + sigma * noise) if prior == "isp" else mu + sigma * noise


def _expected(prior: Prior, mu: Array, sigma: Array, inference: Inference) -> Array:
    """Returns η of inference."""
    if prior == "half":
        return mu + sigma * math.sqrt(2.0 / math.pi)
    if prior == "gaussian":
        return mu
    if inference == "published":
        return jax.nn.softplus(mu)
    mu, sigma = jnp.broadcast_arrays(mu, sigma)
    nodes, weights = (jnp.asarray(n, mu.dtype).reshape(-1, *(1,) * mu.ndim) for n in (_NODES, _WEIGHTS))
    return jnp.sum(weights * jax.nn.softplus(mu[None] + sigma[None] * nodes), axis=0)


class GaussianPool(nn.Module):
    """A Linen module of `gaussian_pool`, and a factory of the pooling layers of a network.

    μ and σ are "fixed"; or "learned", one of each for every channel, from the given values on (the magnitude of σ
    counts); or "adaptive", of every example by a small network on the means g of its channels,
    z = relu(BN(W₁ g + b₁)) of C/2 channels, μ = BN(W₂ z + b₂), σ = sigmoid(BN(W₃ z + b₃)).

    Args:
      window, strides, padding, prior, noise_level, inference: as in `gaussian_pool`.
      parameters: "adaptive", "learned" or "fixed".
      mu, sigma: μ and σ where fixed, and what learning begins with.
      rng_collection: name of the keys that training draws from.

    Raises:
      ValueError: adaptive parameters of a batch of one in training, whose normalization is undefined.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> layer = GaussianPool(parameters="learned")
      >>> variables = layer.init(jax.random.key(0), jnp.ones((1, 4, 4, 3)), deterministic=True)
      >>> jax.tree.map(jnp.shape, variables)
      {'params': {'mu': (3,), 'sigma': (3,)}}
      >>> layer.apply(variables, jnp.ones((2, 4, 4, 3)), deterministic=True).shape
      (2, 2, 2, 3)

    References:
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019, section 2.
      Kobayashi, "Global feature guided local pooling", ICCV 2019 (the small network).
    """

    window: Sequence[int] = (2, 2)
    strides: Sequence[int] | None = None
    padding: Padding = "VALID"
    prior: Prior = "isp"
    parameters: ParameterSource = "adaptive"
    mu: float | int = 0.0
    sigma: float | int = 1.0
    noise_level: NoiseLevel = "channel"
    inference: Inference = "published"
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, deterministic: bool) -> Float[Array, "b h2 w2 c"]:
        """Returns the pooled batch; inference (`deterministic`) needs no key."""
        check_choice("GaussianPool", "parameters", self.parameters, get_args(ParameterSource))
        mu, sigma = self.mu, self.sigma
        if self.parameters == "learned":
            check_entries("GaussianPool", "sigma", sigma, 0.0)
            shape = (x.shape[-1],)
            mu = self.param("mu", nn.initializers.constant(mu), shape, jnp.float32)
            sigma = jnp.abs(self.param("sigma", nn.initializers.constant(sigma), shape, jnp.float32))
        elif self.parameters == "adaptive":
            mu, raw = GlobalGuide(2, name="guide")(x, deterministic=deterministic)
            sigma = jax.nn.sigmoid(raw)
        return gaussian_pool(
            None if deterministic else module_key(self, self.rng_collection),
            x,
            mu,
            sigma,
            prior=self.prior,
            window=self.window,
            strides=self.strides,
            padding=self.padding,
            noise_level=self.noise_level,
            deterministic=deterministic,
            inference=self.inference,
        )
