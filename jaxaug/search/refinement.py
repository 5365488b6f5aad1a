"""Magnitudes between those of a grid: SciPy's differential evolution over an indicator, a population at a time."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.checks import check_size
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.search.baselines import Baselines
from jaxaug.search.candidates import checked_candidates
from jaxaug.search.indicators import ABSOLUTE, Indicator, chosen_indicator
from jaxaug.search.relative import Kind

if TYPE_CHECKING:
    import flax.linen as nn
    import optax

_FEWEST = 5  # that differential evolution can combine


@dataclasses.dataclass(frozen=True)
class Refinement:
    """What was tried, generation by generation, each the mean over the seeds; NaN where one of them failed."""

    magnitudes: np.ndarray  # [T, N], N numbers of each of T candidates
    affinity: np.ndarray  # [T]
    diversity: np.ndarray  # [T]
    scores: np.ndarray  # [T], of the indicator; -inf for a candidate that failed
    clean_steps: int  # of the clean networks
    early_steps: int  # of all candidates

    @property
    def best(self) -> tuple[float, ...]:
        """The magnitudes of the best score."""
        return tuple(float(number) for number in self.magnitudes[np.argmax(self.scores)])


def refine(
    build: Callable[..., Augmentation],
    bounds: Sequence[tuple[float, float]],
    dataset: Dataset,
    model: "nn.Module",
    optimizer: "optax.GradientTransformation",
    *,
    epochs: int,
    early_epochs: int,
    batch_size: int,
    start: Sequence[float] | None = None,
    generations: int = 3,
    candidates: int = 8,
    seeds: Sequence[int] = (0,),
    indicator: str | Indicator | None = None,
    kind: Kind = "ratio",
    normalize: Callable[[jax.Array], jax.Array] = lambda images: images,
    on_epoch: Callable[[int], object] | None = None,
) -> Refinement:
    """The magnitudes of an augmentation that `search` found, optimized between bounds.

    Differential evolution (`scipy.optimize.differential_evolution`) maximizes the indicator over the N magnitudes. A
    generation is one population of candidates, each trained for `early_epochs` from the same weights, as in `search`;
    the clean networks are trained once. Training counts

        S (epochs + (G + 1) P early_epochs) ceil(N / B)

    steps for S seeds, G generations after the first and P candidates in each.

    Args:
      build: `build(*magnitudes)` is the augmentation of these N numbers, of one form for all.
      bounds: lowest and highest value of each magnitude, N pairs.
      dataset: as in `search`.
      model: as in `search`.
      optimizer: as in `search`.
      epochs: length of the clean training.
      early_epochs: length of a candidate's training, at most `epochs`.
      batch_size: at most the training examples.
      start: N magnitudes that the first generation has among the others, so that the best is no worse.
      generations: G, at least 0, after the first, which is drawn evenly between the bounds.
      candidates: P, at least 5.
      seeds: as in `search`; the first also seeds the evolution.
      indicator: "product" or "log_sum", which None takes, or a function of affinity and diversity `[P]` whose score of
        a candidate does not depend on the others: the evolution compares those of different generations. For
        differences, a function.
      kind: of affinity and diversity, "ratio" or "difference".
      normalize: applied to images on their way into the network.
      on_epoch: called now and then with the number of epochs trained since, of S (epochs + (G + 1) P early_epochs).

    Returns:
      A `Refinement`; its `best` are the magnitudes to take.

    Raises:
      ValueError: a bound that is not finite or above the other, an option out of its range, or what `search` raises.
      RuntimeError: a clean network ceased to be finite.

    Example:
      >>> from jaxaug import create_model, data, gaussian_noise, on_images
      >>> from jaxaug.training import make_optimizer
      >>> iris = data.with_validation(data.load("iris"), 0.2)
      >>> found = refine(lambda s: on_images(gaussian_noise, stddev=s), [(0.01, 10.0)], iris, create_model("mlp", 3),
      ...                make_optimizer(learning_rate=0.05), epochs=6, early_epochs=2, batch_size=32, generations=1)
      >>> found.magnitudes.shape, 0.01 <= found.best[0] <= 10.0
      ((16, 1), True)

    References:
      Storn, Price, "Differential evolution", Journal of Global Optimization 11, 1997.
    """
    from scipy.optimize import differential_evolution
    from scipy.stats import qmc

    check_size("refine", "generations", generations, 0)
    check_size("refine", "candidates", candidates, _FEWEST)
    _check_bounds(bounds)
    score = chosen_indicator("refine", indicator, kind, ABSOLUTE)
    shape, classes = dataset.shape, dataset.num_classes

    def built(magnitudes: np.ndarray) -> list[Augmentation]:
        each = {f"{place}: {row}": build(*row) for place, row in enumerate(magnitudes.tolist())}
        return checked_candidates(each, shape, classes, function="refine")

    low, high = np.array(bounds, np.float64).T
    rng = np.random.default_rng(list(seeds)[:1])
    first = qmc.scale(qmc.LatinHypercube(len(bounds), rng=rng).random(candidates), low, high)
    if start is not None:
        first[0] = _checked_start(start, low, high)
    built(first)
    clean = Baselines(
        "refine",
        dataset,
        model,
        optimizer,
        epochs=epochs,
        early_epochs=early_epochs,
        batch_size=batch_size,
        seeds=seeds,
        kind=kind,
        normalize=normalize,
        on_epoch=on_epoch,
    )
    tried: list[tuple[Any, ...]] = []

    def lost(magnitudes: np.ndarray) -> np.ndarray:
        """Returns minus the scores of candidates `[N, P]`."""
        found = clean.measured(built(magnitudes.T))
        scores = np.asarray(score(jnp.asarray(found.affinity), jnp.asarray(found.diversity)))
        tried.append((magnitudes.T.copy(), found.affinity, found.diversity, scores))
        return np.where(np.isfinite(scores), -scores, np.finfo(np.float32).max)

    # Nothing but the generations ends it: no tolerance, no polishing by gradients.
    options: dict[str, Any] = {"init": first, "maxiter": generations, "tol": 0.0, "polish": False, "rng": rng}
    differential_evolution(lost, bounds, vectorized=True, updating="deferred", **options)
    magnitudes, t, d, scores = (np.concatenate(each) for each in zip(*tried, strict=True))
    return Refinement(magnitudes, t, d, scores, clean.steps, clean.early_steps(len(scores)))


def _check_bounds(bounds: Sequence[tuple[float, float]]) -> None:
    """Raises unless there are magnitudes, each between two finite numbers."""
    if not bounds:
        raise ValueError("refine takes bounds of at least one magnitude; got none.")
    for low, high in bounds:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"refine takes bounds (low, high) of finite numbers, low below high; got {(low, high)}.")


def _checked_start(start: Sequence[float], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns the magnitudes, or raises unless there is one between each pair of bounds."""
    given = np.array(start, np.float64)
    if given.shape != low.shape or not ((low <= given) & (given <= high)).all():
        raise ValueError(
            f"refine takes a start of {len(low)} numbers between {low.tolist()} and {high.tolist()}; got {list(start)}."
        )
    return given
