"""Epochs of `fit` as a contender."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxaug.data import Dataset
from jaxaug.training import EvalStep, Hooks, Record, Totals, TrainState, TrainStep, fit


def seconds_with_fit(
    state: TrainState,
    train_step: TrainStep,
    eval_step: EvalStep,
    dataset: Dataset,
    contenders: Mapping[str, Callable[[], Any]],
    *,
    batch_size: int,
    repetitions: int,
) -> dict[str, list[float]]:
    """Returns seconds per epoch of the training part of "fit" and of the contenders, in turns."""
    examples = len(dataset.train.labels)
    seconds: dict[str, list[float]] = {name: [] for name in ("fit", *contenders)}

    class Turns(Hooks):
        def should_stop(self) -> bool:
            return len(seconds["fit"]) > repetitions  # before the evaluation after the last epoch

        def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
            seconds["fit"].append(examples / record["examples_per_second"])
            for name, call in contenders.items():
                started = time.perf_counter()
                jax.block_until_ready(call())
                seconds[name].append(time.perf_counter() - started)

    epochs = repetitions + 2
    options: dict[str, Any] = {"epochs": epochs, "eval_every": epochs, "batch_size": batch_size, "hooks": Turns()}
    fit(state, train_step, eval_step, dataset, **options)
    return {name: each[1:] for name, each in seconds.items()}  # the first turn compiles
