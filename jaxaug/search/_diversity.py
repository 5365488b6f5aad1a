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
    """Returns the training loss with an augmentation, relative to the training loss without it.

    D[a; m; D_train] = E_{D'_train}[L] / E_{D_train}[L], where each network is evaluated on the data it was trained on,
    with the same training noise (dropout) in both. "difference" is E_{D'_train}[L] - E_{D_train}[L]. Without an effect
    they are 1 and 0; higher values mean more diversity. The losses can be those at the end of training, as in the
    paper, or of an early epoch, which are cheaper and rarely close to 0.

    A ratio to a clean loss near zero is not meaningful. In this case the difference is returned, with a warning outside
    of `jit`; under `jit`, these are the entries with `clean_loss < near_zero`. Differences cannot be compared with
    ratios, so compare only candidates with the same clean loss.

    Args:
      augmented_loss: mean training loss with the augmentation, at least 0; a number, or `[P]` for P candidates.
      clean_loss: mean training loss without it, with a shape that broadcasts.
      kind: "ratio" or "difference".
      near_zero: threshold for the clean loss below which to return the difference, above 0; may be traced.

    Returns:
      float32 of the common shape; NaN or infinite where a loss is.

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
        raise ValueError(f"diversity takes losses with shapes that broadcast; got {given}.") from None
    return ratio_or_difference(
        "diversity",
        augmented,
        clean,
        kind=kind,
        # Negated, so that NaN does not count as near zero.
        defined=~(clean < jnp.asarray(near_zero, jnp.float32)),
        requirement=f"takes a clean loss of at least {near_zero} for a ratio",
    )


def entropy_diversity(probabilities: Float[Array, "*shape k"]) -> Float[Array, "*shape"]:
    """Returns the entropy of the outcomes of an augmentation with finitely many outcomes, in nats.

    D_Ent[a; D_train] = H(X'|X) = -E_X[Σ_x' p(x'|X) log p(x'|X)], which needs no training. The entropy of a flip with
    probability p is the binary entropy of p. The entropies of independent, successive augmentations add up if different
    outcomes give different images; otherwise, add the probabilities of equal images first, or use the sum as an upper
    bound.

    Args:
      probabilities: `[..., K]`, floating point, probabilities of the K outcomes for an input. If they depend on the
        input, average the result over inputs.

    Returns:
      `[...]`, dtype of `probabilities`, in [0, log K]; 0 for a certain outcome.

    Raises:
      ValueError: `probabilities` has no outcomes, negative entries, or a sum other than 1.
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
        # bfloat16 has only eight bits of precision.
        tolerance = 4 * float(jnp.finfo(dtype).eps) * numbers.shape[-1]
        sums = numbers.sum(axis=-1)
        if not ((numbers >= 0).all() and (abs(sums - 1) <= tolerance).all()):
            raise ValueError(
                "entropy_diversity takes probabilities that are at least 0 and sum to 1; "
                f"got a minimum of {numbers.min():.3g} and sums from {sums.min():.3g} to {sums.max():.3g}."
            )
