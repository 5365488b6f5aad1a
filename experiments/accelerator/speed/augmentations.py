"""Every augmentation on the device, in copies of its batch."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.accelerator.item import Item, ItemError, Options
from experiments.accelerator.speed.ceilings import copy_rate
from experiments.accelerator.speed.programs import Outcome, compiled_in_threads, failures, repeated
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.turns import Contender, ratio, rounded, row, times_in_turns
from experiments.benchmark.operations import function, mixes

CLASSES = 10
COPY = "copy"  # of the batch: every number is read and written once
_COMPILED: dict[tuple[Sizes, int, str], Outcome] = {}


def items(options: Options) -> list[Item]:
    """Returns an item for each size, of ours alone."""
    size = sizes(options.scale)

    def item(place: int, seconds: float) -> Item:
        batch, side = size.batches[place]
        settings = {"batch": batch, "side": side, "dtype": "float32", "repeats": size.repeats[place]}
        return Item("speed", f"augment {batch} x {side}", seconds, lambda: ours(size, place), settings)

    return [item(0, 14.0), item(1, 16.0)]


@functools.lru_cache(maxsize=1)
def host_batch(batch: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns images of noise and one-hot labels."""
    rng = np.random.default_rng(0)
    labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, batch)]
    return rng.random((batch, side, side, 3), np.float32), labels


@functools.lru_cache(maxsize=1)
def device_batch(batch: int, side: int) -> tuple[jax.Array, jax.Array]:
    """Returns the same on the device."""
    images, labels = host_batch(batch, side)
    return jnp.asarray(images), jnp.asarray(labels)


def arguments(size: Sizes, place: int, name: str) -> tuple[jax.Array, ...]:
    """Returns what a function is called with: key, images, and labels if it mixes."""
    images, labels = device_batch(*size.batches[place])
    return (jax.random.key(0), images, labels) if mixes(name) else (jax.random.key(0), images)


def repeated_arguments(size: Sizes, place: int, name: str) -> tuple[jax.Array, ...]:
    """Returns what the program that computes it many times is called with."""
    key, *arrays = arguments(size, place, name)
    return (key, jnp.ones(size.repeats[place]), *arrays)


def repeated_programs(size: Sizes, place: int, names: Sequence[str]) -> dict[str, Outcome]:
    """Returns for each function the program that computes it many times; what this process has compiled is kept."""
    side, repeats = size.batches[place][1], size.repeats[place]
    missing = {
        name: (
            repeated((lambda key, x: 2 * x + 1) if name == COPY else function(name, side), repeats),
            repeated_arguments(size, place, name),
        )
        for name in names
        if (size, place, name) not in _COMPILED
    }
    for name, outcome in compiled_in_threads(missing).items():
        _COMPILED[size, place, name] = outcome
    return {name: _COMPILED[size, place, name] for name in names}


def repeated_contenders(size: Sizes, place: int, outcomes: dict[str, Outcome]) -> dict[str, Contender]:
    """Returns a contender for every program that was compiled."""

    def contender(name: str, program: Any) -> Contender:
        given = repeated_arguments(size, place, name)
        return Contender(lambda: program(*given), size.repeats[place])

    found = {name: each for name, each in outcomes.items() if not isinstance(each, Exception)}
    return {name: contender(name, program) for name, program in found.items()}


def ours(size: Sizes, place: int) -> dict[str, Any]:
    """Returns seconds of each function on a batch, in copies, and images per second."""
    batch, side = size.batches[place]
    outcomes = repeated_programs(size, place, (COPY, *size.functions))
    times = times_in_turns(repeated_contenders(size, place, outcomes), size.turns, size.turn_seconds)
    copies = {name: ratio(each.seconds, times[COPY].seconds) for name, each in times.items()}
    rows = {
        name: row(each.seconds, copies=copies[name], images_per_second=batch / row(each.seconds)["seconds"])
        for name, each in times.items()
    }
    bytes_moved = 2 * 4 * 3 * batch * side**2
    result = {
        "above_two_copies": [f"{name} {copies[name]:.3g}" for name in copies if copies[name] > 2] or None,
        "copy_of_large_copy_bandwidth": rounded(bytes_moved / rows[COPY]["seconds"] / copy_rate(size)),
        "functions": rows,
    }
    if failed := failures(outcomes):
        raise ItemError("; ".join(f"{name}: {error}" for name, error in failed.items()), result)
    return result
