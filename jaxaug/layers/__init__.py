"""Where else noise and priors enter: layers that regularise in feature space."""

from jaxaug.layers.depth import linear_decay
from jaxaug.layers.shake_drop import ShakeDrop, shake_drop, shake_drop_expected
from jaxaug.layers.shake_shake import ShakeShake, shake_shake
from jaxaug.layers.stochastic_depth import StochasticDepth, stochastic_depth

__all__ = [
    "ShakeDrop",
    "ShakeShake",
    "StochasticDepth",
    "linear_decay",
    "shake_drop",
    "shake_drop_expected",
    "shake_shake",
    "stochastic_depth",
]
