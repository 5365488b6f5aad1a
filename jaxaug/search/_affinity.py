"""Affinity: the accuracy of a clean network on augmented data, relative to its accuracy on clean data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaug.batches import check_batch
from jaxaug.checks import check_floating, check_key, check_labels, check_size, described
from jaxaug.compose import Augmentation
from jaxaug.search.relative import Kind, check_kind, ratio_or_difference


def affinity(
    predict: Callable[[Any], Array],
    augment: Augmentation,
    key: Key[Array, ""],
    images: Float[Array, "b *rest"],
    labels: Float[Array, "b k"],
    *,
    kind: Kind = "ratio",
    batch_size: int | None = None,
) -> Float[Array, ""]:
    """Returns the accuracy of a network on augmented validation data, relative to its accuracy on clean data.

    T[a; m; D_val] = A(m, D'_val) / A(m, D_val), where D'_val is the augmentation a applied once to every example, and m
    was trained without a. "difference" is A(m, D'_val) - A(m, D_val), as in the first versions of the paper. Without a
    distribution shift they are 1 and 0; lower values mean larger shifts.

    The accuracy of a soft label is its probability mass at the arg max: for a mixed label W c_1 + (1 - W) c_2 it is W
    if the network predicts c_1. Even a perfect network then stays below 1.

    This is a pure function and returns the same numbers under `jit` and `vmap`, over keys or magnitudes. If the clean
    accuracy is 0, the ratio is undefined, and the difference is returned, with a warning outside of `jit`.

    Args:
      predict: images `[B, ...]` -> logits `[B, K]`, a network in inference mode.
      augment: augmentation of `{"image", "label"}`, such as `jaxaug.on_images(...)` or `jaxaug.on_pairs(...)`, that
        keeps shapes.
      key: PRNG key, consumed: passed to `augment`, or split between batches.
      images: `[B, ...]`, floating point, clean.
      labels: `[B, K]`, one-hot or soft.
      kind: "ratio" or "difference".
      batch_size: examples per batch, at least 1, for data that does not fit in memory; labels are mixed within a batch,
        and the last batch may be smaller. None processes all examples at once.

    Returns:
      A scalar, float32: at least 0 for "ratio", in [-1, 1] for "difference"; NaN if a logit or an augmented label is.

    Raises:
      ValueError: `kind` is unknown, `batch_size` is below 1, the labels are not `[B, K]`, the augmentation changes a
        shape, or the shapes of logits and labels differ.
      TypeError: images or labels are not floating point, `predict` or `augment` cannot be called, or `key` is not a
        typed key.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxaug import on_images
      >>> def brighter(key, images, *, by):
      ...     return images + by
      >>> def predict(images):
      ...     return jnp.concatenate([images, 1 - images], axis=1)
      >>> images, labels = jnp.array([[0.9], [0.7], [0.4], [0.1]]), jnp.eye(2)[jnp.array([0, 0, 1, 1])]
      >>> affinity(predict, on_images(brighter, by=0.2), jax.random.key(0), images, labels)
      Array(0.75, dtype=float32)
      >>> affinity(predict, on_images(brighter, by=0.2), jax.random.key(0), images, labels, kind="difference")
      Array(-0.25, dtype=float32)

    References:
      Gontijo-Lopes, Smullin, Cubuk, Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021,
      definition 1.
    """
    if not (callable(predict) and callable(augment)):
        given = f"{type(predict).__name__} and {type(augment).__name__}"
        raise TypeError(f"affinity takes functions images -> logits and (key, batch) -> batch; got {given}.")
    check_key("affinity", key)
    check_floating("affinity", images, rank=None, what="images", axes="[B, ...]")
    check_labels("affinity", labels, images.shape[0])
    check_kind("affinity", kind)
    if batch_size is not None:
        check_size("affinity", "batch_size", batch_size, 1)

    def correct(key: Array, batch: dict[str, Array]) -> Float[Array, "2"]:
        """Returns the sums of the soft accuracies of a batch, augmented and clean."""
        augmented = augment(key, batch)
        _check_same_shapes(augmented, batch)
        return jnp.stack([_label_mass(predict, augmented), _label_mass(predict, batch)])

    batch = {"image": images, "label": labels}
    total = correct(key, batch) if batch_size is None else _sum_over_batches(correct, key, batch, batch_size)
    augmented, clean = total / images.shape[0]
    return ratio_or_difference(
        "affinity",
        augmented,
        clean,
        kind=kind,
        defined=clean != 0,
        requirement="takes a clean accuracy above 0 for a ratio",
    )


def _label_mass(predict: Callable[[Any], Array], batch: dict[str, Array]) -> Float[Array, ""]:
    """Returns the sum of the soft accuracies of a batch."""
    # Imported here, because jaxaug.training loads optax and orbax, which `import jaxaug` must not.
    from jaxaug.training.losses import soft_accuracy

    logits, labels = predict(batch["image"]), batch["label"]
    if getattr(logits, "shape", None) != labels.shape:
        raise ValueError(
            f"affinity takes logits with the shape of the labels, {list(labels.shape)}; got {described(logits)}."
        )
    accuracies = soft_accuracy(logits, labels.astype(jnp.float32))
    # The arg max of NaN logits is an arbitrary class, which may happen to be correct.
    return jnp.where(jnp.isnan(logits).any(), jnp.nan, jnp.sum(accuracies))


def _sum_over_batches(
    function: Callable[[Array, dict[str, Array]], Float[Array, "2"]],
    key: Array,
    batch: dict[str, Array],
    batch_size: int,
) -> Float[Array, "2"]:
    """Returns Σ function(key_i, batch_i), with one batch in memory at a time."""
    num_full, remainder = divmod(batch["image"].shape[0], batch_size)
    keys = jax.random.split(key, num_full + (remainder > 0))
    total = jnp.zeros(2)
    if num_full:
        full = jax.tree.map(lambda x: x[: num_full * batch_size].reshape(num_full, batch_size, *x.shape[1:]), batch)
        total = jnp.sum(jax.lax.map(lambda args: function(*args), (keys[:num_full], full)), axis=0)
    if remainder:
        total += function(keys[-1], jax.tree.map(lambda x: x[-remainder:], batch))
    return total


def _check_same_shapes(augmented: Any, batch: dict[str, Array]) -> None:
    """Raises unless the augmented batch has the shapes of the clean one."""
    check_batch("affinity", augmented, ("image", "label"))
    for name, old in batch.items():
        if augmented[name].shape != old.shape:
            raise ValueError(
                f"affinity takes augmentations that keep shapes; got one that changes {name} from {described(old)} to "
                f"{described(augmented[name])}."
            )
