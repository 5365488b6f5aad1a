"""The cost of decoding images from disk: relative to Pillow, of random boxes, and during training."""

import pathlib
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.benchmark.scaling.command import Command
from experiments.benchmark.steps import initial_state
from experiments.benchmark.timing import header, ratio_row, seconds_in_turns
from jaxaug import data
from jaxaug.data import Split
from jaxaug.data.boxes import random_box
from jaxaug.training import (
    Hooks,
    InMemoryRunner,
    ReadOptions,
    Record,
    Totals,
    TrainState,
    cpu_count,
    data_mesh,
    device_split,
    fit,
    shard_state,
)
from jaxaug.training.fit import run_epoch
from jaxaug.training.stream import read_batches


def stream_call(split: Split, order: np.ndarray, threads: int, batch_size: int) -> Callable[[], None]:
    """Returns a call that reads these images from the stream to the device."""
    reading, mesh = ReadOptions(threads=threads), data_mesh()

    def call() -> None:
        batches = read_batches(*split, order, batch_size=batch_size, seed=(0,), start=0, reading=reading, mesh=mesh)
        for batch in batches:
            jax.block_until_ready(batch["image"])

    return call


def pillow_call(paths: Sequence[Any], threads: int, decode: Callable[[Any], Any]) -> Callable[[], None]:
    """Returns a call that only decodes the files with Pillow, in threads."""

    def call() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(decode, paths):
                pass

    return call


def whole_image(path: pathlib.Path) -> np.ndarray:
    """Returns the decoded image of a file."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def small_images(command: Command) -> list[str]:
    """Returns the rows of the stream relative to Pillow."""
    split = data.load(f"folder:{command.folder}", stream=True).train
    order = np.random.default_rng(0).permutation(len(split.labels))[: command.images]
    paths = [stored.content for stored in split.images.read(split.images.index[order].tolist())]
    height, width, _ = split.images.shape_of_one
    rows = [header(f"images/s of the stream / Pillow only, {height} x {width}")]
    speeds = []
    for threads in command.threads:
        calls: dict[str, Callable[[], None]] = {"Pillow": pillow_call(paths, threads, whole_image)}
        calls |= {f"batch {size}": stream_call(split, order, threads, size) for size in command.batch_sizes}
        seconds = seconds_in_turns(calls, command.turns)
        plural = "thread" if threads == 1 else "threads"
        for size in command.batch_sizes:
            label = f"{threads} {plural} each, batch {size}"
            rows.append(ratio_row(label, seconds["Pillow"], seconds[f"batch {size}"], "at least 0.9"))
        speed = ", ".join(f"{name} {len(paths) / statistics.median(each):,.0f}" for name, each in seconds.items())
        speeds.append(f"{threads} {plural}: {speed}")
    return [*rows, "", f"Images/s, medians over {len(paths):,} images: {'; '.join(speeds)}."]


def write_mosaics(folder: pathlib.Path, out: pathlib.Path, size: tuple[int, int], count: int) -> None:
    """Writes JPEGs of (height, width) tiled from the small images, with as much detail as photographs."""
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
    """Returns the rows of random boxes relative to whole images."""
    write_mosaics(command.folder, directory, size, command.large)
    name, cores = f"folder:{directory}", cpu_count()
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
    label = f"{size[1]} x {size[0]} to {OUTPUT}"
    per_core = {name: len(order) / _cpu_seconds(calls[name]) for name in ("whole", "random")}
    speed = {name: len(order) / statistics.median(seconds[name]) for name in ("whole", "random")}
    return [
        header(f"time of random boxes, {label}"),
        ratio_row("/ whole images", seconds["random"], seconds["whole"], "-"),
        ratio_row("/ the same boxes by Pillow, without scaling", seconds["random"], seconds["unscaled"], "-"),
        "",
        f"JPEGs of {label} of {kilobytes:.0f} kB: {speed['random']:,.0f} images/s as random boxes and "
        f"{speed['whole']:,.0f} whole, with {cores} threads; {per_core['random']:,.0f} and {per_core['whole']:,.0f} "
        f"images per second of CPU time. The decoder can halve {100 * scaled:.0f} % of these boxes.",
    ]


def _cpu_seconds(call: Callable[[], None]) -> float:
    """Returns the median CPU time of a call, summed over cores."""
    seconds = []
    for _ in range(5):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def overlap(command: Command) -> list[str]:
    """Returns the row of `fit` from the stream relative to `fit` from memory."""
    folder, batch_size = f"folder:{command.folder}", min(128, command.hidden_images)
    stream = data.subset(data.load(folder, stream=True), command.hidden_images)
    memory = np.asarray(stream.train.images), stream.train.labels
    state, steps = initial_state(command.hidden_model, stream)
    mesh, epochs = data_mesh(), command.turns + 1
    seconds: dict[str, list[float]] = {"stream": [], "memory": []}
    with jax.set_mesh(mesh):
        memory_state = shard_state(jax.tree.map(jnp.copy, state))
        options: dict[str, Any] = {"batch_size": batch_size, "num_classes": stream.num_classes}
        runner = InMemoryRunner(steps[0], memory_state, device_split(Split(*memory), mesh), mesh=mesh, **options)

    class Turns(Hooks):
        def on_epoch(self, record: Record, state: TrainState, totals: Totals) -> None:
            nonlocal memory_state
            seconds["stream"].append(command.hidden_images / record["examples_per_second"])
            started = time.perf_counter()
            memory_state, done, _ = run_epoch(runner, memory_state, runner.zero_totals(), 0, 1, Hooks())
            jax.block_until_ready(done)
            seconds["memory"].append(time.perf_counter() - started)

    fit(state, *steps, stream, epochs=epochs, batch_size=batch_size, eval_every=epochs, hooks=Turns())
    stream_seconds, memory_seconds = (seconds[name][1:] for name in ("stream", "memory"))  # the first turn compiles
    label = f"{command.hidden_model}, batch {batch_size}, {command.hidden_images:,} images"
    speed = command.hidden_images / statistics.median(memory_seconds)
    return [
        header("examples/s of `fit` from the stream / from memory"),
        ratio_row(label, memory_seconds, stream_seconds, "-"),
        "",
        f"From memory it trains {speed:,.0f} examples/s.",
    ]
