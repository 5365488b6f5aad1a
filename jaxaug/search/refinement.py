"""Refines the magnitudes of an augmentation by differential evolution of an indicator."""

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

_MIN_CANDIDATES = 5  # required by differential evolution


@dataclasses.dataclass(frozen=True)
class Refinement:
    """All T candidates, ordered by generation, with numbers averaged over the seeds; NaN if a seed failed."""

    magnitudes: np.ndarray  # [T, N], the N magnitudes of each candidate
    affinity: np.ndarray  # [T]
    diversity: np.ndarray  # [T]
    scores: np.ndarray  # [T], of the indicator; -inf for a failed candidate
    clean_steps: int  # training steps of the networks without augmentation
    early_steps: int  # training steps of all candidates

    @property
    def best(self) -> tuple[float, ...]:
        """The magnitudes with the best score."""
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
    """Optimizes the magnitudes of an augmentation between bounds, for example after `search`.

    Differential evolution (`scipy.optimize.differential_evolution`) maximizes the indicator over the N magnitudes. Each
    generation is one population of candidates, trained for `early_epochs` from the same weights as in `search`. The
    networks without augmentation are trained once. Training takes

        S (epochs + (G + 1) P early_epochs) ceil(N / B)

    steps for S seeds, G generations after the first, and P candidates in each.

    Args:
      build: function such that `build(*magnitudes)` is the augmentation with these N magnitudes; all of them must have
        the same structure.
      bounds: lowest and highest value of each magnitude, N pairs.
      dataset: as in `search`.
      model: as in `search`.
      optimizer: as in `search`.
      epochs: number of epochs without augmentation.
      early_epochs: number of epochs for each candidate, at most `epochs`.
      batch_size: batch size, at most the number of training examples.
      start: N magnitudes to include in the first generation, so that the result is at least as good.
      generations: G, the number of generations after the first, at least 0. The first generation covers the bounds
        evenly.
      candidates: P, the number of candidates per generation, at least 5.
      seeds: as in `search`; the first one also seeds the evolution.
      indicator: "product", "log_sum" (None means this one), or a function of affinity and diversity `[P]`. The score of
        a candidate must not depend on the others, because the evolution compares generations. For differences, pass a
        function.
      kind: kind of affinity and diversity, "ratio" or "difference".
      normalize: function applied to the input images of the network.
      on_epoch: called repeatedly during training with the number of epochs trained since the last call, out of
        S (epochs + (G + 1) P early_epochs).

    Returns:
      A `Refinement`, whose `best` contains the best magnitudes.

    Raises:
      ValueError: a bound is not finite, the bounds are not ascending, an option is out of range, or for the reasons of
        `search`.
      RuntimeError: a network without augmentation became NaN or infinite.

    Example:
      >>> from jaxaug import create_model, data, gaussian_noise, on_images
      >>> from jaxaug.training import make_optimizer
      >>> iris = data.with_validation(data.load("iris"), 0.2)
      >>> result = refine(lambda s: on_images(gaussian_noise, stddev=s), [(0.01, 10.0)], iris, create_model("mlp", 3),
      ...                 make_optimizer(learning_rate=0.05), epochs=6, early_epochs=2, batch_size=32, generations=1)
      >>> result.magnitudes.shape, 0.01 <= result.best[0] <= 10.0
      ((16, 1), True)

    References:
      Storn, Price, "Differential evolution", Journal of Global Optimization 11, 1997.
    """
    from scipy.optimize import differential_evolution
    from scipy.stats import qmc

    check_size("refine", "generations", generations, 0)
    check_size("refine", "candidates", candidates, _MIN_CANDIDATES)
    _check_bounds(bounds)
    score = chosen_indicator("refine", indicator, kind, ABSOLUTE)
    shape, classes = dataset.shape, dataset.num_classes

    def build_all(magnitudes: np.ndarray) -> list[Augmentation]:
        augments = {f"{number}: {row}": build(*row) for number, row in enumerate(magnitudes.tolist())}
        return checked_candidates(augments, shape, classes, function="refine")

    low, high = np.array(bounds, np.float64).T
    rng = np.random.default_rng(list(seeds)[:1])
    first = qmc.scale(qmc.LatinHypercube(len(bounds), rng=rng).random(candidates), low, high)
    if start is not None:
        first[0] = _checked_start(start, low, high)
    build_all(first)  # raises for invalid candidates before any training
    baselines = Baselines(
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
    evaluated: list[tuple[Any, ...]] = []

    def objective(magnitudes: np.ndarray) -> np.ndarray:
        """Returns the negative scores of candidates `[N, P]`."""
        measured = baselines.measure(build_all(magnitudes.T))
        scores = np.asarray(score(jnp.asarray(measured.affinity), jnp.asarray(measured.diversity)))
        evaluated.append((magnitudes.T.copy(), measured.affinity, measured.diversity, scores))
        return np.where(np.isfinite(scores), -scores, np.finfo(np.float32).max)

    # Stops only after the given number of generations, without a tolerance and without polishing by gradients.
    options: dict[str, Any] = {"init": first, "maxiter": generations, "tol": 0.0, "polish": False, "rng": rng}
    differential_evolution(objective, bounds, vectorized=True, updating="deferred", **options)
    magnitudes, t, d, scores = (np.concatenate(arrays) for arrays in zip(*evaluated, strict=True))
    return Refinement(magnitudes, t, d, scores, baselines.steps, baselines.early_steps(len(scores)))


def _check_bounds(bounds: Sequence[tuple[float, float]]) -> None:
    """Raises unless there is at least one pair of bounds and all are finite and ascending."""
    if not bounds:
        raise ValueError("refine takes bounds of at least one magnitude; got none.")
    for low, high in bounds:
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"refine takes finite bounds (low, high) with low < high; got {(low, high)}.")


def _checked_start(start: Sequence[float], low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Returns the start as an array, or raises unless it is between the bounds."""
    magnitudes = np.array(start, np.float64)
    if magnitudes.shape != low.shape or not ((low <= magnitudes) & (magnitudes <= high)).all():
        raise ValueError(
            f"refine takes a start of {len(low)} numbers between {low.tolist()} and {high.tolist()}; got {list(start)}."
        )
    return magnitudes
