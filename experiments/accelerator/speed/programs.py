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
    """Returns a program `(key, ones, images, ...)` that computes `function(key, images, ...)` with `repeats` own keys.

    The device then runs without waiting for the host. Each round multiplies the images by its own one of the `ones`,
    `[repeats]`, which fuses into whatever reads them: without it, a compiler may move what needs no key, such as the
    histogram of the images, out of the loop.
    """

    def program(key: jax.Array, ones: jax.Array, images: jax.Array, *rest: jax.Array) -> Any:
        def once(number: jax.Array, _: Any) -> Any:
            return function(jax.random.fold_in(key, number), images * ones[number], *rest)

        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(function, key, images, *rest))
        return jax.lax.fori_loop(0, repeats, once, nothing)

    return program


def error_text(error: Exception) -> str:
    """Returns the first line of an error, for a finding."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:300]}"


def failures(outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    """Returns the errors among the outcomes."""
    return {name: error_text(each) for name, each in outcomes.items() if isinstance(each, Exception)}
