"""The magnitudes of the policy that a search found, optimized between half and twice what they are."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from experiments.run.call_syntax import parse_call
from experiments.run.policy import Policy
from experiments.search.setup import made
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.search import Refinement, refine
from jaxaug.search.candidates import abstract_batch


def magnitudes(policy: Policy) -> list[float]:
    """Returns the numbers of a policy that are written with a point; whole ones fix shapes."""
    calls = [parse_call(text)[1] for text in _texts(policy)]
    return [value for options in calls for value in options.values() if isinstance(value, float)]


def with_magnitudes(policy: Policy, values: Sequence[float]) -> Policy:
    """Returns the policy with these numbers in the places of `magnitudes`."""
    left = iter(values)

    def changed(text: str) -> str:
        name, options = parse_call(text)
        given = {option: next(left) if isinstance(value, float) else value for option, value in options.items()}
        return f"{name}({', '.join(f'{option}={value!r}' for option, value in given.items())})" if given else name

    augment = tuple(changed(text) for text in policy.augment)
    return dataclasses.replace(policy, augment=augment, mix=changed(policy.mix) if policy.mix else None)


def bounds(policy: Policy, dataset: Dataset) -> list[tuple[float, float]]:
    """Returns half and twice each magnitude, or the magnitude itself where twice as much is refused."""
    found = []
    now = magnitudes(policy)
    for place, value in enumerate(now):
        high = 2 * value
        try:
            _tried(made(with_magnitudes(policy, [*now[:place], high, *now[place + 1 :]]), dataset), dataset)
        except ValueError:
            high = value
        found.append((value / 2, high))
    return found


def refined(policy: Policy, dataset: Dataset, *, generations: int, **options: Any) -> tuple[Policy, Refinement]:
    """Returns the policy with the best magnitudes to three digits, and what was tried.

    Args:
      policy: with at least one magnitude.
      dataset: with a validation split.
      generations: of candidates after the first.
      **options: of `jaxaug.search.refine`.

    Raises:
      ValueError: the policy has no magnitude.
    """
    start = magnitudes(policy)
    if not start:
        raise ValueError(f"--refine takes a policy with a magnitude, such as rotate(degrees=5.0); {policy} won.")

    def build(*values: float) -> Augmentation:
        return made(with_magnitudes(policy, values), dataset)

    found = refine(build, bounds(policy, dataset), dataset, start=start, generations=generations, **options)
    return with_magnitudes(policy, [float(f"{value:.3g}") for value in found.best]), found


def _tried(augment: Augmentation, dataset: Dataset) -> None:
    """Raises what the augmentation raises on a batch; nothing is computed."""
    forms = abstract_batch(dataset.shape, dataset.num_classes)
    jax.eval_shape(lambda batch: augment(jax.random.key(0), batch), forms)


def _texts(policy: Policy) -> list[str]:
    return [*policy.augment, *([policy.mix] if policy.mix else [])]
