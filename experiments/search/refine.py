"""Optimizes the magnitudes of a policy between half and twice their values."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from experiments.run.call_syntax import parse_call
from experiments.run.policy import Policy
from experiments.search.setup import build_policy
from jaxaug.compose import Augmentation
from jaxaug.data import Dataset
from jaxaug.search import Refinement, refine
from jaxaug.search.candidates import abstract_batch


def magnitudes(policy: Policy) -> list[float]:
    """Returns the floats in a policy; integers determine shapes."""
    calls = [parse_call(text)[1] for text in policy.calls]
    return [value for options in calls for value in options.values() if isinstance(value, float)]


def with_magnitudes(policy: Policy, values: Sequence[float]) -> Policy:
    """Returns the policy with these values for its `magnitudes`."""
    remaining = iter(values)

    def replaced(text: str) -> str:
        name, options = parse_call(text)
        new = {option: next(remaining) if isinstance(old, float) else old for option, old in options.items()}
        return f"{name}({', '.join(f'{option}={value!r}' for option, value in new.items())})" if new else name

    augment = tuple(replaced(text) for text in policy.augment)
    return dataclasses.replace(policy, augment=augment, mix=replaced(policy.mix) if policy.mix else None)


def bounds(policy: Policy, dataset: Dataset) -> list[tuple[float, float]]:
    """Returns half and twice each magnitude; the upper bound is the magnitude itself where twice is invalid."""
    result = []
    current = magnitudes(policy)
    for place, value in enumerate(current):
        high = 2 * value
        try:
            changed = with_magnitudes(policy, [*current[:place], high, *current[place + 1 :]])
            _trace(build_policy(changed, dataset), dataset)
        except ValueError:
            high = value
        result.append((value / 2, high))
    return result


def refine_magnitudes(
    policy: Policy, dataset: Dataset, *, generations: int, **options: Any
) -> tuple[Policy, Refinement]:
    """Returns the policy with the best magnitudes to three digits, and the refinement.

    Args:
      policy: has at least one magnitude.
      dataset: has a validation split.
      generations: number of generations after the first.
      **options: options of `jaxaug.search.refine`.

    Raises:
      ValueError: the policy has no magnitude.
    """
    start = magnitudes(policy)
    if not start:
        raise ValueError(
            f"--refine expects the best policy to have a magnitude, as rotate(degrees=5.0) does; it is {policy}."
        )

    def build(*values: float) -> Augmentation:
        return build_policy(with_magnitudes(policy, values), dataset)

    result = refine(build, bounds(policy, dataset), dataset, start=start, generations=generations, **options)
    return with_magnitudes(policy, [float(f"{value:.3g}") for value in result.best]), result


def _trace(augment: Augmentation, dataset: Dataset) -> None:
    """Raises what the augmentation raises on a batch, without computing anything."""
    forms = abstract_batch(dataset.shape, dataset.num_classes)
    jax.eval_shape(lambda batch: augment(jax.random.key(0), batch), forms)
