"""Loads datasets by name."""

import dataclasses
import os
from typing import get_args

from jaxaug.checks import check_choice, check_size
from jaxaug.data.bundled import BUNDLED, bundled_dataset
from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.encoded import OnCorrupt, in_memory
from jaxaug.data.folder import folder_dataset
from jaxaug.data.synthetic import synthetic_dataset
from jaxaug.data.tfds_source import tfds_dataset


def load(
    name: str,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    image_size: int | tuple[int, int] | None = None,
    stream: bool = False,
    random_crop: bool = False,
    on_corrupt: OnCorrupt = "stop",
) -> Dataset:
    """Returns a dataset, in memory or streamed from disk.

    | name | dataset |
    |---|---|
    | `digits` | scikit-learn's digits, uint8 `[N, 8, 8, 1]`; a fixed stratified split, 80% train and 20% test |
    | `breast_cancer`, `wine`, `iris` | feature vectors, float32 `[N, D]`, standardized, with the same kind of split |
    | `folder:PATH` | .jpg, .jpeg and .png files `PATH/{train,test}/<class>/*`, as RGB; also `val` or `validation` |
    | `synthetic:HxWxC[,classes=K][,n=N]` | noise around a class mean; N = 1024 train, N // 4 test examples; K = 10 |
    | any other | TFDS's `name[/config][:version]`, prepared as array_record, as uint8; does not need TensorFlow |

    Args:
      name: one of the above.
      data_dir: directory of the datasets prepared by TFDS, with `~` expanded; None means TFDS's default. Only used for
        TFDS datasets.
      image_size: height and width in pixels, or one number for both, to which images of folders and TFDS are resized
        (bilinear, antialiased). None means the most common size among the training images of a folder; TFDS images
        keep their size, which must then be the same for all.
      stream: whether to leave the images of folders and TFDS encoded on disk. `fit` then decodes each batch when it
        needs it. The results are the same as from memory, except that `mean` and `std` are estimated from 2,000 images
        if there are more.
      random_crop: whether to decode a random box of each training image in each epoch (with the distribution of
        `resized_crop`), and the central 7/8 of all other images. Needs `stream`; decodes only what a box needs of a
        JPEG.
      on_corrupt: "stop" raises an error that names an unreadable image; "skip" skips it with a warning or, in a stream,
        replaces it by the next one and counts it.

    Returns:
      The dataset. The same name, data and size give the same arrays in the same order.

    Raises:
      FileNotFoundError: a folder is missing, or a TFDS dataset is not prepared (the message says how to prepare it).
      ValueError: the name is unknown (the message suggests the closest known one), a spec is malformed, a class folder
        is empty or unknown, an image cannot be read, or TFDS images have several sizes and `image_size` is None.

    Example:
      >>> load("digits")
      Dataset('digits': 10 classes of (8, 8, 1), 1438 train, 359 test)
      >>> load("synthetic:32x32x3,classes=10,n=64").train.images.shape
      (64, 32, 32, 3)
    """
    kind, _, rest = name.partition(":")
    size = None if image_size is None else checked_size(image_size)
    check_choice("load", "on_corrupt", on_corrupt, get_args(OnCorrupt))
    if random_crop and not stream:
        raise ValueError("load takes random_crop only with stream=True; for data in memory, use jaxaug.resized_crop.")
    if name in BUNDLED or kind == "synthetic":
        for option, given in (("image_size", size), ("stream", stream or None)):
            if given is not None:
                raise ValueError(
                    f"load takes {option} only for folder:PATH and TFDS datasets; {name} "
                    f"{'has a fixed size' if option == 'image_size' else 'is in memory'}."
                )
    if name in BUNDLED:
        return bundled_dataset(name)
    if kind == "synthetic":
        return synthetic_dataset(rest)
    if kind == "folder":
        encoded = folder_dataset(rest, size=size, on_corrupt=on_corrupt)
    else:
        directory, known = None if data_dir is None else os.fspath(data_dir), [*BUNDLED, "folder:", "synthetic:"]
        encoded = tfds_dataset(name, data_dir=directory, size=size, known=known, on_corrupt=on_corrupt)
    return with_crops(encoded, random_crop) if stream else decoded_dataset(encoded)


def decoded_dataset(dataset: Dataset) -> Dataset:
    """Returns the dataset with its images in memory."""
    splits = {
        name: Split(*in_memory(*split, what=f"{dataset.name}, split {name}")) for name, split in dataset.splits.items()
    }
    return dataclasses.replace(dataset, **splits)


def with_crops(dataset: Dataset, random_crop: bool) -> Dataset:
    """Returns the dataset with crops: a random box of each training image and the central box of all others."""

    def cropped(name: str, split: Split) -> Split:
        return split._replace(images=dataclasses.replace(split.images, crop="random" if name == "train" else "central"))

    splits = {name: cropped(name, split) for name, split in dataset.splits.items()} if random_crop else {}
    return dataclasses.replace(dataset, **splits)


def checked_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width), both at least 1."""
    pair = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(pair) != 2:
        raise ValueError(f"load takes one number or (height, width) for image_size; got {image_size!r}.")
    for number in pair:
        check_size("load", "image_size", number, 1)
    return int(pair[0]), int(pair[1])
