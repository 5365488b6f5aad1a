"""A small convolutional network, fast on a CPU."""

from jaxtyping import Array, Float

from jaxaug.checks import check_size
from jaxaug.models.layer_factory import LayerFactory
from jaxaug.models.trunk import Trunk


class CnnTrunk(Trunk):
    """Two stages of (conv, BN, ReLU) x 2 and a 2 x 2 pooling; the second stage has twice as many channels."""

    width: int
    factory: LayerFactory

    def setup(self) -> None:
        """Makes the layers: conv1, bn1, conv2, bn2, pool1, conv3, ..., pool2."""
        for i, channels in enumerate((self.width, self.width, 2 * self.width, 2 * self.width), start=1):
            setattr(self, f"conv{i}", self.factory.spatial_conv(channels))
            setattr(self, f"bn{i}", self.factory.batch_norm())
        self.pool1 = self.factory.max_pool(window=(2, 2), strides=(2, 2))
        self.pool2 = self.factory.max_pool(window=(2, 2), strides=(2, 2))

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns the features after the second pooling."""
        x = images.astype(self.factory.dtype)
        for i in (1, 2, 3, 4):
            x = self.factory.activated(getattr(self, f"bn{i}"), getattr(self, f"conv{i}")(x), train=train)
            if i % 2 == 0:
                x = getattr(self, f"pool{i // 2}")(x, deterministic=not train)
        return x


def cnn(factory: LayerFactory, *, width: int = 32) -> CnnTrunk:
    """Returns the trunk of the small network: 32-32-pool-64-64-pool with batch normalization, total stride 4.

    Args:
      factory: makes the layers.
      width: number of channels of the first stage, at least 1.
    """
    check_size("cnn", "width", width, 1)
    return CnnTrunk(width, factory, total_stride=4, slots=frozenset({"pool", "conv"}), parent=None)
