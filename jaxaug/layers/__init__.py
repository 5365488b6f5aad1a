"""Where else noise and priors enter: layers that regularize in feature space, and layers with a prior's parameters."""

from jaxaug.layers.depth import linear_decay
from jaxaug.layers.disentangled_conv import DisentangledConv
from jaxaug.layers.gaussian_filter import gaussian_filter, gaussian_kernel
from jaxaug.layers.gaussian_pool import GaussianPool, gaussian_pool
from jaxaug.layers.local_statistics import local_statistics
from jaxaug.layers.max_entropy_pool import MaxEntropyPool, max_entropy_pool
from jaxaug.layers.rotated_logits import RotatedDense, rotated_logits
from jaxaug.layers.shake_drop import ShakeDrop, shake_drop, shake_drop_expected
from jaxaug.layers.shake_shake import ShakeShake, shake_shake
from jaxaug.layers.stochastic_depth import StochasticDepth, stochastic_depth

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
