"""Every augmentation beside the same one in other libraries: `python -m experiments.benchmark augment`."""

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
PATIENCE = 1.0  # seconds that a call may take, since every contender has many turns


@dataclasses.dataclass(frozen=True)
class Command:
    """What to measure, and how long."""

    repetitions: int = 25
    """Turns of each contender."""
    only: tuple[str, ...] = ()
    """Operations to measure; all of them by default."""


def ours(name: str, images: np.ndarray, labels: np.ndarray) -> Call:
    """Returns a call of our function, compiled, on a batch that is already on the device."""
    arrays = [jnp.asarray(images)] + ([jnp.asarray(labels)] if mixes(name) else [])
    compiled, key = jax.jit(function(name, images.shape[1])), jax.random.key(0)
    return lambda: compiled(key, *arrays)


def floor(images: np.ndarray) -> Call:
    """Returns a call that reads and writes the batch once: the least that any augmentation takes."""
    x, compiled = jnp.asarray(images), jax.jit(lambda x: x * 2 + 1)
    return lambda: compiled(x)


def measured_row(name: str, images: np.ndarray, labels: np.ndarray, repetitions: int) -> str:
    """Returns the Markdown row of one function: throughput, floors, and its ratio to the fastest peer."""
    contenders: dict[str, Call] = {"floor": floor(images), "ours": ours(name, images, labels)}
    for library, maker in peers().get(OPERATIONS.get(name, ""), {}).items():
        try:
            contenders[library] = maker(images, labels)
            jax.block_until_ready(contenders[library]())
            seconds = seconds_in_turns({library: contenders[library]}, 1)[library][0]
            if seconds > PATIENCE:
                raise TimeoutError(f"a call takes {seconds:.1f} s")
        except Exception as error:  # a peer that cannot do it here, or not in time, is left out and named
            contenders.pop(library, None)
            print(f"{name}: {library} is left out: {(str(error).splitlines() or [error])[0]}", file=sys.stderr)
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
    """Measures, and prints a page."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark augment")
    keep_freed_memory()
    rng = np.random.default_rng(0)
    print(
        "# The speed of augmentation\n\n"
        f"{provenance('augment', command.repetitions)} Examples/s and time in memory floors "
        "(one compiled `x * 2 + 1` on the batch), contenders in turn in one process. The last column is our speed over "
        "that of the fastest other library. Ours draw for each example alone; others may draw once per batch.\n"
    )
    for batch, side in SIZES:
        images = rng.random((batch, side, side, 3), np.float32)
        labels = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, batch)]
        print(f"| {batch} x {side}x{side}x3 | examples/s | floors | others, examples/s | ours / fastest |")
        print("|---|---|---|---|---|")
        for name in function_names():
            if not command.only or name in command.only:
                print(measured_row(name, images, labels, command.repetitions), flush=True)
        print()
