"""The augmentation search: ranks candidates after training each for a few epochs only."""

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
    """The numbers of all candidates, averaged over the seeds; NaN if a seed failed."""

    names: tuple[str, ...]
    affinity: np.ndarray  # [P]
    diversity: np.ndarray  # [P]
    scores: np.ndarray  # [P], of the indicator; -inf for a failed candidate
    validation_accuracy: np.ndarray  # [P], after the early epochs
    clean_steps: int  # training steps of the networks without augmentation
    early_steps: int  # training steps of all candidates

    @property
    def ranking(self) -> tuple[str, ...]:
        """The candidates from the best score to the worst, without failed ones."""
        order = np.argsort(-self.scores, stable=True)
        return tuple(self.names[place] for place in order if self.scores[place] > -np.inf)

    @property
    def failed(self) -> tuple[str, ...]:
        """The candidates that became NaN or infinite."""
        return tuple(name for name, score in zip(self.names, self.scores, strict=True) if score == -np.inf)

    @property
    def front(self) -> np.ndarray:
        """Whether each candidate is on the Pareto front of affinity and diversity, `[P]`."""
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
    """Returns the affinity, diversity and score of each candidate, at the cost of a few epochs per candidate.

    For every seed, this trains one network without augmentation for all epochs; its accuracy on augmented validation
    data gives the affinity T of each candidate. Each candidate is then trained with the same initial weights and order
    for only `early_epochs`; its diversity D is its mean training loss in the last of these epochs, relative to the
    network without augmentation in the same epoch. The indicator combines T and D into one score. Training takes

        S (epochs + P early_epochs) ceil(N / B)

    steps for P candidates and S seeds. Comparing validation accuracies would take S P epochs ceil(N / B) steps.

    Candidates with the same structure, such as compositions of the same functions by `jaxaug.compose`, are trained as
    one population (`jaxaug.training.fit_population`), so a grid of magnitudes is compiled only once.

    Args:
      candidates: dict from names to augmentations `(key, batch) -> batch` of `{"image", "label"}` that keep shapes.
      dataset: dataset with a validation split that has examples of every class.
      model: Linen module, `apply(variables, images, train=)`.
      optimizer: optax transformation, with a schedule for `epochs`.
      epochs: number of epochs without augmentation.
      early_epochs: number of epochs for each candidate, at most `epochs`.
      batch_size: batch size, at most the number of training examples.
      seeds: seeds that determine initial weights, order and draws; they are the same for all candidates.
      indicator: a name in `jaxaug.search.indicators.INDICATORS`, or a function of affinity and diversity `[P]`; None
        means "log_sum", log T + 0.5 log D, for ratios and "rank_sum" for differences.
      kind: kind of affinity and diversity, "ratio" or "difference".
      normalize: function applied to the input images of the network.
      on_epoch: called repeatedly during training with the number of epochs trained since the last call, out of
        S (epochs + P early_epochs).

    Returns:
      A `SearchResult` in the order of `candidates`.

    Raises:
      ValueError: there are no candidates or seeds, a candidate changes a shape, the validation split is missing or
        lacks a class, or an option is out of range.
      RuntimeError: a network without augmentation became NaN or infinite.

    Example:
      >>> from jaxaug import create_model, data, gaussian_noise, on_images
      >>> from jaxaug.training import make_optimizer
      >>> iris = data.with_validation(data.load("iris"), 0.2)
      >>> candidates = {f"noise {s}": on_images(gaussian_noise, stddev=s) for s in (0.1, 10.0)}
      >>> result = search(candidates, iris, create_model("mlp", 3), make_optimizer(learning_rate=0.05),
      ...                 epochs=10, early_epochs=4, batch_size=16, indicator="product")
      >>> bool(result.affinity[0] > result.affinity[1]), bool(result.diversity[0] < result.diversity[1])
      (True, True)

    References:
      Gontijo-Lopes, Smullin, Cubuk, Dyer, "Tradeoffs in data augmentation: an empirical study", ICLR 2021.
    """
    score = chosen_indicator("search", indicator, kind, tuple(INDICATORS))
    augments = checked_candidates(candidates, dataset.shape, dataset.num_classes)
    baselines = Baselines(
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
    measured = baselines.measure(augments)
    return SearchResult(
        names=tuple(candidates),
        affinity=measured.affinity,
        diversity=measured.diversity,
        scores=np.asarray(score(jnp.asarray(measured.affinity), jnp.asarray(measured.diversity))),
        validation_accuracy=measured.validation_accuracy,
        clean_steps=baselines.steps,
        early_steps=baselines.early_steps(len(augments)),
    )
