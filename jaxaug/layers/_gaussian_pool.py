"""Gaussian-based pooling: the mean of a window plus a random multiple of its standard deviation."""

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
from jaxaug.layers._local_statistics import statistics
from jaxaug.layers.levels import module_key
from jaxaug.layers.prior_parameters import GlobalGuide, ParameterSource, per_channel
from jaxaug.layers.windows import Padding

Prior = Literal["isp", "half", "gaussian"]
NoiseLevel = Literal["channel", "position"]
Inference = Literal["published", "mean"]

# Quadrature for E[softplus(μ + σ ε)]; the error is below 2e-6 for σ up to 3, and below 2e-4 for σ = 5.
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
    """Returns the mean of each window plus a random multiple of its standard deviation.

    Y = m + η s, where m and s are the mean and standard deviation of a window and, with ε ~ N(0, 1),
    η = μ + σ ε ("gaussian"), η = μ + σ |ε| ("half"), or η = softplus(μ + σ ε) ("isp", the inverse-softplus Gaussian).
    Inference uses the mean of η for the first two, μ and μ + σ sqrt(2/π), and its median softplus(μ) for "isp".

    Args:
      key: PRNG key, consumed; None if `deterministic`.
      x: `[B, H, W, C]`, floating point; computed in at least float32.
      mu: μ, a number, `[C]` or `[B, 1, 1, C]`; may be traced.
      sigma: σ, at least 0, with the same choice of shapes; may be traced.
      prior: "isp", "half" or "gaussian". The Gaussian and half-Gaussian of the paper have μ = 0 and σ = 1.
      window: as in `local_statistics`.
      strides: as in `local_statistics`.
      padding: as in `local_statistics`.
      noise_level: whether all positions of a "channel" of an example share one ε, or each "position" has its own.
      deterministic: whether this is inference.
      inference: "published", or "mean" to use the mean of η for "isp", too.

    Returns:
      `[B, H', W', C]`, dtype of `x`; drawn independently for each example and channel.

    Raises:
      ValueError: an option is unknown, σ is negative, a parameter has another shape, or the window is larger than the
        input.
      TypeError: `x` is not floating point, or `key` is not a typed key.

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
    """Returns η for the given standard normal noise."""
    if prior == "half":
        return mu + sigma * jnp.abs(noise)
    return jax.nn.softplus(mu + sigma * noise) if prior == "isp" else mu + sigma * noise


def _expected(prior: Prior, mu: Array, sigma: Array, inference: Inference) -> Array:
    """Returns η for inference."""
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
    """A Linen module of `gaussian_pool`, which can be passed as `pool` to `create_model`.

    μ and σ are "fixed"; or "learned", one of each per channel, starting from the given values (σ is the magnitude of
    its parameter); or "adaptive", predicted for each example by a small network from the means g of its channels:
    z = relu(BN(W₁ g + b₁)) with C/2 channels, μ = BN(W₂ z + b₂), σ = sigmoid(BN(W₃ z + b₃)).

    Args:
      window, strides, padding, prior, noise_level, inference: as in `gaussian_pool`.
      parameters: "adaptive", "learned" or "fixed".
      mu, sigma: fixed or initial values of μ and σ.
      rng_collection: name of the RNG collection for the noise in training.

    Raises:
      ValueError: the parameters are adaptive and a training batch has one example, which cannot be normalized.

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
