"""A dataset by its name."""

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
    """Returns a dataset, in memory or to be streamed from disk.

    | name | dataset |
    |---|---|
    | `digits` | scikit-learn's digits, uint8 `[N, 8, 8, 1]`; a fixed stratified split, 80 % train and 20 % test |
    | `breast_cancer`, `wine`, `iris` | feature vectors, float32 `[N, D]`, standardized, under the same kind of split |
    | `folder:PATH` | .jpg, .jpeg and .png files `PATH/{train,test}/<class>/*`, as RGB; `val`, `validation` for `test` |
    | `synthetic:HxWxC[,classes=K][,n=N]` | noise around a mean of the class; N train (1024), N // 4 test; K is 10 |
    | any other | TFDS's `name[/config][:version]`, prepared as array_record, as uint8; TensorFlow is not needed |

    Args:
      name: one of the above.
      data_dir: where TFDS prepared its datasets, `~` is expanded; None: TFDS's default. Other names do not read it.
      image_size: height and width in pixels, or one number for both, that images of files and of TFDS are resized to
        (bilinear, antialiased). None: a folder's most common size among the training images; TFDS's images as they
        are, which then have to be of one size.
      stream: leave the images of files and of TFDS encoded on disk; `fit` then decodes each batch on its way. All is
        as from memory, but that `mean` and `std` are of 2,000 images, where there are more.
      random_crop: of a stream, decode a random box of each training image (the law of `resized_crop`), drawn anew in
        each epoch, and the central 7/8 of the others; only what is needed of a JPEG is decoded.
      on_corrupt: "stop" raises for an image that cannot be read, and names it; "skip" leaves it out with a warning, or
        takes the one after it in its place in a stream, which counts them.

    Returns:
      The dataset; the same name, data and size give the same arrays in the same order.

    Raises:
      FileNotFoundError: a folder is missing, or a TFDS dataset is not prepared (the sentence says how).
      ValueError: an unknown name (the sentence has the nearest known one), a malformed spec, an empty or unknown class
        folder, an image that cannot be read, mixed sizes in TFDS's images without `image_size`.

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
        raise ValueError("load takes random_crop for a stream; in memory, jaxaug.resized_crop does it in the step.")
    if name in BUNDLED or kind == "synthetic":
        for option, given in (("image_size", size), ("stream", stream or None)):
            if given is not None:
                raise ValueError(
                    f"load takes {option} for folder:PATH and TFDS datasets only; {name} "
                    f"{'has a size of its own' if option == 'image_size' else 'is in memory'}."
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
    """Returns the dataset with a random box of each training image decoded, and a central one of the others."""

    def cropped(name: str, split: Split) -> Split:
        return split._replace(images=dataclasses.replace(split.images, crop="random" if name == "train" else "central"))

    splits = {name: cropped(name, split) for name, split in dataset.splits.items()} if random_crop else {}
    return dataclasses.replace(dataset, **splits)


def checked_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns (height, width), both at least 1."""
    pair = tuple(image_size) if isinstance(image_size, tuple | list) else (image_size, image_size)
    if len(pair) != 2:
        raise ValueError(f"load takes image_size as one number or (height, width); got {image_size!r}.")
    for number in pair:
        check_size("load", "image_size", number, 1)
    return int(pair[0]), int(pair[1])
