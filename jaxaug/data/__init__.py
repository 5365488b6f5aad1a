"""Datasets in: small classification sets held whole in memory, and class-balanced or long-tailed parts of them."""

from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.loading import load
from jaxaug.data.subsets import long_tailed, subset, with_validation

__all__ = ["Dataset", "Split", "load", "long_tailed", "subset", "with_validation"]
