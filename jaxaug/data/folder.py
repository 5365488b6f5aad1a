"""Datasets of image files, with one folder for each class."""

import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxaug.checks import one_line
from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.decoding import image_size, in_chunks
from jaxaug.data.encoded import EncodedImages, OnCorrupt, Stored

SUFFIXES = (".jpg", ".jpeg", ".png")
HELD_OUT = ("test", "val", "validation")


def folder_dataset(path: str, *, size: tuple[int, int] | None, on_corrupt: OnCorrupt) -> Dataset:
    """Returns the images below `path` as RGB with one size, still encoded.

    Training images are `train/<class>/*`. Test images are in the first existing folder of `test`, `val` and
    `validation`; if there is a second one, it is the validation split. Files have the suffix .jpg, .jpeg or .png, in
    upper or lower case; hidden files and folders, and files with other suffixes, are ignored. Classes are the folders
    of `train`, sorted by name. Examples are sorted by class and then by file name.

    Args:
      path: the folder; `~` is expanded.
      size: (H, W) to resize to; None means the most common size among the training images.
      on_corrupt: whether to stop at or skip a file that cannot be read.
    """
    if not path:
        raise ValueError("folder: takes a path, for example folder:~/images; got none.")
    root = Path(path).expanduser()
    if not (root / "train").is_dir():
        raise FileNotFoundError(
            f"folder:{_shown(path)} takes a folder with train/<class>/; there is no {_shown(root / 'train')}."
        )
    held_out = [root / name for name in HELD_OUT if (root / name).is_dir()]
    if not held_out:
        raise FileNotFoundError(
            f"folder:{_shown(path)} takes a folder with test, val or validation; {_shown(root)} has none of them."
        )
    classes = class_folders(root / "train")
    for folder in held_out:
        foreign = sorted(set(class_folders(folder)) - set(classes))
        if foreign:
            raise ValueError(
                f"{_shown(folder)} has the class {foreign[0]!r}, which is not a class of train; remove the folder or "
                "add training images."
            )

    files = [class_files(folder, classes) for folder in (root / "train", *held_out[:2])]
    size = size or most_common_size([file for file, _ in files[0]], on_corrupt)
    train, test, *validation = (encoded_split(pairs, size, on_corrupt) for pairs in files)
    return Dataset(f"folder:{path}", train, test, tuple(classes), *validation)


def _shown(path: str | Path) -> str:
    """Returns the path for use in a message, without line breaks."""
    return one_line(str(path), limit=500)


def visible(folder: Path) -> list[Path]:
    """Returns the files and folders in `folder` that are not hidden, sorted by name."""
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)


def class_folders(folder: Path) -> list[str]:
    """Returns the sorted names of the class folders in `folder`."""
    names = [p.name for p in visible(folder) if p.is_dir()]
    if not names:
        raise ValueError(f"expected at least one class folder in {_shown(folder)}; there is none.")
    return names


def class_files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Returns every image file below `folder` with its label."""
    pairs = []
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            continue  # A held-out split may lack a class.
        files = [p for p in visible(folder / name) if p.suffix.lower() in SUFFIXES and not p.is_dir()]
        if not files:
            raise ValueError(f"the class folder {_shown(folder / name)} has no {', '.join(SUFFIXES)} file.")
        pairs += [(file, label) for file in files]
    return pairs


def most_common_size(files: list[Path], on_corrupt: OnCorrupt) -> tuple[int, int]:
    """Returns the most common (H, W) of the files, and the first one among equally common sizes."""
    sizes: list[tuple[int, int] | None] = [None] * len(files)

    def work(chunk: range) -> None:
        for i in chunk:
            try:
                sizes[i] = image_size(files[i], where=str(files[i]))
            except ValueError:
                if on_corrupt == "stop":
                    raise

    in_chunks(work, len(files), what="sizes")
    known = Counter(size for size in sizes if size is not None)
    if not known:
        raise ValueError(f"none of the {len(files)} files can be read as an image; the first is {_shown(files[0])}.")
    return known.most_common(1)[0][0]


@dataclasses.dataclass(frozen=True)
class Files:
    """Image files, selected by their numbers."""

    paths: list[Path]

    def __call__(self, numbers: Sequence[int]) -> list[Stored]:
        """Returns the files with these numbers."""
        return [Stored(str(self.paths[number]), self.paths[number]) for number in numbers]


def encoded_split(pairs: list[tuple[Path, int]], size: tuple[int, int], on_corrupt: OnCorrupt) -> Split:
    """Returns the images and labels of the files in the same order, without reading the images."""
    files, labels = zip(*pairs, strict=True)
    images = EncodedImages(Files(list(files)), np.arange(len(files)), (*size, 3), on_corrupt=on_corrupt)
    return Split(images, np.array(labels, np.int32))
