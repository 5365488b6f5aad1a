"""One training step and one evaluation step, as pure functions."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxaug.checks import check_number
from jaxaug.sampling import Strategy
from jaxaug.training.objective import cross_entropy, smoothed, soft_accuracy, soft_top_accuracy
from jaxaug.training.scoring import Scorer, network_scorer, unchanged
from jaxaug.training.state import TrainState

Batch = dict[str, jax.Array]
Metrics = dict[str, jax.Array]
TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvalStep = Callable[[TrainState, Batch], Metrics]


# What a step and the sums of an epoch hold beside the metrics of a strategy.
_OWN_METRICS = {"loss", "accuracy", "top5", "finite", "examples", "bad_step"}


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    strategy: Strategy,
    *,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    label_smoothing: float | int = 0.0,
    average_decay: float | int | None = None,
    scorer: Scorer | None = None,
) -> TrainStep:
    """The function `(state, batch) -> (state, metrics)` of one step: select, differentiate, update, observe.

    The batch is `{"image": [B, ...], "label": [B, K], "index": [B]}`; a strategy may add `"weight"` `[B]`, which
    multiplies the losses. The key of step t is fold_in(state.key, t), split between the strategy and the network's
    noise. Scores for the strategy are by default taken under the current weights in inference mode, without a gradient
    and without touching the batch statistics.

    Args:
      model: Linen module, `apply(variables, images, train=)`.
      optimizer: optax transformation.
      strategy: decides whom to augment.
      normalize: applied to images on their way into the network, so that augmentations see [0, 1].
      label_smoothing: ε in [0, 1) of the training loss.
      average_decay: decay in [0, 1) of the moving average of the weights; None keeps none.
      scorer: of `jaxaug.training.scoring`, the one that `init_state` was given; None scores exactly.

    Returns:
      The step. Its metrics are scalars: means over the batch of `loss`, `accuracy` and `top5` (label mass, see
      `jaxaug.training.objective`), the strategy's metrics, and `finite`, whether loss and update were, and no
      metric of the strategy NaN.

    Raises:
      ValueError: an option is out of its range; the step: the state has a moving average and `average_decay` is None,
        or the reverse.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxaug import create_model, never
      >>> from jaxaug.training import init_state
      >>> model, optimizer, strategy = create_model("mlp", 2), optax.sgd(0.1), never()
      >>> step = jax.jit(make_train_step(model, optimizer, strategy))
      >>> state = init_state(jax.random.key(0), model, optimizer, strategy, shape=(3,), num_examples=4)
      >>> batch = {"image": jnp.ones((4, 3)), "label": jax.nn.one_hot(jnp.array([0, 1, 0, 1]), 2)}
      >>> state, metrics = step(state, batch)
      >>> int(state.step), bool(metrics["finite"])
      (1, True)
    """
    check_number("make_train_step", "label_smoothing", label_smoothing, 0.0, 1.0, open_high=True)
    if average_decay is not None:
        check_number("make_train_step", "average_decay", average_decay, 0.0, 1.0, open_high=True)

    apply: Callable[..., Any] = model.apply
    scorer = network_scorer(model, normalize=normalize) if scorer is None else scorer

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if (average_decay is None) != (state.average is None):
            raise ValueError(
                "make_train_step takes average_decay for a state of init_state(average=True) and no other; got "
                f"{average_decay} and a state {'without' if state.average is None else 'with'} an average."
            )
        select_key, model_key = jax.random.split(jax.random.fold_in(state.key, state.step))

        def score(scored: Batch) -> jax.Array:
            return scorer.score(state.score_state, state.variables, scored)

        batch, strategy_state, metrics = strategy.select(select_key, state.strategy_state, batch, score)
        if taken := _OWN_METRICS & metrics.keys():
            raise ValueError(f"a strategy's metrics take names of their own; got {', '.join(sorted(taken))}.")

        def objective(params: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            logits, updated = apply(
                {"params": params, "batch_stats": state.batch_stats},
                normalize(batch["image"]),
                train=True,
                mutable=["batch_stats"],
                rngs={"dropout": model_key},
            )
            losses = cross_entropy(logits, smoothed(batch["label"], label_smoothing))
            weighted = losses * batch["weight"] if "weight" in batch else losses
            return jnp.mean(weighted), (logits, updated.get("batch_stats", state.batch_stats))

        (loss, (logits, batch_stats)), grads = jax.value_and_grad(objective, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        metrics = {
            **metrics,
            "loss": loss,
            "accuracy": jnp.mean(soft_accuracy(logits, batch["label"])),
            "top5": jnp.mean(soft_top_accuracy(logits, batch["label"])),
            # The update too: a finite loss can have a gradient that is not, and the next checkpoint would hold it.
            # And what the strategy saw: a NaN there is a network that is broken where it was not trained this time.
            "finite": jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(updates)) & ~_any_nan(metrics),
        }
        # Without smoothing or weight, so that a strategy can compare these losses with its scores.
        losses = cross_entropy(logits, batch["label"])
        return (
            TrainState(
                step=state.step + 1,
                params=params,
                batch_stats=batch_stats,
                opt_state=opt_state,
                strategy_state=strategy.observe(strategy_state, batch, losses),
                score_state=scorer.observe(state.score_state, batch, losses),
                average=_averaged(state, {"params": params, "batch_stats": batch_stats}, average_decay),
                key=state.key,
            ),
            metrics,
        )

    return train_step


def _any_nan(metrics: Metrics) -> jax.Array:
    """Returns whether a strategy met a NaN; infinite it may be, as the loss of an example never seen is."""
    return jnp.stack([jnp.isnan(value).any() for value in metrics.values()] or [jnp.array(False)]).any()


def _averaged(state: TrainState, variables: dict[str, Any], decay: float | int | None) -> Any:
    """Returns a_t = d a_{t-1} + (1 - d) v_t with d = min(decay, t / (t + 10)), so that the start is soon forgotten."""
    if decay is None:
        return state.average
    t = (state.step + 1).astype(jnp.float32)
    d = jnp.minimum(jnp.float32(decay), t / (t + 10.0))
    return jax.tree.map(lambda a, v: d * a + (1.0 - d) * v, state.average, variables)


def make_eval_step(model: nn.Module, *, normalize: Callable[[jax.Array], jax.Array] = unchanged) -> EvalStep:
    """The function `(state, batch) -> metrics` of one inference batch.

    Args:
      model: Linen module, `apply(variables, images, train=)`.
      normalize: applied to images on their way into the network.

    Returns:
      The step. Its metrics are `[B]` arrays, one number per example: `loss` (no smoothing), `accuracy`, `top5`. The
      moving average of the weights is used where the state has one.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from jaxaug import create_model, never
      >>> from jaxaug.training import init_state
      >>> model = create_model("mlp", 2)
      >>> state = init_state(jax.random.key(0), model, optax.sgd(0.1), never(), shape=(3,), num_examples=4)
      >>> metrics = make_eval_step(model)(state, {"image": jnp.ones((4, 3)), "label": jnp.ones((4, 2)) / 2})
      >>> metrics["accuracy"]
      Array([0.5, 0.5, 0.5, 0.5], dtype=float32)
    """
    apply: Callable[..., Any] = model.apply

    def eval_step(state: TrainState, batch: Batch) -> Metrics:
        logits = apply(state.inference_variables, normalize(batch["image"]), train=False)
        return {
            "loss": cross_entropy(logits, batch["label"]),
            "accuracy": soft_accuracy(logits, batch["label"]),
            "top5": soft_top_accuracy(logits, batch["label"]),
        }

    return eval_step
