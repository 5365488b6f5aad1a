"""Every public function of the library's pure packages, ready to be called: found by introspection.

A new function needs a row only where a parameter has a name that no other function uses, or holds a function.
"""

import dataclasses
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxaug import explain, layers, mix

PACKAGES = ("augment", "mix", "layers", "explain", "targets")
CLASSES = 10

Inputs = dict[str, Any]

# Options without a default, by name.
OPTIONS: Mapping[str, Any] = {
    "prob": 0.5,
    "strength": 0.4,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.4,
    "hue": 0.1,
    "threshold": 0.5,
    "bits": 4,
    "sigma": 1.0,
    "stddev": 0.1,
    "keep_prob": 0.6,
    "mu": 0.1,
    "scale": 0.7,
    "radius": 2,
    "num_blocks": 4,
}

# What only moves or erases pixels: the accelerator gives the CPU's bits.
EXACT = frozenset({"apply_ricap", "crop", "cutout", "flip_left_right", "flip_up_down"})

# Fields of the layers that have no default.
_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "DisentangledConv": {"features": 8, "kernel_size": (3, 3)},
    "RotatedDense": {"features": CLASSES},
    "ShakeDrop": {"keep_prob": 0.6},
    "StochasticDepth": {"keep_prob": 0.6},
}


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A public function or layer: `call(key, inputs)` gives what it returns, and its gradient where it is a layer."""

    name: str
    call: Callable[[jax.Array, Inputs], Any]


def packages() -> dict[str, ModuleType]:
    """Returns the packages whose functions are pure, as many as there are."""
    found = (name for name in PACKAGES if importlib.util.find_spec(f"jaxaug.{name}"))
    return {name: importlib.import_module(f"jaxaug.{name}") for name in found}


def cases(package: ModuleType) -> list[Case]:
    """Returns a case for each public function and layer of a package; types that only hold values have none.

    Raises:
      ValueError: a parameter whose value is unknown here.
    """
    differentiated = package.__name__ == "jaxaug.layers"
    found = []
    for name in package.__all__:
        public = getattr(package, name)
        if name in _BY_NAME:
            call = _BY_NAME[name]
        elif inspect.isclass(public) and issubclass(public, nn.Module):
            call = _layer(public)
        elif inspect.isfunction(public):
            call = _function(public)
        else:
            continue
        found.append(Case(name, _with_gradient(call) if differentiated else call))
    return found


def inputs(dtype: Any, *, batch: int = 3, size: tuple[int, int] = (8, 12), seed: int = 0) -> Inputs:
    """Returns the arrays that the cases read, on the host, those of images and features in this dtype."""
    rng = np.random.default_rng(seed)
    image, feature = (batch, *size, 3), (batch, *size, 8)
    floating = {
        "images": rng.uniform(0.1, 0.9, image),
        "inputs": rng.uniform(0.1, 0.9, image),
        "x": rng.normal(size=feature),
        "a": rng.normal(size=feature),
        "b": rng.normal(size=feature),
        "features": rng.normal(size=feature),
        "vectors": rng.normal(size=(batch, 8)),
        "maps": rng.normal(size=(batch, *size)),
        "field": rng.uniform(0.0, 1.0, size),
        "kernel": rng.normal(size=(8, CLASSES)),
        "filters": rng.normal(size=(3, 3, 3, 8)) / 5,
    }
    classes = rng.integers(0, CLASSES, batch).astype(np.int32)
    return {
        **{name: value.astype(dtype) for name, value in floating.items()},
        "labels": (np.eye(CLASSES)[classes] * 0.9 + 0.1 / CLASSES).astype(np.float32),
        "classes": classes,
    }


def _function(function: Callable[..., Any]) -> Callable[[jax.Array, Inputs], Any]:
    """Returns the call of a function, its required arguments found by their names."""
    required = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty]
    arrays = inputs(jnp.float32, batch=1)
    for parameter in required:
        if parameter.name not in {"key", *arrays, *OPTIONS}:
            raise ValueError(
                f"no value is known for the argument {parameter.name} of {function.__name__}; "
                "add it to the tables of experiments/accelerator/check/cases.py."
            )

    def call(key: jax.Array, given: Inputs) -> Any:
        known = {**OPTIONS, **given, "key": key}
        positional = [known[p.name] for p in required if p.kind is not p.KEYWORD_ONLY]
        return function(*positional, **{p.name: known[p.name] for p in required if p.kind is p.KEYWORD_ONLY})

    return call


def _layer(layer: type[nn.Module]) -> Callable[[jax.Array, Inputs], Any]:
    """Returns the call of a layer in training, its parameters drawn in the same program."""
    fields = _FIELDS.get(layer.__name__, {})
    typed = any(field.name == "dtype" for field in dataclasses.fields(layer))
    parameters = inspect.signature(layer.__call__).parameters
    names = {"ShakeShake": ("a", "b"), "RotatedDense": ("vectors",)}.get(layer.__name__, ("x",))
    options = {"deterministic": False} if "deterministic" in parameters else {}

    def call(key: jax.Array, given: Inputs) -> Any:
        arguments = [given[name] for name in names]
        init_key, noise_key = jax.random.split(key)
        rngs = {"params": init_key, "dropout": noise_key}
        module = layer(**fields, **({"dtype": arguments[0].dtype} if typed else {}))
        return module.init_with_output(rngs, *arguments, **options)[0]  # pyright: ignore[reportArgumentType]

    return call


def _with_gradient(call: Callable[[jax.Array, Inputs], Any]) -> Callable[[jax.Array, Inputs], Any]:
    """Returns a call that gives the value, and the gradient of a fixed combination of its entries."""

    def both(key: jax.Array, given: Inputs) -> Any:
        floating = {name: x for name, x in given.items() if jnp.issubdtype(x.dtype, jnp.floating)}
        value, pullback = jax.vjp(lambda inner: call(key, {**given, **inner}), floating)
        return value, pullback(jax.tree.map(_weights, value))

    return both


def _weights(x: jax.Array) -> jax.Array:
    """Returns fixed numbers in [-1, 1] of the shape and dtype of x."""
    return jnp.cos(jnp.arange(x.size, dtype=jnp.float32)).reshape(x.shape).astype(x.dtype)


class _Network(nn.Module):
    """Two layers whose parameters are drawn in the program that calls them."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(4, (3, 3), dtype=x.dtype, name="first")(x))
        return nn.Dense(CLASSES, dtype=x.dtype)(x.mean(axis=(1, 2)))


