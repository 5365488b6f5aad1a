"""What the device can do at most: bytes copied and products of matrices per second."""

import functools
import statistics
from typing import Any

import jax
import jax.numpy as jnp

from experiments.accelerator.item import Item, Options
from experiments.accelerator.speed.scales import Sizes, sizes
from experiments.accelerator.speed.turns import Contender, rounded, times_in_turns


def items(options: Options) -> list[Item]:
    """Returns the item."""
    size = sizes(options.scale)
    settings = {"matrix": size.matrix, "copied_bytes": 4 * size.copied}
    return [Item("speed", "ceilings", 8.0, lambda: ceilings(size), settings)]


def ceilings(size: Sizes) -> dict[str, Any]:
    """Returns the rates, and what the host takes to call a program."""
    nothing, one = jax.jit(lambda x: x + 1), jnp.zeros(())
    call = times_in_turns({"call": Contender(lambda: nothing(one))}, size.turns, size.turn_seconds)["call"]
    return {
        "copied_bytes_per_second": rounded(copy_rate(size)),
        "bfloat16_flop_per_second": rounded(matrix_rate(size)),
        "seconds_per_call_of_a_scalar_program": rounded(statistics.median(call.seconds)),
    }


@functools.lru_cache
def copy_rate(size: Sizes) -> float:
    """Returns the bytes that are read and written in a second when a large array is copied."""
    x, copied = jnp.ones(size.copied, jnp.float32), jax.jit(lambda x: x + 1)
    times = times_in_turns({"copy": Contender(lambda: copied(x))}, size.turns, size.turn_seconds)["copy"]
    return 2 * x.nbytes / statistics.median(times.seconds)


@functools.lru_cache
def matrix_rate(size: Sizes) -> float:
    """Returns the floating-point operations per second of a product of large matrices in bfloat16."""
    a = jax.random.normal(jax.random.key(0), (size.matrix, size.matrix), jnp.bfloat16)
    product = jax.jit(jnp.matmul)
    times = times_in_turns({"product": Contender(lambda: product(a, a))}, size.turns, size.step_turn_seconds)["product"]
    return 2 * size.matrix**3 / statistics.median(times.seconds)
