"""A network: a trunk that computes features and a head that computes logits from them."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_images, described
from jaxaug.models.layer_factory import ModuleDef
from jaxaug.models.trunk import Trunk


class Network(nn.Module):
    """A trunk and a head: `module(x) == module.head(module.features(x))`.

    Every method takes `train`. With `train=True` the network normalizes by the statistics of the batch, updates the
    running statistics (apply it with `mutable=["batch_stats"]`) and draws the noise of layers that have some (apply it
    with `rngs={"dropout": key}`).
    """

    title: str
    num_classes: int
    trunk: Trunk
    make_head: ModuleDef | None = None

    def setup(self) -> None:
        """Makes the classifier; the trunk is a field."""
        self.classifier = self.make_head(self.num_classes) if self.make_head else nn.Dense(self.num_classes)

    def __call__(self, images: Array, *, train: bool = False) -> Float[Array, "b k"]:
        """Returns the logits of a batch.

        Args:
          images: `[B, H, W, C]`, floating point; also `[B, D]` for a network of feature vectors.
          train: whether this is training.

        Returns:
          `[B, num_classes]`, float32.

        Raises:
          ValueError: the rank is wrong, an axis is empty, or the images are smaller than the total stride.
          TypeError: the images are not floating point.
        """
        return self.head(self.features(images, train=train), train=train)

    def features(self, images: Array, *, train: bool = False) -> Float[Array, "b *spatial c"]:
        """Returns the input of the head: `[B, h, w, C]` after the last normalization and ReLU (`[B, D]` for an MLP)."""
        stride = self.trunk.total_stride
        if stride is None:
            check_floating(self.title, images, rank=None, what="inputs", axes="[B, ...]")
            if images.ndim < 2:
                raise ValueError(f"{self.title} takes a batch of inputs [B, ...]; got {described(images)}.")
        else:
            check_images(self.title, images)
            if min(images.shape[1:3]) < stride:
                raise ValueError(
                    f"{self.title} takes images of at least {stride} x {stride} pixels, its total stride; "
                    f"got {described(images)}."
                )
        return self.trunk(images, train=train)

    def head(self, features: Array, *, train: bool = False) -> Float[Array, "b k"]:
        """Returns the logits of features: global average pooling, then the classifier, both in float32."""
        vectors = self.trunk.total_stride is None
        check_floating(
            f"the head of {self.title}",
            features,
            rank=2 if vectors else 4,
            what="features",
            axes="[B, D]" if vectors else "[B, h, w, C]",
        )
        pooled = features.astype(jnp.float32)
        if not vectors:
            pooled = pooled.mean(axis=(1, 2))
        mode = {} if self.make_head is None else {"deterministic": not train}
        return self.classifier(pooled, **mode).astype(jnp.float32)
