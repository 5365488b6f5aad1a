import hashlib
from typing import Any

import numpy as np
import pytest
import sklearn.datasets

from jaxaug.data import load

SIZES = {"digits": (1797, 10), "breast_cancer": (569, 2), "wine": (178, 3), "iris": (150, 3)}
VECTORS = ["breast_cancer", "wine", "iris"]


def original_of(name) -> Any:
    return getattr(sklearn.datasets, f"load_{name}")()


def joined(dataset, field):
    return np.concatenate([getattr(dataset.train, field), getattr(dataset.test, field)])


@pytest.mark.parametrize("name", SIZES)
def test_split_is_80_to_20_and_stratified(name):
    total, classes = SIZES[name]
    dataset = load(name)
    assert dataset.name == name
    assert dataset.num_classes == classes
    assert len(dataset.test.labels) == round(0.2 * total)
    assert len(dataset.train.labels) + len(dataset.test.labels) == total
    counts = np.bincount(joined(dataset, "labels"))
    assert np.all(np.abs(np.bincount(dataset.test.labels) - counts * len(dataset.test.labels) / total) < 1)


@pytest.mark.parametrize("name", SIZES)
def test_loading_twice_gives_the_same_arrays(name):
    first, second = load(name), load(name)
    for one, other in zip((*first.train, *first.test), (*second.train, *second.test), strict=True):
        np.testing.assert_array_equal(one, other)


def test_digits_are_all_of_the_original_with_their_labels():
    original = original_of("digits")
    gray = np.array([round(level * 255 / 16) for level in range(17)], np.uint8)[original.images.astype(int)]
    dataset = load("digits")
    images, labels = joined(dataset, "images"), joined(dataset, "labels")
    assert images.dtype == np.uint8
    assert dataset.shape == (8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    assert dataset.class_names == tuple("0123456789")
    pairs = sorted((image.tobytes(), label) for image, label in zip(images, labels, strict=True))
    assert pairs == sorted((image.tobytes(), label) for image, label in zip(gray, original.target, strict=True))


def test_the_digits_split_never_changes():
    """Results that are written down refer to this split."""
    digest = hashlib.sha256(load("digits").test.images.tobytes()).hexdigest()
    assert digest.startswith("cf79a28635a52ce0")


@pytest.mark.parametrize("name", VECTORS)
def test_feature_vectors_are_standardized_by_the_training_split(name):
    train = load(name).train.images.astype(np.float64)
    assert load(name).train.images.dtype == np.float32
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-6)


@pytest.mark.parametrize("name", VECTORS)
def test_standardizing_is_one_affine_map_of_the_original_for_both_splits(name):
    original = original_of(name)
    inputs, labels = joined(load(name), "images"), joined(load(name), "labels")
    # Sorting each feature undoes the split; an affine map with a positive slope keeps the order.
    for feature in range(inputs.shape[1]):
        slope, shift = np.polyfit(np.sort(original.data[:, feature]), np.sort(inputs[:, feature]), 1)
        fitted = slope * np.sort(original.data[:, feature]) + shift
        np.testing.assert_allclose(np.sort(inputs[:, feature]), fitted, atol=1e-4)
    for k in range(original.target.max() + 1):
        first = np.sort(original.data[original.target == k, 0])
        slope, shift = np.polyfit(np.sort(original.data[:, 0]), np.sort(inputs[:, 0]), 1)
        np.testing.assert_allclose(np.sort(inputs[labels == k, 0]), slope * first + shift, atol=1e-4)


def test_class_names_are_the_original_ones():
    assert load("iris").class_names == ("setosa", "versicolor", "virginica")


@pytest.mark.parametrize("name", ["digits", "iris", "synthetic:4x4x1"])
def test_image_size_is_refused_where_sizes_are_fixed(name):
    with pytest.raises(ValueError, match=f"{name} has a fixed size"):
        load(name, image_size=8)
