"""The cost of streams, devices and checkpoints: `python -m experiments.benchmark scaling --folder DIR`.

DIR/train/<class>/*.jpg are small images of the same size.
"""

import dataclasses
import pathlib
import statistics
import tempfile

import tyro

from experiments.benchmark.scaling import devices
from experiments.benchmark.scaling.checkpoints import checkpoints
from experiments.benchmark.scaling.command import Command
from experiments.benchmark.scaling.streams import large_images, overlap, small_images
from experiments.benchmark.timing import header, provenance, ratio_row
from jaxaug.training import cpu_count


def device_rows(command: Command) -> list[str]:
    """Returns the rows of one device and of several simulated ones that share one core, or all cores."""
    first, *others = command.numbers
    setting = (
        f"{command.trained.model}, batch {command.trained.batch_size}, {command.trained.side} x {command.trained.side}"
    )
    rows = [header(f"seconds per step of `fit` / on {first} device, {setting}")]
    times, collectives = [], {}
    for cores in command.cores:
        where = "on one core" if cores == 1 else f"on {cores or cpu_count()} cores"
        trained = dataclasses.replace(command.trained, cores=cores)
        seconds, collectives = devices.seconds_by_devices(command.numbers, trained, command.turns)
        rows += [
            ratio_row(f"{number} devices {where}", seconds[number], seconds[first], "at most 1.15") for number in others
        ]
        steps = (f"{1000 * statistics.median(each):,.0f} ({number})" for number, each in seconds.items())
        times.append(f"{where} {', '.join(steps)}")
    rows += [
        "",
        f"Milliseconds per step, by devices: {'; '.join(times)}. Collective operations in the compiled step:",
        "",
    ]
    for number, kinds in collectives.items():
        operations = ", ".join(f"{count} {kind} of {size:,} bytes in total" for kind, (count, size) in kinds.items())
        rows.append(f"- {number}: {operations or 'none'}")
    return rows


def main() -> None:
    """Measures, and prints Markdown tables."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark scaling")
    print(
        f"# Streaming, devices and checkpoints\n\n{provenance('scaling', command.turns, processor())}\n\n## Streaming\n"
    )
    print("\n".join(small_images(command)), flush=True)
    for size in ((375, 500), (750, 1000)):
        with tempfile.TemporaryDirectory() as directory:
            print("\n" + "\n".join(large_images(command, size, pathlib.Path(directory))), flush=True)
    print("\n" + "\n".join(overlap(command)), flush=True)
    print("\n## Devices\n\n" + "\n".join(device_rows(command)), flush=True)
    print("\n## Checkpoints\n\n" + "\n".join(checkpoints(command)), flush=True)


def processor() -> str:
    """Returns the name of the processor as the system reports it."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    speed = f" at {float(fields['cpu MHz']) / 1000:.1f} GHz" if "cpu MHz" in fields else ""
    numbers = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
    return f"{fields.get('model name', 'unknown processor')}{numbers}{speed}"
