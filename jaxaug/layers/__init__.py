"""Layers that add noise or a prior inside a network: pure functions, and thin Linen modules of the same methods."""

from jaxaug.layers._gaussian_filter import gaussian_filter, gaussian_kernel
from jaxaug.layers._gaussian_pool import GaussianPool, gaussian_pool
from jaxaug.layers._local_statistics import local_statistics
from jaxaug.layers._max_entropy_pool import MaxEntropyPool, max_entropy_pool
from jaxaug.layers._rotated_logits import RotatedDense, rotated_logits
from jaxaug.layers._shake_drop import ShakeDrop, shake_drop, shake_drop_expected
from jaxaug.layers._shake_shake import ShakeShake, shake_shake
from jaxaug.layers._stochastic_depth import StochasticDepth, stochastic_depth
from jaxaug.layers.depth import linear_decay
from jaxaug.layers.disentangled_conv import DisentangledConv

__all__ = [
    "DisentangledConv",
    "GaussianPool",
    "MaxEntropyPool",
    "RotatedDense",
    "ShakeDrop",
    "ShakeShake",
    "StochasticDepth",
    "gaussian_filter",
    "gaussian_kernel",
    "gaussian_pool",
    "linear_decay",
    "local_statistics",
    "max_entropy_pool",
    "rotated_logits",
    "shake_drop",
    "shake_drop_expected",
    "shake_shake",
    "stochastic_depth",
]
