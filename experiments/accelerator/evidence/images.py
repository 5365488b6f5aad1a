"""The images of the arms: decoded once, in parallel processes, and shared by all arms."""

import dataclasses
import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from experiments.run.build import subsample
from experiments.run.config import Config, DataConfig
from jaxaug import data
from jaxaug.data.encoded import EncodedImages, Stored
from jaxaug.training import cpu_count

# Images per task: enough to outweigh the cost of the message, few enough to balance the load.
_CHUNK = 1000


def dataset_of(config: Config) -> data.Dataset:
    """Returns the dataset of `experiments.run.build.build_dataset`, decoded only once for all configs."""
    return (
        _thinned(config.data, config.seed) if is_thinned(config) else decoded(config.data.name, config.data.image_size)
    )


def is_thinned(config: Config) -> bool:
    """Returns whether the config trains on a subset, which depends on its seed."""
    return config.data.num_examples is not None


@functools.lru_cache(maxsize=8)
def _thinned(config: DataConfig, seed: int) -> data.Dataset:
    return subsample(decoded(config.name, config.image_size), Config(data=config, seed=seed))


@functools.lru_cache(maxsize=2)
def decoded(name: str, image_size: int | None) -> data.Dataset:
    """Returns `jaxaug.load(name, image_size=image_size)`.

    Decoding a tiny image spends most of its time in Python, so threads would hardly run in parallel.
    """
    if not name.startswith("folder:"):
        return data.load(name, image_size=image_size)
    encoded = data.load(name, image_size=image_size, stream=True)
    # Spawned, because a fork of a process in which jax runs threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(cpu_count(), 16), context) as pool:
        splits = {split: part._replace(images=_all(part.images, pool)) for split, part in encoded.splits.items()}
    return dataclasses.replace(encoded, **splits)


def _all(images: EncodedImages, pool: ProcessPoolExecutor) -> np.ndarray:
    """Returns all images, uint8 `[N, H, W, C]`."""
    return np.concatenate(list(pool.map(_pixels, _parts(images))))


def _parts(images: EncodedImages) -> Iterator[EncodedImages]:
    """Yields consecutive parts, each of which holds only its own files: it is sent to another process."""
    for start in range(0, len(images), _CHUNK):
        numbers = images.index[start : start + _CHUNK]
        stored = _InAList(images.read(numbers.tolist()))
        yield dataclasses.replace(images, read=stored, index=np.arange(len(numbers)))


@dataclasses.dataclass(frozen=True)
class _InAList:
    """Stored images by their place in a list."""

    stored: Sequence[Stored]

    def __call__(self, numbers: Sequence[int]) -> list[Stored]:
        return [self.stored[number] for number in numbers]


def _pixels(images: EncodedImages) -> np.ndarray:
    return np.stack([each.image for each in images.decoded(range(len(images)))])
