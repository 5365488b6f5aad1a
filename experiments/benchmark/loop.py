"""The cost of the training loop relative to the network: `python -m experiments.benchmark loop`."""

import dataclasses
import statistics
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.benchmark.fit_in_turns import seconds_with_fit
from experiments.benchmark.timing import header, provenance, ratio_row, seconds_in_turns
from jaxaug import chain, create_model, crop, data, flip_left_right, mixup, never, on_images, on_pairs, ricap
from jaxaug.training import (
    Engine,
    InMemoryRunner,
    TrainState,
    device_split,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
)
from jaxaug.training.fit import run_epoch
from jaxaug.training.population_runner import Silent


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    repetitions: int = 25
    """Number of turns of each contender."""
    steps: int = 10
    """Steps of the convolutional network per turn."""
    model: str = "wrn_16_1"
    """The convolutional network."""
    batch_size: int = 128
    """Batch size of the convolutional network."""


Epoch = Callable[[], Any]


class Setting:
    """A network with its data, and contenders that train it for an epoch."""

    def __init__(self, model: str, dataset: data.Dataset, batch_size: int):
        self.dataset, self.batch_size = dataset, batch_size
        self.steps = len(dataset.train.labels) // batch_size
        self.model = create_model(model, dataset.num_classes)
        self.optimizer = make_optimizer(learning_rate=0.01, weight_decay=5e-4)
        self.train_step = make_train_step(self.model, self.optimizer, never())
        self.batch = jax.tree.map(jnp.asarray, self.host_batch(np.arange(batch_size)))

    def host_batch(self, index: np.ndarray) -> dict[str, np.ndarray]:
        """Returns a batch sliced by NumPy."""
        return {
            "image": self.dataset.train.images[index].astype(np.float32) / 255,
            "label": np.eye(self.dataset.num_classes, dtype=np.float32)[self.dataset.train.labels[index]],
        }

    def state(self) -> TrainState:
        """Returns a state at step 0."""
        return init_state(
            jax.random.key(0),
            self.model,
            self.optimizer,
            never(),
            shape=self.dataset.shape,
            num_examples=len(self.dataset.train.labels),
        )

    def bare_epoch(self, steps: int) -> Epoch:
        """Returns a call of a Python loop over `steps` bare steps on one batch that is already on the device."""
        step, state = jax.jit(self.train_step, donate_argnums=0), self.state()

        def call() -> Any:
            nonlocal state
            metrics = {}
            for _ in range(steps):
                state, metrics = step(state, self.batch)
            return state.params, metrics  # both: the loss is ready before the update is

        return call

    def fed_epoch(self) -> Epoch:
        """Returns a call of a Python loop over the step that shuffles and slices its batches with NumPy."""
        step, state, rng = jax.jit(self.train_step, donate_argnums=0), self.state(), np.random.default_rng(0)

        def call() -> Any:
            nonlocal state
            metrics = {}
            order = rng.permutation(self.steps * self.batch_size).reshape(self.steps, self.batch_size)
            for index in order:
                state, metrics = step(state, self.host_batch(index))
            return state.params, metrics

        return call

    def engine_epoch(self, engine: Engine) -> Epoch:
        """Returns a call of an epoch by one of the engines, with the data on the device."""
        state, split = self.state(), device_split(self.dataset.train)
        runner = InMemoryRunner(
            self.train_step,
            state,
            split,
            batch_size=self.batch_size,
            num_classes=self.dataset.num_classes,
            engine=engine,
        )

        def call() -> Any:
            nonlocal state
            state, totals, _ = run_epoch(runner, state, runner.zero_totals(), 0, 1, Silent())
            return state.params, totals

        return call

    def seconds_with_fit(self, contenders: Mapping[str, Epoch], repetitions: int) -> dict[str, list[float]]:
        """Returns seconds per epoch of the training part of "fit" and of the contenders, in turns."""
        return seconds_with_fit(
            self.state(),
            self.train_step,
            make_eval_step(self.model),
            self.dataset,
            contenders,
            batch_size=self.batch_size,
            repetitions=repetitions,
        )


def main() -> None:
    """Measures, and prints Markdown tables."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark loop")
    print(f"# Cost of loop and augmentation relative to the network\n\n{provenance('loop', command.repetitions)}\n")
    examples = command.steps * command.batch_size
    network = Setting(command.model, data.load(f"synthetic:32x32x3,10,{examples}"), command.batch_size)
    rows = [header(f"{command.model}, batch {command.batch_size}, 32x32x3")]
    seconds = network.seconds_with_fit({"bare": network.bare_epoch(network.steps)}, command.repetitions)
    rows.append(ratio_row("examples/s of `fit` / bare compiled step", seconds["bare"], seconds["fit"], "at least 0.97"))

    key = jax.random.key(1)
    contenders: dict[str, Epoch] = {"step": network.bare_epoch(1)}
    for name, mix in (("RICAP", ricap), ("mixup", mixup)):
        augment = jax.jit(chain(on_images(crop), on_images(flip_left_right), on_pairs(mix)))
        contenders[name] = lambda augment=augment: augment(key, network.batch)
    seconds = seconds_in_turns(contenders, 3 * command.repetitions)
    rows.append(ratio_row("time of crop + flip + RICAP / that step", seconds["RICAP"], seconds["step"], "at most 0.03"))
    rows.append(ratio_row("time of crop + flip + mixup / that step", seconds["mixup"], seconds["step"], "-"))
    print("\n".join(rows))
    print(f"\nThe bare step trains {command.batch_size / statistics.median(seconds['step']):,.0f} examples/s.\n")

    table = Setting("mlp", data.load("synthetic:8x8x1,10,16384"), 256)
    loops = {
        "a Python loop over the step, batches sliced by NumPy": table.fed_epoch(),
        "a Python loop over the step, batches sliced on the device (the engine `loop`)": table.engine_epoch("loop"),
        "a Python loop over the step, one fixed batch": table.bare_epoch(table.steps),
    }
    seconds = table.seconds_with_fit(loops, command.repetitions)
    rows = [header(f"mlp, batch 256, 8x8x1, {table.steps} steps an epoch")]
    rows += [
        ratio_row(f"examples/s of `fit` / {name}", seconds[name], seconds["fit"], "at least 1.5") for name in loops
    ]
    print("\n".join(rows))
    step = statistics.median(seconds["fit"]) / table.steps
    print(f"\n`fit` takes {1e6 * step:,.0f} microseconds per step.")
