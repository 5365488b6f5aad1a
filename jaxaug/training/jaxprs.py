"""What a program computes, read from its jaxpr: convolutions, operations and bytes, without compiling it."""

import math
from collections.abc import Iterator
from typing import Any

import jax


def inner_jaxprs(equation: Any) -> Iterator[Any]:
    """Yields the jaxprs among the parameters of an equation."""
    for value in jax.tree.leaves(list(equation.params.values())):
        inner = getattr(value, "jaxpr", value)  # a closed jaxpr holds one
        if hasattr(inner, "eqns"):
            yield inner


def has_convolution(jaxpr: Any) -> bool:
    """Returns whether a jaxpr, or one inside it, has a convolution."""
    return "conv_general_dilated" in str(jaxpr)


def value_bytes(jaxpr: Any) -> int:
    """Returns the bytes of all values that a jaxpr computes, inner jaxprs included."""
    own = sum(
        math.prod(variable.aval.shape) * variable.aval.dtype.itemsize
        for equation in jaxpr.eqns
        for variable in equation.outvars
    )
    return own + sum(value_bytes(inner) for equation in jaxpr.eqns for inner in inner_jaxprs(equation))


def count_flops(jaxpr: Any) -> float:
    """Returns the floating-point operations of the matrix products and convolutions in a jaxpr, inner ones included.

    A scan counts each of its iterations, a loop of unknown length one, and a condition its most expensive branch. XLA
    also counts operations, but not for all of its backends.
    """
    return math.fsum(map(_equation_flops, jaxpr.eqns))


def _equation_flops(equation: Any) -> float:
    name, inner = equation.primitive.name, [count_flops(each) for each in inner_jaxprs(equation)]
    if name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval.shape, equation.params["dimension_numbers"]
        per_output = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * per_output
    if name == "cond":
        return max(inner, default=0.0)
    return math.fsum(inner) * (equation.params["length"] if name == "scan" else 1)