def _features(given: Inputs) -> Callable[[jax.Array], jax.Array]:
    def features(images: jax.Array) -> jax.Array:
        layout = ("NHWC", "HWIO", "NHWC")
        return nn.relu(jax.lax.conv_general_dilated(images, given["filters"], (1, 1), "SAME", dimension_numbers=layout))

    return features


def _head(given: Inputs) -> Callable[[jax.Array], jax.Array]:
    return lambda features: features.mean(axis=(1, 2)) @ given["kernel"]


def _features_and_head(key: jax.Array, given: Inputs) -> Any:
    network, images = _Network(), given["images"]
    features, head = explain.features_and_head(network, network.init(key, images), images, "first")
    return features, head(features)


def _mix_labels(key: jax.Array, given: Inputs) -> Any:
    plan = mix.ricap_plan(key, given["images"].shape)
    return mix.mix_labels(plan.source, plan.weight, given["labels"])


# Functions whose arguments are functions, or come from another function.
_BY_NAME: Mapping[str, Callable[[jax.Array, Inputs], Any]] = {
    "ricap_plan": lambda key, given: mix.ricap_plan(key, given["images"].shape),
    "apply_ricap": lambda key, given: mix.apply_ricap(mix.ricap_plan(key, given["images"].shape), given["images"]),
    "mix_labels": _mix_labels,
    "rotated_logits": lambda key, given: layers.rotated_logits(key, given["vectors"], given["kernel"]),
    "grad_cam": lambda key, given: explain.grad_cam(_head(given), given["features"], given["classes"]),
    "guided_gradients": lambda key, given: explain.guided_gradients(
        lambda images: _head(given)(_features(given)(images)), given["images"], given["classes"]
    ),
    "guided_grad_cam": lambda key, given: explain.guided_grad_cam(
        _features(given), _head(given), given["images"], given["classes"]
    ),
    "effective_receptive_field": lambda key, given: explain.effective_receptive_field(
        _features(given), given["images"]
    ),
    "features_and_head": _features_and_head,
}
