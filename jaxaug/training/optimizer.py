"""Optimizers and learning-rate schedules in epochs, built from optax."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import optax

from jaxaug.checks import check_choice, check_number

ScheduleKind = Literal["step", "cosine", "constant"]
OptimizerKind = Literal["sgd", "adam"]
DecayedKind = Literal["kernels", "all"]


def make_schedule(
    kind: ScheduleKind = "cosine",
    *,
    learning_rate: float | int,
    epochs: int,
    steps_per_epoch: int,
    milestones: Sequence[float | int] = (),
    factor: float | int = 0.1,
    warmup_epochs: float | int = 0.0,
) -> Callable[[Any], jax.Array]:
    """The learning rate as a function of the step, for a schedule given in epochs.

    With e = step / steps_per_epoch: "step" is lr factor^#{m in milestones: e >= m}, "cosine" is
    lr (1 + cos(π (e - w) / (E - w))) / 2 after w warm-up epochs of E, "constant" is lr. Warm-up multiplies by
    (step + 1) / (w steps_per_epoch) until that reaches 1.

    Args:
      kind: "step", "cosine" or "constant".
      learning_rate: the peak, above 0.
      epochs: length of the run, above 0.
      steps_per_epoch: steps in an epoch, at least 1.
      milestones: the epochs at which "step" multiplies by `factor`.
      factor: usually in (0, 1]; at least 0.
      warmup_epochs: length of the linear warm-up, at least 0.

    Returns:
      A function step -> float32 learning rate, an optax schedule.

    Raises:
      ValueError: a number is out of its range, or `kind` is unknown.

    Example:
      >>> rate = make_schedule(
      ...     "step", learning_rate=0.1, epochs=200, steps_per_epoch=10, milestones=(60, 120), factor=0.2)
      >>> [round(float(rate(step)), 4) for step in (0, 599, 600, 1200)]
      [0.1, 0.1, 0.02, 0.004]

    References:
      Loshchilov, Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017, equation 5.
    """
    check_choice("make_schedule", "kind", kind, get_args(ScheduleKind))
    check_number("make_schedule", "learning_rate", learning_rate, 0.0, open_low=True)
    check_number("make_schedule", "epochs", epochs, 0.0, open_low=True)
    check_number("make_schedule", "steps_per_epoch", steps_per_epoch, 1)
    check_number("make_schedule", "factor", factor, 0.0)
    check_number("make_schedule", "warmup_epochs", warmup_epochs, 0.0)
    warmup_steps = warmup_epochs * steps_per_epoch
    # Compared in whole steps: a quotient of floats could land on the wrong side of a milestone.
    boundaries = [round(m * steps_per_epoch) for m in milestones]

    def rate(step: Any) -> jax.Array:
        count = jnp.asarray(step, jnp.int32)
        scale = jnp.float32(1.0)
        if kind == "step":
            for boundary in boundaries:
                scale = jnp.where(count >= boundary, scale * factor, scale)
        elif kind == "cosine":
            done = (count.astype(jnp.float32) - warmup_steps) / max(epochs * steps_per_epoch - warmup_steps, 1)
            scale = 0.5 * (1.0 + jnp.cos(jnp.pi * jnp.clip(done, 0.0, 1.0)))
        if warmup_steps > 0:
            scale = scale * jnp.minimum((count.astype(jnp.float32) + 1.0) / warmup_steps, 1.0)
        return (learning_rate * scale).astype(jnp.float32)

    return rate


def decay_mask(params: Any) -> Any:
    """Returns a tree of booleans, true at kernels: biases, scales and prior parameters must not decay."""
    return jax.tree_util.tree_map_with_path(lambda path, _: getattr(path[-1], "key", None) == "kernel", params)


def make_optimizer(
    kind: OptimizerKind = "sgd",
    *,
    learning_rate: optax.ScalarOrSchedule,
    momentum: float | int = 0.9,
    nesterov: bool = True,
    weight_decay: float | int = 0.0,
    decayed: DecayedKind = "kernels",
    clip_norm: float | int | None = None,
) -> optax.GradientTransformation:
    """SGD with Nesterov momentum, or AdamW, with weight decay on the kernels only or on all parameters.

    "sgd" adds the decay to the gradient, g + λ w, before momentum, as the papers' code does; "adam" decouples it.

    Args:
      kind: "sgd" or "adam".
      learning_rate: a number or a schedule.
      momentum: in [0, 1); "sgd" only.
      nesterov: whether to use Nesterov momentum; "sgd" only.
      weight_decay: λ, at least 0.
      decayed: "kernels", or "all" parameters as in the reference code of several papers.
      clip_norm: the gradient is first scaled down to at most this global norm; None does not clip.

    Returns:
      An optax transformation.

    Raises:
      ValueError: a number is out of its range, or a name is unknown.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> optimizer = make_optimizer(learning_rate=0.1, momentum=0.0, weight_decay=0.5)
      >>> params = {"kernel": jnp.ones(1), "bias": jnp.ones(1)}
      >>> updates, _ = optimizer.update({"kernel": jnp.ones(1), "bias": jnp.ones(1)}, optimizer.init(params), params)
      >>> {name: round(float(update[0]), 3) for name, update in updates.items()}
      {'bias': -0.1, 'kernel': -0.15}

    References:
      Loshchilov, Hutter, "Decoupled weight decay regularization", ICLR 2019, algorithms 1 and 2.
    """
    check_choice("make_optimizer", "kind", kind, get_args(OptimizerKind))
    check_choice("make_optimizer", "decayed", decayed, get_args(DecayedKind))
    check_number("make_optimizer", "momentum", momentum, 0.0, 1.0, open_high=True)
    check_number("make_optimizer", "weight_decay", weight_decay, 0.0)
    mask = decay_mask if decayed == "kernels" else None
    parts: list[optax.GradientTransformation] = []
    if clip_norm is not None:
        check_number("make_optimizer", "clip_norm", clip_norm, 0.0, open_low=True)
        parts.append(optax.clip_by_global_norm(clip_norm))
    if kind == "adam":
        parts.append(optax.adamw(learning_rate, weight_decay=weight_decay, mask=mask))
    else:
        if weight_decay:
            parts.append(optax.add_decayed_weights(weight_decay, mask))
        parts.append(optax.sgd(learning_rate, momentum=momentum or None, nesterov=nesterov and momentum > 0))
    return optax.chain(*parts)
