"""CutMix: pastes a box of one image into another."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key

from jaxaug.checks import check_number, checked_pairs
from jaxaug.mix._ricap import mix_labels
from jaxaug.mix.symmetric_beta import symmetric_beta


@checked_pairs(rank=4)
def cutmix(
    key: Key[Array, ""],
    images: Float[Array, "b h w c"],
    labels: Float[Array, "b k"],
    *,
    alpha: ArrayLike = 1.0,
    per_example: bool = True,
) -> tuple[Float[Array, "b h w c"], Float[Array, "b k"]]:
    """Pastes a box from a partner in the batch into every image and mixes the labels by area.

    With λ ~ Beta(α, α), the box has floor(H sqrt(1 - λ)) x floor(W sqrt(1 - λ)) pixels around a center that is uniform
    over all pixels, and is clipped at the border. The weight of the partner's label is the share of pixels actually
    pasted, not 1 - λ. The partners are a random permutation of the batch.

    Args:
      key: PRNG key, consumed.
      images: `[B, H, W, C]`, floating point, any range.
      labels: `[B, K]`, one-hot or soft, floating point.
      alpha: concentration of the Beta distribution, above 0; 1 (the paper's choice) is uniform. May be traced.
      per_example: whether to draw one box per example or, as in the paper, one per batch.

    Returns:
      Images and labels with the given shapes and dtypes.

    Raises:
      ValueError: `alpha` is not above 0, or the shapes disagree or are empty.
      TypeError: images or labels are not floating point, or `key` is not a typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> images = jnp.arange(2.0).reshape(2, 1, 1, 1) * jnp.ones((2, 8, 8, 1))
      >>> mixed, labels = cutmix(jax.random.key(1), images, jnp.eye(2))
      >>> bool(jnp.allclose(mixed.mean((1, 2, 3)), labels[:, 1]))
      True

    References:
      Yun, Han, Oh, Chun, Choe, Yoo, "CutMix: Regularization strategy to train strong classifiers with localizable
      features", ICCV 2019, section 3.
    """
    check_number("cutmix", "alpha", alpha, 0.0, open_low=True)
    b, h, w, _ = images.shape
    draws = b if per_example else 1
    weight_key, row_key, column_key, partner_key = jax.random.split(key, 4)
    root = jnp.sqrt(1.0 - symmetric_beta(weight_key, alpha, (draws,)))
    rows, columns = (_box_sides(k, root, length) for k, length in ((row_key, h), (column_key, w)))
    partner = jax.random.permutation(partner_key, b)
    inside = rows[:, :, None, None] & columns[:, None, :, None]
    share = jnp.sum(rows, axis=1, dtype=jnp.float32) * jnp.sum(columns, axis=1, dtype=jnp.float32) / (h * w)
    source = jnp.stack([jnp.arange(b), partner], axis=1).astype(jnp.int32)
    weight = jnp.broadcast_to(jnp.stack([1.0 - share, share], axis=1), (b, 2))
    return jnp.where(inside, images[partner], images), mix_labels(source, weight, labels)


def _box_sides(key: Array, share: Float[Array, " n"], length: int) -> Array:
    """Returns `[n, length]`, true on floor(length share) pixels around a uniform center."""
    side = jnp.floor(share * length).astype(jnp.int32)[:, None]
    start = jax.random.randint(key, side.shape, 0, length) - side // 2
    position = jnp.arange(length, dtype=jnp.int32)[None, :]
    return (position >= start) & (position < start + side)
