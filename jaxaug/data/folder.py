"""Datasets that are folders of image files, one folder for each class."""

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
    """Returns the images below `path` as RGB, all of one size, encoded as they are in their files.

    Training images are `train/<class>/*`; test images are in the first folder there is of `test`, `val` and
    `validation`, and where there is a second one that is the validation split. Files are .jpg, .jpeg and .png in
    either case; hidden files and folders, and files of other suffixes, are passed over. Classes are the folders of
    `train`, sorted by name; the order of the examples is that of class, then file name.

    Args:
      path: the folder; `~` is expanded.
      size: (H, W) to resize to; None: the size most common among the training images.
      on_corrupt: what is done about a file that is no image.
    """
    if not path:
        raise ValueError("folder: takes a path, as in folder:~/images; got none.")
    root = Path(path).expanduser()
    if not (root / "train").is_dir():
        raise FileNotFoundError(
            f"folder:{_shown(path)} takes a folder that holds train/<class>/; there is no {_shown(root / 'train')}."
        )
    held_out = [root / name for name in HELD_OUT if (root / name).is_dir()]
    if not held_out:
        raise FileNotFoundError(
            f"folder:{_shown(path)} takes a folder that holds test, val or validation; {_shown(root)} holds none."
        )
    classes = class_folders(root / "train")
    for folder in held_out:
        foreign = sorted(set(class_folders(folder)) - set(classes))
        if foreign:
            raise ValueError(
                f"{_shown(folder)} holds the class {foreign[0]!r}, which is not among the classes of train."
            )

    files = [class_files(folder, classes) for folder in (root / "train", *held_out[:2])]
    size = size or most_common_size([file for file, _ in files[0]], on_corrupt)
    train, test, *validation = (encoded_split(pairs, size, on_corrupt) for pairs in files)
    return Dataset(f"folder:{path}", train, test, tuple(classes), *validation)


def _shown(path: str | Path) -> str:
    """Returns the path as it stands in a sentence: a name may hold line breaks."""
    return one_line(str(path), limit=500)


def visible(folder: Path) -> list[Path]:
    """Returns what lies in `folder` and is not hidden, sorted by name."""
    return sorted((p for p in folder.iterdir() if not p.name.startswith(".")), key=lambda p: p.name)


def class_folders(folder: Path) -> list[str]:
    """Returns the names of the class folders in `folder`, sorted."""
    names = [p.name for p in visible(folder) if p.is_dir()]
    if not names:
        raise ValueError(f"{_shown(folder)} holds no class folders, at least one is expected.")
    return names


def class_files(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    """Returns every image file below `folder` with its label."""
    pairs = []
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            continue  # A held-out split may lack a class.
        files = [p for p in visible(folder / name) if p.suffix.lower() in SUFFIXES and not p.is_dir()]
        if not files:
            raise ValueError(f"the class folder {_shown(folder / name)} holds no {', '.join(SUFFIXES)} file.")
        pairs += [(file, label) for file in files]
    return pairs


def most_common_size(files: list[Path], on_corrupt: OnCorrupt) -> tuple[int, int]:
    """Returns the (H, W) that most files have; of equally common ones, the one that comes first."""
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
        raise ValueError(f"none of {len(files)} files can be read as an image, {_shown(files[0])} the first of them.")
    return known.most_common(1)[0][0]


@dataclasses.dataclass(frozen=True)
class Files:
    """Image files by their numbers."""

    paths: list[Path]

    def __call__(self, numbers: Sequence[int]) -> list[Stored]:
        """Returns the files of these numbers."""
        return [Stored(str(self.paths[number]), self.paths[number]) for number in numbers]


def encoded_split(pairs: list[tuple[Path, int]], size: tuple[int, int], on_corrupt: OnCorrupt) -> Split:
    """Returns images and labels of the files, in their order; the images are not read yet."""
    files, labels = zip(*pairs, strict=True)
    images = EncodedImages(Files(list(files)), np.arange(len(files)), (*size, 3), on_corrupt=on_corrupt)
    return Split(images, np.array(labels, np.int32))
