"""What an epoch of a population costs together, to that of its members one after another.

`python -m experiments.benchmark population`
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import tyro

from experiments.benchmark.timing import header, ratio_row, seconds_in_turns
from experiments.run_directory import environment, environment_in_words
from jaxaug import create_model, data, never
from jaxaug.data import Dataset
from jaxaug.training import init_population, make_optimizer, make_train_step
from jaxaug.training.device_data import device_split
from jaxaug.training.engine import EpochRunner
from jaxaug.training.loop import trained_epoch
from jaxaug.training.population import chosen_population_engine
from jaxaug.training.population_engines import Silent, stacked, step_jaxpr


@dataclasses.dataclass(frozen=True)
class Command:
    """How much is measured."""

    members: int = 16
    """Networks in the population."""
    repetitions: int = 15
    """Turns."""
    examples: int = 256
    """Training examples of the convolutional networks."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """What is trained."""

    model: str
    dataset: Dataset
    batch_size: int
    members: int

    def epochs(self) -> tuple[str, dict[str, Callable[[], Any]]]:
        """Returns the engine that `fit_population` takes, and a call of an epoch of all members by either."""
        model = create_model(self.model, self.dataset.num_classes)
        optimizer, split = make_optimizer(learning_rate=0.05), device_split(self.dataset.train)
        step = make_train_step(model, optimizer, never())
        keys = jax.random.split(jax.random.key(0), self.members)
        about = {"shape": self.dataset.shape, "num_examples": split.size}
        alone = init_population(keys, model, optimizer, never(), **about)
        together = stacked(alone)
        options: dict[str, Any] = {"batch_size": self.batch_size, "num_classes": self.dataset.num_classes}
        runner = EpochRunner(step, alone[0], split, **options)
        runner_of_all = EpochRunner(step, together, split, population=True, **options)

        def one_by_one() -> Any:
            for place, state in enumerate(alone):
                alone[place] = _after_an_epoch(runner, state)
            return [state.params for state in alone]

        def vmapped() -> Any:
            nonlocal together
            together = _after_an_epoch(runner_of_all, together)
            return together.params

        taken = chosen_population_engine(step_jaxpr(step, alone[0], self.dataset, self.batch_size))
        return taken, {"one_by_one": one_by_one, "vmap": vmapped}


def _after_an_epoch(runner: EpochRunner, state: Any) -> Any:
    return trained_epoch(runner, state, runner.zero_sums(), 0, 1, Silent())[0]


def main() -> None:
    """Measures, and prints a Markdown table."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark population")
    on_cpu = jax.default_backend() == "cpu"
    settings = {
        f"{command.members} mlp on digits, batch 64": (
            Setting("mlp", data.load("digits"), 64, command.members),
            "0.50",
        ),
        f"{command.members} cnn on 32 x 32 x 3, batch 64": (
            Setting("cnn", data.load(f"synthetic:32x32x3,10,{command.examples}"), 64, command.members),
            "1.05" if on_cpu else "0.25",
        ),
    }
    print(
        "# Populations\n\n"
        f"Printed by `python -m experiments.benchmark population`, medians of {command.repetitions} turns; "
        f"{environment_in_words(environment())}. An epoch of all members as one program, to an epoch of one after "
        "another through the same compiled step.\n"
    )
    print(header("epoch, to one after another"))
    for name, (setting, goal) in settings.items():
        taken, calls = setting.epochs()
        seconds = seconds_in_turns(calls, command.repetitions)
        print(ratio_row(f"{name}, by vmap", seconds["vmap"], seconds["one_by_one"], "-"))
        print(ratio_row(f"{name}, by what is taken: {taken}", seconds[taken], seconds["one_by_one"], goal))


if __name__ == "__main__":
    main()
