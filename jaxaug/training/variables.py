"""What a network is applied with, before training."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def initial_variables(key: jax.Array, model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    """Returns parameters and batch statistics (`{}` where the network keeps none) for examples of a shape."""
    # Compiled: op by op, the initialisation of a deep network takes longer than its first step.
    init = jax.jit(lambda k: model.init(k, jnp.zeros((1, *shape), jnp.float32), train=False))
    variables = init(key)
    return {"params": variables["params"], "batch_stats": variables.get("batch_stats", {})}
