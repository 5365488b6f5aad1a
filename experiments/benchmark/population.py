"""What an epoch of a population costs together or in threads, to that of its members one after another.

`python -m experiments.benchmark population`
"""

import concurrent.futures
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import tyro

from experiments.benchmark.timing import header, provenance, ratio_row, seconds_in_turns
from jaxaug import create_model, data, never
from jaxaug.data import Dataset
from jaxaug.training import init_population, make_optimizer, make_train_step
from jaxaug.training.cores import cpu_count
from jaxaug.training.device_data import device_split
from jaxaug.training.engine import EpochRunner
from jaxaug.training.loop import run_epoch
from jaxaug.training.population_engines import Silent, stacked


@dataclasses.dataclass(frozen=True)
class Command:
    """How much is measured."""

    members: int = 16
    """Networks in the population."""
    repetitions: int = 15
    """Turns."""
    examples: int = 128
    """Training examples of the convolutional networks."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained."""

    model: str
    dataset: Dataset
    batch_size: int
    members: int

    def epoch(self, members_of_a_program: int, threads: int) -> Callable[[], Any]:
        """Returns a call of an epoch of all members, so many by one program, and so many programs side by side."""
        model = create_model(self.model, self.dataset.num_classes)
        optimizer, split = make_optimizer(learning_rate=0.05), device_split(self.dataset.train)
        keys = jax.random.split(jax.random.key(0), self.members)
        alone = init_population(keys, model, optimizer, never(), shape=self.dataset.shape, num_examples=split.size)
        together = members_of_a_program > 1
        starts = range(0, self.members, members_of_a_program)
        states = [
            stacked(alone[start : start + members_of_a_program]) if together else alone[start] for start in starts
        ]
        runner = EpochRunner(
            make_train_step(model, optimizer, never()),
            states[0],
            split,
            batch_size=self.batch_size,
            num_classes=self.dataset.num_classes,
            population=together,
        )
        pool = concurrent.futures.ThreadPoolExecutor(threads)

        def call() -> Any:
            states[:] = pool.map(lambda state: _after_an_epoch(runner, state), states)
            return [state.params for state in states]

        return call

    def epochs(self, *, vmap: bool) -> dict[str, Callable[[], Any]]:
        """Returns a call of an epoch of all members by every engine."""
        threads = cpu_count() if jax.default_backend() == "cpu" else 1
        calls = {"one_by_one": self.epoch(1, 1), "threads": self.epoch(1, cpu_count())}
        return calls | ({"vmap": self.epoch(math.ceil(self.members / threads), threads)} if vmap else {})


def _after_an_epoch(runner: EpochRunner, state: Any) -> Any:
    return run_epoch(runner, state, runner.zero_sums(), 0, 1, Silent())[0]


def main() -> None:
    """Measures, and prints a Markdown table."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark population")
    on_cpu = jax.default_backend() == "cpu"
    digits, images = data.load("digits"), data.load(f"synthetic:32x32x3,10,{command.examples}")
    # Name, what is trained, whether by vmap too (on a CPU, 8 of these took 2.9 times the time), engine taken, its goal.
    settings: list[tuple[str, Setting, bool, str, str]] = [
        ("mlp on digits", Setting("mlp", digits, 64, command.members), True, "vmap", "0.50"),
        (
            "cnn on 32 x 32 x 3",
            Setting("cnn", images, 64, command.members),
            not on_cpu,
            "threads" if on_cpu else "vmap",
            "1.05" if on_cpu else "0.25",
        ),
    ]
    print(
        "# Populations\n\n"
        f"{provenance('population', command.repetitions)} An epoch of all members, each alone in "
        "as many threads as there are cores, or by vmap, on a CPU in as many parts as there are cores, to an epoch of "
        "one after another by the same compiled step. `fit_population` takes the engine that has a goal.\n"
    )
    print(header("epoch, to one after another"))
    for name, setting, vmap, taken, goal in settings:
        seconds = seconds_in_turns(setting.epochs(vmap=vmap), command.repetitions)
        for engine in [engine for engine in seconds if engine != "one_by_one"]:
            what = f"{setting.members} {name}, batch {setting.batch_size}, by {engine}"
            mark = goal if engine == taken else "-"
            print(ratio_row(what, seconds[engine], seconds["one_by_one"], mark), flush=True)


if __name__ == "__main__":
    main()
