"""Measures the affinity and diversity of candidates against baselines, networks trained without augmentation."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxaug.checks import check_size
from jaxaug.compose import Augmentation, chain
from jaxaug.data import Dataset, Split
from jaxaug.search._diversity import diversity
from jaxaug.search.candidates import affinities_by, candidate_states
from jaxaug.search.relative import Kind

if TYPE_CHECKING:
    import flax.linen as nn
    import optax


class Measurements(NamedTuple):
    """Numbers of P candidates, averaged over the seeds; NaN if a seed failed."""

    affinity: np.ndarray  # [P]
    diversity: np.ndarray  # [P]
    validation_accuracy: np.ndarray  # [P], after the early epochs


class Baselines:
    """Networks trained without augmentation, one for each seed, as the reference for candidates.

    The arguments have the meaning of `jaxaug.search.search`.
    """

    def __init__(
        self,
        function: str,
        dataset: Dataset,
        model: "nn.Module",
        optimizer: "optax.GradientTransformation",
        *,
        epochs: int,
        early_epochs: int,
        batch_size: int,
        seeds: Sequence[int],
        kind: Kind,
        normalize: Callable[[jax.Array], jax.Array],
        on_epoch: Callable[[int], object] | None,
    ):
        from jaxaug.sampling import always
        from jaxaug.training import fit_population, init_population, make_eval_step, make_train_step

        for name, value in (("epochs", epochs), ("early_epochs", early_epochs)):
            check_size(function, name, value, 1)
        if early_epochs > epochs:
            raise ValueError(f"{function} takes early_epochs of at most epochs, {epochs}; got {early_epochs}.")
        if not seeds:
            raise ValueError(f"{function} takes at least one seed; got none.")
        self._affinities = affinities_by(
            model, checked_validation(function, dataset), dataset.num_classes, normalize, kind
        )
        self._kind: Kind = kind
        self._early_epochs, self._seeds = early_epochs, len(seeds)
        size = len(dataset.train.labels)
        self._steps_per_epoch = -(-size // batch_size)
        strategy = always(chain(), in_state=True)
        self._keys = jnp.stack([jax.random.key(seed) for seed in seeds])
        train_step = make_train_step(model, optimizer, strategy, normalize=normalize)
        eval_step = make_eval_step(model, normalize=normalize)
        self._first = init_population(self._keys, model, optimizer, strategy, shape=dataset.shape, num_examples=size)

        def train(augments: Sequence[Augmentation], epochs: int) -> Any:
            return fit_population(
                candidate_states(self._first, augments),
                train_step,
                eval_step,
                dataset,
                epochs=epochs,
                eval_every=epochs,
                batch_size=batch_size,
                on_epoch=on_epoch,
            )

        self._train = train
        self._states, records = train([chain()], epochs)
        for seed, state in zip(seeds, self._states, strict=True):
            if state is None:
                raise RuntimeError(
                    f"{function} trains a network without augmentation first; with seed {seed} it became NaN or "
                    "infinite. Lower the learning rate."
                )
        self._losses = np.array([run[early_epochs - 1]["train_loss"] for run in records], np.float32)
        self.steps = len(seeds) * epochs * self._steps_per_epoch

    def early_steps(self, candidates: int) -> int:
        """Returns the number of training steps for the given number of candidates."""
        return self._seeds * candidates * self._early_epochs * self._steps_per_epoch

    def measure(self, augments: list[Augmentation]) -> Measurements:
        """Trains the candidates, which come from `checked_candidates`, and returns their measurements."""
        early = self._train(augments, self._early_epochs)[1]

        def last(name: str) -> np.ndarray:
            """Returns a metric of the last early epoch, `[P, S]`, with NaN for runs that failed before."""
            values = [run[-1][name] if len(run) == self._early_epochs else np.nan for run in early]
            return np.array(values, np.float32).reshape(len(augments), self._seeds)

        affinities = self._affinities(augments, self._states, self._keys)
        diversities = np.asarray(diversity(last("train_loss"), self._losses[None], kind=self._kind))
        return Measurements(affinities.mean(axis=1), diversities.mean(axis=1), last("validation_accuracy").mean(axis=1))


def checked_validation(function: str, dataset: Dataset) -> Split:
    """Returns the validation split, or raises unless it has examples of every class."""
    if dataset.validation is None:
        raise ValueError(
            f"{function} takes a dataset with a validation split; create one with jaxaug.data.with_validation."
        )
    counts = np.bincount(dataset.validation.labels, minlength=dataset.num_classes)
    if not counts.all():
        missing = ", ".join(str(dataset.class_names[k]) for k in np.flatnonzero(counts == 0))
        raise ValueError(
            f"{function} takes a validation split with examples of every class; there are none of {missing}."
        )
    return dataset.validation
