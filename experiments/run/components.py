"""The functions and layers of the library that a config can name, by name."""

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import flax.linen as nn

from jaxaug import augment, layers, mix, sampling
from jaxaug.models import pooling

Functions = dict[str, Callable[..., Any]]


def functions_taking(package: ModuleType, *parameters: str) -> Functions:
    """Returns the package's public functions with exactly these positional parameters."""

    def positional(function: Callable[..., Any]) -> tuple[str, ...]:
        signature = inspect.signature(function)
        return tuple(p.name for p in signature.parameters.values() if p.kind is not p.KEYWORD_ONLY)

    public = {name: getattr(package, name) for name in package.__all__}
    return {name: f for name, f in public.items() if inspect.isfunction(f) and positional(f) == parameters}


AUGMENTATIONS = functions_taking(augment, "key", "images") | functions_taking(augment, "key", "inputs")
MIXINGS = functions_taking(mix, "key", "images", "labels")
STRATEGIES = functions_taking(sampling, "augment") | functions_taking(sampling)


def always_shaken(
    *, keep_prob: float, alpha: Any = (-1.0, 1.0), beta: Any = (0.0, 1.0), noise_level: Any = "example"
) -> nn.Module:
    """Returns a ShakeDrop that perturbs every branch at every depth: Shake-Shake on a single branch."""
    return layers.ShakeDrop(0.0, alpha, beta, noise_level=noise_level)


# Values of self_paced's threshold that are not numbers.
THRESHOLDS: Functions = {"quantile": lambda *, q: sampling.quantile(q)}
# Layers by the part of a network that they replace.
LAYERS: dict[str, dict[str, Callable[..., nn.Module]]] = {
    "regularizer": {
        "StochasticDepth": layers.StochasticDepth,
        "ShakeDrop": layers.ShakeDrop,
        "ShakeDrop.without_final_relu": layers.ShakeDrop.without_final_relu,
        "ShakeDrop.with_final_relu": layers.ShakeDrop.with_final_relu,
        "always_shaken": always_shaken,
    },
    "pool": {
        "GaussianPool": layers.GaussianPool,
        "MaxEntropyPool": layers.MaxEntropyPool,
        "MaxPool": pooling.MaxPool,
        "AveragePool": pooling.AveragePool,
    },
    "conv": {"DisentangledConv": layers.DisentangledConv},
    "head": {"RotatedDense": layers.RotatedDense},
}
