"""A function as one compiled program for each shape, in place of one for each operation inside it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

TRACED = (float, jax.Array, np.ndarray, np.generic)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the function compiled as a whole, arrays and floats traced, whatever else it is given fixed.

    Traced numbers have no value to check, so that a test of what is refused calls the function itself.
    """

    @functools.partial(jax.jit, static_argnums=(0, 1))
    def run(tree: Any, fixed: tuple[Any, ...], traced: list[Any]) -> Any:
        rest = iter(traced)
        leaves = [next(rest) if leaf is TRACED else leaf for leaf in fixed]
        args, options = jax.tree.unflatten(tree, leaves)
        return function(*args, **options)

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        leaves, tree = jax.tree.flatten((args, options))
        traced = [leaf for leaf in leaves if isinstance(leaf, TRACED)]
        return run(tree, tuple(TRACED if isinstance(leaf, TRACED) else leaf for leaf in leaves), traced)

    return call
