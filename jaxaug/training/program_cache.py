"""Compiled programs, kept with the step that they run, so that a second run with this step compiles nothing."""

import types
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import jax

_Made = TypeVar("_Made")


def cached(step: Callable[..., Any], key: Hashable, make: Callable[[], _Made]) -> _Made:
    """Returns what `make` returned for this step and key earlier, or returns now.

    The result must not refer to data: it lives as long as the step.
    """
    # An attribute of the function: a global table would keep the step alive forever, since the programs refer to it.
    # Only plain functions cache. A method, for one, would share its cache with the methods of other objects.
    programs = vars(step).setdefault("jaxaug_programs", {}) if isinstance(step, types.FunctionType) else {}
    if key not in programs:
        programs.setdefault(key, make())  # of two threads that arrive here together, both get the first one's
    return programs[key]


def signature(tree: Any) -> Hashable:
    """Returns everything in a tree of arrays that a compiled program depends on."""
    leaves, treedef = jax.tree.flatten(tree)
    return treedef, *((leaf.shape, leaf.dtype, leaf.sharding) for leaf in leaves)


def abstract(tree: Any) -> Any:
    """Returns shapes and dtypes in place of the arrays."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
