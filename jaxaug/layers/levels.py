"""What the noisy layers share: the level at which a number is drawn, and a module's key."""

from typing import Literal

import flax.linen as nn
from jax import Array
from jaxtyping import Key

from jaxaug.checks import check_floating, described

Level = Literal["batch", "example", "channel", "pixel"]
"""What shares one draw: the batch, an example, a channel of an example, or nothing."""

GateLevel = Literal["batch", "example"]
"""What is kept or dropped as a whole."""


def draw_shape(level: Level, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns the shape of one draw at a level, which broadcasts to `shape`, `[B, ..., C]`.

    "batch" is `[1, 1, ..., 1]`, "example" `[B, 1, ..., 1]`, "channel" `[B, 1, ..., C]` and "pixel" `shape` itself; of
    feature vectors `[B, C]` the last two are the same.
    """
    batch, *inner, channels = shape
    if level == "pixel":
        return shape
    first = 1 if level == "batch" else batch
    return (first, *(1 for _ in inner), channels if level == "channel" else 1)


def check_branch(function: str, x: object) -> None:
    """Raises unless `x` is a non-empty floating-point `[B, ..., C]` of rank 2 or more."""
    check_floating(function, x, rank=None, what="a branch", axes="[B, ..., C]")
    if getattr(x, "ndim", 0) < 2:
        raise ValueError(f"{function} takes a branch [B, ..., C]; got {described(x)}.")


def module_key(module: nn.Module, rng_collection: str) -> Key[Array, ""]:
    """Returns a key of the module's own, or says how to provide one."""
    # Linen falls back on the key of the parameters, which `init` is called with.
    if not (module.has_rng(rng_collection) or module.has_rng("params")):
        name = type(module).__name__
        raise ValueError(
            f"{name} draws noise in training: pass rngs={{{rng_collection!r}: key}} to apply, or deterministic=True."
        )
    return module.make_rng(rng_collection)
