"""The initial state of a second stage of training: the trunk of a finished run, and a new classifier."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from jaxaug.training.load_weights import load_variables
from jaxaug.training.state import TrainState
from jaxaug.training.variables import HEAD


def restore_trunk(state: TrainState, directory: str | pathlib.Path) -> TrainState:
    """The state with the trunk of another run: all parameters except the classifier's, and the batch statistics.

    The trunk is that of inference in the newest intact checkpoint: of the moving average of the weights, if the other
    run has one. The other run may have another classifier, optimizer or strategy. Its checkpoints stay unchanged.

    Args:
      state: of `init_state(trained="head")`, for a network with the same trunk.
      directory: of the other run's `Checkpoints`.

    Returns:
      The state, for `make_train_step(trained="head")`; if it has a moving average, that has the trunk, too.

    Raises:
      FileNotFoundError: there is no intact checkpoint.
      ValueError: the checkpoint has another trunk; the message says what differs.

    Example:
      >>> import tempfile
      >>> import jax, optax
      >>> from jaxaug import create_model, never
      >>> from jaxaug.training import Checkpoints, init_state
      >>> parts, data = (create_model("mlp", 2), optax.sgd(0.1), never()), {"shape": (3,), "num_examples": 4}
      >>> first = init_state(jax.random.key(0), *parts, **data)
      >>> second = init_state(jax.random.key(1), *parts, **data, trained="head")
      >>> with tempfile.TemporaryDirectory() as directory:
      ...     with Checkpoints(directory) as checkpoints:
      ...         checkpoints.save(first, {})
      ...     second = restore_trunk(second, directory)
      >>> same = jax.tree.map(lambda a, b: bool((a == b).all()), second.params, first.params)
      >>> jax.tree.all(same["trunk"]), same["classifier"]["kernel"]
      (True, False)

    References:
      Kang et al., "Decoupling representation and classifier for long-tailed recognition", ICLR 2020, section 4, cRT.
    """
    ours = {"params": {k: v for k, v in state.params.items() if k != HEAD}, "batch_stats": state.batch_stats}
    return _with_variables(state, load_variables(directory, ours, what="trunk", without=HEAD).variables)


def _with_variables(state: TrainState, trunk: dict[str, Any]) -> TrainState:
    """Returns the state with this trunk and its own classifier."""
    params = {**trunk["params"], HEAD: state.params[HEAD]}
    average = state.average
    if average is not None:
        # Copied, since a step donates the state's buffers, and none can be donated twice.
        copied = jax.tree.map(jnp.copy, trunk)
        average = {**copied, "params": {**copied["params"], HEAD: average["params"][HEAD]}}
    return dataclasses.replace(state, params=params, batch_stats=trunk["batch_stats"], average=average)
