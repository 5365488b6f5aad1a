import gc
import warnings
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxaug.data import load

TINY = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def save(path, pixels: Any = TINY):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes; the pixels of each image are TINY plus a number of its own."""
    for number, file in enumerate(
        ["train/cat/b.png", "train/cat/a.png", "train/dog/c.png", "test/cat/x.png", "test/dog/y.png"]
    ):
        save(tmp_path / file, TINY + number)
    return tmp_path


def test_images_labels_and_names_come_in_the_order_of_class_and_file(folder):
    dataset = load(f"folder:{folder}")
    assert dataset.class_names == ("cat", "dog")
    np.testing.assert_array_equal(dataset.train.images, [TINY + 1, TINY, TINY + 2])
    np.testing.assert_array_equal(dataset.train.labels, [0, 0, 1])
    np.testing.assert_array_equal(dataset.test.images, [TINY + 3, TINY + 4])
    np.testing.assert_array_equal(dataset.test.labels, [0, 1])
    assert dataset.validation is None


def test_order_holds_over_many_files(tmp_path):
    for number in range(700):
        save(tmp_path / f"train/one/{number:04d}.png", np.full((1, 1, 3), number % 251))
    save(tmp_path / "test/one/0.png", np.zeros((1, 1, 3)))
    np.testing.assert_array_equal(load(f"folder:{tmp_path}").train.images[:, 0, 0, 0], np.arange(700) % 251)


@pytest.mark.parametrize("name", ["val", "validation"])
def test_val_or_validation_stands_for_test(folder, name):
    (folder / "test").rename(folder / name)
    dataset = load(f"folder:{folder}")
    assert len(dataset.test.labels) == 2
    assert dataset.validation is None


@pytest.mark.parametrize("name", ["val", "validation"])
def test_val_or_validation_beside_test_is_the_validation_split(folder, name):
    save(folder / name / "dog" / "z.png", TINY + 9)
    dataset = load(f"folder:{folder}")
    assert dataset.validation is not None
    np.testing.assert_array_equal(dataset.validation.images, [TINY + 9])
    np.testing.assert_array_equal(dataset.validation.labels, [1])
    assert len(dataset.test.labels) == 2


def test_suffixes_of_any_case_are_read_and_other_and_hidden_files_are_not(folder):
    for name in ("a.JPG", "b.Jpeg", "c.jpg", "d.jpeg", "e.PNG"):
        save(folder / "train" / "elk" / name)
    for name in ("train/elk/.hidden.png", "train/elk/notes.txt", "train/.hidden/a.png", "train/list.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not an image")
    dataset = load(f"folder:{folder}")
    assert dataset.class_names == ("cat", "dog", "elk")
    np.testing.assert_array_equal(np.bincount(dataset.train.labels), [2, 1, 5])


def test_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(load(f"folder:~/{folder.name}").train.labels) == 3


def test_nothing_is_printed_away_from_a_terminal(folder, capfd):
    load(f"folder:{folder}")
    assert capfd.readouterr() == ("", "")


def palette_image(transparency):
    image = Image.fromarray(np.full((4, 5), 1, np.uint8))
    image = image.convert("P")
    image.putpalette([0, 0, 0, 10, 200, 30])
    if transparency:
        image.info["transparency"] = bytes([255, 128])
    return image


@pytest.mark.parametrize(
    ("image", "color"),
    [
        (Image.new("L", (5, 4), 77), (77, 77, 77)),
        (Image.new("LA", (5, 4), (77, 9)), (77, 77, 77)),
        (Image.new("1", (5, 4), 1), (255, 255, 255)),
        (Image.new("RGBA", (5, 4), (10, 20, 30, 0)), (10, 20, 30)),
        (palette_image(transparency=False), (10, 200, 30)),
        (palette_image(transparency=True), (10, 200, 30)),
    ],
    ids=["gray", "gray-alpha", "black-white", "rgba", "palette", "palette-transparent"],
)
def test_every_mode_becomes_rgb(folder, image, color):
    image.save(folder / "train" / "cat" / "a.png")
    np.testing.assert_array_equal(load(f"folder:{folder}").train.images[0], np.broadcast_to(color, (4, 5, 3)))


def test_cmyk_and_grayscale_jpeg_become_rgb(folder):
    Image.new("CMYK", (5, 4), (255, 0, 0, 0)).save(folder / "train/cat/a.jpg", quality=100)
    Image.new("L", (5, 4), 77).save(folder / "train/cat/aa.jpg", quality=100)
    images = load(f"folder:{folder}").train.images.astype(int)
    assert np.abs(images[0] - [0, 255, 255]).max() <= 3
    assert np.abs(images[2] - 77).max() <= 3


def test_mixed_sizes_become_the_most_common_training_size(folder):
    save(folder / "train" / "dog" / "d.png", np.full((9, 9, 3), 50))
    save(folder / "test" / "dog" / "z.png", np.full((2, 30, 3), 60))
    dataset = load(f"folder:{folder}")
    assert dataset.shape == (4, 5, 3)
    np.testing.assert_array_equal(dataset.train.images[0], TINY + 1)
    np.testing.assert_array_equal(dataset.train.images[3], np.full((4, 5, 3), 50))
    np.testing.assert_array_equal(dataset.test.images[2], np.full((4, 5, 3), 60))


@pytest.mark.parametrize(("size", "shape"), [(8, (8, 8, 3)), ((2, 7), (2, 7, 3)), ([3, 1], (3, 1, 3))])
def test_image_size_is_one_number_or_height_and_width(folder, size, shape):
    dataset = load(f"folder:{folder}", image_size=size if isinstance(size, int) else (size[0], size[1]))
    assert dataset.shape == dataset.test.images.shape[1:] == shape


def test_shrinking_averages_instead_of_skipping_pixels(folder):
    checkers = np.indices((64, 64)).sum(0) % 2 * 255
    save(folder / "train" / "cat" / "a.png", np.repeat(checkers[..., None], 3, axis=2))
    shrunk = load(f"folder:{folder}", image_size=16).train.images[0].astype(int)
    assert np.abs(shrunk - 127.5).max() <= 3


def test_enlarging_is_bilinear(folder):
    ramp = np.array([0, 40, 80, 120])[:, None, None] + np.zeros((4, 4, 3), int)
    save(folder / "train" / "cat" / "a.png", ramp)
    enlarged = load(f"folder:{folder}", image_size=8).train.images[0, :, 0, 0].astype(int)
    # Pixel centers: output i lies at input (i + 0.5) / 2 - 0.5, held at the border.
    expected = np.interp((np.arange(8) + 0.5) / 2 - 0.5, np.arange(4), [0, 40, 80, 120])
    assert np.abs(enlarged - expected).max() <= 1


def test_missing_train_and_test_folders_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a folder with train/<class>/; there is no .*train"):
        load(f"folder:{tmp_path}")
    save(tmp_path / "train" / "cat" / "a.png")
    with pytest.raises(FileNotFoundError, match="a folder with test, val or validation"):
        load(f"folder:{tmp_path}")


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(f"folder:{tmp_path}/nowhere")


@pytest.mark.parametrize("split", ["train", "test"])
def test_empty_class_folder_is_named(folder, split):
    (folder / "train" / "elk").mkdir()
    save(folder / "train" / "elk" / "a.png")
    (folder / "test" / "elk").mkdir()
    save(folder / "test" / "elk" / "a.png")
    (folder / split / "elk" / "a.png").rename(folder / split / "elk" / "a.txt")
    with pytest.raises(ValueError, match=rf"{split}/elk has no \.jpg, \.jpeg, \.png file"):
        load(f"folder:{folder}")


@pytest.mark.parametrize("split", ["train", "test"])
def test_split_without_class_folders_is_named(tmp_path, split):
    save(tmp_path / ("test" if split == "train" else "train") / "cat" / "a.png")
    save(tmp_path / split / "a.png")
    with pytest.raises(ValueError, match=f"at least one class folder in .*{split}; there is none"):
        load(f"folder:{tmp_path}")


@pytest.mark.parametrize("split", ["test", "validation"])
def test_class_that_train_lacks_is_named(folder, split):
    save(folder / split / "yak" / "a.png")
    with pytest.raises(ValueError, match=rf"{split} has the class 'yak', which is not a class of train"):
        load(f"folder:{folder}")


def test_class_that_test_lacks_is_accepted(folder):
    save(folder / "train" / "elk" / "a.png")
    assert load(f"folder:{folder}").num_classes == 3


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("name", ["broken.png", "broken.jpg"])
@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_image_that_cannot_be_read_is_named(folder, name, damage, size):
    file = folder / "train" / "dog" / name
    save(file, np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
    content = {"truncated": file.read_bytes()[:1500], "text": b"not an image", "empty": b""}[damage]
    file.write_bytes(content)
    with pytest.raises(ValueError, match=f"dog/{name}: the image cannot be read"):
        load(f"folder:{folder}", image_size=size)
    gc.collect()  # A file left open would warn here.


def test_dangling_link_is_named(folder):
    (folder / "train" / "dog" / "link.png").symlink_to(folder / "gone.png")
    with pytest.raises(ValueError, match=r"link\.png: the image cannot be read"):
        load(f"folder:{folder}")


def test_sixteen_bit_image_is_named(folder):
    Image.fromarray(np.full((4, 5), 40_000, np.uint16)).save(folder / "train" / "dog" / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png.* expected 8 bits per channel"):
        load(f"folder:{folder}")


@pytest.mark.parametrize("action", ["error", "ignore"])
@pytest.mark.parametrize("limit", [19, 5])
def test_decompression_bomb_is_named_whatever_the_warning_filter(folder, monkeypatch, action, limit):
    """Pillow warns above its limit (20 pixels here) and raises above twice the limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with warnings.catch_warnings():
        warnings.simplefilter(action)
        with pytest.raises(ValueError, match=r"a\.png: the image cannot be read: .*decompression bomb"):
            load(f"folder:{folder}", image_size=4)
    gc.collect()


@pytest.mark.parametrize("size", [0, -3, (0, 4), (4, 0)])
def test_image_size_below_one_is_refused(folder, size):
    with pytest.raises(ValueError, match="load takes image_size of at least 1"):
        load(f"folder:{folder}", image_size=size)
