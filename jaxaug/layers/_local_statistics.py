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
    """Returns the mean and standard deviation of every pooling window.

    With the n elements x_p of a window, μ = Σ_p x_p / n and σ = sqrt(max(Σ_p (x_p - μ)² / n, 1e-6)), the population
    standard deviation. Padding does not count, so n is smaller at a border. In a constant window, σ = 1e-3 with zero
    gradient, and the gradient of μ is 1/n.

    Args:
      x: `[B, H, W, C]`, floating point; computed in at least float32.
      window: height and width. A window of n elements takes n slices, so it should be small.
      strides: height and width; None uses the window, so that windows do not overlap.
      padding: "VALID", "SAME", or ((top, bottom), (left, right)), each smaller than the window.

    Returns:
      (mean, std), each `[B, H', W', C]` with the dtype of `x` and the shape that `nn.avg_pool` returns.

    Raises:
      ValueError: the window is larger than the padded input, or a size is out of range.
      TypeError: `x` is not floating point, or a size is not a Python integer.

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
    """Returns the mean and standard deviation in at least float32."""
    windows = pooling_windows(function, x, window, strides, padding)
    mean = windows.total(windows.elements) / windows.size
    # Centered, because E[x²] - μ² suffers from cancellation; fusion still reads the slices only once.
    variance = windows.total([(element - mean) ** 2 for element in windows.elements]) / windows.size
    # The maximum comes before the square root, whose gradient at 0 is infinite.
    return mean, jnp.sqrt(jnp.maximum(variance, SMALLEST_VARIANCE))
