"""A network cut in two at any of its layers."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

from jaxaug.checks import unknown

# Collections of variables, so that what is computed under `nn.remat` or `nn.jit` can be read and replaced too.
_READ, _REPLACED = "intermediates", "replaced_output"


def features_and_head(
    module: nn.Module, variables: Any, images: Array, layer: str, **options: Any
) -> tuple[Any, Callable[[Array], Any]]:
    """The output of a named layer, and the function from that output to the output of the network.

    head(a) is the network on the same images with the output of the layer replaced by a, wherever it is used:
    head(features) is the network's own output, and the gradient of head at the features is ∂y / ∂A, also where
    shortcuts pass the layer by. What only led to the layer is not computed under `jit`.

    Args:
      module: a Linen module, images -> logits.
      variables: what `module.init` returned.
      images: `[B, H, W, C]`, or whatever the module takes.
      layer: the path of a submodule, names joined by "/", as "trunk/stage2_block1"; it is called once. Layers inside
        `nn.scan` or `nn.vmap` cannot be reached.
      **options: handed to `module.apply`, as `train=False`.

    Returns:
      The output of the layer, and a function `head` from such an output, of the same batch, to the module's output.

    Raises:
      ValueError: the module has no such layer, calls it several times, or it returns no single array.

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

    found = outputs(lambda submodule, method: method == "__call__" and submodule.path == path).get(path)
    if found is None:
        every = jax.eval_shape(lambda: outputs(lambda submodule, method: method == "__call__"))
        unknown(layer, ("/".join(key) for key in every if key), f"layer of {type(module).__name__}")
    if len(found) != 1:
        raise ValueError(
            f"features_and_head takes a layer that is called once; {layer!r} is called {len(found)} times."
        )
    features = found[0]
    if not hasattr(features, "shape"):
        raise ValueError(
            f"features_and_head takes a layer that returns one array; {layer!r} returns {type(features).__name__}."
        )

    def head(features: Array) -> Any:
        def replacing(call: Callable[..., Any], args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            if context.method_name == "__call__" and context.module.path == path:
                return context.module.get_variable(_REPLACED, "output")
            return call(*args, **kwargs)

        with nn.intercept_methods(replacing):
            return module.apply(
                {**variables, _REPLACED: unflatten_dict({(*path, "output"): features})}, images, **options
            )

    return features, head
