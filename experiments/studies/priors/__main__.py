"""Layers of a prior model on real images: `python -m experiments.studies.priors --data-dir DIR`.

Poolings, convolutions, and classifiers on a long tail. A finished row is one line in results/priors.jsonl, and page and
picture beside it are made from those lines alone; what is there already is not run again.
"""

import dataclasses
import functools
import itertools
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import tyro

from experiments.benchmark.timing import keep_freed_memory
from experiments.run.directory import environment, replace_text
from experiments.studies.downsample import downsample
from experiments.studies.jsonl import machine, read_jsonl, write_jsonl
from experiments.studies.priors import convolution, long_tail, pooling
from experiments.studies.priors.page import draw, page
from experiments.studies.priors.runs import Budget
from jaxaug import data
from jaxaug.data import Dataset

Part = Literal["pooling", "convolution", "long tail"]


@dataclasses.dataclass(frozen=True)
class Command:
    """How much to run."""

    data_dir: pathlib.Path | None = None
    """Where the TFDS dataset cifar10 lies; None leaves it out."""
    tiny_imagenet: pathlib.Path | None = None
    """A folder with train and val of some classes of Tiny ImageNet; None leaves it out."""
    parts: tuple[Part, ...] = ("pooling", "convolution", "long tail")
    """Which tables."""
    networks: tuple[Literal["resnet20", "mobilenet"], ...] = ("resnet20", "mobilenet")
    """In which networks poolings are compared."""
    examples: int = 5000
    """Training examples of poolings and convolutions."""
    side: int = 16
    """CIFAR images are averaged down to this side: 32, 16 or 8; those of Tiny ImageNet to twice as many pixels."""
    epochs: int = 20
    """Epochs of every network."""
    learning_rate: float = 0.02
    """Rate that every network begins with; from 0.1, short runs of pooled ones are unstable."""
    imbalance: float = 100.0
    """Examples of the largest class to those of the smallest, on the long tail."""
    tail_epochs: int = 40
    """Epochs of the first stage there."""
    second_epochs: int = 10
    """Epochs of the second stage."""
    seeds: int = 3
    """Seeds of every row."""
    turns: int = 15
    """Turns in which the time of a step is measured."""
    results: pathlib.Path = pathlib.Path("results/priors.jsonl")
    """One line per finished row; page and picture are written beside it, as .md and .png."""


def datasets(command: Command) -> dict[str, Dataset]:
    """Returns the datasets by the name that a page gives them."""
    found: dict[str, Dataset] = {}
    if command.data_dir is not None:
        found["CIFAR-10"] = downsample(data.load("cifar10", data_dir=command.data_dir), command.side)
    if command.tiny_imagenet is not None:
        tiny = data.load(f"folder:{command.tiny_imagenet}", image_size=64)
        found["Tiny ImageNet, 30 classes"] = downsample(tiny, 2 * command.side)
    return found


class Row(NamedTuple):
    """One row of one table, not run yet."""

    part: Part
    title: str
    arm: str
    run: Callable[[], dict[str, Any]]
    ratios: Callable[[], dict[str, float]] | None  # times of a step of all rows of the title


def rows(command: Command) -> Iterator[Row]:
    """Yields every row, table by table."""
    seeds, budget = range(command.seeds), Budget(command.epochs, command.learning_rate)
    for name, full in datasets(command).items():
        sizes = f"{name}, {command.examples:,} images of side {full.shape[0]}, {command.epochs} epochs"
        subsets = [data.subset(full, command.examples, seed=seed) for seed in seeds]
        for network, arm in itertools.product(command.networks, pooling.arms()):
            run = functools.partial(pooling.row, network, arm, subsets, budget)
            ratios = functools.partial(pooling.ratios, network, full, command.turns)
            yield Row("pooling", f"Pooling in {network}: {sizes}", arm, run, ratios)
        for arm in convolution.arms():
            run = functools.partial(convolution.row, arm, subsets, budget)
            ratios = functools.partial(convolution.ratios, full, command.turns)
            yield Row("convolution", f"Convolution in {convolution.NETWORK}: {sizes}", arm, run, ratios)
        if name == "CIFAR-10":
            tails = [data.long_tailed(full, command.imbalance, seed=seed) for seed in seeds]
            sizes = f"imbalance {command.imbalance:g}, {len(tails[0].train.labels):,} images of side {full.shape[0]}"
            title = f"Long tail: {name}, {sizes}, {command.tail_epochs} epochs, then {command.second_epochs}"
            budgets = (
                Budget(command.tail_epochs, command.learning_rate),
                Budget(command.second_epochs, command.learning_rate, sampling="class_balanced"),
            )
            for arm in long_tail.ARMS:
                yield Row("long tail", title, arm, functools.partial(long_tail.row, arm, tails, *budgets), None)


def said(command: Command) -> str:
    """Returns the command line, without what is as by default and without the names of directories."""
    words = ["python -m experiments.studies.priors"]
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if value == field.default or field.name in ("turns", "results"):
            continue
        words.append(f"--{field.name.replace('_', '-')}")
        if isinstance(value, tuple):
            words += [f"'{each}'" if " " in each else each for each in value]
        else:
            words.append("DIR" if isinstance(value, pathlib.Path) else str(value))
    return " ".join(words)


def main() -> int:
    """Runs what is not yet in the results."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.studies.priors")
    keep_freed_memory()
    if command.data_dir is None and command.tiny_imagenet is None:
        print(
            "python -m experiments.studies.priors takes --data-dir, --tiny-imagenet, or both; got neither.",
            file=sys.stderr,
        )
        return 2
    about = {
        "command": said(command),
        "learning_rate": command.learning_rate,
        "seeds": command.seeds,
        **machine(environment()),
    }
    picture = command.results.with_suffix(".png")
    times: dict[str, dict[str, float]] = {}
    for part, title, arm, run, ratios in rows(command):
        if part not in command.parts:
            continue
        lines = read_jsonl(command.results)
        here = {line["arm"]: line for line in lines if line["title"] == title}
        if arm in here:
            continue
        print(f"{title}: {arm}", flush=True)
        line = {"part": part, "title": title, "arm": arm, **about}
        if ratios is not None:
            if title not in times:
                times[title] = next((found["ratios"] for found in here.values()), None) or ratios()
            line |= {"ratio": times[title][arm], "ratios": times[title]}
        lines.append({**line, **run()})
        write_jsonl(command.results, lines)
        if part == "convolution":
            draw([line for line in lines if line["part"] == part], picture)
        replace_text(command.results.with_suffix(".md"), page(lines, picture.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
