"""How every network of these tables is trained, and what its step costs."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from experiments.benchmark.steps import step_call
from experiments.benchmark.timing import seconds_in_turns
from experiments.run.build import normalization
from experiments.studies.train_seeds import all_finite, train_seeds
from jaxaug import always, chain, crop, flip_left_right, on_images
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.training import Record, TrainState, device_split, gathered_batch, init_state, make_optimizer

BATCH_SIZE = 64


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long every network is trained."""

    epochs: int
    learning_rate: float
    sampling: Any = "shuffled"


def augmentation(dataset: Dataset) -> Augmentation:
    """Returns crop and flip; the crop keeps its share of the side."""
    return chain(on_images(crop, padding=dataset.shape[0] // 8), on_images(flip_left_right))


def trained(
    model: nn.Module,
    datasets: Sequence[Dataset],
    budget: Budget,
    *,
    logit_adjustment: jax.Array | None = None,
    features_of: Sequence[TrainState] | None = None,
) -> tuple[list[TrainState], list[Record]]:
    """Returns the state of every seed after training and the record of its last epoch.

    With `features_of`, new classifiers are trained on the trunks of these states, which are frozen.
    """
    states, records = train_seeds(
        datasets,
        model,
        always(augmentation(datasets[0])),
        seeds=range(len(datasets)),
        epochs=budget.epochs,
        batch_size=min(BATCH_SIZE, len(datasets[0].train.labels)),
        learning_rate=budget.learning_rate,
        normalize=normalization(datasets[0]),
        sampling=budget.sampling,
        logit_adjustment=logit_adjustment,
        trunks=features_of,
    )
    return all_finite(states), [seed[-1] for seed in records]


def untrained(model: nn.Module, datasets: Sequence[Dataset]) -> list[TrainState]:
    """Returns the state that every seed begins with."""
    optimizer, strategy = make_optimizer("sgd", learning_rate=0.0), always(augmentation(datasets[0]))
    keys = map(jax.random.key, range(len(datasets)))
    return [init_state(key, model, optimizer, strategy, shape=datasets[0].shape, num_examples=1) for key in keys]


def time_ratios(models: dict[str, nn.Module], dataset: Dataset, turns: int) -> dict[str, float]:
    """Returns the time of a training step of each network to that of the first, medians of calls in turns."""
    batch = gathered_batch(device_split(dataset.train), jax.numpy.arange(BATCH_SIZE), dataset.num_classes)
    strategy = always(augmentation(dataset))
    calls: dict[str, Callable[[], Any]] = {
        name: step_call(model, strategy, None, batch) for name, model in models.items()
    }
    seconds: dict[str, Sequence[float]] = dict(seconds_in_turns(calls, turns))
    usual = seconds[next(iter(models))]
    return {name: statistics.median(a / b for a, b in zip(each, usual, strict=True)) for name, each in seconds.items()}
