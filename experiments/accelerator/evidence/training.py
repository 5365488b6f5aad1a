"""Trains an arm as `experiments.train` does, with programs that are shared and compiled ahead of time."""

import dataclasses
import queue
import statistics
import threading
import time
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp

from experiments.accelerator.evidence.images import dataset_of, is_thinned
from experiments.run.build import Experiment, build_experiment
from experiments.run.config import Config
from jaxaug.training import (
    TIMES,
    EvalStep,
    Hooks,
    Record,
    TrainState,
    TrainStep,
    data_mesh,
    fit,
    in_memory_evaluators,
)

# The default of `fit`, which `experiments.train` keeps.
EVAL_BATCH_SIZE = 500


class _AfterOneStep(Hooks):
    """Stops a run after its first step, and keeps the state."""

    def __init__(self) -> None:
        self.asked = 0
        self.state: Any = None

    def should_stop(self) -> bool:
        self.asked += 1
        return self.asked > 1

    def on_stop(self, state: Any, totals: Any) -> None:
        self.state = state


@dataclasses.dataclass
class Trainer:
    """Trains configs one after another, and compiles only once what several of them share.

    `fit` keeps its compiled programs with the step functions, so arms share programs by sharing steps.
    """

    train_steps: dict[Config, TrainStep] = dataclasses.field(default_factory=dict)
    eval_steps: dict[Config, EvalStep] = dataclasses.field(default_factory=dict)
    _prepared: dict[Config, "Future[tuple[Experiment, float]]"] = dataclasses.field(default_factory=dict)
    _waiting: "queue.SimpleQueue[Config]" = dataclasses.field(default_factory=queue.SimpleQueue)

    def __post_init__(self):
        # A daemon, so that the command can end without waiting for a program that is no longer needed.
        threading.Thread(target=self._work, name="prepare", daemon=True).start()

    def prepare(self, config: Config) -> None:
        """Queues the config for the thread that compiles ahead, unless it is there already."""
        if config not in self._prepared:
            self._prepared[config] = Future()
            self._waiting.put(config)

    def _work(self) -> None:
        while True:
            config = self._waiting.get()
            future = self._prepared[config]
            began = time.perf_counter()
            try:
                future.set_result((self._compiled(config), time.perf_counter() - began))
            except BaseException as error:  # raised where the result is asked for
                future.set_exception(error)

    def trained(self, config: Config) -> dict[str, Any]:
        """Trains the config, and returns the figures of its finding."""
        began = time.perf_counter()
        self.prepare(config)
        try:
            experiment, preparing = self._prepared[config].result()
        finally:
            del self._prepared[config]
        waited = time.perf_counter() - began
        records = _fit(config, experiment, experiment.state)
        last = {name: value for name, value in records[-1].items() if value is not None and name not in TIMES}
        figures = {
            "test_error": 100 * (1 - last["test_accuracy"]),
            "train_error": 100 * (1 - last["train_accuracy"]),
            "train_loss": last["train_loss"],
            "examples_per_second": statistics.median(record["examples_per_second"] for record in records),
            "train_seconds": sum(record["seconds"] for record in records),
            "waited_seconds": waited,  # for the images and programs, before training
            "prepare_seconds": preparing,  # which may be while another arm is trained
            "train_losses": [round(record["train_loss"], 4) for record in records],
        }
        return figures | last

    def _compiled(self, config: Config) -> Experiment:
        """Returns the experiment, its programs compiled by one step and one evaluation of a copy of its state."""
        experiment = build_experiment(config, dataset=dataset_of(config))
        train_step = self.train_steps.setdefault(_but_for_its_seed(config), experiment.train_step)
        eval_step = self.eval_steps.setdefault(_inference(config), experiment.eval_step)
        new = train_step is experiment.train_step
        experiment = dataclasses.replace(experiment, train_step=train_step, eval_step=eval_step)
        if new:
            _run_each_program(config, experiment)
        return experiment


def _but_for_its_seed(config: Config) -> Config:
    """Returns what the training step depends on: the seed only if it chooses a subset, whose channel means it uses."""
    return config if is_thinned(config) else dataclasses.replace(config, seed=0)


def _inference(config: Config) -> Config:
    """Returns what the evaluation step depends on: network and data."""
    names = ("data", "model", "regularizer", "pool", "conv", "head", "dtype", "seed")
    return Config(**{name: getattr(_but_for_its_seed(config), name) for name in names})


def _fit(config: Config, experiment: Experiment, state: TrainState, hooks: Hooks | None = None) -> list[Record]:
    """Trains the state as the config says, and returns the records."""
    _, records = fit(
        state,
        experiment.train_step,
        experiment.eval_step,
        experiment.dataset,
        epochs=config.epochs,
        batch_size=config.batch_size,
        engine=config.engine,
        sampling=config.data.sampling,
        eval_every=config.eval_every,
        hooks=hooks,
    )
    return records


def _run_each_program(config: Config, experiment: Experiment) -> None:
    """Compiles the programs of a run by one training step and one evaluation."""
    stopped = _AfterOneStep()
    _fit(config, experiment, jax.tree.map(jnp.copy, experiment.state), hooks=stopped)
    mesh = data_mesh()
    with jax.set_mesh(mesh):
        for evaluator in in_memory_evaluators(experiment.eval_step, experiment.dataset, EVAL_BATCH_SIZE, mesh).values():
            evaluator.means(stopped.state)
