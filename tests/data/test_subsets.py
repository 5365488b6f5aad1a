import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from jaxaug.data import Dataset, Split, load, long_tailed, subset, with_validation

counts_per_class = st.lists(st.integers(1, 12), min_size=1, max_size=6)
seeds = st.integers(0, 5)


def dataset_of(counts, seed=0):
    """Examples that carry their own index as pixels, classes in random order."""
    labels = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    np.random.default_rng(seed).shuffle(labels)
    index = np.arange(len(labels))
    images = np.stack([index // 256, index % 256], axis=-1).astype(np.uint8).reshape(-1, 1, 2, 1)
    train = Split(images, labels)
    return Dataset("counted", train, Split(images[:1], labels[:1]), tuple(map(str, range(len(counts)))))


def indices(split):
    pixels = split.images.reshape(len(split.images), 2).astype(int)
    return pixels[:, 0] * 256 + pixels[:, 1]


def class_counts(split, classes):
    return np.bincount(split.labels, minlength=classes)


def assert_part_of(split, dataset):
    """The examples are the dataset's own, each once, in order, with the labels they had."""
    chosen = indices(split)
    assert np.all(np.diff(chosen) > 0)
    np.testing.assert_array_equal(split.labels, dataset.train.labels[chosen])


def filled_in_turn(counts, total):
    """Reference: raise one level for all classes until `total` examples are taken."""
    level = 0
    while sum(min(n, level) for n in counts) < total:
        level += 1
    return [min(n, level - 1) for n in counts], [min(n, level) for n in counts]


@settings(deadline=None, max_examples=60)
@given(counts_per_class, seeds, st.data())
def test_subset_takes_classes_in_turn(counts, seed, data):
    total = data.draw(st.integers(1, sum(counts)))
    dataset = dataset_of(counts)
    part = subset(dataset, total, seed=seed)
    assert_part_of(part.train, dataset)
    low, high = filled_in_turn(counts, total)
    taken = class_counts(part.train, len(counts))
    assert taken.sum() == total
    assert np.all((taken >= low) & (taken <= high))
    assert part.test is dataset.test


@settings(deadline=None, max_examples=30)
@given(counts_per_class, seeds, st.data())
def test_smaller_subset_lies_inside_the_larger(counts, seed, data):
    large = data.draw(st.integers(1, sum(counts)))
    small = data.draw(st.integers(1, large))
    dataset = dataset_of(counts)
    inner, outer = (indices(subset(dataset, n, seed=seed).train) for n in (small, large))
    assert set(inner) <= set(outer)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=6), seeds, st.data())
def test_validation_split_holds_every_class_in_proportion(counts, seed, data):
    total = sum(counts)
    count = data.draw(st.integers(1, total - 1))
    dataset = dataset_of(counts)
    made = with_validation(dataset, count, seed=seed)
    assert made.validation is not None
    assert_part_of(made.train, dataset)
    assert_part_of(made.validation, dataset)
    both = np.concatenate([indices(made.train), indices(made.validation)])
    np.testing.assert_array_equal(np.sort(both), np.arange(total))
    taken = class_counts(made.validation, len(counts))
    assert taken.sum() == count
    assert np.all(np.abs(taken - np.array(counts) * count / total) < 1)


@settings(deadline=None, max_examples=60)
@given(counts_per_class, st.floats(1.0, 200.0), seeds)
def test_long_tail_follows_the_profile(counts, imbalance, seed):
    dataset = dataset_of(counts)
    made = long_tailed(dataset, imbalance, seed=seed)
    assert_part_of(made.train, dataset)
    assert made.test is dataset.test
    kept, last = class_counts(made.train, len(counts)), max(len(counts) - 1, 1)
    for k, (n, have) in enumerate(zip(kept, counts, strict=True)):
        exact = max(counts) * imbalance ** (-k / last)
        assert n >= 1
        assert n <= have
        # Equal to the profile, rounded down, where the class has enough and the profile asks for one or more.
        assert n == have or n <= exact + 1e-6 or n == 1
        assert n == have or n > exact - 1 - 1e-6


