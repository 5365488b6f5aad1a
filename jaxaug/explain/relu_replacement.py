"""Replaces all ReLUs of a function, which are found in its jaxpr.

This replaces the floating-point primitive `max(x, 0)`, to which `jax.nn.relu`, `flax.linen.relu`, `relu6` and
`jnp.maximum(x, 0)` all lead. Unlike patching `jax.nn.relu`, it also finds ReLUs that were imported by name, are
attributes of a module, or were traced by `jit` before.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal, jaxprs_in_params

# Calls that can be inlined. (Inlining gives up rematerialization, whose memory savings a single gradient can spare.)
_INLINED = {"jit", "pjit", "closed_call", "core_call", "checkpoint", "remat", "remat2"}


def relu_replaced(f: Callable[[Any], Any], relu: Callable[[jax.Array], jax.Array], function: str) -> Callable[..., Any]:
    """Returns `f` with every ReLU computed by `relu`; raises if it has none, or one that cannot be replaced."""

    def replaced(x: Any) -> Any:
        jaxpr, out = jax.make_jaxpr(f, return_shape=True)(x)
        if not _contains_relu(jaxpr.jaxpr):
            raise ValueError(
                f"{function} takes a network with ReLUs in the form of jax.nn.relu or jnp.maximum(x, 0); found none."
            )
        values = _evaluated(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(x), relu, function)
        return jax.tree.unflatten(jax.tree.structure(out), values)

    return replaced


def _evaluated(jaxpr: Any, consts: Any, inputs: Any, relu: Callable[[Any], Any], function: str) -> list[Any]:
    """Evaluates a jaxpr equation by equation, with its ReLUs computed by `relu`, and returns its outputs."""
    environment: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def value(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else environment[atom]

    for equation in jaxpr.eqns:
        values, primitive = [value(atom) for atom in equation.invars], equation.primitive
        if _is_relu(equation):
            x = next(v for v, atom in zip(values, equation.invars, strict=True) if not _is_zero(atom))
            results = [relu(jnp.asarray(x))]
        elif not any(map(_contains_relu, jaxprs_in_params(equation.params))):
            results = primitive.bind(*values, **primitive.get_bind_params(equation.params))
            results = results if primitive.multiple_results else [results]
        else:
            body = _body(equation)
            if body is None:
                raise ValueError(
                    f"{function} cannot replace a ReLU inside {primitive.name}; "
                    "write the network without it, for example with a Python loop instead of a scan."
                )
            results = _evaluated(getattr(body, "jaxpr", body), getattr(body, "consts", ()), values, relu, function)
        environment.update(zip(equation.outvars, results, strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _is_zero(atom: Any) -> bool:
    return isinstance(atom, Literal) and jnp.ndim(atom.val) == 0 and bool(atom.val == 0)


def _is_relu(equation: Any) -> bool:
    floating = jnp.issubdtype(equation.outvars[0].aval.dtype, jnp.floating) if equation.outvars else False
    return equation.primitive.name == "max" and floating and sum(map(_is_zero, equation.invars)) == 1


def _contains_relu(jaxpr: Any) -> bool:
    return any(_is_relu(eqn) or any(map(_contains_relu, jaxprs_in_params(eqn.params))) for eqn in jaxpr.eqns)


def _body(equation: Any) -> Any | None:
    """Returns the jaxpr of a call that can be inlined, and None for any other equation."""
    if equation.primitive.name in _INLINED:
        return equation.params["jaxpr"] if "jaxpr" in equation.params else equation.params["call_jaxpr"]
    # jax.nn.relu and relu6 define custom derivatives, which are replaced; those of other functions are kept.
    if equation.primitive.name == "custom_jvp_call" and _primitives(equation) <= {"max", "min"}:
        return equation.params["call_jaxpr"]
    return None


def _primitives(equation: Any) -> set[str]:
    """Returns the names of the primitives that an equation leads to."""
    bodies = list(jaxprs_in_params(equation.params))
    if not bodies:
        return {equation.primitive.name}
    return {name for body in bodies for inner in body.eqns for name in _primitives(inner)}
