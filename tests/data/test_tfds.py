import io
import json
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxaug.data import load

CLASSES = ("ant", "bee", "cow")


def prepare(root, splits, *, name="tiny_photos", shape=(6, 5, 3), extra=None, registered=False, image=None):
    """Builds a TFDS dataset; `splits` maps a split's name to pairs of an encoded image and a label."""
    features = {"label": tfds.features.ClassLabel(names=CLASSES), **(extra or {})}
    if shape is not None:
        features["image"] = image or tfds.features.Image(shape=shape, encoding_format="png")

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=not registered):
        VERSION = tfds.core.Version("1.2.3")

        def _info(self):
            keys = ("image", "label") if shape is not None else None
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=keys
            )

        def _split_generators(self, _):
            return {split: self._generate_examples(pairs) for split, pairs in splits.items()}

        def _generate_examples(self, pairs):
            for key, (pixels, label) in enumerate(pairs):
                example = {"label": label, **dict.fromkeys(extra or {}, label)}
                if shape is not None:
                    example["image"] = io.BytesIO(pixels)  # TFDS encodes arrays by TensorFlow.
                yield key, example

    Tiny.name = name
    Tiny(data_dir=str(root), file_format="array_record").download_and_prepare()


def encoded(array, kind="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind)
    return buffer.getvalue()


def pairs(count, shape=(6, 5, 3), offset=0):
    """Constant images: the value tells the label, `value % 3`."""
    values = range(offset, offset + count)
    return [(encoded(np.full(shape, value, np.uint8).squeeze()), value % 3) for value in values]


def assert_images_tell_their_labels(split):
    np.testing.assert_array_equal(split.images, np.broadcast_to(split.images[:, :1, :1, :1], split.images.shape))
    np.testing.assert_array_equal(split.images[:, 0, 0, 0] % 3, split.labels)


class WithoutTensorFlow:
    """An import finder by which TensorFlow is not installed, wherever it is."""

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError(name)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    prepare(root, {"train": pairs(100), "test": pairs(20, offset=100)})
    return root


def test_prepared_dataset_that_is_not_registered_is_read_without_tensorflow(tiny, monkeypatch):
    monkeypatch.setattr(sys, "meta_path", [WithoutTensorFlow(), *sys.meta_path])
    dataset = load("tiny_photos", data_dir=tiny)
    assert dataset.class_names == CLASSES
    assert dataset.shape == (6, 5, 3)
    assert dataset.validation is None
    for split, values in ((dataset.train, range(100)), (dataset.test, range(100, 120))):
        assert_images_tell_their_labels(split)
        np.testing.assert_array_equal(np.sort(split.images[:, 0, 0, 0]), values)


def test_order_is_that_of_the_data_source(tiny):
    source: Any = tfds.data_source("tiny_photos", split="train", data_dir=str(tiny), download=False)
    dataset = load("tiny_photos", data_dir=tiny)
    np.testing.assert_array_equal(dataset.train.labels, [example["label"] for example in source])
    np.testing.assert_array_equal(dataset.train.images, [example["image"] for example in source])


def test_version_may_be_named(tiny):
    assert len(load("tiny_photos:1.2.3", data_dir=str(tiny)).train.labels) == 100


def test_tilde_in_data_dir_is_the_home_folder(tiny, monkeypatch):
    monkeypatch.setenv("HOME", str(tiny.parent))
    assert len(load("tiny_photos", data_dir=f"~/{tiny.name}").train.labels) == 100


def test_image_size_resizes(tiny):
    dataset = load("tiny_photos", data_dir=tiny, image_size=(3, 9))
    assert dataset.shape == (3, 9, 3)
    assert_images_tell_their_labels(dataset.train)


def test_nothing_is_printed_away_from_a_terminal(tiny, capfd):
    load("tiny_photos", data_dir=tiny)
    assert capfd.readouterr() == ("", "")


def test_registered_dataset_is_read(tmp_path):
    prepare(tmp_path, {"train": pairs(4), "test": pairs(4)}, name="mnist")
    assert "mnist" in tfds.list_builders(with_community_datasets=False)
    assert len(load("mnist:1.2.3", data_dir=tmp_path).train.labels) == 4


def test_mixed_sizes_need_image_size(tmp_path):
    mixed = [*pairs(3), *pairs(3, (7, 5, 3), offset=3)]
    prepare(tmp_path, {"train": mixed, "test": mixed}, shape=(None, None, 3))
    with pytest.raises(
        ValueError, match=r"split train, example 2: expected images of one size.* image_size=\(height, width\)"
    ):
        load("tiny_photos", data_dir=tmp_path)
    assert_images_tell_their_labels(load("tiny_photos", data_dir=tmp_path, image_size=4).train)


def test_grayscale_stays_one_channel(tmp_path):
    prepare(tmp_path, dict.fromkeys(("train", "test"), pairs(5, (4, 4, 1))), shape=(4, 4, 1))
    dataset = load("tiny_photos", data_dir=tmp_path)
    assert dataset.shape == (4, 4, 1)
    assert_images_tell_their_labels(dataset.train)


def test_color_with_alpha_keeps_four_channels(tmp_path):
    prepare(tmp_path, dict.fromkeys(("train", "test"), pairs(5, (4, 4, 4))), shape=(4, 4, 4))
    dataset = load("tiny_photos", data_dir=tmp_path)
    assert dataset.shape == (4, 4, 4)
    assert_images_tell_their_labels(dataset.train)


def test_grayscale_and_jpeg_files_among_color_images_become_rgb(tmp_path):
    files = [(encoded(np.full((6, 5), 3, np.uint8), kind), 0) for kind in ("PNG", "JPEG")]
    prepare(tmp_path, dict.fromkeys(("train", "test"), files))
    np.testing.assert_array_equal(load("tiny_photos", data_dir=tmp_path).train.images, np.full((2, 6, 5, 3), 3))


def test_validation_stands_for_a_missing_test_split(tmp_path):
    prepare(tmp_path, {"train": pairs(4), "validation": pairs(3)})
    dataset = load("tiny_photos", data_dir=tmp_path)
    assert len(dataset.test.labels) == 3
    assert dataset.validation is None


def test_validation_beside_test_is_the_validation_split(tmp_path):
    prepare(tmp_path, {"train": pairs(4), "validation": pairs(3), "test": pairs(2)})
    dataset = load("tiny_photos", data_dir=tmp_path)
    assert dataset.validation is not None
    assert (len(dataset.validation.labels), len(dataset.test.labels)) == (3, 2)


def test_validation_stands_for_an_unlabeled_test_split(tmp_path):
    """ImageNet's test labels are all -1."""
    unlabeled = [(pixels, -1) for pixels, _ in pairs(2)]
    prepare(tmp_path, {"train": pairs(4), "validation": pairs(3), "test": unlabeled})
    dataset = load("tiny_photos", data_dir=tmp_path)
    assert len(dataset.test.labels) == 3
    assert dataset.validation is None


@pytest.mark.parametrize("splits", [("train",), ("test",)])
def test_missing_split_is_named(tmp_path, splits):
    prepare(tmp_path, dict.fromkeys(splits, pairs(4)))
    with pytest.raises(ValueError, match="needs a labeled train split, and test or validation; it has"):
        load("tiny_photos", data_dir=tmp_path)


def test_the_supervised_label_is_taken_of_several(tmp_path):
    extra = {"a_coarse_label": tfds.features.ClassLabel(num_classes=5)}
    prepare(tmp_path, {"train": pairs(6), "test": pairs(6)}, extra=extra)
    assert load("tiny_photos", data_dir=tmp_path).class_names == CLASSES


def test_dataset_without_images_is_refused(tmp_path):
    prepare(tmp_path, {"train": pairs(4), "test": pairs(4)}, shape=None)
    with pytest.raises(ValueError, match="tiny_photos must have images with one class label each"):
        load("tiny_photos", data_dir=tmp_path)


def test_sixteen_bit_images_are_refused(tmp_path):
    image = tfds.features.Image(shape=(6, 5, 1), dtype=np.uint16, encoding_format="png")
    deep = [(encoded(np.zeros((6, 5), np.uint16)), 0)]
    prepare(tmp_path, {"train": deep, "test": deep}, image=image)
    with pytest.raises(ValueError, match=r"expected uint8 images with 1, 3, 4 channels; got .*uint16"):
        load("tiny_photos", data_dir=tmp_path)


def test_corrupt_image_is_named_by_split_and_index(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    prepare(tmp_path, {"train": pairs(4), "test": [(encoded(noise)[:100], 0)]})
    with pytest.raises(ValueError, match="split test, example 0: the image cannot be read"):
        load("tiny_photos", data_dir=tmp_path)


@pytest.mark.parametrize("folder", ["", "missing"])
def test_unprepared_dataset_is_answered_with_how_to_prepare_it(tmp_path, folder):
    with pytest.raises(FileNotFoundError) as caught:
        load("cifar10", data_dir=tmp_path / folder)
    command = f"tfds.builder('cifar10', data_dir='{tmp_path / folder}', file_format='array_record')"
    assert f"{command}.download_and_prepare()" in str(caught.value)


def test_format_without_random_access_is_answered_with_how_to_prepare_it(tmp_path):
    prepare(tmp_path, {"train": pairs(4), "test": pairs(4)})
    info = tmp_path / "tiny_photos" / "1.2.3" / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(
        ValueError, match=r"without random access; prepare it again in another directory .*'array_record'"
    ):
        load("tiny_photos", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["cifar10:9.9.9", "cifar10/no_such_config"])
def test_version_or_config_that_does_not_exist_is_named(tmp_path, name):
    with pytest.raises(ValueError, match=f"TFDS cannot open dataset {name}: ."):
        load(name, data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("digit", "digits"),
        ("brest_cancer", "breast_cancer"),
        ("cifra10", "cifar10"),
        ("cifra10:3.0.2", "cifar10"),
        ("mnst", "mnist"),
        ("foldr:/some/place", "folder:"),
        ("synthetc:8x8x1", "synthetic:"),
    ],
)
def test_unknown_name_is_answered_with_the_nearest_one(tmp_path, name, suggestion):
    with pytest.raises(ValueError, match=f"unknown dataset .*; did you mean '{suggestion}'"):
        load(name, data_dir=tmp_path)


@pytest.mark.parametrize("name", ["", "###", "qqqqqq/a/b", "../up", "huggingface:mnist"])
def test_name_near_none_is_answered_with_all(tmp_path, name):
    with pytest.raises(ValueError, match=r"unknown dataset .*; known: .*digits.*mnist"):
        load(name, data_dir=tmp_path)


def test_default_folder_is_that_of_tfds(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    with pytest.raises(FileNotFoundError, match=r"with tfds\.builder\('imagenet_resized/32x32', file_format="):
        load("imagenet_resized/32x32")
