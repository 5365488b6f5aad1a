"""Datasets that TensorFlow Datasets has prepared as array_record files, read without TensorFlow."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from jaxaug.checks import unknown
from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.decoding import MODES, decoded, in_chunks


def tfds_dataset(name: str, *, data_dir: str | None, size: tuple[int, int] | None, known: Iterable[str]) -> Dataset:
    """Returns a prepared TFDS dataset of images with one class label each.

    Its splits are `train` and `test`, or `train` and `validation` where there is no labelled `test`; where there are
    all three, `validation` is the validation split.

    Args:
      name: TFDS's `name[/config][:version]`, a registered one or one that lies prepared in `data_dir`.
      data_dir: where it was prepared; None: TFDS's own default.
      size: (H, W) to resize to; None: the images' own, which has to be the same for all.
      known: names that are not TFDS's, for the suggestion after an unknown name.
    """
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir, known)
    image_key, label_key = classification_keys(name, builder.info)
    # Decoding is ours, so that it does not depend on whether OpenCV is installed.
    decoders: Any = {image_key: tfds.decode.SkipDecoding()}
    try:
        sources = {split: builder.as_data_source(split, decoders=decoders) for split in builder.info.splits}
    except NotImplementedError as error:
        raise ValueError(
            f"dataset {name} is prepared in a format without random access; prepare it again elsewhere: "
            f"{preparation(name, 'ANOTHER_DIR')}."
        ) from error
    labelled = [split for split, source in sources.items() if len(source) and int(source[0][label_key]) >= 0]
    held_out = [split for split in ("test", "validation") if split in labelled]
    if "train" not in labelled or not held_out:
        raise ValueError(f"dataset {name} needs a labelled split train, and test or validation; it has {labelled}.")

    channels = builder.info.features[image_key].shape[-1] or 3

    def split(which: str) -> Split:
        return decoded_split(f"dataset {name}, split {which}", sources[which], image_key, label_key, channels, size)

    train, test, *validation = map(split, ("train", *held_out))
    return Dataset(name, train, test, tuple(builder.info.features[label_key].names), *validation)


def preparation(name: str, data_dir: str | None) -> str:
    """Returns the command that prepares a dataset so that it can be read here."""
    where = "" if data_dir is None else f"data_dir={data_dir!r}, "
    return f"tfds.builder({name!r}, {where}file_format='array_record').download_and_prepare()"


def prepared_builder(name: str, data_dir: str | None, known: Iterable[str]) -> Any:
    """Returns TFDS's builder of a dataset that lies prepared on disk."""
    import tensorflow_datasets as tfds

    directory = None if data_dir is None else str(Path(data_dir).expanduser())
    try:
        builder = tfds.builder(name, data_dir=directory)
    except (ValueError, AssertionError, ImportError) as error:  # TFDS asserts that a version exists.
        # Community datasets would be looked up over the network.
        registered = tfds.list_builders(with_community_datasets=False)
        base = re.split("[/:]", name)[0]
        if base in registered or isinstance(error, ImportError):
            raise ValueError(f"TFDS cannot open dataset {name}: {str(error).splitlines()[0]}") from error
        unknown(base, [*known, *registered], "dataset")
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"dataset {name} is not prepared, {builder.data_path} does not exist; "
            f"prepare it once with {preparation(name, directory)}, which for many datasets needs TensorFlow."
        )
    return builder


def classification_keys(name: str, info: Any) -> tuple[str, str]:
    """Returns the names of the image feature and of the label feature."""
    import tensorflow_datasets as tfds

    features = dict(info.features.items()) if hasattr(info.features, "items") else {}
    images = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    labels = [key for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)]
    supervised = info.supervised_keys or ()
    # Several labels (CIFAR-100 has fine and coarse ones): the one that TFDS names as the target.
    images = [key for key in images if key in supervised] or images
    labels = [key for key in labels if key in supervised] or labels
    if len(images) != 1 or len(labels) != 1:
        raise ValueError(f"dataset {name} is not one of images with one class label each; its features: {features}.")
    image = features[images[0]]
    if image.np_dtype != np.uint8 or image.shape[-1] not in (None, *MODES):
        raise ValueError(
            f"dataset {name}: uint8 images of {', '.join(map(str, MODES))} channels are expected; "
            f"got {image.np_dtype} of shape {image.shape}."
        )
    return images[0], labels[0]


def decoded_split(
    where: str, source: Any, image_key: str, label_key: str, channels: int, size: tuple[int, int] | None
) -> Split:
    """Returns images and labels of a TFDS data source, in its order."""
    first = decoded(source[0][image_key], where=f"{where}, example 0", channels=channels, size=size)
    images = np.empty((len(source), *first.shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def work(chunk: range) -> None:
        for i, example in zip(chunk, source.__getitems__(list(chunk)), strict=True):
            image = decoded(example[image_key], where=f"{where}, example {i}", channels=channels, size=size)
            if image.shape != first.shape:
                raise ValueError(
                    f"{where}: images differ in size, example 0 is {first.shape[:2]} and example {i} is "
                    f"{image.shape[:2]}; say which one they are resized to, as image_size=(height, width)."
                )
            images[i], labels[i] = image, example[label_key]

    in_chunks(work, len(source), what=where)
    return Split(images, labels)
