"""Datasets, in memory or streamed from disk, and class-balanced or long-tailed subsets of them."""

from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.encoded import EncodedImages, OnCorrupt
from jaxaug.data.loading import load
from jaxaug.data.subsets import long_tailed, subset, with_validation

__all__ = ["Dataset", "EncodedImages", "OnCorrupt", "Split", "load", "long_tailed", "subset", "with_validation"]
