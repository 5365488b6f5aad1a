"""The laws of every function, applied to all that `jaxaug.augment` and `jaxaug.mix` make public, and to combinators.

A new function is found by introspection and needs no test here; where it differs from the others, it needs a row in
the tables of `laws/operations.py`. `test_laws_catch_faults.py` shows that each law catches what breaks it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import pytest
from laws import arrays, interface, labels, randomness
from laws.operations import Operation, operations, public_functions

from jaxaug import augment, compose, mix, sampling
from jaxaug.compose import chain, one_of, sometimes

Law = Callable[[Operation], None]


def flip(key: Any, images: Any) -> Any:
    return augment.flip_left_right(key, images, prob=1.0)


def noisy(key: Any, images: Any) -> Any:
    return augment.gaussian_noise(key, images, stddev=0.1)


COMBINATORS = [
    Operation("chain", lambda key, images: chain(noisy, augment.flip_left_right)(key, images)),
    Operation("sometimes", lambda key, images, *, prob=0.3: sometimes(flip, prob)(key, images)),
    Operation("sometimes_noisy", lambda key, images, *, prob=0.3: sometimes(noisy, prob)(key, images)),
    Operation(
        "one_of",
        lambda key, images, *, weights=(0.2, 0.8): one_of(flip, noisy, weights=jnp.array(weights))(key, images),
    ),
]


def laws(operation: Operation) -> Iterator[Law]:
    """Yields the laws of what the operation does."""
    yield arrays.shape_and_dtype_are_kept
    yield arrays.one_example_in_half_precision_is_finite
    yield arrays.numbers_are_the_same_however_run
    yield randomness.key_alone_decides
    yield randomness.no_key_is_used_twice
    if operation.numbers:
        yield arrays.numbers_may_be_traced
    if operation.random:
        yield randomness.examples_are_independent
    if operation.has_prob:
        yield randomness.prob_is_the_rate
    if operation.mixes:
        yield labels.label_weight_is_the_share_of_pixels
        yield labels.soft_labels_are_weighed_as_one_hot_ones


def interface_laws(operation: Operation) -> Iterator[Law]:
    """Yields the laws of how a public function is called."""
    yield interface.key_arrays_then_keyword_options
    yield interface.operation_is_documented
    yield interface.options_go_by_name
    yield interface.bad_arguments_get_one_sentence


PUBLIC = operations(augment, mix)
CASES = [(law, operation) for operation in PUBLIC for law in (*interface_laws(operation), *laws(operation))]
CASES += [(law, operation) for operation in COMBINATORS for law in laws(operation)]


@pytest.mark.parametrize(("law", "operation"), CASES, ids=lambda case: getattr(case, "__name__", None) or case.name)
def test_law(law: Law, operation: Operation) -> None:
    law(operation)


def test_every_public_function_is_under_law() -> None:
    assert {"crop", "cutout", "flip_left_right", "gaussian_noise", "mixup", "ricap"} <= {o.name for o in PUBLIC}


DOCUMENTED = {name: f for module in (augment, mix, compose, sampling) for name, f in public_functions(module).items()}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_public_function_is_documented(name: str) -> None:
    interface.docstring_is_complete(name, DOCUMENTED[name])
