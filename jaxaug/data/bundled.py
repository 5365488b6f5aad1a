"""The small datasets of scikit-learn, which need no download."""

import numpy as np

from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.subsets import part, stratified_mask

BUNDLED = ("breast_cancer", "digits", "iris", "wine")


def bundled_dataset(name: str) -> Dataset:
    """Returns one of `BUNDLED` with a fixed stratified split, 80% for training and 20% for testing.

    `digits` consists of uint8 images `[N, 8, 8, 1]` whose 17 gray levels are scaled to 0..255. The others are float32
    features, standardized by the mean and standard deviation of the training split.
    """
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")()
    labels = bunch.target.astype(np.int32)
    test = stratified_mask(labels, round(0.2 * len(labels)), seed=0)
    if name == "digits":
        inputs = np.round(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    else:
        train = bunch.data[~test]
        inputs = ((bunch.data - train.mean(axis=0)) / train.std(axis=0)).astype(np.float32)
    everything = Split(inputs, labels)
    class_names = tuple(str(k) for k in bunch.target_names)
    return Dataset(name, part(everything, ~test), part(everything, test), class_names)
