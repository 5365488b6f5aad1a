"""A multilayer perceptron, for feature vectors and small images."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.checks import check_size
from jaxaug.models.layer_factory import HE_NORMAL, LayerFactory
from jaxaug.models.trunk import Trunk


class MlpTrunk(Trunk):
    """Dense layers with ReLU, on the flattened input."""

    hidden: tuple[int, ...]
    factory: LayerFactory

    @nn.compact
    def __call__(self, images: Float[Array, "b *rest"], *, train: bool) -> Float[Array, "b d"]:
        """Returns the last hidden layer; `train` has no effect."""
        x = images.reshape(images.shape[0], -1).astype(self.factory.dtype)
        for i, features in enumerate(self.hidden, start=1):
            dense = nn.Dense(features, kernel_init=HE_NORMAL, dtype=self.factory.dtype, name=f"dense{i}")
            x = nn.relu(dense(x))
        return x


def mlp(factory: LayerFactory, *, hidden: Sequence[int] = (100, 100)) -> MlpTrunk:
    """Returns the trunk of a multilayer perceptron.

    Args:
      factory: gives the dtype.
      hidden: width of each hidden layer, at least 1; with `()` the network is logistic regression.
    """
    if not isinstance(hidden, (tuple, list)):
        raise TypeError(f"mlp takes a tuple of widths for hidden; got {hidden!r}.")
    for features in hidden:
        check_size("mlp", "the widths in hidden", features, 1)
    return MlpTrunk(tuple(hidden), factory, parent=None)
