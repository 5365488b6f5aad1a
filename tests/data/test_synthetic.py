import numpy as np
import pytest

from jaxaug.data import load


@pytest.mark.parametrize(
    ("spec", "shape", "classes", "count"),
    [
        ("5x4x3", (5, 4, 3), 10, 1024),
        ("5x4x3,classes=7", (5, 4, 3), 7, 1024),
        ("5x4x3,n=33", (5, 4, 3), 10, 33),
        ("5x4x3,classes=2,n=9", (5, 4, 3), 2, 9),
        ("5x4x3,2,9", (5, 4, 3), 2, 9),
        ("1x1x1,1,1", (1, 1, 1), 1, 1),
    ],
)
def test_spec_fixes_shape_classes_and_counts(spec, shape, classes, count):
    dataset = load(f"synthetic:{spec}")
    assert dataset.name == f"synthetic:{spec}"
    assert (dataset.shape, dataset.num_classes) == (shape, classes)
    assert len(dataset.train.labels) == count
    assert len(dataset.test.labels) == max(1, count // 4)
    np.testing.assert_array_equal(dataset.train.labels, np.arange(count) % classes)


def test_one_spec_is_always_the_same_dataset_and_its_splits_differ():
    one, other = load("synthetic:8x8x1,2,8"), load("synthetic:8x8x1,2,8")
    np.testing.assert_array_equal(one.train.images, other.train.images)
    np.testing.assert_array_equal(one.test.images, other.test.images)
    assert not np.array_equal(one.train.images[:2], one.test.images)


def test_pixels_are_independent_uniform_noise_around_levels_of_class_and_channel():
    dataset = load("synthetic:32x32x3,classes=4,n=200")
    images, labels = dataset.train.images.astype(float), dataset.train.labels
    levels = np.stack([np.mean(images[labels == k], axis=(0, 1, 2)) - 63.5 for k in range(4)])
    # 50 images of 1024 pixels, standard deviation 128 / sqrt(12): the mean is known within 0.17.
    for channel in range(3):
        np.testing.assert_allclose(np.sort(levels[:, channel]), [0, 42, 85, 127], atol=1)
    noise = images - levels.round()[labels][:, None, None, :]
    np.testing.assert_allclose(noise.std(), np.sqrt((128**2 - 1) / 12), rtol=0.01)
    assert (noise.min(), noise.max()) == (0, 127)
    flat = noise.reshape(200, -1)
    correlation = np.corrcoef(flat)[np.triu_indices(200, 1)]
    assert np.abs(correlation).max() < 6 / np.sqrt(flat.shape[1])


def test_the_mean_color_of_training_classes_classifies_the_test_split():
    dataset = load("synthetic:16x16x3,classes=10,n=400")
    colors = [split.images.astype(float).mean((1, 2)) for split in (dataset.train, dataset.test)]
    centers = np.stack([colors[0][dataset.train.labels == k].mean(0) for k in range(10)])
    nearest = np.linalg.norm(colors[1][:, None] - centers[None], axis=-1).argmin(axis=1)
    assert np.mean(nearest == dataset.test.labels) > 0.95


@pytest.mark.parametrize(
    "spec", ["", "32", "32x32", "32x32x3x1", "axbxc", "-1x2x3", "32x32x3,", "32x32x3,k=3", "32x32x3,1,2,3", "8x8x1, 2"]
)
def test_malformed_spec_is_answered_with_the_form(spec):
    with pytest.raises(ValueError, match=r"synthetic: takes HxWxC\[,classes=K\]\[,n=N\], as in"):
        load(f"synthetic:{spec}")


@pytest.mark.parametrize("spec", ["0x2x3", "2x2x0", "2x2x1,0", "2x2x1,2,0", "2x2x1,n=0"])
def test_zero_sizes_are_refused(spec):
    with pytest.raises(ValueError, match="synthetic: takes sizes of at least 1"):
        load(f"synthetic:{spec}")
