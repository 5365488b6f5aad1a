"""Mean and standard deviation of pooling windows."""

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaug.layers.windows import Padding, pooling_windows

SMALLEST_VARIANCE = 1e-6


def local_statistics(
    x: Float[Array, "b h w c"],
    *,
    window: Sequence[int] = (2, 2),
    strides: Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> tuple[Float[Array, "b h2 w2 c"], Float[Array, "b h2 w2 c"]]:
    """Mean and standard deviation of every pooling window.

    Of the n elements x_p of a window μ = Σ_p x_p / n and σ = sqrt(max(Σ_p (x_p - μ)² / n, 1e-6)), the population's
    deviation. Padding does not count: at a border n is smaller. Where a window is constant, σ = 1e-3 has no gradient
    and that of μ is 1/n.

    Args:
      x: `[B, H, W, C]`, floating point; computed in float32 at least.
      window: height and width; a window of n elements is computed by n slices, so it should be small.
      strides: height and width; None takes those of the window, so that windows lie side by side.
      padding: "VALID", "SAME", or ((top, bottom), (left, right)), smaller than the window.

    Returns:
      (mean, std), each `[B, H', W', C]` of the dtype of `x`, as many as `nn.avg_pool` makes.

    Raises:
      ValueError: the window is larger than the padded input, or a size is out of range.
      TypeError: `x` is not floating point, or a size is no Python integer.

    Example:
      >>> import jax.numpy as jnp
      >>> mean, std = local_statistics(jnp.array([[1.0, 2.0, 5.0, 5.0], [3.0, 6.0, 5.0, 5.0]])[None, :, :, None])
      >>> mean.ravel()
      Array([3., 5.], dtype=float32)
      >>> [round(float(s), 4) for s in std.ravel()]
      [1.8708, 0.001]

    References:
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019, section 2 and the author's
      code (population variance, its floor).
    """
    mean, std = statistics("local_statistics", x, window, strides, padding)
    return mean.astype(x.dtype), std.astype(x.dtype)


def statistics(
    function: str, x: Array, window: Sequence[int], strides: Sequence[int] | None, padding: Padding
) -> tuple[Array, Array]:
    """Returns mean and standard deviation in the precision that they were computed in."""
    windows = pooling_windows(function, x, window, strides, padding)
    mean = windows.total(windows.elements) / windows.size
    # Centered, not E[x²] - μ², which cancels; the slices are still read once only.
    variance = windows.total([(element - mean) ** 2 for element in windows.elements]) / windows.size
    # The maximum comes before the root, whose gradient at 0 is infinite.
    return mean, jnp.sqrt(jnp.maximum(variance, SMALLEST_VARIANCE))
