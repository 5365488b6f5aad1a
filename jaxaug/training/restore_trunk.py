"""A new classifier on the features of a finished run: the state that such a second stage begins with."""

import dataclasses
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from jaxaug.training.load_weights import load_variables
from jaxaug.training.state import TrainState
from jaxaug.training.variables import HEAD


def restore_trunk(state: TrainState, directory: str | pathlib.Path) -> TrainState:
    """The state with the trunk of another run: all its parameters but the classifier's, and its batch statistics.

    They are those of inference in the newest checkpoint that is whole: of the moving average of the weights where
    that run keeps one. The other run may have another classifier, optimizer or strategy. It is only read.

    Args:
      state: of `init_state(trained="head")`, of a network with the same trunk.
      directory: of the other run's `Checkpoints`.

    Returns:
      The state, for `make_train_step(trained="head")`; its moving average, where it has one, has that trunk too.

    Raises:
      FileNotFoundError: there is no checkpoint that is whole.
      ValueError: the trunk is another one; the sentence names what differs.

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
    """Returns the state with these, beside its own classifier."""
    params = {**trunk["params"], HEAD: state.params[HEAD]}
    average = state.average
    if average is not None:
        # Copied: a step is given the state's buffers, and cannot be given one twice.
        copied = jax.tree.map(jnp.copy, trunk)
        average = {**copied, "params": {**copied["params"], HEAD: average["params"][HEAD]}}
    return dataclasses.replace(state, params=params, batch_stats=trunk["batch_stats"], average=average)
