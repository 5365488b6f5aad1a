"""Compiled programs live as long as the step that they are made of, so that a second run compiles nothing."""

import types
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax

from jaxaug.training.device_data import DeviceSplit
from jaxaug.training.engine import EpochRunner
from jaxaug.training.evaluator import Evaluator
from jaxaug.training.state import TrainState
from jaxaug.training.step import EvalStep, TrainStep

_Made = TypeVar("_Made")


def epoch_runner(train_step: TrainStep, state: TrainState, data: DeviceSplit, **options: Any) -> EpochRunner:
    """Returns the `EpochRunner` of these arguments, its programs those of an earlier one wherever they serve."""
    key = (EpochRunner, _forms(state), _forms(data), *sorted(options.items()))
    # Made of forms: what is kept holds no data.
    return _kept(train_step, key, lambda: EpochRunner(train_step, state, _shapes(data), **options)).with_data(data)


def evaluator(eval_step: EvalStep, data: DeviceSplit, **options: Any) -> Evaluator:
    """Returns the `Evaluator` of these arguments, its programs those of an earlier one wherever they serve."""
    key = (Evaluator, _forms(data), *sorted(options.items()))
    return _kept(eval_step, key, lambda: Evaluator(eval_step, _shapes(data), **options)).with_data(data)


def _kept(step: Callable[..., Any], key: Hashable, make: Callable[[], _Made]) -> _Made:
    """Returns what was made of the step under this key before, or is made now."""
    # In the function itself: a table elsewhere would keep it alive, since what is made of it refers to it. Other
    # callables keep nothing; methods, for one, would share what they keep with those of other objects.
    programs = vars(step).setdefault("jaxaug_programs", {}) if isinstance(step, types.FunctionType) else {}
    if key not in programs:
        programs.setdefault(key, make())
    return programs[key]


def _forms(tree: Any) -> Hashable:
    """Returns what a program depends on in its arguments."""
    leaves, treedef = jax.tree.flatten(tree)
    return treedef, *((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)


def _shapes(data: DeviceSplit) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), data)
