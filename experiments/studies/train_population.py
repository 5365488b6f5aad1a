"""Measures an arm by a population: the seeds of a small network, trained together in this process."""

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.run.build import Parts, build_parts, load_dataset, subsample
from experiments.run.config import Config, DataConfig
from experiments.run.console import warnings_as_notes
from experiments.studies.recipe import job_config
from experiments.studies.study import Job, Measured
from jaxaug.data import Dataset
from jaxaug.training import HEAD, Record, TrainState, fit_population


class Population(NamedTuple):
    """A network trained with many seeds."""

    parts: Parts
    dataset: Dataset
    """With all training examples."""
    states: list[TrainState | None]
    """After training, one per seed; None where training diverged."""
    records: list[list[Record]]
    """One list per seed; it ends where training diverged."""

    @property
    def finite_states(self) -> list[TrainState]:
        """The states of all seeds; `ValueError` if one diverged."""
        finite = [state for state in self.states if state is not None]
        if len(finite) < len(self.states):
            raise ValueError(
                f"training diverged with {len(self.states) - len(finite)} of {len(self.states)} seeds; pass a smaller "
                "rate: ... -- --optimizer.learning-rate RATE"
            )
        return finite


def train_population(config: Config, seeds: Sequence[int], trunks: Sequence[TrainState] | None = None) -> Population:
    """Trains what `experiments.train` trains with each of the seeds, to float rounding, except for the normalization.

    Images are normalized by all training images of the dataset, since one program trains all seeds.

    Args:
      config: the recipe; its seed is ignored.
      seeds: images, initial weights, order and noise follow from the seed.
      trunks: trained states, one per seed, whose features are kept while new classifiers are trained.
    """
    whole = whole_of(config)
    datasets = [subsample(whole, dataclasses.replace(config, seed=seed)) for seed in seeds]
    with warnings_as_notes():
        parts = build_parts(config, whole, datasets[0], trained="all" if trunks is None else "head")
    states = list(map(jax.jit(parts.init), map(jax.random.key, seeds)))
    if trunks is not None:
        states = [_on_trunk(state, trunk) for state, trunk in zip(states, trunks, strict=True)]
    with epoch_bar(len(seeds) * config.epochs) as bar:
        trained, records = fit_population(
            states,
            parts.train_step,
            parts.eval_step,
            datasets,
            epochs=config.epochs,
            batch_size=config.batch_size,
            sampling=config.data.sampling,
            eval_every=config.eval_every,
            on_epoch=bar.update,
        )
    return Population(parts, whole, trained, records)


def epoch_bar(epochs: int) -> Any:
    """Returns a progress bar of the epochs of all members, which is only drawn on a terminal."""
    from tqdm import tqdm

    return tqdm(total=epochs, unit="epoch", leave=False, disable=not sys.stderr.isatty())


def whole_of(config: Config) -> Dataset:
    """Returns the dataset with all its training examples, loaded once for all arms of a block."""
    data = dataclasses.replace(config.data, num_examples=None, imbalance=None, validation=0.0, sampling="shuffled")
    return _loaded(data)


@functools.lru_cache(maxsize=1)
def _loaded(data: DataConfig) -> Dataset:
    return load_dataset(Config(data=data))


def measure_population(job: Job) -> Measured:
    """Returns what a population of the job's seeds measured."""
    return measure_config(job, job_config(job))


def measure_config(job: Job, config: Config) -> Measured:
    """Returns the same for another config than the job's own."""
    job.announce(f"{job.seeds} seeds together")
    began = time.monotonic()
    records = train_population(config, range(job.seeds)).records
    return Measured(errors(records, config), training_metrics(records), [time.monotonic() - began])


def errors(records: Sequence[Sequence[Record]], config: Config, metric: str = "accuracy") -> list[float | None]:
    """Returns the errors in percent after the last epoch, None where training diverged or the metric is missing."""
    last: list[Any] = [run[-1] if len(run) == config.epochs else {} for run in records]
    values = [record.get(f"test_{metric}") for record in last]
    return [None if value is None else 100 * (1 - value) for value in values]


def training_metrics(records: Sequence[Sequence[Record]]) -> dict[str, Any]:
    """Returns the training loss of the last epoch, and the shares of examples augmented in its first and last tenth."""
    tenths = [math.ceil(len(run) / 10) for run in records]
    runs: list[Any] = list(zip(records, tenths, strict=True))
    return {
        "epochs": max(map(len, records)),
        "train_loss": [run[-1]["train_loss"] if run else None for run in records],
        "augmented_first": [float(np.mean([r["augmented"] for r in run[:n]])) if run else None for run, n in runs],
        "augmented_last": [float(np.mean([r["augmented"] for r in run[-n:]])) if run else None for run, n in runs],
    }


def _on_trunk(state: TrainState, trunk: TrainState) -> TrainState:
    """Returns the state with its own classifier and the trunk of another network."""
    params = {**trunk.params, HEAD: state.params[HEAD]}
    state = dataclasses.replace(state, params=params, batch_stats=trunk.batch_stats)
    return jax.tree.map(jnp.copy, state)  # training consumes its buffers, and the trunk keeps its own
