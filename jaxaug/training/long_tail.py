"""Long-tailed data: the prior of the classes, and their groups by the number of training examples."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.checks import described

# Liu et al.: "many" is above 100 training examples, "few" is below 20.
_MANY, _FEW = 100, 20
SHOTS = ("many", "medium", "few")


def log_prior(counts: Any) -> jax.Array:
    """The logarithm of the share of each class, log(n_k / N).

    Add τ times this prior to the logits in the training loss. At τ = 1, the best logits are then log p(x | k), up to a
    number that all classes share; in inference, their arg max minimizes the mean of the classes' error rates.

    Args:
      counts: `[K]`, the number of training examples of each class: `np.bincount(labels, minlength=K)`.

    Returns:
      float32 `[K]`, for `make_train_step(logit_adjustment=)`.

    Raises:
      ValueError: a class has no example, or `counts` is not a `[K]` array of numbers.

    Example:
      >>> log_prior([90, 9, 1])
      Array([-0.10536052, -2.4079456 , -4.6051702 ], dtype=float32)

    References:
      Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, equation 10.
    """
    known = np.asarray(counts)
    if known.ndim != 1 or known.size == 0 or known.dtype.kind not in "iuf":
        raise ValueError(f"log_prior takes counts [K], one for each class; got {described(known)}.")
    good = np.isfinite(known) & (known > 0)
    if not good.all():
        bad = int(np.argmin(good))
        raise ValueError(
            f"log_prior takes at least one example of every class; got {known[bad]} of class {bad}. Remove this class "
            "from the dataset."
        )
    return jnp.asarray(np.log(known / known.sum(dtype=np.float64)), jnp.float32)


def shots(counts: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    """The group of each class: "many" above 100 training examples, "few" below 20, "medium" from 20 to 100.

    Args:
      counts: `[K]`, the number of training examples of each class.

    Returns:
      K names.

    Example:
      >>> shots([142, 100, 20, 19])
      ('many', 'medium', 'medium', 'few')

    References:
      Liu et al., "Large-scale long-tailed recognition in an open world", CVPR 2019.
    """
    return tuple("many" if n > _MANY else "few" if n < _FEW else "medium" for n in counts)


def accuracies_by_shots(
    hits: Sequence[float | int] | np.ndarray, examples: Sequence[int] | np.ndarray, groups: tuple[str, ...]
) -> dict[str, float | None]:
    """The mean of the class accuracies in each group that has classes.

    Args:
      hits: `[K]`, the number of correctly classified examples of each class.
      examples: `[K]`, the number of examples of each class in the split; a class without examples does not count.
      groups: of `shots`.

    Returns:
      "many_shot", "medium_shot" and "few_shot", without the groups that have no classes; None for a group whose classes
      have no examples.

    Example:
      >>> accuracies_by_shots([8, 1, 2], [10, 2, 2], ("many", "few", "few"))
      {'many_shot': 0.8, 'few_shot': 0.75}
    """
    means: dict[str, float | None] = {}
    for shot in (name for name in SHOTS if name in groups):
        rates = [h / n for h, n, group in zip(hits, examples, groups, strict=True) if group == shot and n]
        means[f"{shot}_shot"] = float(np.mean(rates)) if rates else None
    return means
