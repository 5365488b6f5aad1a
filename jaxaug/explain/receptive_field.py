"""The effective receptive field: how much each image pixel affects the features at one position."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_floating, check_images, check_number


def effective_receptive_field(
    features: Callable[[Array], Array], images: Float[Array, "b h w c"]
) -> Float[Array, "h w"]:
    """Returns the mean absolute gradient of the central feature with respect to each pixel.

    field(i, j) is the mean over images of Σ_c |∂y / ∂x_ijc|, where y is the sum over channels of the features at the
    position (h // 2, w // 2). With absolute values, instead of the squares (variances) in the theory of the paper, the
    field of a chain of kernels without negative weights is their convolution.

    All images are processed at once. For many images, average the fields of batches of equal size.

    Args:
      features: images -> features `[B, h, w, C]` of any layer, independently for each example (in inference). For a
        named layer of a Linen module, use `lambda x: features_and_head(module, variables, x, layer)[0]`.
      images: `[B, H, W, C]`, floating point, from the distribution of interest.

    Returns:
      `[H, W]`, float32, at least 0, not scaled.

    Raises:
      ValueError: images or features have a wrong rank or an empty axis.
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
    """Returns the square root of the area of a field above a fraction of its maximum, in pixels.

    The size is sqrt(#{(i, j): field(i, j) > fraction · max}). The default fraction is the paper's, 1 - 0.9545.

    Args:
      field: `[..., H, W]`, floating point, at least 0, such as the result of `effective_receptive_field`.
      fraction: fraction of the maximum, in [0, 1); may be traced.

    Returns:
      `[...]`, float32; 0 for a field of zeros.

    Raises:
      ValueError: `fraction` is outside [0, 1), the rank is below 2, or an axis is empty.
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
    """Returns the standard deviation of a field along its height and its width, in pixels.

    (σ_y, σ_x) are those of the field as a distribution over pixels. The variances of successive convolutions add up:
    for n uniform kernels of side k, σ² = n (k² - 1) / 12, so σ grows with the square root of the depth.

    Args:
      field: `[..., H, W]`, floating point, at least 0, such as the result of `effective_receptive_field`.

    Returns:
      `[..., 2]`, float32; 0 for a field of zeros.

    Raises:
      ValueError: the rank is below 2, or an axis is empty.
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
    field = field / jnp.where(largest > 0, largest, 1.0)  # prevents underflow and overflow of the sums

    def std(weights: Array) -> Array:
        total = weights.sum(axis=-1, keepdims=True)
        weights = weights / jnp.where(total > 0, total, 1.0)
        positions = jnp.broadcast_to(jnp.arange(weights.shape[-1], dtype=jnp.float32), weights.shape)
        mean = (weights * positions).sum(axis=-1, keepdims=True)
        return jnp.sqrt((weights * (positions - mean) ** 2).sum(axis=-1))

    return jnp.stack([std(field.sum(axis=-1)), std(field.sum(axis=-2))], axis=-1)


def _checked(function: str, field: Float[Array, "*batch h w"]) -> Float[Array, "*batch h w"]:
    check_floating(function, field, rank=None, what="fields", axes="[..., H, W]")
    if field.ndim < 2:
        raise ValueError(f"{function} takes fields [..., H, W]; got rank {field.ndim}.")
    return field.astype(jnp.float32)
