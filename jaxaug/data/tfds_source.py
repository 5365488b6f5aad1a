"""Datasets prepared by TensorFlow Datasets as array_record files, read without TensorFlow."""

import dataclasses
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxaug.checks import unknown
from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.decoding import MODES, decoded
from jaxaug.data.encoded import EncodedImages, OnCorrupt, Stored
from jaxaug.data.record_labels import record_labels, stored_labels


def tfds_dataset(
    name: str, *, data_dir: str | None, size: tuple[int, int] | None, known: Iterable[str], on_corrupt: OnCorrupt
) -> Dataset:
    """Returns a prepared TFDS dataset of images with one class label each, still encoded.

    The splits are `train` and `test`. If there is no labeled `test`, `validation` replaces it; if there is, it is the
    validation split.

    Args:
      name: TFDS's `name[/config][:version]`, registered or prepared in `data_dir`.
      data_dir: directory of the prepared dataset; None means TFDS's default.
      size: (H, W) to resize to; None keeps the size of the images, which must all be the same.
      known: names of other datasets, for the suggestion after an unknown name.
      on_corrupt: whether to stop at or skip a record that cannot be decoded.
    """
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir, known)
    image_key, label_key = classification_keys(name, builder.info)
    # Decoded here and not by TFDS, whose result depends on whether OpenCV is installed.
    decoders: Any = {image_key: tfds.decode.SkipDecoding()}
    try:
        sources = {split: builder.as_data_source(split, decoders=decoders) for split in builder.info.splits}
    except NotImplementedError as error:
        raise ValueError(
            f"dataset {name} is prepared in a format without random access; prepare it again in another directory "
            f"with {preparation(name, 'ANOTHER_DIR')}."
        ) from error
    labeled = [split for split, source in sources.items() if len(source) and int(source[0][label_key]) >= 0]
    held_out = [split for split in ("test", "validation") if split in labeled]
    if "train" not in labeled or not held_out:
        raise ValueError(f"dataset {name} needs a labeled train split, and test or validation; it has {labeled}.")

    channels = builder.info.features[image_key].shape[-1] or 3
    shape = (*size, channels) if size else None
    if shape is None:
        first = sources["train"][0][image_key]
        shape = decoded(first, where=f"dataset {name}, split train, example 0", channels=channels, size=None).shape

    def split(which: str) -> Split:
        records = Records(f"dataset {name}, split {which}", sources[which], image_key)
        files = [str(path) for path in builder.info.splits[which].filepaths]
        labels = stored_labels(files, lambda: record_labels(sources[which], label_key, what=records.where))
        index = np.arange(len(labels))
        return Split(EncodedImages(records, index, shape, resized=size is not None, on_corrupt=on_corrupt), labels)

    train, test, *validation = map(split, ("train", *held_out))
    return Dataset(name, train, test, tuple(builder.info.features[label_key].names), *validation)


def preparation(name: str, data_dir: str | None) -> str:
    """Returns the command that prepares a dataset in a readable format."""
    where = "" if data_dir is None else f"data_dir={data_dir!r}, "
    return f"tfds.builder({name!r}, {where}file_format='array_record').download_and_prepare()"


def prepared_builder(name: str, data_dir: str | None, known: Iterable[str]) -> Any:
    """Returns the TFDS builder of a dataset that is prepared on disk."""
    import tensorflow_datasets as tfds

    directory = None if data_dir is None else str(Path(data_dir).expanduser())
    # Community datasets such as "huggingface:mnist" would need the network.
    registered = tfds.list_builders(with_community_datasets=False)
    base = re.split("[/:]", name)[0]
    if re.match(r"\w+:[^\d*]", name) and base not in registered:
        unknown(base, [*known, *registered], "dataset")
    try:
        builder = tfds.builder(name, data_dir=directory)
    except (ValueError, AssertionError, ImportError) as error:  # TFDS asserts that a version exists.
        if base in registered or isinstance(error, ImportError):
            raise ValueError(f"TFDS cannot open dataset {name}: {str(error).splitlines()[0]}") from error
        unknown(base, [*known, *registered], "dataset")
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"dataset {name} is not prepared, {builder.data_path} does not exist; "
            f"prepare it once with {preparation(name, directory)}, which requires TensorFlow for many datasets."
        )
    return builder


def classification_keys(name: str, info: Any) -> tuple[str, str]:
    """Returns the names of the image feature and of the label feature."""
    import tensorflow_datasets as tfds

    features = dict(info.features.items()) if hasattr(info.features, "items") else {}
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    supervised = info.supervised_keys or ()
    # If there are several labels (CIFAR-100 has fine and coarse ones), TFDS names one as the target.
    images = [key for key in images if key in supervised] or images
    labels = [key for key in labels if key in supervised] or labels
    if len(images) != 1 or len(labels) != 1:
        raise ValueError(f"dataset {name} must have images with one class label each; its features: {features}.")
    image = features[images[0]]
    if image.np_dtype != np.uint8 or image.shape[-1] not in (None, *MODES):
        raise ValueError(
            f"dataset {name}: expected uint8 images with {', '.join(map(str, MODES))} channels; "
            f"got {image.np_dtype} with shape {image.shape}."
        )
    return images[0], labels[0]


@dataclasses.dataclass(frozen=True)
class Records:
    """Reads records of a TFDS data source by their numbers."""

    where: str
    source: Any
    image_key: str

    def __call__(self, numbers: Sequence[int]) -> list[Stored]:
        """Returns the encoded images of the records with these numbers."""
        # Reading many records at a time is ten times faster than one by one.
        records = self.source.__getitems__([int(number) for number in numbers])
        return [
            Stored(f"{self.where}, example {number}", record[self.image_key])
            for number, record in zip(numbers, records, strict=True)
        ]
