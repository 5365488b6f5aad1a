"""The cost of an epoch of a population relative to training its members one after another.

`python -m experiments.benchmark population`
"""

import dataclasses

import jax
import tyro

from experiments.benchmark.members import Setting
from experiments.benchmark.timing import header, provenance, ratio_row, seconds_in_turns
from jaxaug import data


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    members: int = 16
    """Number of networks in the population."""
    repetitions: int = 15
    """Number of turns."""
    examples: int = 128
    """Training examples of the convolutional networks."""


def main() -> None:
    """Measures, and prints a Markdown table."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark population")
    on_cpu = jax.default_backend() == "cpu"
    digits, images = data.load("digits"), data.load(f"synthetic:32x32x3,10,{command.examples}")
    # Name, setting, whether to measure vmap (on a CPU, 8 members took 2.9 times as long), chosen engine, its goal.
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
        f"{provenance('population', command.repetitions)} An epoch of all members, in as many "
        "threads as cores or by vmap (on a CPU in as many parts as cores), relative to training one member after "
        "another with the same compiled step. `fit_population` uses the engine that has a goal.\n"
    )
    print(header("time of an epoch / one after another"))
    for name, setting, vmap, chosen, goal in settings:
        seconds = seconds_in_turns(setting.epochs(vmap=vmap), command.repetitions)
        for engine in [engine for engine in seconds if engine != "one_by_one"]:
            label = f"{setting.members} {name}, batch {setting.batch_size}, by {engine}"
            mark = goal if engine == chosen else "-"
            print(ratio_row(label, seconds[engine], seconds["one_by_one"], mark), flush=True)


if __name__ == "__main__":
    main()
