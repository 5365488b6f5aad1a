"""Diversity: how much harder an augmentation makes the training data."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from jaxaug.checks import check_number, described
from jaxaug.search.relative import Kind, check_kind, ratio_or_difference


def diversity(
    augmented_loss: ArrayLike, clean_loss: ArrayLike, *, kind: Kind = "ratio", near_zero: ArrayLike = 1e-3
) -> Float[Array, "..."]:
    """The training loss with an augmentation, relative to the training loss without.

    D[a; m; D_train] = E_{D'_train}[L] / E_{D_train}[L], each loss that of the network trained on these very data, with
    the same noise of training (dropout) in both. "difference" is E_{D'_train}[L] - E_{D_train}[L]. Without an effect
    they are 1 and 0; more is more diverse. The losses may be those at the end of training, as in the paper, or of an
    early epoch, which cost less and rarely come near 0.

    A ratio to a clean loss near zero says little, so there the difference is returned, with a warning. While jax traces
    there can be none: the entries of `clean_loss < near_zero` are the differences. They do not compare with ratios, so
    compare candidates that share one clean loss.

    Args:
      augmented_loss: mean training loss with the augmentation, at least 0; a number or an array, `[P]` of P candidates.
      clean_loss: mean training loss without, of a shape that broadcasts.
      kind: "ratio" or "difference".
      near_zero: the clean loss below which the ratio is not taken, above 0; may be traced.

    Returns:
      float32, of the common shape; NaN or infinite where a loss is.

    Raises:
      ValueError: `kind` is unknown, `near_zero` is not above 0, or the shapes do not broadcast.

    Example:
      >>> import jax.numpy as jnp
      >>> diversity(jnp.array([0.25, 0.5, 1.0]), 0.25)
      Array([1., 2., 4.], dtype=float32)
      >>> diversity(jnp.array([0.25, 0.5, 1.0]), 0.25, kind="difference")
      Array([0.  , 0.25, 0.75], dtype=float32)

    References:
      Gontijo-Lopes, Smullin, Cubuk, Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021,
      definition 2.
    """
    check_kind("diversity", kind)
    check_number("diversity", "near_zero", near_zero, 0.0, open_low=True)
    augmented, clean = jnp.asarray(augmented_loss, jnp.float32), jnp.asarray(clean_loss, jnp.float32)
    try:
        augmented, clean = jnp.broadcast_arrays(augmented, clean)
    except ValueError:
        given = f"{list(augmented.shape)} and {list(clean.shape)}"
        raise ValueError(f"diversity takes losses of shapes that broadcast; got {given}.") from None
    return ratio_or_difference(
        "diversity",
        augmented,
        clean,
        kind=kind,
        # So that NaN stays NaN instead of being near zero.
        defined=~(clean < jnp.asarray(near_zero, jnp.float32)),
        otherwise=f"divides by a clean loss of at least {near_zero}",
    )


def entropy_diversity(probabilities: Float[Array, "*shape k"]) -> Float[Array, "*shape"]:
    """The entropy of the outcomes of an augmentation that has finitely many, in nats.

    D_Ent[a; D_train] = H(X'|X) = -E_X[Σ_x' p(x'|X) log p(x'|X)], which needs no training. A flip with probability p has
    the binary entropy of p. Independent augmentations, one after another, have the sum of their entropies, as long as
    no two ways lead to the same image; where some do, add their probabilities first, or take the sum as an upper bound.

    Args:
      probabilities: `[..., K]`, floating point, of the K outcomes given an input, at least 0 and of sum 1. Average the
        result over inputs whose outcomes differ.

    Returns:
      `[...]`, dtype of `probabilities`, in [0, log K]; 0 for one certain outcome.

    Raises:
      ValueError: `probabilities` has no outcomes, a negative entry, or a sum other than 1.
      TypeError: `probabilities` is not floating point.

    Example:
      >>> import jax.numpy as jnp
      >>> entropy_diversity(jnp.array([[1.0, 0.0], [0.5, 0.5]])).round(4)
      Array([0.    , 0.6931], dtype=float32)

    References:
      Gontijo-Lopes, Smullin, Cubuk, Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021.
    """
    _check_probabilities(probabilities)
    exact = probabilities.astype(jnp.float32) if probabilities.dtype.itemsize < 4 else probabilities
    return jnp.sum(jax.scipy.special.entr(exact), axis=-1).astype(probabilities.dtype)


def _check_probabilities(probabilities: Array) -> None:
    dtype = getattr(probabilities, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"entropy_diversity takes floating-point probabilities [..., K]; got {described(probabilities)}."
        )
    if probabilities.ndim == 0 or 0 in probabilities.shape:
        raise ValueError(f"entropy_diversity takes probabilities [..., K], K >= 1; got {described(probabilities)}.")
    with contextlib.suppress(jax.errors.TracerArrayConversionError):
        numbers = np.asarray(probabilities).astype(np.float64)
        # bfloat16 keeps eight bits of each.
        tolerance = 4 * float(jnp.finfo(dtype).eps) * numbers.shape[-1]
        sums = numbers.sum(axis=-1)
        if not ((numbers >= 0).all() and (abs(sums - 1) <= tolerance).all()):
            raise ValueError(
                "entropy_diversity takes probabilities of at least 0 and sum 1; "
                f"got a lowest of {numbers.min():.3g} and sums from {sums.min():.3g} to {sums.max():.3g}."
            )
