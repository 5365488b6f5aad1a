"""The variables of a network: their initial values, and the part that is trained."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxaug.training.types import TrainablePart

HEAD = "classifier"  # the name of the head's parameters in the networks of `jaxaug.models`


def initial_variables(key: jax.Array, model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """Returns initial parameters and batch statistics (`{}` if the network has none) for examples of this shape."""
    # Compiled: run operation by operation, the initialization of a deep network takes longer than its first step.
    init = jax.jit(lambda k: model.init(k, jnp.zeros((1, *shape), jnp.float32), train=False))
    variables = init(key)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}


def trained_params(params: Any, trained: TrainablePart) -> Any:
    """Returns the parameters that the optimizer sees: all of them, or those of the classifier."""
    if trained == "all":
        return params
    if HEAD not in params:
        raise ValueError(
            f'trained="head" takes a network with parameters under {HEAD!r}, as those of create_model have; '
            f"got {', '.join(params)}. Name its last layer {HEAD!r}, or train all parameters."
        )
    return params[HEAD]


def with_trained_params(params: Any, part: Any, trained: TrainablePart) -> Any:
    """Returns the parameters with the part of `trained_params` replaced."""
    return part if trained == "all" else {**params, HEAD: part}


def abstract_variables(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """The shapes and dtypes of a model's variables, computed without any memory for them.

    Args:
      model: Linen module with the `train=` argument of `create_model`'s networks.
      shape: shape of one example, `(H, W, C)` or `(D,)`.

    Returns:
      {"params", "batch_stats"} of `jax.ShapeDtypeStruct`, as `load_variables` takes them.

    Example:
      >>> from jaxaug import create_model
      >>> abstract_variables(create_model("mlp", 3), (4,))["params"]["classifier"]["bias"].shape
      (3,)
    """
    return jax.eval_shape(lambda key: initial_variables(key, model, shape), jax.random.key(0))
