"""Images that stay encoded and are decoded on demand."""

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

# Number of images to estimate mean and standard deviation from if the images are not in memory; the error of the mean
# is then a few thousandths.
_SAMPLE_SIZE = 2000


class Stored(NamedTuple):
    """An encoded image."""

    where: str  # names the image in error messages
    content: Path | bytes


class Decoded(NamedTuple):
    """An image, and its example, which differs from the requested one if that cannot be read."""

    image: np.ndarray  # uint8 [H, W, C]
    place: int
    skipped: int  # number of unreadable images before this one


@dataclasses.dataclass(frozen=True, eq=False)
class EncodedImages:
    """Images of one size that are decoded on demand, used like an array uint8 `[N, H, W, C]`.

    Indexing with an array, a slice or a mask returns a part of them, still encoded. Indexing with an integer returns a
    decoded image, and `np.asarray` decodes all images.

    Args:
      read: function from the numbers of images to the encoded images; it must be picklable.
      index: int `[N]`, the numbers of the images.
      shape_of_one: (H, W, C).
      resized: whether to resize images of another size; if not, they raise an error.
      crop: which part of an image to use: all of it ("none"), a random box or the central box.
      on_corrupt: "stop" raises an error for an unreadable image; "skip" uses the next readable one.
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
        """Returns the images at these places; the random box of each depends only on the seed and its place.

        Raises:
          ValueError: an image cannot be read and must not be skipped, or no image can be read.
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
        raise ValueError(f"none of the {len(self)} images can be read; the last error: {last}")

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
                f"{stored.where}: expected images of one size; this one is {image.shape[:2]} and the first is "
                f"{self.shape_of_one[:2]}. Pass image_size=(height, width) to resize them."
            )
        return image


def in_memory(images: EncodedImages, labels: np.ndarray, *, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns all images and labels in order; with `on_corrupt="skip"`, without the unreadable ones."""
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
        f"{what}: skipped {len(broken)} of {len(images)} images, which cannot be read; the first error: "
        f"{broken[min(broken)]}",
        stacklevel=2,
    )
    kept = np.setdiff1d(np.arange(len(images)), list(broken))
    return array[kept], labels[kept]


def for_moments(images: Any) -> np.ndarray:
    """Returns the images to compute the mean and standard deviation from: all if in memory, else a fixed sample."""
    if not isinstance(images, EncodedImages):
        return images
    places = np.sort(np.random.default_rng(0).permutation(len(images))[:_SAMPLE_SIZE])
    return np.asarray(dataclasses.replace(images[places], crop="none"))
