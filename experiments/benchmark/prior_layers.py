"""Pooling and convolution layers, and the layers that they replace, as contenders."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array

from jaxaug import DisentangledConv, GaussianPool, MaxEntropyPool, gaussian_kernel, local_statistics
from jaxaug.layers.depthwise_conv import conv_general_dilated
from jaxaug.layers.prior_parameters import GlobalGuide
from jaxaug.models import AveragePool, MaxPool

SIDE, CHANNELS = 32, 64
TWO = (2, 2)


class PoolWithUnusedGuide(nn.Module):
    """A pooling without parameters, plus the adaptive network of a `GaussianPool` with its output unused."""

    pool: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Array, *, deterministic: bool) -> tuple[Array, ...]:
        """Returns the pooled batch and the unused output."""
        return self.pool(x), *GlobalGuide(2)(x, deterministic=deterministic)


class DepthwiseBlurConv(nn.Module):
    """A naive disentangled convolution: two depthwise Gaussian convolutions, then an ordinary one."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Returns the convolution."""
        kernel = gaussian_kernel(self.param("sigma", lambda _: jnp.float32(0.75)), radius=2)
        for shape in ((5, 1, 1, 1), (1, 5, 1, 1)):
            weights = jnp.broadcast_to(kernel.reshape(shape), (*shape[:3], x.shape[-1]))
            x = jax.lax.conv_general_dilated(
                x,
                weights,
                (1, 1),
                "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
                feature_group_count=x.shape[-1],
            )
        return nn.Conv(x.shape[-1], (3, 3))(x)


class Contenders(NamedTuple):
    """The layers to measure in turn, and the ratios to print."""

    layers: dict[str, Any]
    """Modules or functions by name."""
    ratios: tuple[tuple[str, str, str], ...]
    """Name of a layer, name of its baseline, and the goal of the ratio."""


POOLS = Contenders(
    {
        "nn.max_pool and the adaptive network": PoolWithUnusedGuide(lambda x: nn.max_pool(x, TWO, TWO)),
        "MaxPool and the adaptive network": PoolWithUnusedGuide(MaxPool(TWO, TWO)),
        "GaussianPool, adaptive": GaussianPool(),
        "MaxEntropyPool, adaptive": MaxEntropyPool(),
        "AveragePool": AveragePool(TWO, TWO),
        "local_statistics": lambda x: local_statistics(x),
    },
    (
        ("GaussianPool, adaptive", "nn.max_pool and the adaptive network", "at most 2.0"),
        ("GaussianPool, adaptive", "MaxPool and the adaptive network", "-"),
        ("MaxEntropyPool, adaptive", "nn.max_pool and the adaptive network", "-"),
        ("local_statistics", "AveragePool", "-"),
    ),
)
CONVS = Contenders(
    {
        "nn.Conv": nn.Conv(CHANNELS, (3, 3)),
        "DisentangledConv, radius 2": DisentangledConv(CHANNELS, (3, 3)),
        "DisentangledConv, a sigma per channel": DisentangledConv(CHANNELS, (3, 3), per_channel=True),
        "DisentangledConv, fixed sigma": DisentangledConv(CHANNELS, (3, 3), learn_sigma=False),
        "by depthwise convolutions": DepthwiseBlurConv(),
        "DisentangledConv, folded": DisentangledConv(CHANNELS, (3, 3), fold=True),
    },
    (
        ("DisentangledConv, radius 2", "nn.Conv", "at most 1.35"),
        ("DisentangledConv, a sigma per channel", "nn.Conv", "-"),
        ("DisentangledConv, fixed sigma", "nn.Conv", "-"),
        ("by depthwise convolutions", "nn.Conv", "-"),
        ("DisentangledConv, folded", "nn.Conv", "-"),
    ),
)

DEPTHWISE_CONV = functools.partial(nn.Conv, CHANNELS, (3, 3), feature_group_count=CHANNELS, use_bias=False)
SLICES = functools.partial(DEPTHWISE_CONV, conv_general_dilated=conv_general_dilated)
DEPTHWISE = Contenders(
    {
        "XLA, stride 1": DEPTHWISE_CONV(),
        "shifted slices, stride 1": SLICES(),
        "XLA, stride 2": DEPTHWISE_CONV(strides=2),
        "shifted slices, stride 2": SLICES(strides=2),
    },
    (("shifted slices, stride 1", "XLA, stride 1", "-"), ("shifted slices, stride 2", "XLA, stride 2", "-")),
)


def forward_backward(layer: Any, batch_size: int) -> Callable[[], Any]:
    """Returns a call of the compiled layer in training mode and of its gradient for input and parameters."""
    key = jax.random.key(0)
    x = jax.random.normal(key, (batch_size, SIDE, SIDE, CHANNELS))
    mode: dict[str, Any] = (
        {} if isinstance(layer, nn.Conv | DisentangledConv | DepthwiseBlurConv) else {"deterministic": False}
    )
    variables: dict[str, Any] = {}
    if isinstance(layer, nn.Module):
        variables = dict(layer.init({"params": key, "dropout": key}, x, **mode))

    def output(params: Any, x: Array) -> Any:
        if not isinstance(layer, nn.Module):
            return layer(x)
        all_variables = {**variables, "params": params}
        return layer.apply(all_variables, x, **mode, rngs={"dropout": key}, mutable=["batch_stats"])[0]

    params = variables.get("params", {})
    cotangent = jax.tree.map(lambda y: jax.random.normal(key, y.shape, y.dtype), jax.eval_shape(output, params, x))

    @jax.jit
    def both(params: Any, x: Array, cotangent: Any) -> Any:
        y, backward = jax.vjp(output, params, x)
        return y, backward(cotangent)

    return lambda: both(params, x, cotangent)
