"""Subsets of the training split: a validation split, a balanced subset and a long tail, each determined by a seed."""

import dataclasses

import numpy as np

from jaxaug.checks import check_number, check_size
from jaxaug.data.dataset import Dataset, Split


def class_ranks(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns the rank of each example, 0, 1, ..., in a random order of its class.

    Every subset consists of the ranks below a bound, so that with the same seed a smaller one is contained in a larger.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    first = np.cumsum(counts) - counts
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - first[labels[by_class]]
    return ranks


def stratified_mask(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns bool `[N]`, True for `count` examples with the same class proportions, up to one example per class."""
    available = np.bincount(labels)
    share, remainder = np.divmod(available * count, len(labels))
    largest = np.argsort(-remainder, kind="stable")[: count - share.sum()]
    share[largest] += 1
    return class_ranks(labels, seed) < share[labels]


def part(split: Split, mask: np.ndarray) -> Split:
    """Returns the examples where `mask` is True, in the same order."""
    return Split(split.images[mask], split.labels[mask])


def with_validation(dataset: Dataset, fraction_or_count: float | int, *, seed: int = 0) -> Dataset:
    """Returns the dataset with part of its training split moved to a validation split.

    The split is stratified: if class k has n_k of the N training examples, it contributes m n_k / N of the m examples
    that move, rounded up or down so that the sum is m.

    Args:
      dataset: a dataset without a validation split.
      fraction_or_count: a float in (0, 1), the fraction of the training examples to move, or an int, their number m.
      seed: determines which examples move; in a balanced dataset, a smaller validation split is contained in a larger
        one with the same seed.

    Returns:
      The dataset with m examples in `validation` and N - m in `train`, both in their original order.

    Raises:
      ValueError: the dataset already has a validation split, or either split would be empty.

    Example:
      >>> from jaxaug.data import load
      >>> with_validation(load("digits"), 0.1)
      Dataset('digits': 10 classes of (8, 8, 1), 1294 train, 144 validation, 359 test)
    """
    if dataset.validation is not None:
        raise ValueError(f"with_validation takes a dataset without a validation split; {dataset.name} has one.")
    total = len(dataset.train.labels)
    if isinstance(fraction_or_count, float | np.floating):
        check_number("with_validation", "a fraction", fraction_or_count, 0.0, 1.0)
        count = round(float(fraction_or_count) * total)
    else:
        check_size("with_validation", "a count", fraction_or_count, 1)
        count = int(fraction_or_count)
    if not 0 < count < total:
        raise ValueError(
            f"with_validation takes a fraction or count that moves at least one of the {total} training examples and "
            f"leaves at least one; got {fraction_or_count}, which moves {count}."
        )
    mask = stratified_mask(dataset.train.labels, count, seed)
    return dataclasses.replace(dataset, train=part(dataset.train, ~mask), validation=part(dataset.train, mask))


def subset(dataset: Dataset, num_examples: int, *, seed: int = 0) -> Dataset:
    """Returns the dataset with a class-balanced subset of its training split.

    Classes take turns until there are `num_examples`, so their counts differ by at most one, unless a class runs out of
    examples.

    Args:
      dataset: any dataset; its test and validation splits stay the same.
      num_examples: number of training examples to keep, at least 1 and at most all.
      seed: determines which examples to keep; a smaller subset is contained in a larger one with the same seed.

    Returns:
      The dataset with `num_examples` training examples in their original order.

    Raises:
      ValueError: `num_examples` is below 1 or above the number of training examples.

    Example:
      >>> from jaxaug.data import load
      >>> np.bincount(subset(load("digits"), 105).train.labels)
      array([11, 10, 11, 10, 11, 10, 10, 11, 10, 11])
    """
    check_size("subset", "num_examples", num_examples, 1)
    labels = dataset.train.labels
    if num_examples > len(labels):
        raise ValueError(
            f"subset takes num_examples of at most {len(labels)}, the size of the training split of {dataset.name}; "
            f"got {num_examples}."
        )
    turn = np.random.default_rng(seed).permutation(dataset.num_classes)
    chosen = np.lexsort((turn[labels], class_ranks(labels, seed)))[:num_examples]
    mask = np.zeros(len(labels), bool)
    mask[chosen] = True
    return dataclasses.replace(dataset, train=part(dataset.train, mask))


def long_tailed(dataset: Dataset, imbalance: float | int, *, seed: int = 0) -> Dataset:
    """Returns the dataset with exponentially decreasing class counts in its training split.

    Class k of K keeps n_k = floor(n_max imbalance^(-k / (K - 1))) examples (at least 1, and at most all of them), where
    n_max is the count of the largest class. Class 0 becomes the most frequent, class K - 1 the rarest.

    Args:
      dataset: any dataset; its test and validation splits stay the same.
      imbalance: n_max / n_min, at least 1; 1 keeps every example of a balanced dataset.
      seed: determines which examples to keep; with the same seed, a more imbalanced subset is contained in a less
        imbalanced one.

    Returns:
      The dataset with the remaining training examples in their original order.

    Raises:
      ValueError: `imbalance` is below 1 or not finite.

    Example:
      >>> from jaxaug.data import load
      >>> np.bincount(long_tailed(load("digits"), 10.0).train.labels)
      array([142, 113,  87,  67,  52,  40,  31,  24,  18,  14])

    References:
      Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", NeurIPS 2019, section 4.
    """
    check_number("long_tailed", "imbalance", imbalance, 1.0)
    labels = dataset.train.labels
    exponent = np.arange(dataset.num_classes) / max(dataset.num_classes - 1, 1)
    # The small term keeps rounding errors from moving an exact integer below itself.
    profile = np.floor(np.bincount(labels).max() / float(imbalance) ** exponent + 1e-9)
    counts = np.maximum(profile.astype(np.int64), 1)
    return dataclasses.replace(dataset, train=part(dataset.train, class_ranks(labels, seed) < counts[labels]))
