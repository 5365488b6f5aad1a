"""Programs that are compiled ahead, several at a time."""

import concurrent.futures
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

Outcome = Any | Exception


def compiled_in_threads(programs: Mapping[str, tuple[Callable[..., Any], tuple[Any, ...]]]) -> dict[str, Outcome]:
    """Returns each function compiled for its arguments, or the error that it raised.

    XLA does not hold Python's lock, so that all cores compile.
    """

    def compiled(program: tuple[Callable[..., Any], tuple[Any, ...]]) -> Outcome:
        function, arguments = program
        try:
            return jax.jit(function).lower(*arguments).compile()
        except Exception as error:
            return error

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(programs, pool.map(compiled, programs.values()), strict=True))


def repeated(function: Callable[..., Any], repeats: int) -> Callable[..., Any]:
    """Returns a function of the same arguments, the key first, that computes `function` so often with keys of its own.

    The device then runs without waiting for the host. The barrier makes every round depend on its number: what would
    be the same in all of them, such as the histogram of the images, is not computed once for all.
    """

    def program(key: jax.Array, *arrays: jax.Array) -> Any:
        def once(number: jax.Array, _: Any) -> Any:
            numbered, own = jax.lax.optimization_barrier((number, arrays))
            return function(jax.random.fold_in(key, numbered), *own)

        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, key, *arrays))
        return jax.lax.fori_loop(0, repeats, once, nothing)

    return program


def error_text(error: Exception) -> str:
    """Returns the first line of an error, for a finding."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def failures(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Returns the errors among the outcomes."""
    return {name: error_text(each) for name, each in outcomes.items() if isinstance(each, Exception)}