def test_long_tail_has_the_published_counts_of_cifar_10_lt():
    """Cao et al.: CIFAR-10 with imbalance ratio 100."""
    labels = np.repeat(np.arange(10, dtype=np.int32), 5000)
    train = Split(np.zeros((50_000, 1, 1, 1), np.uint8), labels)
    dataset = Dataset("cifar", train, train, tuple("0123456789"))
    published = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    np.testing.assert_array_equal(np.bincount(long_tailed(dataset, 100).train.labels), published)


@pytest.mark.parametrize(("imbalance", "classes", "counts"), [(8, 4, [64, 32, 16, 8]), (9, 3, [63, 21, 7])])
def test_long_tail_counts_that_are_whole_numbers_are_exact(imbalance, classes, counts):
    made = long_tailed(dataset_of([counts[0]] * classes), imbalance)
    np.testing.assert_array_equal(class_counts(made.train, classes), counts)


def test_longer_tail_lies_inside_the_shorter():
    dataset = dataset_of([20, 20, 20])
    inner, outer = (set(indices(long_tailed(dataset, r).train)) for r in (10.0, 2.0))
    assert inner < outer
    np.testing.assert_array_equal(indices(long_tailed(dataset, 1.0).train), np.arange(60))


@pytest.mark.parametrize(
    "change",
    [
        lambda dataset, seed: subset(dataset, 50, seed=seed).train,
        lambda dataset, seed: with_validation(dataset, 0.3, seed=seed).validation,
        lambda dataset, seed: long_tailed(dataset, 5.0, seed=seed).train,
    ],
)
def test_seed_alone_decides_which_examples(change):
    dataset = dataset_of([30, 30, 30, 30])
    np.testing.assert_array_equal(indices(change(dataset, 3)), indices(change(dataset, 3)))
    assert set(indices(change(dataset, 3))) != set(indices(change(dataset, 4)))


def test_every_example_is_as_likely_as_its_classmates():
    dataset = dataset_of([10, 10])
    hits = np.zeros(20)
    for seed in range(600):
        hits[indices(subset(dataset, 6, seed=seed).train)] += 1
    # Binomial(600, 0.3): mean 180, standard deviation 11.2.
    assert np.all(np.abs(hits - 180) < 5 * 11.2)


def test_fraction_and_count_agree():
    by_fraction, by_count = (with_validation(dataset_of([25, 25]), x).validation for x in (0.2, 10))
    assert by_fraction is not None
    assert by_count is not None
    np.testing.assert_array_equal(indices(by_fraction), indices(by_count))


def test_feature_vectors_are_divided_too():
    iris = load("iris")
    made = with_validation(iris, 0.25)
    assert made.validation is not None
    assert np.bincount(made.validation.labels).tolist() == [10, 10, 10]
    assert np.bincount(subset(iris, 8).train.labels).sum() == 8


@pytest.mark.parametrize("amount", [0.0, 1.0, 0.01, 0.99, -0.5, 1.5, float("nan"), 0, 20, 21, -1])
def test_validation_split_that_empties_either_side_is_refused(amount):
    with pytest.raises(ValueError, match="with_validation takes"):
        with_validation(dataset_of([10, 10]), amount)


def test_second_validation_split_is_refused():
    once = with_validation(dataset_of([10, 10]), 5)
    with pytest.raises(ValueError, match="counted has one"):
        with_validation(once, 5)


@pytest.mark.parametrize("count", [0, -1, 21])
def test_subset_size_out_of_range_is_refused(count):
    with pytest.raises(ValueError, match="subset takes num_examples of at"):
        subset(dataset_of([10, 10]), count)


@pytest.mark.parametrize("imbalance", [0.5, 0.0, -1.0, float("inf"), float("nan")])
def test_imbalance_below_one_is_refused(imbalance):
    with pytest.raises(ValueError, match="long_tailed takes imbalance"):
        long_tailed(dataset_of([10, 10]), imbalance)
