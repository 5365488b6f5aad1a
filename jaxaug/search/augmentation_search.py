"""The search: one clean network, a few epochs of every candidate, one score."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxaug.checks import check_choice, check_size
from jaxaug.compose import Augmentation, chain
from jaxaug.data import Dataset, Split
from jaxaug.search.candidates import candidate_affinities, candidate_states, checked_candidates
from jaxaug.search.diversity import diversity
from jaxaug.search.indicators import INDICATORS
from jaxaug.search.pareto import pareto_front
from jaxaug.search.relative import Kind, check_kind

if TYPE_CHECKING:
    import flax.linen as nn
    import optax

Indicator = Callable[[Array, Array], Array]


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
    indicator: str | Indicator = "rank_sum",
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
      indicator: a name of `jaxaug.search.indicators.INDICATORS`, or a function of affinity and diversity `[P]`.
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
    from jaxaug.sampling import always
    from jaxaug.training import fit_population, init_population, make_eval_step, make_train_step

    for name, value in (("epochs", epochs), ("early_epochs", early_epochs)):
        check_size("search", name, value, 1)
    if early_epochs > epochs:
        raise ValueError(f"search takes early_epochs of at most epochs, {epochs}; got {early_epochs}.")
    check_kind("search", kind)
    if isinstance(indicator, str):
        check_choice("search", "indicator", indicator, tuple(INDICATORS))
        indicator = INDICATORS[indicator]
    if not seeds:
        raise ValueError("search takes at least one seed; got none.")
    validation = checked_validation(dataset)
    augments = checked_candidates(candidates, dataset.shape, dataset.num_classes)

    size = len(dataset.train.labels)
    strategy = always(chain(), in_state=True)
    keys = jnp.stack([jax.random.key(seed) for seed in seeds])
    train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
    eval_step = make_eval_step(model, normalize=normalize)
    options: dict[str, Any] = {"batch_size": batch_size, "on_epoch": on_epoch}
    first = init_population(keys, model, optimizer, strategy, shape=dataset.shape, num_examples=size)
    clean, clean_records = fit_population(
        candidate_states(first, [chain()]),
        train_step,
        eval_step,
        dataset,
        epochs=epochs,
        eval_every=epochs,
        **options,
    )
    for seed, state in zip(seeds, clean, strict=True):
        if state is None:
            raise RuntimeError(f"search trains a clean network first; that of seed {seed} ceased to be finite.")
    early = fit_population(
        candidate_states(first, augments),
        train_step,
        eval_step,
        dataset,
        epochs=early_epochs,
        eval_every=early_epochs,
        **options,
    )[1]

    def last(name: str) -> np.ndarray:
        """Returns a number of every candidate's last early epoch, `[P, S]`, NaN where it failed before."""
        values = [run[-1][name] if len(run) == early_epochs else np.nan for run in early]
        return np.array(values, np.float32).reshape(len(augments), len(seeds))

    affinities = candidate_affinities(augments, model, clean, keys, validation, dataset.num_classes, normalize, kind)
    clean_losses = np.array([run[early_epochs - 1]["train_loss"] for run in clean_records], np.float32)
    diversities = np.asarray(diversity(last("train_loss"), clean_losses[None], kind=kind))
    t, d = affinities.mean(axis=1), diversities.mean(axis=1)
    per_epoch = -(-size // batch_size)
    return SearchResult(
        names=tuple(candidates),
        affinity=t,
        diversity=d,
        scores=np.asarray(indicator(jnp.asarray(t), jnp.asarray(d))),
        validation_accuracy=last("validation_accuracy").mean(axis=1),
        clean_steps=len(seeds) * epochs * per_epoch,
        early_steps=len(seeds) * len(augments) * early_epochs * per_epoch,
    )


def checked_validation(dataset: Dataset) -> Split:
    """Returns the validation split, or raises unless it has every class."""
    if dataset.validation is None:
        raise ValueError("search takes a dataset with a validation split, as jaxaug.data.with_validation makes.")
    counts = np.bincount(dataset.validation.labels, minlength=dataset.num_classes)
    if not counts.all():
        missing = ", ".join(str(dataset.class_names[k]) for k in np.flatnonzero(counts == 0))
        raise ValueError(f"search takes a validation split with every class; there is no example of {missing}.")
    return dataset.validation
