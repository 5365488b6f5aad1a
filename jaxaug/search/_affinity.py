"""Affinity: how much of a clean network's accuracy survives an augmentation."""

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
    """The accuracy of a network on augmented validation data, relative to its accuracy on the data as they are.

    T[a; m; D_val] = A(m, D'_val) / A(m, D_val) with D'_val the augmentation a applied once to every example, and m
    trained without a. "difference" is A(m, D'_val) - A(m, D_val), the form of the paper's first versions. Without a
    shift they are 1 and 0; a lower value is further from what the network knows.

    The accuracy of a soft label is its mass at the arg max, so that a mixed pair counts by the weights of its parts:
    for W c_1 + (1 - W) c_2 it is W where the network says c_1. Even a perfect network then stays below 1.

    Pure: under `jit` and `vmap`, over keys or magnitudes, the numbers are the same. Where the clean accuracy is 0 the
    ratio is not defined and the difference is returned, with a warning unless jax traces.

    Args:
      predict: images `[B, ...]` -> logits `[B, K]`, a network in inference mode.
      augment: Augmentation on `{"image", "label"}`, as `jaxaug.on_images` and `jaxaug.on_pairs` make; it keeps shapes.
      key: PRNG key, consumed: handed to `augment` as it is, or split between the batches.
      images: `[B, ...]`, floating point, clean.
      labels: `[B, K]`, one-hot or soft.
      kind: "ratio" or "difference".
      batch_size: examples at a time, at least 1, for data that do not fit at once; labels mix within such a batch. None
        takes all together. The rest of the division is a smaller batch.

    Returns:
      A scalar, float32: at least 0 for "ratio", in [-1, 1] for "difference"; NaN if a logit is NaN or a label becomes
      so.

    Raises:
      ValueError: `kind` is unknown, `batch_size` below 1, the labels are no `[B, K]`, the augmentation changes a shape,
        or the logits have another shape than the labels.
      TypeError: images or labels are not floating point, `predict` or `augment` cannot be called, or `key` is no typed
        key.

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
        """Returns the label mass that is predicted in a batch: augmented, and clean."""
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
        otherwise="divides by a clean accuracy above 0",
    )


def _label_mass(predict: Callable[[Any], Array], batch: dict[str, Array]) -> Float[Array, ""]:
    """Returns Σ_i soft_accuracy_i of a batch."""
    # Here, since the package of the objective loads optax and orbax, which `import jaxaug` must not.
    from jaxaug.training.losses import soft_accuracy

    logits, labels = predict(batch["image"]), batch["label"]
    if getattr(logits, "shape", None) != labels.shape:
        raise ValueError(
            f"affinity takes logits of the shape of the labels, {list(labels.shape)}; got {described(logits)}."
        )
    accuracies = soft_accuracy(logits, labels.astype(jnp.float32))
    # The arg max of NaN is some class, and often the right one.
    return jnp.where(jnp.isnan(logits).any(), jnp.nan, jnp.sum(accuracies))


def _sum_over_batches(
    function: Callable[[Array, dict[str, Array]], Float[Array, "2"]],
    key: Array,
    batch: dict[str, Array],
    batch_size: int,
) -> Float[Array, "2"]:
    """Returns Σ function(key_i, batch_i), one batch in memory at a time."""
    whole, rest = divmod(batch["image"].shape[0], batch_size)
    keys = jax.random.split(key, whole + (rest > 0))
    total = jnp.zeros(2)
    if whole:
        parts = jax.tree.map(lambda x: x[: whole * batch_size].reshape(whole, batch_size, *x.shape[1:]), batch)
        total = jnp.sum(jax.lax.map(lambda part: function(*part), (keys[:whole], parts)), axis=0)
    if rest:
        total += function(keys[-1], jax.tree.map(lambda x: x[-rest:], batch))
    return total


def _check_same_shapes(augmented: Any, batch: dict[str, Array]) -> None:
    """Raises unless the augmentation gave a batch of the shapes it was given."""
    check_batch("affinity", augmented, ("image", "label"))
    for name, old in batch.items():
        if augmented[name].shape != old.shape:
            raise ValueError(
                f"affinity takes augmentations that keep shapes; got one that makes of {name} {described(old)} "
                f"{described(augmented[name])}."
            )
