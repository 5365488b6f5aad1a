"""Measures seconds per step of `fit` on all devices of this process: one epoch for every line on standard input.

`python -m experiments.benchmark scaling` starts such a process for each number of devices and gives them turns.
"""

import dataclasses
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from typing import Any

import jax
import tyro

from jaxaug import create_model, data, never
from jaxaug.training import (
    Hooks,
    Record,
    Totals,
    TrainState,
    fit,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
)

_COLLECTIVE = re.compile(r"= (.+?) (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")
_ARRAY = re.compile(r"\b(?:pred|[a-z]+(\d+))\[([\d,]*)\]")


@dataclasses.dataclass(frozen=True)
class Command:
    """What to train."""

    model: str = "wrn_10_1"
    """The network."""
    batch_size: int = 256
    """Global batch size."""
    steps: int = 4
    """Steps per epoch."""
    side: int = 32
    """Side length of the images."""
    cores: int = 0
    """Use only this many cores, where the system supports it; 0 is all."""


class EpochPerLine(Hooks):
    """Prints the seconds per step of every epoch, and waits for a line before the next one."""

    ended = False

    def __init__(self, batch_size: int):
        self.batch_size = batch_size

    def should_stop(self) -> bool:
        """Returns whether standard input has ended."""
        return self.ended

    def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
        """Prints the seconds per step, and waits for a line."""
        print(json.dumps(self.batch_size / record["examples_per_second"]), flush=True)
        self.ended = not sys.stdin.readline()


def main() -> None:
    """Trains until standard input ends."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark.scaling.devices")
    if command.cores and hasattr(os, "sched_setaffinity"):  # before any threads start, since they inherit it
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: command.cores])
    examples, side = command.steps * command.batch_size, command.side
    dataset = data.load(f"synthetic:{side}x{side}x3,10,{examples}")
    model, optimizer = create_model(command.model, 10), make_optimizer(learning_rate=0.01)
    state = init_state(jax.random.key(0), model, optimizer, never(), shape=dataset.shape, num_examples=examples)
    epochs = sys.maxsize
    fit(
        state,
        make_train_step(model, optimizer, never()),
        make_eval_step(model),
        dataset,
        epochs=epochs,
        batch_size=command.batch_size,
        eval_every=epochs,
        hooks=EpochPerLine(command.batch_size),
    )


class SimulatedDevices:
    """A process with this many CPU devices that trains an epoch per call."""

    def __init__(self, devices: int, command: Command):
        self._dump = tempfile.TemporaryDirectory()
        flags = (
            f"--xla_force_host_platform_device_count={devices} --xla_dump_to={self._dump.name} --xla_dump_hlo_as_text"
        )
        options = [f"--{name.replace('_', '-')}={value}" for name, value in dataclasses.asdict(command).items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "experiments.benchmark.scaling.devices", *options],
            # A program that is read from a cache is not dumped.
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "JAX_ENABLE_COMPILATION_CACHE": "false"},
            cwd=pathlib.Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self) -> float:
        """Returns the seconds per step of the requested epoch; the first starts by itself, and compiles."""
        output = self._process.stdout
        assert output is not None
        answer = output.readline()
        if not answer:
            raise RuntimeError(f"a process with several devices exited with status {self._process.wait()}.")
        return float(answer)

    def start_epoch(self) -> None:
        """Starts the next epoch."""
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write("\n")
        pipe.flush()

    def collectives(self) -> dict[str, tuple[int, int]]:
        """Returns number and bytes of the compiled step's collective operations by kind."""
        texts = [path.read_text() for path in pathlib.Path(self._dump.name).glob("*after_optimizations.txt")]
        # Of all programs, the one that trains has the most to tell: the gradients.
        return max(map(collectives, texts), key=lambda found: sum(size for _, size in found.values()))

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()
        self._dump.cleanup()


def collectives(hlo: str) -> dict[str, tuple[int, int]]:
    """Returns number and bytes of the collective operations in a compiled program, by kind.

    Example:
      >>> collectives("%a = (f32[2,3]{1,0}, s32[]) all-reduce(%b, %c), channel_id=1")
      {'all-reduce': (1, 28)}
    """
    totals: dict[str, tuple[int, int]] = {}
    for result, kind in _COLLECTIVE.findall(hlo):
        sizes = (
            math.prod(int(n) for n in dims.split(",") if n) * max(int(bits or 8) // 8, 1)
            for bits, dims in _ARRAY.findall(result)
        )
        count, total = totals.get(kind, (0, 0))
        totals[kind] = (count + 1, total + sum(sizes))
    return totals


def seconds_by_devices(numbers: tuple[int, ...], command: Command, turns: int) -> tuple[dict[int, list[float]], Any]:
    """Returns seconds per step, and collective operations, by number of devices."""
    processes = {number: SimulatedDevices(number, command) for number in numbers}
    seconds: dict[int, list[float]] = {number: [] for number in numbers}
    try:
        for process in processes.values():
            process()
        for turn in range(-1, turns):  # the first turn is a warm-up
            for number, process in processes.items():
                process.start_epoch()
                step = process()
                if turn >= 0:
                    seconds[number].append(step)
        return seconds, {number: process.collectives() for number, process in processes.items()}
    finally:
        for process in processes.values():
            process.close()


if __name__ == "__main__":
    main()
