"""One training step and one evaluation step, as pure functions."""

from collections.abc import Callable
from typing import Any, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from jaxaug.checks import check_choice, check_floating, check_number, described
from jaxaug.sampling import Strategy
from jaxaug.training.losses import cross_entropy, smoothed, soft_accuracy, soft_top_accuracy
from jaxaug.training.scoring import Scorer, network_scorer, unchanged
from jaxaug.training.sharding import replicate, shard_batch
from jaxaug.training.state import TrainState
from jaxaug.training.types import TIMES, Batch, Metrics, TrainablePart
from jaxaug.training.variables import trained_params, with_trained_params

TrainStep = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]
EvalStep = Callable[[TrainState, Batch], Metrics]


# The names in metrics, totals and records that a strategy cannot use for its own metrics.
_RESERVED = {"loss", "accuracy", "top5", "finite", "examples", "bad_step", "skipped", "epoch", "step", *TIMES}
_RESERVED_PREFIXES = ("train_", "validation_", "test_")


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    strategy: Strategy,
    *,
    normalize: Callable[[jax.Array], jax.Array] = unchanged,
    label_smoothing: float | int = 0.0,
    average_decay: float | int | None = None,
    scorer: Scorer | None = None,
    logit_adjustment: Any = None,
    trained: TrainablePart = "all",
) -> TrainStep:
    """The function `(state, batch) -> (state, metrics)` of one step: select, differentiate, update, observe.

    The batch is `{"image": [B, ...], "label": [B, K], "index": [B]}`; a strategy may add `"weight"` `[B]`, which
    multiplies the losses. The key of step t is fold_in(state.key, t), split between the strategy and the network's
    noise. By default, the strategy's scores are losses under the current weights, in inference mode: no gradient is
    taken, and the batch statistics do not change.

    With `trained="head"`, only the classifier is trained, on the features of a frozen trunk (see
    `jaxaug.training.restore_trunk`). The trunk runs in inference mode; gradient, clipping, momentum and weight decay
    apply to the parameters under "classifier" only.

    Args:
      model: Linen module, `apply(variables, images, train=)`.
      optimizer: optax transformation.
      strategy: decides whom to augment.
      normalize: applied to images right before the network, so that augmentations see [0, 1].
      label_smoothing: ε in [0, 1), in the training loss.
      average_decay: decay in [0, 1) of the moving average of the weights; None keeps no average.
      scorer: of `jaxaug.training.scoring`, the same as in `init_state`; None takes exact losses.
      logit_adjustment: floating point `[K]`, added to the logits in the training loss only: not in the accuracy, the
        scores, or the losses that the strategy observes. Use τ `log_prior` for long-tailed data.
      trained: "all", or "head" for a network of `create_model` and a state of `init_state(trained="head")`.

    Returns:
      The step. Its metrics are scalars: the means over the batch of `loss`, `accuracy` and `top5` (label mass, see
      `jaxaug.training.losses`), the strategy's metrics, and `finite`: whether loss and update are finite and no metric
      of the strategy is NaN.

    Raises:
      TypeError: `logit_adjustment` is not floating point, or the network has no methods `features` and `head`.
      ValueError: an option is out of its range. The step raises it if the state has a moving average and
        `average_decay` is None or the reverse, if the state was made for another `trained`, if `logit_adjustment` does
        not have one number for each class, or if the strategy's metrics use a reserved name.

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

    References:
      Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10.
      Kang et al., "Decoupling representation and classifier for long-tailed recognition", ICLR 2020, section 4, cRT.
    """
    check_number("make_train_step", "label_smoothing", label_smoothing, 0.0, 1.0, open_high=True)
    if average_decay is not None:
        check_number("make_train_step", "average_decay", average_decay, 0.0, 1.0, open_high=True)

    check_choice("make_train_step", "trained", trained, get_args(TrainablePart))
    if trained == "head" and not (hasattr(model, "features") and hasattr(model, "head")):
        raise TypeError(
            'make_train_step takes trained="head" for a network with the methods features and head, as those of '
            f"create_model; got {type(model).__name__}. Add the methods, or train all parameters."
        )
    adjustment = None if logit_adjustment is None else _checked_adjustment(logit_adjustment)

    apply: Callable[..., Any] = model.apply
    scorer = network_scorer(model, normalize=normalize) if scorer is None else scorer

    def train_step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        if (average_decay is None) != (state.average is None):
            raise ValueError(
                "make_train_step takes average_decay if and only if init_state had average=True; got average_decay="
                f"{average_decay} and a state {'without' if state.average is None else 'with'} an average."
            )
        select_key, model_key = jax.random.split(jax.random.fold_in(state.key, state.step))

        def score(scored: Batch) -> jax.Array:
            return scorer.score(state.score_state, state.variables, scored)

        batch, strategy_state, metrics = strategy.select(select_key, state.strategy_state, batch, score)
        batch = shard_batch(batch)
        if taken := [name for name in metrics if name in _RESERVED or name.startswith(_RESERVED_PREFIXES)]:
            raise ValueError(
                f"the metrics of a strategy cannot use {', '.join(sorted(_RESERVED))}, or a prefix "
                f"{', '.join(_RESERVED_PREFIXES)}; got {', '.join(sorted(taken))}. Rename them in the strategy."
            )

        images, noise = normalize(batch["image"]), {"dropout": model_key}
        features = None
        if trained == "head":
            features = jax.lax.stop_gradient(apply(state.variables, images, train=False, method="features"))

        def train_logits(params: Any) -> tuple[jax.Array, Any]:
            variables = {"params": params, "batch_stats": state.batch_stats}
            if trained == "head":
                return apply(variables, features, train=True, method="head", rngs=noise), state.batch_stats
            logits, updated = apply(variables, images, train=True, mutable=["batch_stats"], rngs=noise)
            return logits, updated.get("batch_stats", state.batch_stats)

        def mean_loss(part: Any) -> tuple[jax.Array, tuple[jax.Array, Any]]:
            logits, batch_stats = train_logits(with_trained_params(state.params, part, trained))
            losses = cross_entropy(_adjusted(logits, adjustment), smoothed(batch["label"], label_smoothing))
            weighted = losses * batch["weight"] if "weight" in batch else losses
            return jnp.mean(weighted), (logits, batch_stats)

        part = trained_params(state.params, trained)
        _check_opt_state(optimizer, part, state.opt_state, trained)
        (loss, (logits, batch_stats)), grads = jax.value_and_grad(mean_loss, has_aux=True)(part)
        # The sharding of an optimizer's state must not spread to the network's computation.
        updates, opt_state = optimizer.update(replicate(grads), state.opt_state, part)
        updates = replicate(updates)
        params = with_trained_params(state.params, optax.apply_updates(part, updates), trained)
        metrics = {
            **metrics,
            "loss": loss,
            "accuracy": jnp.mean(soft_accuracy(logits, batch["label"])),
            "top5": jnp.mean(soft_top_accuracy(logits, batch["label"])),
            # The update, too: a finite loss can have an infinite gradient, and the next checkpoint would hold it.
            # And the strategy's metrics: a NaN among the scores means a broken network, even if the loss is finite.
            "finite": jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(updates)) & ~_any_nan(metrics),
        }
        # Without smoothing and weights, so that a strategy can compare these losses with its scores.
        losses = cross_entropy(logits, batch["label"])
        return (
            TrainState(
                step=state.step + 1,
                params=params,
                batch_stats=batch_stats,
                opt_state=opt_state,
                strategy_state=strategy.observe(strategy_state, batch, losses),
                score_state=scorer.observe(state.score_state, batch, losses),
                average=_averaged(state, {"params": params, "batch_stats": batch_stats}, average_decay, trained),
                key=state.key,
            ),
            metrics,
        )

    return train_step


