"""A multilayer perceptron, for feature vectors and small images."""

from collections.abc import Sequence

import flax.linen as nn
from jaxtyping import Array, Float

from jaxaug.checks import check_size
from jaxaug.models.network import Trunk
from jaxaug.models.parts import HE_NORMAL, Parts


class MlpTrunk(Trunk):
    """Dense layers with ReLU, on the flattened input."""

    hidden: tuple[int, ...]
    parts: Parts

    @nn.compact
    def __call__(self, images: Float[Array, "b *rest"], *, train: bool) -> Float[Array, "b d"]:
        """Returns the last hidden layer; `train` changes nothing."""
        x = images.reshape(images.shape[0], -1).astype(self.parts.dtype)
        for layer, features in enumerate(self.hidden, start=1):
            dense = nn.Dense(features, kernel_init=HE_NORMAL, dtype=self.parts.dtype, name=f"dense{layer}")
            x = nn.relu(dense(x))
        return x


def mlp(parts: Parts, *, hidden: Sequence[int] = (100, 100)) -> MlpTrunk:
    """Returns the trunk of a perceptron.

    Args:
      parts: the layers, of which only the dtype is used.
      hidden: width of each hidden layer, at least 1; `()` makes the network logistic regression.
    """
    if not isinstance(hidden, (tuple, list)):
        raise TypeError(f"mlp takes a tuple of widths for hidden; got {hidden!r}.")
    for features in hidden:
        check_size("mlp", "the widths in hidden", features, 1)
    return MlpTrunk(tuple(hidden), parts, parent=None)
