"""Parts of the training split: a validation split, a balanced subset, a long tail. All are fixed by a seed."""

import dataclasses

import numpy as np

from jaxaug.checks import check_number, check_size
from jaxaug.data.dataset import Dataset, Split


def class_ranks(labels: np.ndarray, seed: int) -> np.ndarray:
    """Returns each example's place, 0, 1, ..., in a random order of its class.

    Every part is "ranks below some bound", so that with one seed a smaller part lies inside a larger one.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    counts = np.bincount(labels)
    first = np.cumsum(counts) - counts
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - first[labels[by_class]]
    return ranks


def stratified_mask(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Returns bool `[N]`, True for `count` examples that hold every class in its proportion, within one example."""
    available = np.bincount(labels)
    share, remainder = np.divmod(available * count, len(labels))
    largest = np.argsort(-remainder, kind="stable")[: count - share.sum()]
    share[largest] += 1
    return class_ranks(labels, seed) < share[labels]


def part(split: Split, mask: np.ndarray) -> Split:
    """Returns the examples where `mask` is True, in their order."""
    return Split(split.images[mask], split.labels[mask])


def with_validation(dataset: Dataset, fraction_or_count: float | int, *, seed: int = 0) -> Dataset:
    """Returns the dataset with a validation split moved out of its training split.

    The split is stratified: of n_k of the N training examples, class k gives its share m n_k / N of the m that move,
    rounded up or down so that the shares add up to m.

    Args:
      dataset: a dataset without a validation split.
      fraction_or_count: a float in (0, 1), the fraction of the training examples, or an int, their number m.
      seed: fixes which examples move; a smaller validation split of a balanced dataset lies inside a larger one.

    Returns:
      The dataset with `validation` of m examples and `train` of N - m, both in their former order.

    Raises:
      ValueError: there is a validation split already, or either split would be empty.

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
            f"with_validation takes at least one of the {total} training examples and leaves at least one; "
            f"{fraction_or_count} takes {count}."
        )
    mask = stratified_mask(dataset.train.labels, count, seed)
    return dataclasses.replace(dataset, train=part(dataset.train, ~mask), validation=part(dataset.train, mask))


def subset(dataset: Dataset, num_examples: int, *, seed: int = 0) -> Dataset:
    """Returns the dataset with a class-balanced part of its training split.

    Classes take turns until `num_examples` are taken, so their counts differ by at most one; a class that runs out
    leaves the rest to the others.

    Args:
      dataset: any dataset; its test and validation splits stay as they are.
      num_examples: how many training examples to keep, at least 1 and at most all.
      seed: fixes which; with one seed a smaller subset lies inside a larger one.

    Returns:
      The dataset with `num_examples` training examples in their former order.

    Raises:
      ValueError: `num_examples` is below 1 or above the number there are.

    Example:
      >>> from jaxaug.data import load
      >>> np.bincount(subset(load("digits"), 105).train.labels)
      array([11, 10, 11, 10, 11, 10, 10, 11, 10, 11])
    """
    check_size("subset", "num_examples", num_examples, 1)
    labels = dataset.train.labels
    if num_examples > len(labels):
        raise ValueError(
            f"subset takes num_examples of at most {len(labels)}, all of {dataset.name}'s training split; "
            f"got {num_examples}."
        )
    turn = np.random.default_rng(seed).permutation(dataset.num_classes)
    taken = np.lexsort((turn[labels], class_ranks(labels, seed)))[:num_examples]
    mask = np.zeros(len(labels), bool)
    mask[taken] = True
    return dataclasses.replace(dataset, train=part(dataset.train, mask))


def long_tailed(dataset: Dataset, imbalance: float | int, *, seed: int = 0) -> Dataset:
    """Returns the dataset with a training split whose class counts fall exponentially.

    Class k of K keeps n_k = floor(n_max imbalance^(-k / (K - 1))) examples, at least 1 and at most those there are,
    where n_max is the largest class's count: class 0 is the most frequent, class K - 1 the rarest.

    Args:
      dataset: any dataset; its test and validation splits stay as they are.
      imbalance: n_max / n_min, at least 1; 1 keeps every example.
      seed: fixes which examples are kept; with one seed a longer tail lies inside a shorter one.

    Returns:
      The dataset with the training examples kept, in their former order.

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
    # The small term keeps a count that is an integer on paper from falling just below it.
    profile = np.floor(np.bincount(labels).max() / float(imbalance) ** exponent + 1e-9)
    kept = np.maximum(profile.astype(np.int64), 1)
    return dataclasses.replace(dataset, train=part(dataset.train, class_ranks(labels, seed) < kept[labels]))
