"""Images that stay as they are stored, and are decoded when they are asked for."""

import dataclasses
import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxaug.data.boxes import central_box, random_box
from jaxaug.data.decoding import decoded, in_chunks

CropKind = Literal["none", "random", "central"]
OnCorrupt = Literal["stop", "skip"]

# Images decoded for the moments of a set that is not in memory: their means are then known to a few thousandths.
_SAMPLE = 2000


class Stored(NamedTuple):
    """An image as it is stored."""

    where: str  # for the sentence that says that it cannot be read
    content: Path | bytes


class Decoded(NamedTuple):
    """An image, and which example it is of: another one than was asked for where that cannot be read."""

    image: np.ndarray  # uint8 [H, W, C]
    place: int
    skipped: int  # how many could not be read on the way


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images of one size that are decoded when they are asked for, in place of an array uint8 `[N, H, W, C]`.

    An index array, a slice or a mask gives a part of them, still encoded; an integer gives an image, `np.asarray` all.

    Args:
      read: from numbers of images to how they are stored; it can be pickled.
      index: int `[N]`, the numbers of the images.
      shape_of_one: (H, W, C).
      resized: whether images of another size are resized to that; else they are refused.
      crop: what of an image is resized: all of it, a random box, or the central one.
      on_corrupt: "stop" raises for an image that cannot be read; "skip" takes the next one that can.
    """

    read: Callable[[Sequence[int]], Sequence[Stored]]
    index: np.ndarray
    shape_of_one: tuple[int, int, int]
    resized: bool = True
    crop: CropKind = "none"
    on_corrupt: OnCorrupt = "stop"

    dtype = np.dtype(np.uint8)
    ndim = 4

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, C)."""
        return (len(self.index), *self.shape_of_one)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, places: Any) -> Any:
        if np.ndim(places) == 0 and not isinstance(places, slice):
            return self.decoded([int(places)])[0].image
        return dataclasses.replace(self, index=self.index[places])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        images = np.empty(self.shape, np.uint8)

        def work(chunk: range) -> None:
            images[chunk.start : chunk.stop] = [each.image for each in self.decoded(chunk)]

        in_chunks(work, len(self), what="images")
        return images if dtype is None else images.astype(dtype)

    def decoded(self, places: Sequence[int], seed: tuple[int, ...] = (0,)) -> list[Decoded]:
        """Returns the images at these places, the random box of each drawn from the seed and its place alone.

        Raises:
          ValueError: one cannot be read, and is not to be skipped, or none can be read.
        """
        stored = self.read(self.index[list(places)].tolist())
        return [self._decoded(place, image, seed) for place, image in zip(places, stored, strict=True)]

    def _decoded(self, place: int, stored: Stored, seed: tuple[int, ...]) -> Decoded:
        last = None
        for skipped in range(len(self)):
            try:
                return Decoded(self.pixels(stored, (*seed, place)), place, skipped)
            except ValueError as error:
                if self.on_corrupt == "stop":
                    raise
                last = error
            place = (place + 1) % len(self)
            (stored,) = self.read([int(self.index[place])])
        raise ValueError(f"none of {len(self)} images can be read; the last: {last}")

    def pixels(self, stored: Stored, seed: tuple[int, ...]) -> np.ndarray:
        """Returns uint8 `[H, W, C]` of an image, or raises `ValueError`."""
        size = self.shape_of_one[:2] if self.resized else None
        crops = {
            "none": None,
            "random": lambda height, width: random_box(np.random.default_rng(seed), height, width),
            "central": functools.partial(central_box, size=self.shape_of_one[:2]),
        }
        image = decoded(
            stored.content, where=stored.where, channels=self.shape_of_one[2], size=size, crop=crops[self.crop]
        )
        if image.shape != self.shape_of_one:
            raise ValueError(
                f"{stored.where}: images differ in size, this one is {image.shape[:2]} and the first "
                f"{self.shape_of_one[:2]}; say which one they are resized to, as image_size=(height, width)."
            )
        return image


def in_memory(images: EncodedImages, labels: np.ndarray, *, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns all images and labels, in their order; with `on_corrupt="skip"` without those that cannot be read."""
    array, broken, lock = np.empty(images.shape, np.uint8), dict[int, str](), threading.Lock()

    def work(chunk: range) -> None:
        for place, stored in zip(chunk, images.read(images.index[chunk.start : chunk.stop].tolist()), strict=True):
            try:
                array[place] = images.pixels(stored, (0, place))
            except ValueError as error:
                if images.on_corrupt == "stop":
                    raise
                with lock:
                    broken[place] = str(error)

    in_chunks(work, len(images), what=what)
    if not broken:
        return array, labels
    warnings.warn(
        f"{what}: {len(broken)} of {len(images)} images cannot be read and are left out; the first: "
        f"{broken[min(broken)]}",
        stacklevel=2,
    )
    kept = np.setdiff1d(np.arange(len(images)), list(broken))
    return array[kept], labels[kept]


def for_moments(images: Any) -> np.ndarray:
    """Returns the images whose mean and deviation stand for all: all that are in memory, a fixed sample of others."""
    if not isinstance(images, EncodedImages):
        return images
    places = np.sort(np.random.default_rng(0).permutation(len(images))[:_SAMPLE])
    return np.asarray(dataclasses.replace(images[places], crop="none"))
