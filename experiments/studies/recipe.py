"""From an arm of a study to the options of `experiments.train` that describe it, and to its config."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

from experiments.run.config import Config, DataConfig
from experiments.studies.study import Arm, Block, DataPaths, Job, Scale, Study

PLACE_WORDS = {
    "tiny_imagenet": "the folder given as --tiny-imagenet",
    "policy": "the policy file of the search",
}
"""What the names of places in options stand for."""


def arm_options(study: Study, block: Block, arm: Arm, scale: Scale, extra: Sequence[str] = ()) -> list[str]:
    """Returns the options of `experiments.train` without seed and places, the same on every machine.

    Args:
      study: of the arm.
      block: of the arm.
      arm: what is trained.
      scale: how far the recipe is shortened.
      extra: options that replace those of the recipe.

    Raises:
      ValueError: `experiments.train` does not understand the recipe.
    """
    overrides = study.overrides(block, scale)
    options = [block.config, *block.options, *overrides.options]
    if block.name in overrides.models:
        options += ["--model", overrides.models[block.name]]
    # Epochs and augmentations start from the config that the options so far give.
    recipe = parsed_config(tuple(options))
    if overrides.epochs is not None:
        share = overrides.epochs / recipe.epochs
        options += ["--epochs", str(overrides.epochs)]
        if recipe.optimizer.milestones:
            milestones = (str(round(share * milestone, 2)) for milestone in recipe.optimizer.milestones)
            options += ["--optimizer.milestones", *milestones]
        if recipe.optimizer.warmup_epochs:
            options += ["--optimizer.warmup-epochs", str(round(share * recipe.optimizer.warmup_epochs, 2))]
    base = recipe.augment if overrides.augment is None else overrides.augment
    half = (overrides.side or block.side) // 2
    augment = [*base, *(one.replace("{half}", str(half)) for one in arm.augment)]
    if augment != list(recipe.augment):
        options += ["--augment", *augment]
    return without_replaced([*options, *arm.options, *extra])


def without_replaced(options: Sequence[str]) -> list[str]:
    """Returns the options without those that later ones replace."""
    starts = [i for i, word in enumerate(options) if i == 0 or word.startswith("--")]
    last = {options[i]: options[i:end] for i, end in itertools.pairwise([*starts, len(options)])}
    return [word for words in last.values() for word in words]


def resolve(options: Sequence[str], paths: DataPaths) -> list[str]:
    """Returns the options with the places of this machine.

    Raises:
      ValueError: a place that they need is missing.
    """
    places = {"tiny_imagenet": paths.tiny_imagenet, "policy": paths.policy}
    for name, path in places.items():
        if path is None and any(f"{{{name}}}" in option for option in options):
            raise ValueError(f"this study needs --{name.replace('_', '-')}; pass it, or leave blocks out by --blocks.")
    resolved = [option.format_map(places) if "{" in option else option for option in options]
    return resolved if paths.data_dir is None else [*resolved, "--data.data-dir", str(paths.data_dir)]


@functools.lru_cache(maxsize=1024)
def parsed_config(options: tuple[str, ...]) -> Config:
    """Returns the config that the options of `experiments.train` describe."""
    from experiments.train import parsed

    return parsed(options)[1].config


def job_config(job: Job) -> Config:
    """Returns the config of a job, with the places of this machine."""
    return parsed_config(tuple(resolve(job.options, job.paths)))


def data_options(options: Sequence[str]) -> dict[str, Any]:
    """Returns the options of the dataset that are not at their defaults, for a line."""
    config = parsed_config(tuple(option for option in options if option != "{policy}"))
    default, data = DataConfig(), config.data
    changed = {name: value for name, value in vars(data).items() if value != getattr(default, name)}
    return {"name": data.name} | {name: value for name, value in changed.items() if name != "data_dir"}
