"""Everything that a run is, as one pytree."""

from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from jaxaug.checks import check_choice, check_key
from jaxaug.sampling import Strategy
from jaxaug.training.scoring import Scorer
from jaxaug.training.types import TrainablePart
from jaxaug.training.variables import initial_variables, trained_params

# fold_in's number for the scorer; steps count from 0, the orders of epochs are at the end, and neither comes here.
_SCORER = 2**31 - 2


@struct.dataclass
class TrainState:
    """What a training step takes and returns; the same state always takes the same step."""

    step: Any  # int32 scalar: steps taken
    params: Any
    batch_stats: Any  # {} where the network keeps none
    opt_state: optax.OptState
    strategy_state: Any
    score_state: Any  # of the scorer
    average: Any  # moving average of {"params", "batch_stats"}, or None
    key: Any  # typed base key; step t uses fold_in(key, t)

    @property
    def variables(self) -> dict[str, Any]:
        """What the network is applied with in training."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def inference_variables(self) -> dict[str, Any]:
        """What the network is applied with in inference: the moving average where there is one."""
        return self.variables if self.average is None else self.average


def init_state(
    key: jax.Array,
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    strategy: Strategy,
    *,
    shape: tuple[int, ...],
    num_examples: int,
    average: bool = False,
    scorer: Scorer | None = None,
    trained: TrainablePart = "all",
) -> TrainState:
    """The state of a run that has taken no step.

    Args:
      key: PRNG key; the parameters and the run's base key are drawn from it.
      model: Linen module with the `train=` argument of `create_model`'s networks.
      optimizer: optax transformation.
      strategy: decides whom to augment.
      shape: shape of one example, `(H, W, C)` or `(D,)`.
      num_examples: size of the training split, for strategies that remember every example.
      average: keep an exponential moving average of parameters and batch statistics.
      scorer: of `jaxaug.training.scoring`, as `make_train_step` is given; None scores exactly.
      trained: what the optimizer keeps a state of, as `make_train_step` is given it.

    Returns:
      A `TrainState` at step 0.

    Raises:
      TypeError: `key` is no typed key.
      ValueError: the model cannot take examples of this shape, or has no classifier to be trained alone.

    Example:
      >>> import jax, optax
      >>> from jaxaug import create_model, never
      >>> state = init_state(
      ...     jax.random.key(0), create_model("mlp", 3), optax.sgd(0.1), never(), shape=(4,), num_examples=120)
      >>> int(state.step)
      0
    """
    check_key("init_state", key)
    check_choice("init_state", "trained", trained, get_args(TrainablePart))
    params_key, run_key = jax.random.split(key)
    score_state = () if scorer is None else scorer.init(jax.random.fold_in(run_key, _SCORER), shape, num_examples)
    variables = initial_variables(params_key, model, shape)
    params, batch_stats = variables["params"], variables["batch_stats"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=batch_stats,
        opt_state=_strongly_typed(optimizer.init(trained_params(params, trained))),
        strategy_state=_strongly_typed(strategy.init(num_examples)),
        score_state=_strongly_typed(score_state),
        average=jax.tree.map(jnp.copy, variables) if average else None,
        key=run_key,
    )


def _strongly_typed(tree: Any) -> Any:
    """Returns the tree with the dtypes that a step gives back: one that began as a Python number has a weak one."""

    def typed(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        return jax.lax.convert_element_type(leaf, leaf.dtype) if leaf.aval.weak_type else leaf

    return jax.tree.map(typed, tree)
