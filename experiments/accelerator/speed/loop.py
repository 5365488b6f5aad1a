"""`fit` compared with its bare step, and a population compared with its members one after another."""

from typing import Any

import jax
import numpy as np

from experiments.accelerator.item import Item, Options
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.steps import CLASSES, Setting, setup, steps
from experiments.accelerator.speed.strategies import plain_setting
from experiments.accelerator.speed.turns import Contender, ratio, ratio_quartiles, row, times_in_turns
from experiments.benchmark.fit_in_turns import seconds_with_fit
from experiments.benchmark.members import Setting as Population
from jaxaug.data import Dataset, Split
from jaxaug.training import make_eval_step


def items(options: Options) -> dict[str, Item]:
    """Returns the items, by a short name each."""
    size = sizes(options.scale)
    plain = plain_setting(size)
    deep = Setting(size.deep_fit, size.batch_sizes[0], size.side, "plain")

    def fit_item(setting: Setting, seconds: float) -> Item:
        settings = {"model": setting.model, "batch": setting.batch, "side": setting.side, "dtype": "bfloat16"}
        settings |= {"steps_per_epoch": size.steps_per_epoch}
        name = f"fit {setting.model}, batch {setting.batch}"
        return Item("speed", name, seconds, lambda: fit_and_bare_step(size, setting), settings)

    members = {
        "model": size.population_model,
        "members": size.members,
        "batch": size.population_batch,
        "examples": size.population_examples,
        "side": size.side,
        "dtype": "float32",
    }
    return {
        "fit": fit_item(plain, 20.0),
        "fit deep": fit_item(deep, 50.0),
        "population": Item(
            "speed", f"{size.members} seeds of {size.population_model}", 20.0, lambda: population(size), members
        ),
    }


def noise_dataset(examples: int, side: int) -> Dataset:
    """Returns a dataset of noise in memory; nothing of it is ever evaluated."""
    rng = np.random.default_rng(0)

    def split(n: int) -> Split:
        images = rng.integers(0, 256, (n, side, side, 3), np.uint8)
        return Split(images, rng.integers(0, CLASSES, n).astype(np.int32))

    return Dataset("noise", split(examples), split(CLASSES), tuple(map(str, range(CLASSES))))


def fit_and_bare_step(size: Sizes, setting: Setting) -> dict[str, Any]:
    """Returns examples per second of `fit`, data on the device, to those of the step called from Python."""
    step = steps([setting])[setting]
    if isinstance(step, Exception):
        raise step
    dataset = noise_dataset(size.steps_per_epoch * setting.batch, setting.side)
    model, train_step, initial = setup(setting, len(dataset.train.labels))

    def bare() -> Any:
        for _ in range(size.steps_per_epoch - 1):
            step()
        return step()

    jax.block_until_ready(bare())
    seconds = seconds_with_fit(
        initial(jax.random.key(0)),
        train_step,
        make_eval_step(model),
        dataset,
        {"bare": bare},
        batch_size=setting.batch,
        repetitions=size.epochs,
    )
    examples = len(dataset.train.labels)
    low, middle, high = ratio_quartiles(seconds["bare"], seconds["fit"])
    return {
        "examples_per_second_of_fit_to_bare_step": middle,
        "quartiles": [low, high],
        "epochs": {
            name: row(each, examples_per_second=examples / row(each)["seconds"]) for name, each in seconds.items()
        },
    }


def population(size: Sizes) -> dict[str, Any]:
    """Returns the time of an epoch of all members by vmap over that of one after another."""
    dataset = noise_dataset(size.population_examples, size.side)
    setting = Population(size.population_model, dataset, size.population_batch, size.members)
    calls = {"one after another": setting.epoch(1, 1), "vmap": setting.epoch(size.members, 1)}
    times = times_in_turns({name: Contender(call) for name, call in calls.items()}, size.epochs, 0.0)
    together, alone = times["vmap"].seconds, times["one after another"].seconds
    return {
        "time_by_vmap_to_one_after_another": ratio(together, alone),
        "quartiles": ratio_quartiles(together, alone)[::2],
        "epochs": {name: row(each.seconds) for name, each in times.items()},
    }
