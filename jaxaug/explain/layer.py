"""Splits a network in two at any of its layers."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

from jaxaug.checks import unknown

# Variable collections, because these also work for layers under `nn.remat` or `nn.jit`.
_READ, _REPLACED = "intermediates", "replaced_output"


def features_and_head(
    module: nn.Module, variables: Any, images: Array, layer: str, **options: Any
) -> tuple[Any, Callable[[Array], Any]]:
    """Returns the output of a named layer, and the function from that output to the output of the network.

    head(a) is the output of the network for the same images, with the output of the layer replaced by a wherever it is
    used. So head(features) is the unchanged output, and the gradient of head at the features is ∂y / ∂A, even if
    shortcuts bypass the layer. Under `jit`, head skips computations that only lead to the layer.

    Args:
      module: a Linen module, images -> logits.
      variables: variables of the module, as returned by `module.init`.
      images: `[B, H, W, C]`, or any other input of the module.
      layer: the path of a submodule, with names joined by "/", such as "trunk/stage2_block1". It must be called exactly
        once, and not inside `nn.scan` or `nn.vmap`.
      **options: options of `module.apply`, such as `train=False`.

    Returns:
      The output of the layer, and a function `head` from such an output for the same batch to the output of the module.

    Raises:
      ValueError: the module has no such layer or calls it several times, or the layer does not return a single array.

    Example:
      >>> import flax.linen as nn, jax, jax.numpy as jnp
      >>> from jaxaug.explain import grad_cam
      >>> class Net(nn.Module):
      ...     @nn.compact
      ...     def __call__(self, x):
      ...         x = nn.relu(nn.Conv(4, (3, 3), name="first")(x))
      ...         x = nn.relu(nn.Conv(8, (3, 3), strides=2, name="second")(x))
      ...         return nn.Dense(3)(x.mean(axis=(1, 2)))
      >>> net, images = Net(), jnp.ones((2, 8, 6, 1))
      >>> variables = net.init(jax.random.key(0), images)
      >>> features, head = features_and_head(net, variables, images, "first")
      >>> features.shape, head(features).shape
      ((2, 8, 6, 4), (2, 3))
      >>> grad_cam(head, features, jnp.array([0, 2])).shape
      (2, 8, 6)
    """
    path = tuple(layer.split("/")) if layer else ()

    def outputs(wanted: Callable[[nn.Module, str], bool]) -> dict[tuple[str, ...], Any]:
        _, state = module.apply(variables, images, capture_intermediates=wanted, mutable=[_READ], **options)
        return {key[:-1]: value for key, value in flatten_dict(state.get(_READ, {})).items() if key[-1] == "__call__"}

    calls = outputs(lambda submodule, method: method == "__call__" and submodule.path == path).get(path)
    if calls is None:
        layers = jax.eval_shape(lambda: outputs(lambda submodule, method: method == "__call__"))
        unknown(layer, ("/".join(key) for key in layers if key), f"layer of {type(module).__name__}")
    if len(calls) != 1:
        raise ValueError(
            f"features_and_head takes a layer that is called once; {layer!r} is called {len(calls)} times."
        )
    features = calls[0]
    if not hasattr(features, "shape"):
        raise ValueError(
            f"features_and_head takes a layer that returns one array; {layer!r} returns {type(features).__name__}."
        )

    def head(features: Array) -> Any:
        def replace(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            if context.method_name == "__call__" and context.module.path == path:
                return context.module.get_variable(_REPLACED, "output")
            return call(*args, **kwargs)

        with nn.intercept_methods(replace):
            return module.apply(
                {**variables, _REPLACED: unflatten_dict({(*path, "output"): features})}, images, **options
            )

    return features, head
