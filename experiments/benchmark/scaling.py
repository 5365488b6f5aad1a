"""Streams, devices and checkpoints beside doing without: `python -m experiments.benchmark scaling --folder DIR`.

DIR/train/<class>/*.jpg are small images, all of one size.
"""

import dataclasses
import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from PIL import Image

from experiments.benchmark import devices
from experiments.benchmark.timing import header, ratio_row, seconds_in_turns
from experiments.run_directory import environment, environment_in_words
from jaxaug import create_model, data, never
from jaxaug.data import Dataset, Split
from jaxaug.data.boxes import random_box
from jaxaug.training import (
    Checkpoints,
    Hooks,
    TrainState,
    fit,
    init_state,
    make_eval_step,
    make_optimizer,
    make_train_step,
)
from jaxaug.training.device_data import device_split
from jaxaug.training.engine import EpochRunner, Sums
from jaxaug.training.loop import Record, trained_epoch
from jaxaug.training.mesh import data_mesh, spread_state
from jaxaug.training.stream import Reading, streamed


@dataclasses.dataclass(frozen=True)
class Command:
    """How much is measured."""

    folder: pathlib.Path
    """DIR of DIR/train/<class>/*.jpg, small images all of one size."""
    turns: int = 7
    """Turns of each contender."""
    images: int = 4096
    """Small images decoded in a turn."""
    large: int = 256
    """Large images, decoded twice in a turn."""
    threads: tuple[int, ...] = (1, 2, 4)
    """Threads that decode."""
    batch_sizes: tuple[int, ...] = (64, 256)
    """Batches of the stream."""
    hidden_model: str = "wrn_10_1"
    """The network that trains from the stream."""
    hidden_images: int = 512
    """The images that it trains on."""
    saved_model: str = "resnet18"
    """The network that is saved."""
    saved_batch_size: int = 32
    """Its batch."""
    saved_steps: int = 16
    """Steps between two checkpoints."""
    numbers: tuple[int, ...] = (1, 2, 8)
    """Numbers of simulated devices."""
    cores: tuple[int, ...] = (1, 0)
    """Cores that they share; 0: all."""
    trained: devices.Command = dataclasses.field(default_factory=devices.Command)


def stream_call(split: Split, order: np.ndarray, threads: int, batch_size: int) -> Callable[[], None]:
    """Returns a call that takes so many images from the stream to the device."""
    reading, mesh = Reading(threads=threads), data_mesh()

    def call() -> None:
        batches = streamed(*split, order, batch_size=batch_size, seed=(0,), start=0, reading=reading, mesh=mesh)
        for batch in batches:
            jax.block_until_ready(batch["image"])

    return call


def pillow_call(paths: Sequence[Any], threads: int, decode: Callable[[Any], Any]) -> Callable[[], None]:
    """Returns a call that decodes the files with Pillow, in threads, and does nothing else."""

    def call() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(decode, paths):
                pass

    return call


