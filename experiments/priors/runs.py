"""How every network of these tables is trained, and what its step costs."""

import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax

from experiments.benchmark.steps import step_call
from experiments.benchmark.timing import seconds_in_turns
from experiments.build import normalization
from jaxaug import always, chain, crop, flip_left_right, on_images
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.training import TrainState, fit, init_state, make_eval_step, make_optimizer, make_schedule, make_train_step
from jaxaug.training.device_data import device_split, gathered_batch
from jaxaug.training.fit import Record
from jaxaug.training.variables import HEAD

BATCH_SIZE = 128


@dataclasses.dataclass(frozen=True)
class Budget:
    """How long every network is trained."""

    epochs: int
    learning_rate: float = 0.1
    sampling: Any = "shuffled"


def augmentation(dataset: Dataset) -> Augmentation:
    """Returns crop and flip; the crop keeps its share of the side."""
    return chain(on_images(crop, padding=dataset.shape[0] // 8), on_images(flip_left_right))


def trained(
    model: nn.Module,
    dataset: Dataset,
    seed: int,
    budget: Budget,
    *,
    logit_adjustment: jax.Array | None = None,
    features_of: TrainState | None = None,
) -> tuple[TrainState, Record]:
    """Returns the state after training and the record of the last epoch.

    With `features_of`, a new classifier is trained on the trunk of that state, which is frozen.
    """
    size = len(dataset.train.labels)
    rate = make_schedule(
        "cosine",
        learning_rate=budget.learning_rate,
        epochs=budget.epochs,
        steps_per_epoch=-(-size // BATCH_SIZE),
    )
    optimizer, strategy = make_optimizer(learning_rate=rate, weight_decay=5e-4), always(augmentation(dataset))
    part: Any = "all" if features_of is None else "head"
    key = jax.random.key(seed)
    state = init_state(key, model, optimizer, strategy, shape=dataset.shape, num_examples=size, trained=part)
    if features_of is not None:
        params = {**features_of.params, HEAD: state.params[HEAD]}
        state = dataclasses.replace(state, params=params, batch_stats=features_of.batch_stats)
        state = jax.tree.map(lambda leaf: leaf.copy(), state)  # a step is given the buffers, and keeps them
    normalize = normalization(dataset)
    step = make_train_step(
        model, optimizer, strategy, normalize=normalize, logit_adjustment=logit_adjustment, trained=part
    )
    state, records = fit(
        state,
        step,
        make_eval_step(model, normalize=normalize),
        dataset,
        epochs=budget.epochs,
        batch_size=min(BATCH_SIZE, size),
        sampling=budget.sampling,
        eval_every=budget.epochs,
    )
    return state, records[-1]


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
