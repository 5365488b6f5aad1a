"""A small convolutional network, quick on a CPU."""

from jaxtyping import Array, Float

from jaxaug.checks import check_size
from jaxaug.models.network import Trunk
from jaxaug.models.parts import Parts


class CnnTrunk(Trunk):
    """Two stages of (conv, BN, ReLU) x 2 and a 2 x 2 pooling; the second stage has twice the channels."""

    width: int
    parts: Parts

    def setup(self) -> None:
        """Names the layers: conv1, bn1, conv2, bn2, pool1, conv3, ..., pool2."""
        for layer, channels in enumerate((self.width, self.width, 2 * self.width, 2 * self.width), start=1):
            setattr(self, f"conv{layer}", self.parts.spatial_conv(channels))
            setattr(self, f"bn{layer}", self.parts.batch_norm())
        self.pool1 = self.parts.max_pool(window=(2, 2), strides=(2, 2))
        self.pool2 = self.parts.max_pool(window=(2, 2), strides=(2, 2))

    def __call__(self, images: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 c2"]:
        """Returns the features after the second pooling."""
        x = images.astype(self.parts.dtype)
        for layer in (1, 2, 3, 4):
            x = self.parts.activated(getattr(self, f"bn{layer}"), getattr(self, f"conv{layer}")(x), train=train)
            if layer % 2 == 0:
                x = getattr(self, f"pool{layer // 2}")(x, deterministic=not train)
        return x


def cnn(parts: Parts, *, width: int = 32) -> CnnTrunk:
    """Returns the trunk of the small network: 32-32-pool-64-64-pool with batch normalization, total stride 4.

    Args:
      parts: the layers.
      width: channels of the first stage, at least 1.
    """
    check_size("cnn", "width", width, 1)
    return CnnTrunk(width, parts, total_stride=4, sites=frozenset({"pool", "conv"}), parent=None)