def whole_image(path: pathlib.Path) -> np.ndarray:
    """Returns an image as it is in its file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def small_images(command: Command) -> list[str]:
    """Returns the rows of the stream beside Pillow alone."""
    split = data.load(f"folder:{command.folder}", stream=True).train
    order = np.random.default_rng(0).permutation(len(split.labels))[: command.images]
    paths = [stored.content for stored in split.images.read(split.images.index[order].tolist())]
    height, width, _ = split.images.shape_of_one
    rows = [header(f"images/s of the stream to those of Pillow alone, {height} x {width}")]
    speeds = []
    for threads in command.threads:
        calls: dict[str, Callable[[], None]] = {"Pillow": pillow_call(paths, threads, whole_image)}
        calls |= {f"batch {size}": stream_call(split, order, threads, size) for size in command.batch_sizes}
        seconds = seconds_in_turns(calls, command.turns)
        plural = "thread" if threads == 1 else "threads"
        for size in command.batch_sizes:
            what = f"{threads} {plural} each, batch {size}"
            rows.append(ratio_row(what, seconds["Pillow"], seconds[f"batch {size}"], "at least 0.9"))
        speed = ", ".join(f"{name} {len(paths) / statistics.median(each):,.0f}" for name, each in seconds.items())
        speeds.append(f"{threads} {plural}: {speed}")
    return [*rows, "", f"Images/s, medians over {len(paths):,} images: {'; '.join(speeds)}."]


def mosaics(folder: pathlib.Path, out: pathlib.Path, size: tuple[int, int], count: int) -> None:
    """Writes a folder of JPEGs of (height, width) made of the small images, as rich in detail as photographs are."""
    small = sorted(folder.glob("train/*/*.jpg"))
    rng, first = np.random.default_rng(0), whole_image(small[0])
    down, across = (-(-side // tile) for side, tile in zip(size, first.shape, strict=False))
    for number in range(count + 2):
        tiles = np.stack([whole_image(small[place]) for place in rng.integers(len(small), size=down * across)])
        image = np.concatenate(np.concatenate(tiles.reshape(down, across, *first.shape), axis=1), axis=1)
        path = out / ("train" if number < count else "test") / "ab"[number % 2] / f"{number:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[: size[0], : size[1]]).save(path, quality=95)


OUTPUT = 224


def large_images(command: Command, size: tuple[int, int], directory: pathlib.Path) -> list[str]:
    """Returns the rows of random boxes beside whole images."""
    mosaics(command.folder, directory, size, command.large)
    name, cores = f"folder:{directory}", os.cpu_count() or 1
    whole = data.load(name, image_size=OUTPUT, stream=True).train
    boxes = data.load(name, image_size=OUTPUT, stream=True, random_crop=True).train
    order = np.tile(np.arange(len(whole.labels)), 2)
    stored = whole.images.read(whole.images.index.tolist())
    drawn = [random_box(np.random.default_rng((0, place)), *size) for place in range(len(whole.labels))]
    scaled = np.mean([min(height, width) >= 2 * OUTPUT for _, _, height, width in drawn])

    def box_of_whole(place: int) -> np.ndarray:
        with Image.open(stored[place].content) as image:
            top, left, height, width = drawn[place]
            box = (left, top, left + width, top + height)
            resized = image.convert("RGB").resize((OUTPUT, OUTPUT), Image.Resampling.BILINEAR, box=box)
            return np.asarray(resized)

    calls = {
        "whole": stream_call(whole, order, cores, 32),
        "random": stream_call(boxes, order, cores, 32),
        "unscaled": pillow_call(order.tolist(), cores, box_of_whole),
    }
    seconds = seconds_in_turns(calls, command.turns)
    kilobytes = statistics.mean(path.stat().st_size for path in directory.glob("train/*/*")) / 1000
    what = f"{size[1]} x {size[0]} to {OUTPUT}"
    per_core = {name: len(order) / _cpu_seconds(calls[name]) for name in ("whole", "random")}
    speed = {name: len(order) / statistics.median(seconds[name]) for name in ("whole", "random")}
    return [
        header(f"time of random boxes, {what}"),
        ratio_row("to that of whole images", seconds["random"], seconds["whole"], "-"),
        ratio_row("to the same boxes by Pillow, without scaling", seconds["random"], seconds["unscaled"], "-"),
        "",
        f"JPEGs of {what} of {kilobytes:.0f} kB: {speed['random']:,.0f} images/s as random boxes and "
        f"{speed['whole']:,.0f} whole, with {cores} threads; {per_core['random']:,.0f} and {per_core['whole']:,.0f} "
        f"images per second of a core's time. The decoder can halve {100 * scaled:.0f} % of these boxes.",
    ]


def _cpu_seconds(call: Callable[[], None]) -> float:
    """Returns the time that a call takes of all cores together, a median."""
    taken = []
    for _ in range(5):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def started(name: str, dataset: Dataset) -> tuple[TrainState, tuple[Any, Any]]:
    """Returns a state at step 0, and the training and the evaluation step."""
    model, optimizer = create_model(name, dataset.num_classes), make_optimizer(learning_rate=0.01)
    about = {"shape": dataset.shape, "num_examples": len(dataset.train.labels)}
    state = init_state(jax.random.key(0), model, optimizer, never(), **about)
    return state, (make_train_step(model, optimizer, never()), make_eval_step(model))


def hiding(command: Command) -> list[str]:
    """Returns the row of `fit` from the stream beside `fit` from memory."""
    folder, batch_size = f"folder:{command.folder}", min(128, command.hidden_images)
    stream = data.subset(data.load(folder, stream=True), command.hidden_images)
    memory = np.asarray(stream.train.images), stream.train.labels
    state, steps = started(command.hidden_model, stream)
    mesh, epochs = data_mesh(), command.turns + 1
    seconds: dict[str, list[float]] = {"stream": [], "memory": []}
    with jax.set_mesh(mesh):
        beside = spread_state(jax.tree.map(jnp.copy, state))
        options: dict[str, Any] = {"batch_size": batch_size, "num_classes": stream.num_classes}
        runner = EpochRunner(steps[0], beside, device_split(Split(*memory), mesh), mesh=mesh, **options)

    class Turns(Hooks):
        def on_epoch(self, record: Record, state: TrainState, sums: Sums) -> None:
            nonlocal beside
            seconds["stream"].append(command.hidden_images / record["examples_per_second"])
            began = time.perf_counter()
            beside, done, _ = trained_epoch(runner, beside, runner.zero_sums(), 0, 1, Hooks())
            jax.block_until_ready(done)
            seconds["memory"].append(time.perf_counter() - began)

    fit(state, *steps, stream, epochs=epochs, batch_size=batch_size, eval_every=epochs, hooks=Turns())
    ours, theirs = (seconds[name][1:] for name in ("stream", "memory"))  # the first turn compiles
    what = f"{command.hidden_model}, batch {batch_size}, {command.hidden_images:,} images"
    speed = command.hidden_images / statistics.median(theirs)
    return [
        header("examples/s of `fit` from the stream to those from memory"),
        ratio_row(what, theirs, ours, "-"),
        "",
        f"From memory it trains {speed:,.0f} examples/s.",
    ]


def several_devices(command: Command) -> list[str]:
    """Returns the rows of one device beside several simulated ones, which share one core, or all of them."""
    first, *others = command.numbers
    of = f"{command.trained.model}, batch {command.trained.batch_size}, {command.trained.side} x {command.trained.side}"
    rows, times, told = [header(f"seconds per step of `fit` to those on {first} device, {of}")], [], {}
    for cores in command.cores:
        where = "on one core" if cores == 1 else f"on {cores or os.cpu_count()} cores"
        trained = dataclasses.replace(command.trained, cores=cores)
        seconds, told = devices.seconds_by_devices(command.numbers, trained, command.turns)
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
    for number, kinds in told.items():
        said = ", ".join(f"{count} {kind} of {size:,} bytes together" for kind, (count, size) in kinds.items())
        rows.append(f"- {number}: {said or 'none'}")
    return rows


def checkpoints(command: Command) -> list[str]:
    """Returns the row of epochs with a checkpoint beside epochs without, one after the other."""
    batch_size = command.saved_batch_size
    examples = command.saved_steps * batch_size
    dataset = data.load(f"synthetic:32x32x3,10,{examples}")
    state, steps = started(command.saved_model, dataset)
    megabytes = sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / 1e6
    seconds: dict[bool, list[float]] = {True: [], False: []}
    waited: list[float] = []
    epochs = 2 * command.turns + 3

    with tempfile.TemporaryDirectory() as directory, Checkpoints(directory) as kept:

        class Turns(Hooks):
            began = 0.0

            def on_epoch(self, record: Record, state: TrainState, sums: Sums) -> None:
                # The writing belongs to the epoch that it runs beside, also what of it is left at the end.
                kept.wait()
                saved = record["epoch"] % 2 == 0
                if record["epoch"] > 2:
                    seconds[saved].append(time.perf_counter() - self.began)
                self.began = time.perf_counter()
                if not saved:
                    kept.save(state, sums)
                    waited.append(time.perf_counter() - self.began)

        fit(state, *steps, dataset, epochs=epochs, batch_size=batch_size, eval_every=epochs, hooks=Turns())
    # The first two compile, the last is evaluated.
    without, saving = seconds[False][: command.turns], seconds[True][: command.turns]
    return [
        header("time of an epoch with an asynchronous checkpoint to one without"),
        ratio_row(f"{command.saved_model}, a state of {megabytes:.0f} MB", saving, without, "at most 1.05"),
        "",
        f"An epoch without takes {statistics.median(without):.1f} s, {command.saved_steps} steps of {batch_size}; "
        f"`save` returns after {statistics.median(waited):.2f} s, the rest is written beside the training.",
    ]


def main() -> None:
    """Measures, and prints Markdown tables."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.benchmark scaling")
    print(
        "# Streaming, devices and checkpoints\n\n"
        "Printed by `python -m experiments.benchmark scaling --folder DIR`, contenders in turn, medians of "
        f"{command.turns} turns; {environment_in_words(environment())}; the processor is {processor()}.\n\n"
        "## Streaming\n"
    )
    print("\n".join(small_images(command)), flush=True)
    for size in ((375, 500), (750, 1000)):
        with tempfile.TemporaryDirectory() as directory:
            print("\n" + "\n".join(large_images(command, size, pathlib.Path(directory))), flush=True)
    print("\n" + "\n".join(hiding(command)), flush=True)
    print("\n## Devices\n\n" + "\n".join(several_devices(command)), flush=True)
    print("\n## Checkpoints\n\n" + "\n".join(checkpoints(command)), flush=True)


def processor() -> str:
    """Returns what the system says that the processor is."""
    about = pathlib.Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.is_file() else []
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    speed = f" at {float(fields['cpu MHz']) / 1000:.1f} GHz" if "cpu MHz" in fields else ""
    numbers = f" (family {fields['cpu family']}, model {fields['model']})" if "cpu family" in fields else ""
    return f"{fields.get('model name', 'not named')}{numbers}{speed}"


if __name__ == "__main__":
    main()
