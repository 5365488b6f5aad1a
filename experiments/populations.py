"""Many seeds of one training: together, as one program (`vmap` over seeds, `scan` over steps), or one by one.

Together is quicker for networks without convolutions, which are slow on a CPU with weights for each member.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.data import Dataset
from jaxaug.sampling import Strategy
from jaxaug.training import TrainState, fit, init_state, make_eval_step, make_optimizer, make_schedule, make_train_step
from jaxaug.training.device_data import DeviceSplit, device_split, epoch_order, gathered_batch
from jaxaug.training.fit import Hooks, NonFiniteError, Record


def population_accuracies(
    datasets: Sequence[Dataset],
    model: nn.Module,
    strategy: Strategy,
    *,
    seeds: Sequence[int],
    steps: int,
    batch_size: int,
    learning_rate: float,
    normalize: Callable[[jax.Array], jax.Array],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the test accuracies after training, and the shares augmented in each tenth of it, seed by seed.

    An epoch is N // B steps: what is left over is dropped, another part of the data every time.

    Args:
      datasets: one per seed, with training splits of one size and the same test split.
      model: the network.
      strategy: decides whom to augment.
      seeds: initial weights and order follow from the seed.
      steps: length of the run; the rate falls to 0 as a cosine.
      batch_size: examples in a step, at most the training examples.
      learning_rate: peak rate of SGD with Nesterov momentum 0.9 and weight decay 5e-4.
      normalize: applied to images on their way into the network.

    Returns:
      Arrays `[S]` and `[S, 10]`.
    """
    splits = [device_split(dataset.train) for dataset in datasets]
    data = jax.tree.map(lambda *leaves: jnp.stack(leaves), *splits)
    size, classes = splits[0].size, datasets[0].num_classes
    per_epoch = size // batch_size
    schedule = make_schedule("cosine", learning_rate=learning_rate, epochs=steps, steps_per_epoch=1)
    optimizer = make_optimizer("sgd", learning_rate=schedule, weight_decay=5e-4)
    train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
    eval_step = make_eval_step(model, normalize=normalize)
    test = device_split(datasets[0].test)
    test_batch = gathered_batch(test, jnp.arange(test.size), classes)

    def trained(key: jax.Array, data: DeviceSplit) -> tuple[jax.Array, jax.Array]:
        state = init_state(key, model, optimizer, strategy, shape=datasets[0].shape, num_examples=size)

        def step(state: TrainState, t: jax.Array) -> tuple[TrainState, jax.Array]:
            order = epoch_order(state.key, t // per_epoch, size)
            index = jax.lax.dynamic_slice(order, ((t % per_epoch) * batch_size,), (batch_size,))
            state, metrics = train_step(state, gathered_batch(data, index, classes))
            return state, metrics["augmented"]

        state, shares = jax.lax.scan(step, state, jnp.arange(steps))
        tenths = shares[: steps // 10 * 10].reshape(10, -1).mean(axis=1)
        return eval_step(state, test_batch)["accuracy"].mean(), tenths

    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    accuracies, shares = jax.jit(jax.vmap(trained))(keys, data)
    return np.asarray(accuracies), np.asarray(shares)


def records_one_by_one(
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
) -> list[list[Record]]:
    """Returns the records of the epochs of each seed; those of a run end where it ceases to be finite.

    Arguments are those of `population_accuracies`, with `epochs` for `steps`; the last batch of an epoch is smaller.
    Evaluated is every `eval_every`-th epoch, and the last.
    """
    size = len(datasets[0].train.labels)
    per_epoch = -(-size // batch_size)
    schedule = make_schedule("cosine", learning_rate=learning_rate, epochs=epochs, steps_per_epoch=per_epoch)
    optimizer = make_optimizer("sgd", learning_rate=schedule, weight_decay=5e-4)
    step = make_train_step(model, optimizer, strategy, normalize=normalize)
    eval_step = make_eval_step(model, normalize=normalize)
    runs = []
    for seed, data in zip(seeds, datasets, strict=True):
        state = init_state(jax.random.key(seed), model, optimizer, strategy, shape=data.shape, num_examples=size)
        collected = _Collected()
        with contextlib.suppress(NonFiniteError):
            fit(
                state,
                step,
                eval_step,
                data,
                epochs=epochs,
                batch_size=batch_size,
                eval_every=eval_every or epochs,
                hooks=collected,
            )
        runs.append(collected.records)
    return runs


class _Collected(Hooks):
    """Keeps the records, also of a run that fails."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def on_epoch(self, record: Record, state: TrainState, sums: Any) -> None:
        self.records.append(record)
