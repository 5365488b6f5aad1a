import subprocess
import sys

import numpy as np
import pytest

from jaxaug.data import Dataset, Split


def images_split(count=4, shape=(3, 2, 1), classes=2, seed=0):
    rng = np.random.default_rng(seed)
    return Split(rng.integers(0, 256, (count, *shape), np.uint8), np.arange(count, dtype=np.int32) % classes)


def feature_split(count=4, width=3):
    rng = np.random.default_rng(0)
    return Split(rng.normal(size=(count, width)).astype(np.float32), np.arange(count, dtype=np.int32) % 2)


def dataset(train, test=None, validation=None, names=("a", "b")):
    return Dataset("toy", train, test or train, names, validation)


def test_properties_state_classes_and_example_shape():
    made = dataset(images_split(), validation=images_split(2))
    assert (made.num_classes, made.shape) == (2, (3, 2, 1))
    assert list(made.splits) == ["train", "validation", "test"]
    assert repr(made) == "Dataset('toy': 2 classes of (3, 2, 1), 4 train, 2 validation, 4 test)"


@pytest.mark.parametrize(("count", "shape"), [(5, (3, 4, 3)), (40, (200, 190, 2)), (3, (1, 1, 1))])
def test_mean_and_std_are_those_of_the_scaled_training_images(count, shape):
    made = dataset(images_split(count, shape), test=images_split(2, shape, seed=1))
    scaled = made.train.images.astype(np.float64) / 255
    assert made.mean.dtype == made.std.dtype == np.float32
    np.testing.assert_allclose(made.mean, scaled.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(made.std, scaled.std((0, 1, 2)), rtol=1e-6)


def test_std_of_constant_images_is_floored():
    constant = Split(np.full((2, 2, 2, 1), 51, np.uint8), np.array([0, 1], np.int32))
    assert dataset(constant).mean == np.float32(0.2)
    assert dataset(constant).std == np.float32(1e-6)


def test_feature_vectors_keep_their_scale():
    made = dataset(feature_split())
    np.testing.assert_array_equal(made.mean, np.zeros(3, np.float32))
    np.testing.assert_array_equal(made.std, np.ones(3, np.float32))


@pytest.mark.parametrize("label", [-1, 2])
@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_label_out_of_range_is_named_with_split_value_and_range(label, split):
    bad = images_split()
    bad.labels[3] = label
    with pytest.raises(ValueError, match=rf"split {split}: expected labels in \[0, 2\); got label {label} in"):
        dataset(**{"train": images_split(), "test": images_split(), split: bad})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("split", ["train", "test", "validation"])
def test_feature_that_is_not_finite_is_named_with_split_and_index(value, split):
    bad = feature_split()
    bad.images[2, 1] = value
    with pytest.raises(ValueError, match=f"split {split}: expected finite features; example 2 has a NaN"):
        dataset(**{"train": feature_split(), "test": feature_split(), split: bad})


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 2, 2, 1), np.int32),
        np.zeros((4, 2, 2, 1), np.float64),
        np.zeros((4, 3), np.float64),
        [[0.0], [1.0]],
    ],
)
def test_other_image_dtypes_are_refused(images):
    with pytest.raises(TypeError, match="expected NumPy arrays, uint8 images or float32 feature vectors"):
        dataset(Split(images, np.zeros(4, np.int32)))


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_labels_other_than_int32_are_refused(dtype):
    with pytest.raises(TypeError, match="int32 labels"):
        dataset(Split(np.zeros((4, 2, 2, 1), np.uint8), np.zeros(4, dtype)))


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((4, 2, 2), np.uint8), np.zeros(4, np.int32)),
        (np.zeros((4, 2, 2, 1), np.float32), np.zeros(4, np.int32)),
        (np.zeros((4, 3), np.uint8), np.zeros(4, np.int32)),
        (np.zeros((4, 0, 2, 1), np.uint8), np.zeros(4, np.int32)),
        (np.zeros((4, 2, 2, 1), np.uint8), np.zeros((4, 1), np.int32)),
    ],
)
def test_other_ranks_and_empty_axes_are_refused(images, labels):
    with pytest.raises(ValueError, match=r"expected uint8 images \[N, H, W, C\]"):
        dataset(Split(images, labels))


@pytest.mark.parametrize(("count", "labels"), [(0, 0), (4, 3), (3, 4)])
def test_empty_splits_and_counts_that_disagree_are_refused(count, labels):
    bad = Split(np.zeros((count, 2, 2, 1), np.uint8), np.zeros(labels, np.int32))
    with pytest.raises(ValueError, match=f"split test: .* got {count} and {labels}"):
        dataset(images_split(shape=(2, 2, 1)), test=bad)


@pytest.mark.parametrize("other", [images_split(shape=(3, 2, 3)), images_split(shape=(2, 3, 1)), feature_split()])
def test_splits_of_different_example_shapes_are_refused(other):
    with pytest.raises(ValueError, match="both must be the same"):
        dataset(images_split(), test=other)


def test_dataset_without_classes_is_refused():
    with pytest.raises(ValueError, match="at least one class name"):
        dataset(images_split(), names=())


def test_importing_the_package_leaves_the_readers_unimported():
    code = "import sys, jaxaug.data; print({'sklearn', 'tensorflow_datasets', 'PIL'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert out.stdout.strip() == "set()"