def _any_nan(metrics: Metrics) -> jax.Array:
    """Returns whether a metric is NaN. Infinity is allowed: it is the stored loss of an example not seen yet."""
    return jnp.stack([jnp.isnan(value).any() for value in metrics.values()] or [jnp.array(False)]).any()


def _averaged(state: TrainState, variables: dict[str, Any], decay: float | int | None, trained: TrainablePart) -> Any:
    """Returns a_t = d a_{t-1} + (1 - d) v_t with d = min(decay, t / (t + 10)), so the first weights fade quickly."""
    if decay is None:
        return state.average
    t = (state.step + 1).astype(jnp.float32)
    d = jnp.minimum(jnp.float32(decay), t / (t + 10.0))

    def mean(average: Any, new: Any) -> Any:
        return jax.tree.map(lambda a, v: d * a + (1.0 - d) * v, average, new)

    if trained == "all":
        return mean(state.average, variables)
    # Frozen parameters are not averaged: rounding can change even the mean of two equal numbers.
    averaged, head = state.average["params"], trained_params(variables["params"], trained)
    head = mean(trained_params(averaged, trained), head)
    return {**state.average, "params": with_trained_params(averaged, head, trained)}


def _checked_adjustment(logit_adjustment: Any) -> jax.Array:
    adjustment = jnp.asarray(logit_adjustment)
    check_floating("make_train_step", adjustment, rank=1, what="logit_adjustment", axes="[K]")
    if not jnp.isfinite(adjustment).all():
        raise ValueError(f"make_train_step takes finite numbers for logit_adjustment; got {adjustment.tolist()}.")
    return adjustment


def _adjusted(logits: jax.Array, adjustment: jax.Array | None) -> jax.Array:
    """Returns the logits with the adjustment added to every row."""
    if adjustment is None:
        return logits
    if adjustment.shape != logits.shape[-1:]:
        raise ValueError(
            f"make_train_step takes a logit_adjustment with one number for each class; got {described(adjustment)} for "
            f"logits {described(logits)}."
        )
    return logits + adjustment.astype(logits.dtype)[None]


def _check_opt_state(
    optimizer: optax.GradientTransformation, part: Any, opt_state: Any, trained: TrainablePart
) -> None:
    """Raises unless the optimizer's state is that of the trained parameters."""
    expected, given = (
        [path for path, _ in jax.tree_util.tree_leaves_with_path(tree)]
        for tree in (jax.eval_shape(optimizer.init, part), opt_state)
    )
    if expected != given:
        raise ValueError(
            f'make_train_step(trained="{trained}") takes a state of init_state(trained="{trained}") with the same '
            "optimizer; got an optimizer state of other parameters. Pass both functions the same arguments."
        )


def make_eval_step(model: nn.Module, *, normalize: Callable[[jax.Array], jax.Array] = unchanged) -> EvalStep:
    """The function `(state, batch) -> metrics` of one inference batch.

    Args:
      model: Linen module, `apply(variables, images, train=)`.
      normalize: applied to images right before the network.

    Returns:
      The step. Its metrics are `[B]` arrays, one number per example: `loss` (without smoothing), `accuracy` and `top5`.
      It uses the moving average of the weights, if the state has one.

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
