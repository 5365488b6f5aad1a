"""Compares every augmentation with its counterparts in other libraries: `python -m experiments.benchmark augment`."""

import dataclasses
import statistics
import sys

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.benchmark.operations import OPERATIONS, function, function_names, mixes
from experiments.benchmark.peers import Call, peers
from experiments.benchmark.timing import keep_freed_memory, provenance, seconds_in_turns

SIZES = ((512, 32), (64, 224))
CLASSES = 10
MAX_SECONDS = 1.0  # per call, since every contender has many turns


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and for how long."""

    repetitions: int = 25
    """Number of turns of each contender."""
    only: tuple[str, ...] = ()
    """Operations to measure; all of them by default."""


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> Call:
    """Returns a call of our compiled function on a batch that is already on the device."""
    arrays = [jnp.asarray(images)] + ([jnp.asarray(labels)] if mixes(name) else [])
    compiled, key = jax.jit(function(name, images.shape[1])), jax.random.key(0)
    return lambda: compiled(key, *arrays)


def floor(images: np.ndarray) -> Call:
    """Returns a call that reads and writes the batch once: a lower bound for any augmentation."""
    x, compiled = jnp.asarray(images), jax.jit(lambda x: x * 2 + 1)
    return lambda: compiled(x)


def measure_row(name: str, images: np.ndarray, labels: np.ndarray, repetitions: int) -> str:
    """Measures one function, and returns its Markdown row: throughput, floors, and the ratio to the fastest peer."""
    contenders: dict[str, Call] = {"floor": floor(images), "ours": ours(name, images, labels)}
    for library, maker in peers().get(OPERATIONS.get(name, ""), {}).items():
        try:
            contenders[library] = maker(images, labels)
            jax.block_until_ready(contenders[library]())
            seconds = seconds_in_turns({library: contenders[library]}, 1)[library][0]
            if seconds > MAX_SECONDS:
                raise TimeoutError(f"a call takes {seconds:.1f} s")
        except Exception as error:  # a peer that fails or is too slow here is skipped with a note
            contenders.pop(library, None)
            print(f"{name}: {library} is skipped: {(str(error).splitlines() or [error])[0]}", file=sys.stderr)
    seconds = seconds_in_turns(contenders, repetitions)
    median = {contender: statistics.median(each) for contender, each in seconds.items()}
    rate = {contender: len(images) / each for contender, each in median.items()}
    others = {library: each for library, each in median.items() if library not in ("floor", "ours")}
    best = min(others, key=others.__getitem__, default=None)
    against = "- | -"
    if best is not None:
        ratio = statistics.median(b / a for a, b in zip(seconds["ours"], seconds[best], strict=True))
        listed = ", ".join(f"{library} {rate[library]:,.0f}" for library in sorted(others, key=others.__getitem__))
        against = f"{listed} | {ratio:.2f}"
    return f"| {name} | {rate['ours']:,.0f} | {median['ours'] / median['floor']:.1f} | {against} |"


def main() -> None:
    """Measures, and prints a Markdown page."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark augment")
    keep_freed_memory()
    rng = np.random.default_rng(0)
    print(
        "# Speed of augmentations\n\n"
        f"{provenance('augment', command.repetitions)} Examples/s, and time in units "
        "of a memory floor (one compiled `x * 2 + 1` on the batch); contenders take turns in one process. The last "
        "column is our speed divided by that of the fastest other library. Our functions draw independently for each "
        "example; others may draw once per batch.\n"
    )
    for batch, side in SIZES:
        images = rng.random((batch, side, side, 3), np.float32)
        labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, batch)]
        print(f"| {batch} x {side}x{side}x3 | examples/s | floors | others, examples/s | ours / fastest |")
        print("|---|---|---|---|---|")
        for name in function_names():
            if not command.only or name in command.only:
                print(measure_row(name, images, labels, command.repetitions), flush=True)
        print()
