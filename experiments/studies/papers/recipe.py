"""From a row of a table to the command line of `experiments.train` that measures it."""

import functools
import itertools
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from experiments.run.config import Config
from experiments.studies.papers.table import Arm, Block, Scale, Table
from experiments.train import parsed


class Places(NamedTuple):
    """Where the data lies, and what was found before the arms are run."""

    data_dir: pathlib.Path | None = None
    tiny_imagenet: pathlib.Path | None = None
    policy: pathlib.Path | None = None


PLACE_WORDS = {"tiny_imagenet": "the folder given as --tiny-imagenet", "policy": "the file of what the search found"}
"""What the names of places stand for in options."""


def arguments(table: Table, block: Block, arm: Arm, scale: Scale) -> list[str]:
    """Returns the arguments of `experiments.train` without seed and places, the same on every machine.

    Raises:
      ValueError: the recipe is not understood by `experiments.train`.
    """
    cut = table.cuts[scale]
    options = [block.config, *block.options, *cut.options]
    if block.name in cut.models:
        options += ["--model", cut.models[block.name]]
    # What the options so far make of the config is what epochs and augmentations start from.
    recipe = _config(tuple(options))
    if cut.epochs is not None:
        share = cut.epochs / recipe.epochs
        options += ["--epochs", str(cut.epochs)]
        if recipe.optimizer.milestones:
            milestones = (str(round(share * milestone, 2)) for milestone in recipe.optimizer.milestones)
            options += ["--optimizer.milestones", *milestones]
        if recipe.optimizer.warmup_epochs:
            options += ["--optimizer.warmup-epochs", str(round(share * recipe.optimizer.warmup_epochs, 2))]
    base = recipe.augment if cut.augment is None else cut.augment
    half = (cut.side or block.side) // 2
    augment = [*base, *(one.replace("{half}", str(half)) for one in arm.augment)]
    if augment != list(recipe.augment):
        options += ["--augment", *augment]
    return without_replaced([*options, *arm.options])


def without_replaced(options: Sequence[str]) -> list[str]:
    """Returns the arguments without those that later ones replace."""
    starts = [i for i, word in enumerate(options) if i == 0 or word.startswith("--")]
    last = {options[i]: options[i:end] for i, end in itertools.pairwise([*starts, len(options)])}
    return [word for words in last.values() for word in words]


@functools.lru_cache(maxsize=64)
def _config(options: tuple[str, ...]) -> Config:
    return parsed(options)[1].config


def located(options: list[str], places: Places) -> list[str]:
    """Returns the arguments with the places of this machine in them.

    Raises:
      ValueError: a place that they need is not given.
    """
    said = {"tiny_imagenet": places.tiny_imagenet, "policy": places.policy}
    for name, path in said.items():
        if path is None and any(f"{{{name}}}" in option for option in options):
            raise ValueError(f"this scale of the table needs --{name.replace('_', '-')}; none is given.")
    found = [option.format_map(said) if "{" in option else option for option in options]
    return found if places.data_dir is None else [*found, "--data.data-dir", str(places.data_dir)]
