"""mixup: convex combinations of pairs of examples."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_number, checked_pairs
from jaxaug.mix.symmetric_beta import symmetric_beta


@checked_pairs(rank=None)
def mixup(
    key: Key[Array, ""],
    images: Float[Array, "b *rest"],
    labels: Float[Array, "b k"],
    *,
    alpha: ArrayLike = 1.0,
    per_example: bool = True,
) -> tuple[Float[Array, "b *rest"], Float[Array, "b k"]]:
    """Mixes every example with a partner from the batch, and the labels in the same proportion.

    x~_i = λ_i x_i + (1 - λ_i) x_s(i) and c~_i = λ_i c_i + (1 - λ_i) c_s(i), where s is a random permutation of the
    batch and λ_i ~ Beta(α, α). λ_i is the weight of example i itself; it is not replaced by max(λ_i, 1 - λ_i).

    Args:
      key: PRNG key, consumed.
      images: `[B, ...]`, floating point: images, or feature vectors `[B, D]`.
      labels: `[B, K]`, one-hot or soft, floating point.
      alpha: concentration of the Beta distribution, above 0; 1 is uniform, and near 0 almost nothing is mixed. May be
        traced.
      per_example: whether to draw one λ per example or, as in the paper, one per batch.

    Returns:
      Images and labels with the given shapes and dtypes.

    Raises:
      ValueError: `alpha` is not above 0, or the shapes disagree or are empty.
      TypeError: images or labels are not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images, labels = mixup(jax.random.key(2), jnp.eye(3), jnp.eye(3), alpha=1.0)
      >>> bool((images == labels).all()), labels.sum(axis=1)
      (True, Array([1., 1., 1.], dtype=float32))

    References:
      Zhang, Cisse, Dauphin, Lopez-Paz, "mixup: Beyond empirical risk minimization", ICLR 2018, section 2.
    """
    check_number("mixup", "alpha", alpha, 0.0, open_low=True)
    b = images.shape[0]
    weight_key, partner_key = jax.random.split(key)
    partner = jax.random.permutation(partner_key, b)
    weight = symmetric_beta(weight_key, alpha, (b if per_example else 1,))
    return _mixed(images, partner, weight), _mixed(labels, partner, weight)


def _mixed(x: Array, partner: Array, weight: Array) -> Array:
    """Returns w x_i + (1 - w) x_partner(i) in the dtype of `x`, computed in float32."""
    w = weight.reshape((-1,) + (1,) * (x.ndim - 1))
    own, other = x.astype(jnp.float32), x[partner].astype(jnp.float32)
    return (w * own + (1.0 - w) * other).astype(x.dtype)
