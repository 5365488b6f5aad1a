"""The small datasets that come with scikit-learn, so that everything runs without a download."""

import numpy as np

from jaxaug.data.dataset import Dataset, Split
from jaxaug.data.subsets import part, stratified_mask

BUNDLED = ("breast_cancer", "digits", "iris", "wine")


def bundled_dataset(name: str) -> Dataset:
    """Returns one of `BUNDLED` under a fixed stratified split, 80 % to train on and 20 % to test on.

    `digits` are uint8 images `[N, 8, 8, 1]`, their 17 gray levels spread over 0..255; the others are float32 features
    standardized by mean and standard deviation of the training split.
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
