"""One training, many seeds: how the tables of these experiments get their deviations."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxaug.data import Dataset
from jaxaug.sampling import Strategy
from jaxaug.training import (
    HEAD,
    Record,
    Sampling,
    TrainState,
    fit_population,
    init_population,
    make_eval_step,
    make_optimizer,
    make_schedule,
    make_train_step,
)


def train_seeds(
    datasets: Sequence[Dataset],
    model: nn.Module,
    strategy: Strategy,
    *,
    seeds: Sequence[int],
    epochs: int,
    batch_size: int,
    learning_rate: float,
    normalize: Callable[[jax.Array], jax.Array],
    eval_every: int | None = None,
    sampling: Sampling = "shuffled",
    logit_adjustment: jax.Array | None = None,
    trunks: Sequence[TrainState] | None = None,
) -> tuple[list[TrainState | None], list[list[Record]]]:
    """Returns the state of each seed after training, None where it ceased to be finite, and its records until then.

    Args:
      datasets: one per seed, with training splits of one size and the same test split.
      model: the network.
      strategy: decides whom to augment.
      seeds: initial weights, order and noise follow from the seed.
      epochs: length of a run; the rate falls to 0 as a cosine.
      batch_size: examples in a step, at most the training examples.
      learning_rate: peak rate of SGD with Nesterov momentum 0.9 and weight decay 5e-4.
      normalize: applied to images on their way into the network.
      eval_every: epochs between evaluations; None evaluates after the last only.
      sampling: what an epoch is made of, as `fit` takes it.
      logit_adjustment: as `make_train_step` takes it.
      trunks: trained states, one per seed; a new classifier is trained on the features of each, which are kept.
    """
    size = len(datasets[0].train.labels)
    per_epoch = -(-size // batch_size)
    schedule = make_schedule("cosine", learning_rate=learning_rate, epochs=epochs, steps_per_epoch=per_epoch)
    optimizer = make_optimizer("sgd", learning_rate=schedule, weight_decay=5e-4)
    part: Any = "all" if trunks is None else "head"
    states = init_population(
        jnp.stack([jax.random.key(seed) for seed in seeds]),
        model,
        optimizer,
        strategy,
        shape=datasets[0].shape,
        num_examples=size,
        trained=part,
    )
    if trunks is not None:
        states = [_on_trunk(state, trunk) for state, trunk in zip(states, trunks, strict=True)]
    return fit_population(
        states,
        make_train_step(
            model, optimizer, strategy, normalize=normalize, logit_adjustment=logit_adjustment, trained=part
        ),
        make_eval_step(model, normalize=normalize),
        datasets,
        epochs=epochs,
        batch_size=batch_size,
        sampling=sampling,
        eval_every=eval_every or epochs,
    )


def all_finite(states: Sequence[TrainState | None]) -> list[TrainState]:
    """Returns the states of `train_seeds`, or raises RuntimeError where one ceased to be finite."""
    finite = [state for state in states if state is not None]
    if len(finite) < len(states):
        raise RuntimeError(f"{len(states) - len(finite)} of {len(states)} seeds ceased to be finite.")
    return finite


def _on_trunk(state: TrainState, trunk: TrainState) -> TrainState:
    """Returns the state with its own classifier, and all else of the network that of another."""
    params = {**trunk.params, HEAD: state.params[HEAD]}
    state = dataclasses.replace(state, params=params, batch_stats=trunk.batch_stats)
    return jax.tree.map(jnp.copy, state)  # training is given the buffers, and the trunk keeps its own
