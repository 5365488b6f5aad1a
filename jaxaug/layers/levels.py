"""Helpers for layers with noise: the level at which a number is drawn, and the key of a module."""

from typing import Literal

import flax.linen as nn
from jax import Array
from jaxtyping import Key

from jaxaug.checks import check_floating, described

Level = Literal["batch", "example", "channel", "pixel"]
"""The level at which a number is drawn: once per batch, example, channel of an example, or element."""

GateLevel = Literal["batch", "example"]
"""The level at which a branch is kept or dropped."""


def draw_shape(level: Level, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of a draw at the given level, which broadcasts to `shape`, `[B, ..., C]`.

    This is `[1, 1, ..., 1]` for "batch", `[B, 1, ..., 1]` for "example", `[B, 1, ..., C]` for "channel" and `shape` for
    "pixel". The last two are the same for feature vectors `[B, C]`.
    """
    batch, *inner, channels = shape
    if level == "pixel":
        return shape
    first = 1 if level == "batch" else batch
    return (first, *(1 for _ in inner), channels if level == "channel" else 1)


def check_branch(function: str, x: object) -> None:
    """Raises unless `x` is a non-empty floating-point `[B, ..., C]` with a rank of at least 2."""
    check_floating(function, x, rank=None, what="a branch", axes="[B, ..., C]")
    if getattr(x, "ndim", 0) < 2:
        raise ValueError(f"{function} takes a branch [B, ..., C]; got {described(x)}.")


def module_key(module: nn.Module, rng_collection: str) -> Key[Array, ""]:
    """Returns a key for the module, or raises an error that says how to provide one."""
    # During `init`, Linen falls back to the key of the parameters.
    if not (module.has_rng(rng_collection) or module.has_rng("params")):
        name = type(module).__name__
        raise ValueError(
            f"{name} draws noise in training: pass rngs={{{rng_collection!r}: key}} to apply, or deterministic=True."
        )
    return module.make_rng(rng_collection)
