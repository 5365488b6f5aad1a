"""The state of a run, as one pytree."""

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

# The number that fold_in takes for the scorer. Steps count from 0, and the order of the examples has the next number.
_SCORER = 2**31 - 2


@struct.dataclass
class TrainState:
    """Everything that determines the rest of a run: the same state always takes the same step."""

    step: Any  # int32 scalar: steps taken
    params: Any
    batch_stats: Any  # {} if the network has none
    opt_state: optax.OptState
    strategy_state: Any
    score_state: Any  # of the `Scorer`
    average: Any  # moving average of {"params", "batch_stats"}, or None
    key: Any  # typed base key; step t uses fold_in(key, t)

    @property
    def variables(self) -> dict[str, Any]:
        """The variables of the network in training."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def inference_variables(self) -> dict[str, Any]:
        """The variables of the network in inference: the moving average, if there is one."""
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
    """The state of a run at step 0.

    Args:
      key: PRNG key, consumed; the initial parameters and the run's base key are drawn from it.
      model: Linen module with the `train=` argument of `create_model`'s networks.
      optimizer: optax transformation.
      strategy: decides whom to augment.
      shape: shape of one example, `(H, W, C)` or `(D,)`.
      num_examples: size of the training split, for strategies that remember the loss of every example.
      average: keep an exponential moving average of parameters and batch statistics.
      scorer: the same as in `make_train_step`.
      trained: the same as in `make_train_step`.

    Returns:
      A `TrainState` at step 0.

    Raises:
      TypeError: `key` is not a typed key.
      ValueError: the model does not accept examples of this shape, or `trained` is "head" and it has no classifier.

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
    """Returns the tree without weak dtypes, which come from Python numbers: a step would return strong ones."""

    def typed(leaf: Any) -> jax.Array:
        leaf = jnp.asarray(leaf)
        return jax.lax.convert_element_type(leaf, leaf.dtype) if leaf.aval.weak_type else leaf

    return jax.tree.map(typed, tree)
