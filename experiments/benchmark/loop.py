"""What the training loop costs beside the network: `python -m experiments.benchmark loop`."""

import dataclasses
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from experiments.benchmark.timing import header, ratio_row, seconds_in_turns
from jaxaug import chain, create_model, crop, data, flip_left_right, mixup, never, on_images, on_pairs, ricap
from jaxaug.training import Hooks, TrainState, fit, init_state, make_eval_step, make_optimizer, make_train_step
from jaxaug.training.engine import Engine, Sums
from jaxaug.training.fit import Record


@dataclasses.dataclass(frozen=True)
class Command:
    """How long to measure."""

    repetitions: int = 15
    """Turns of each contender."""
    steps: int = 10
    """Steps of the convolutional network in a turn."""
    model: str = "wrn_16_1"
    """The convolutional network."""
    batch_size: int = 128
    """Its batch."""


class Setting:
    """A network, its data, and one compiled step that does nothing but forward, backward and update."""

    def __init__(self, model: str, dataset: data.Dataset, batch_size: int):
        self.dataset, self.batch_size = dataset, batch_size
        self.model = create_model(model, dataset.num_classes)
        self.optimizer = make_optimizer(learning_rate=0.01, weight_decay=5e-4)
        self.train_step = make_train_step(self.model, self.optimizer, never())
        self.eval_step = make_eval_step(self.model)
        images = jnp.asarray(dataset.train.images[:batch_size])
        self.batch = {
            "image": images.astype(jnp.float32) / 255 if images.dtype == jnp.uint8 else images,
            "label": jax.nn.one_hot(dataset.train.labels[:batch_size], dataset.num_classes),
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

    def bare_epoch(self, steps: int) -> Callable[[], Any]:
        """Returns a call of `steps` bare steps from a Python loop, on one batch that is already there."""
        step = jax.jit(self.train_step, donate_argnums=0)
        state = self.state()

        def call() -> Any:
            nonlocal state
            metrics = {}
            for _ in range(steps):
                state, metrics = step(state, self.batch)
            return state.params, metrics  # all of it: the loss is there before the update is

        return call

    def fit_and_bare_seconds(self, repetitions: int, engine: Engine = "auto") -> tuple[list[float], list[float]]:
        """Returns seconds per epoch of `fit` (training part) and of the bare steps, epoch by epoch in turn."""
        steps = len(self.dataset.train.labels) // self.batch_size
        bare = self.bare_epoch(steps)
        examples, fitted, plain = steps * self.batch_size, [], []

        class Turns(Hooks):
            def on_epoch(self, record: Record, state: TrainState, sums: Sums) -> None:
                began = time.perf_counter()
                jax.block_until_ready(bare())
                plain.append(time.perf_counter() - began)
                fitted.append(examples / record["examples_per_second"])

        fit(
            self.state(),
            self.train_step,
            self.eval_step,
            self.dataset,
            epochs=repetitions + 1,
            batch_size=self.batch_size,
            engine=engine,
            eval_every=repetitions + 1,
            hooks=Turns(),
        )
        return fitted[1:], plain[1:]  # the first epoch compiles


def main() -> None:
    """Measures, and prints one Markdown table."""
    command = tyro.cli(Command, description=__doc__)
    print(
        f"jax {jax.__version__}, {jax.devices()[0].device_kind} x {jax.device_count()}, medians of "
        f"{command.repetitions} turns\n"
    )
    examples = command.steps * command.batch_size
    network = Setting(command.model, data.load(f"synthetic:32x32x3,10,{examples}"), command.batch_size)
    rows = [header(f"{command.model}, batch {command.batch_size}, 32x32x3")]
    fitted, plain = network.fit_and_bare_seconds(command.repetitions)
    rows.append(ratio_row("examples/s of fit to a bare compiled step", plain, fitted, "at least 0.97"))

    key = jax.random.key(1)
    contenders: dict[str, Callable[[], Any]] = {"step": network.bare_epoch(1)}
    for name, mix in (("RICAP", ricap), ("mixup", mixup)):
        augment = jax.jit(chain(on_images(crop), on_images(flip_left_right), on_pairs(mix)))
        contenders[name] = lambda augment=augment: augment(key, network.batch)
    seconds = seconds_in_turns(contenders, 3 * command.repetitions)
    rows.append(ratio_row("crop + flip + RICAP to that step", seconds["RICAP"], seconds["step"], "at most 0.03"))
    rows.append(ratio_row("crop + flip + mixup to that step", seconds["mixup"], seconds["step"], "-"))
    print("\n".join(rows))
    print(f"\nbare step: {command.batch_size / statistics.median(seconds['step']):,.0f} examples/s\n")

    table = Setting("mlp", data.load("synthetic:8x8x1,10,16384"), 256)
    rows = [header("mlp, batch 256, 8x8x1, 64 steps an epoch")]
    fitted, plain = table.fit_and_bare_seconds(command.repetitions)
    rows.append(ratio_row("examples/s of fit to a Python loop over the step", plain, fitted, "at least 1.5"))
    looped, plain = table.fit_and_bare_seconds(command.repetitions, engine="loop")
    rows.append(ratio_row("the same with --engine loop", plain, looped, "-"))
    print("\n".join(rows))
