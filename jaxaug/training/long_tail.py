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
    """The logarithm of the share of every class, log(n_k / N).

    With τ times it added to the logits in the training loss, the best logits at τ = 1 are log p(x | k) up to a number
    that all classes share; their arg max, in inference, has the least mean of the classes' error rates.

    Args:
      counts: `[K]` training examples of every class, as `np.bincount(labels, minlength=K)` has them.

    Returns:
      float32 `[K]`, for `make_train_step(logit_adjustment=)`.

    Raises:
      ValueError: a class has no example, or `counts` is no `[K]` of numbers.

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
        raise ValueError(f"log_prior takes at least one example of every class; got {known[bad]} of class {bad}.")
    return jnp.asarray(np.log(known / known.sum(dtype=np.float64)), jnp.float32)


def shots(counts: Sequence[int] | np.ndarray) -> tuple[str, ...]:
    """The group of every class: "many" above 100 training examples, "few" below 20, "medium" from 20 to 100.

    Args:
      counts: `[K]` training examples of every class.

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
    """The mean of the class accuracies in every group that has classes.

    Args:
      hits: `[K]` examples of every class that were recognized.
      examples: `[K]` examples of every class in the split; a class without any has no accuracy and does not count.
      groups: of `shots`.

    Returns:
      "many_shot", "medium_shot", "few_shot", as far as the group has classes; None where none of them has an example.

    Example:
      >>> accuracies_by_shots([8, 1, 2], [10, 2, 2], ("many", "few", "few"))
      {'many_shot': 0.8, 'few_shot': 0.75}
    """
    means: dict[str, float | None] = {}
    for shot in (name for name in SHOTS if name in groups):
        rates = [h / n for h, n, group in zip(hits, examples, groups, strict=True) if group == shot and n]
        means[f"{shot}_shot"] = float(np.mean(rates)) if rates else None
    return means
