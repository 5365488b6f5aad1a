"""The search: one clean network, a few epochs of every candidate, one score."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.search.baselines import Baselines
from jaxaug.search.candidates import checked_candidates
from jaxaug.search.indicators import INDICATORS, Indicator, chosen_indicator
from jaxaug.search.pareto import pareto_front
from jaxaug.search.relative import Kind

if TYPE_CHECKING:
    import flax.linen as nn
    import optax


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found, candidate by candidate, each the mean over the seeds; NaN where one of them failed."""

    names: tuple[str, ...]
    affinity: np.ndarray  # [P]
    diversity: np.ndarray  # [P]
    scores: np.ndarray  # [P], of the indicator; -inf for a candidate that failed
    validation_accuracy: np.ndarray  # [P], after the early epochs
    clean_steps: int  # of the clean networks
    early_steps: int  # of all candidates

    @property
    def ranking(self) -> tuple[str, ...]:
        """The candidates from the best score to the worst, without those that failed."""
        order = np.argsort(-self.scores, stable=True)
        return tuple(self.names[place] for place in order if self.scores[place] > -np.inf)

    @property
    def failed(self) -> tuple[str, ...]:
        """The candidates that became NaN or infinite."""
        return tuple(name for name, score in zip(self.names, self.scores, strict=True) if score == -np.inf)

    @property
    def front(self) -> np.ndarray:
        """Whether no other candidate is preferable in both affinity and diversity, `[P]`."""
        return np.asarray(pareto_front(self.affinity, self.diversity))


def search(
    candidates: Mapping[str, Augmentation],
    dataset: Dataset,
    model: "nn.Module",
    optimizer: "optax.GradientTransformation",
    *,
    epochs: int,
    early_epochs: int,
    batch_size: int,
    seeds: Sequence[int] = (0,),
    indicator: str | Indicator | None = None,
    kind: Kind = "ratio",
    normalize: Callable[[jax.Array], jax.Array] = lambda images: images,
    on_epoch: Callable[[int], object] | None = None,
) -> SearchResult:
    """The candidates with their affinity, diversity and score, at the cost of a few epochs each.

    For every seed a network is trained to the end without augmentation: on the validation split it gives the affinity
    T of each candidate. Each candidate is then trained from the same weights in the same order for `early_epochs` only:
    its mean training loss in the last of them, to that of the clean network in the same epoch, is its diversity D. The
    indicator makes one score of T and D. Training counts

        S (epochs + P early_epochs) ceil(N / B)

    steps for P candidates and S seeds, where validation accuracy would take S P epochs ceil(N / B).

    Members of one form, as `jaxaug.compose` makes them of the same functions, are trained as one population
    (`jaxaug.training.fit_population`), so that a grid of magnitudes costs one compilation.

    Args:
      candidates: name to augmentation `(key, batch) -> batch`, of `{"image", "label"}`; each keeps shapes.
      dataset: with a validation split that has every class.
      model: Linen module, `apply(variables, images, train=)`.
      optimizer: optax transformation, its schedule made for `epochs`.
      epochs: length of the clean training.
      early_epochs: length of a candidate's training, at most `epochs`.
      batch_size: at most the training examples.
      seeds: initial weights, order and draws follow from a seed; they are the same for all candidates.
      indicator: a name of `jaxaug.search.indicators.INDICATORS`, or a function of affinity and diversity `[P]`; None
        takes "log_sum" for ratios, log T + 0.5 log D, and "rank_sum" for differences.
      kind: of affinity and diversity, "ratio" or "difference".
      normalize: applied to images on their way into the network.
      on_epoch: called now and then with the number of epochs trained since, of S (epochs + P early_epochs).

    Returns:
      A `SearchResult` in the order of `candidates`.

    Raises:
      ValueError: no candidates or seeds, one that changes a shape, no validation split or one without one of the
        classes, or an option out of its range.
      RuntimeError: a clean network ceased to be finite.

    Example:
      >>> from jaxaug import create_model, data, gaussian_noise, on_images
      >>> from jaxaug.training import make_optimizer
      >>> iris = data.with_validation(data.load("iris"), 0.2)
      >>> candidates = {f"noise {s}": on_images(gaussian_noise, stddev=s) for s in (0.1, 10.0)}
      >>> found = search(candidates, iris, create_model("mlp", 3), make_optimizer(learning_rate=0.05),
      ...                epochs=10, early_epochs=4, batch_size=16, indicator="product")
      >>> bool(found.affinity[0] > found.affinity[1]), bool(found.diversity[0] < found.diversity[1])
      (True, True)

    References:
      Gontijo-Lopes, Smullin, Cubuk, Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021.
    """
    score = chosen_indicator("search", indicator, kind, tuple(INDICATORS))
    augments = checked_candidates(candidates, dataset.shape, dataset.num_classes)
    clean = Baselines(
        "search",
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
    found = clean.measured(augments)
    return SearchResult(
        names=tuple(candidates),
        affinity=found.affinity,
        diversity=found.diversity,
        scores=np.asarray(score(jnp.asarray(found.affinity), jnp.asarray(found.diversity))),
        validation_accuracy=found.validation_accuracy,
        clean_steps=clean.steps,
        early_steps=clean.early_steps(len(augments)),
    )
