"""How far around a position of the features the network really looks."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_images, check_number


def effective_receptive_field(
    features: Callable[[Array], Array], images: Float[Array, "b h w c"]
) -> Float[Array, "h w"]:
    """The mean size of the gradient of the central position of the features, pixel by pixel.

    field(i, j) = mean over images of Σ_c |∂y / ∂x_ijc|, where y is the sum over channels of the features at position
    (h // 2, w // 2): a gradient of 1 is set there, 0 elsewhere, and propagated back. The absolute values, in place of
    the squares (variances) of the paper's theory, are what makes a field of kernels without negative weights the
    convolution of the kernels.

    All images are taken at once: for many, average the fields of batches of equal size.

    Args:
      features: images -> features `[B, h, w, C]`, of any layer, one example apart from the other (in inference). For a
        named layer of a Linen module: `lambda x: features_and_head(module, variables, x, layer)[0]`.
      images: `[B, H, W, C]`, floating point, from the distribution of interest.

    Returns:
      `[H, W]`, float32, 0 or more, not scaled.

    Raises:
      ValueError: images or features of a wrong rank or with an empty axis.
      TypeError: images or features are not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> features = lambda x: 2 * x - jnp.roll(x, 1, axis=2)
      >>> effective_receptive_field(features, jnp.zeros((1, 1, 5, 1)))
      Array([[0., 1., 2., 0., 0.]], dtype=float32)

    References:
      Luo, Li, Urtasun, Zemel, "Understanding the effective receptive field in deep convolutional neural networks",
      NIPS 2016, section 2.1.
    """
    check_images("effective_receptive_field", images)

    def center(images: Array) -> Array:
        maps = features(images)
        check_floating("effective_receptive_field", maps, rank=4, what="a network with features", axes="[B, h, w, C]")
        return maps[:, maps.shape[1] // 2, maps.shape[2] // 2].astype(jnp.float32).sum()

    return jnp.abs(jax.grad(center)(images).astype(jnp.float32)).sum(axis=-1).mean(axis=0)


def receptive_field_size(field: Float[Array, "*batch h w"], *, fraction: ArrayLike = 0.0455) -> Float[Array, "*batch"]:
    """The side of a square as large as the part of the field above a fraction of its maximum, in pixels.

    sqrt(#{(i, j): field(i, j) > fraction · max}). The fraction is what the paper takes, 1 - 0.9545.

    Args:
      field: `[..., H, W]`, floating point, 0 or more, as of `effective_receptive_field`.
      fraction: of the maximum, in [0, 1); may be traced.

    Returns:
      `[...]`, float32; 0 for a field of zeros.

    Raises:
      ValueError: `fraction` outside [0, 1), a rank below 2, or an empty axis.
      TypeError: `field` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> receptive_field_size(jnp.pad(jnp.ones((4, 9)), 3))
      Array(6., dtype=float32)

    References:
      Luo et al., NIPS 2016, section 3.
    """
    field = _checked("receptive_field_size", field)
    check_number("receptive_field_size", "fraction", fraction, 0.0, 1.0, open_high=True)
    least = jnp.asarray(fraction, jnp.float32) * field.max(axis=(-2, -1), keepdims=True)
    return jnp.sqrt((field > least).sum(axis=(-2, -1), dtype=jnp.float32))


def receptive_field_spread(field: Float[Array, "*batch h w"]) -> Float[Array, "*batch 2"]:
    """The standard deviation of a field along its height and its width, in pixels.

    (σ_y, σ_x) of the field taken as a distribution over pixels, about its own mean. Of convolutions in a row the
    variances add: n uniform kernels of side k have σ² = n (k² - 1) / 12, which grows with the square root of depth.

    Args:
      field: `[..., H, W]`, floating point, 0 or more, as of `effective_receptive_field`.

    Returns:
      `[..., 2]`, float32; 0 for a field of zeros.

    Raises:
      ValueError: a rank below 2, or an empty axis.
      TypeError: `field` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> receptive_field_spread(jnp.array([[1.0, 0.0, 0.0, 0.0, 1.0]]))
      Array([0., 2.], dtype=float32)

    References:
      Luo et al., NIPS 2016, section 2.3.
    """
    field = _checked("receptive_field_spread", field)
    largest = field.max(axis=(-2, -1), keepdims=True)
    field = field / jnp.where(largest > 0, largest, 1.0)  # so that no sum is too small or too large

    def deviation(weights: Array) -> Array:
        total = weights.sum(axis=-1, keepdims=True)
        weights = weights / jnp.where(total > 0, total, 1.0)
        places = jnp.broadcast_to(jnp.arange(weights.shape[-1], dtype=jnp.float32), weights.shape)
        mean = (weights * places).sum(axis=-1, keepdims=True)
        return jnp.sqrt((weights * (places - mean) ** 2).sum(axis=-1))

    return jnp.stack([deviation(field.sum(axis=-1)), deviation(field.sum(axis=-2))], axis=-1)


def _checked(function: str, field: Float[Array, "*batch h w"]) -> Float[Array, "*batch h w"]:
    check_floating(function, field, rank=None, what="fields", axes="[..., H, W]")
    if field.ndim < 2:
        raise ValueError(f"{function} takes fields [..., H, W]; got rank {field.ndim}.")
    return field.astype(jnp.float32)
