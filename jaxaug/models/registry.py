"""Networks by name. A new family is one file with a trunk, and one row here."""

import functools
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxaug.checks import check_size, unknown
from jaxaug.models.cnn import cnn
from jaxaug.models.mlp import mlp
from jaxaug.models.network import Network, Trunk
from jaxaug.models.parts import Factory, Parts
from jaxaug.models.preact_resnet import preact_resnet
from jaxaug.models.wide_resnet import wide_resnet


class Family(NamedTuple):
    """A row: `build(parts, **numbers in the name, **options)`, the options it takes, and a name to suggest."""

    build: Callable[..., Trunk]
    options: tuple[str, ...] = ()
    example: str = ""


FAMILIES = {
    "mlp": Family(mlp, options=("hidden",)),
    "cnn": Family(cnn, options=("width",)),
    "preact_resnet18": Family(functools.partial(preact_resnet, blocks=(2, 2, 2, 2))),
    "preact_resnet34": Family(functools.partial(preact_resnet, blocks=(3, 4, 6, 3))),
    "preact_resnet50": Family(functools.partial(preact_resnet, blocks=(3, 4, 6, 3), bottleneck=True)),
    "wrn_<depth>_<width>": Family(wide_resnet, options=("dropout",), example="wrn_28_10"),
}

SITES = {
    "regularizer": "residual branch for a regularizer to act on",
    "pool": "max pooling for a pool to replace",
    "conv": "spatial convolution for a conv to replace",
}


def create_model(
    name: str,
    num_classes: int,
    *,
    regularizer: Factory | None = None,
    pool: Factory | None = None,
    conv: Factory | None = None,
    head: Factory | None = None,
    dtype: Any = jnp.float32,
    remat: bool = False,
    **options: Any,
) -> Network:
    """A Linen network by its name, with layers of your own where you hand in factories.

    `module.apply(variables, images, train=False)` gives logits; `method="features"` stops before the global average
    pooling, and `method="head"` goes on from there. Training takes `train=True`, `mutable=["batch_stats"]`, and
    `rngs={"dropout": key}` if a layer draws noise; inference needs no key.

    Args:
      name: `"mlp"` (`[B, D]`, or anything flattened), `"cnn"`, `"preact_resnet18"`, `"preact_resnet34"`, or
        `"wrn_<depth>_<width>"` such as `"wrn_28_10"`; `"?"` lists them in an error.
      num_classes: K, at least 2.
      regularizer: `regularizer(keep_prob=)` makes a module, called `module(branch, deterministic=)` on each residual
        branch before the addition; keep probabilities are `linear_decay` over all blocks.
      pool: `pool(window=, strides=)` makes a module, called `module(x, deterministic=)` in place of each max pooling.
      conv: `conv(features, kernel_size, strides=, padding=, use_bias=, dtype=)` makes a module, called `module(x)` in
        place of each convolution larger than 1 x 1; arguments are those of `nn.Conv`.
      head: `head(num_classes)` makes a module, called `module(pooled, deterministic=)` on float32 `[B, D]` in place
        of the last dense layer.
      dtype: floating-point dtype of the computation; parameters, batch statistics and logits are float32.
      remat: keep only what lies between blocks for the backward pass, and compute the rest anew: memory for time, in
        every network but mlp and cnn.
      **options: `hidden=(100, 100)`, widths, for mlp; `width=32`, channels of the first stage, for cnn;
        `dropout=0.0`, rate between the two convolutions of a block, for wrn.

    Returns:
      A module with methods `__call__`, `features` and `head`, each of which takes `train=`.

    Raises:
      ValueError: an unknown name, a number out of range, or a factory for what the network does not have.
      TypeError: an unknown option, a dtype that is not floating point, or a factory that cannot be called.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = create_model("wrn_10_1", 10)
      >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
      >>> sum(p.size for p in jax.tree.leaves(variables["params"]))
      77850
      >>> model.apply(variables, jnp.zeros((2, 8, 8, 3)), method="features").shape
      (2, 2, 2, 64)

    References:
      He et al., "Identity mappings in deep residual networks", ECCV 2016 (preact_resnet).
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016 (wrn).
    """
    family, numbers = _family(name)
    check_size("create_model", "num_classes", num_classes, 2)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"create_model takes a floating-point dtype; got {dtype!r}.")
    factories = {"regularizer": regularizer, "pool": pool, "conv": conv}
    for part, factory in (*factories.items(), ("head", head)):
        if factory is not None and (isinstance(factory, nn.Module) or not callable(factory)):
            raise TypeError(f"create_model takes a factory of modules for {part}; got {type(factory).__name__}.")
    for option in options:
        if option not in family.options:
            raise TypeError(f"options of {name}: {', '.join(family.options) or 'none'}; got {option!r}.")
    trunk = family.build(Parts(**factories, dtype=jnp.dtype(dtype), remat=remat), **numbers, **options)
    for part, factory in factories.items():
        if factory is not None and part not in trunk.sites:
            raise ValueError(f"{name} has no {SITES[part]}.")
    if regularizer and trunk.final_relu and not getattr(regularizer(keep_prob=1.0), "suits_final_relu", True):
        warnings.warn(
            f"{name} has a ReLU after the addition, with which a ShakeDrop of negative alpha can diverge; "
            "ShakeDrop.with_final_relu is made for it, or take the network with final_relu=False.",
            stacklevel=2,
        )
    return Network(name, num_classes, trunk, head)


def _family(name: str) -> tuple[Family, dict[str, int]]:
    """Returns the family that a name belongs to, and the numbers in the name."""
    for pattern, family in FAMILIES.items():
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[1-9][0-9]*)", pattern), name)
        if match:
            return family, {field: int(number) for field, number in match.groupdict().items()}
    if name == "?":
        raise ValueError(f"known models: {', '.join(sorted(FAMILIES))}.")
    return unknown(name, {*FAMILIES, *(family.example for family in FAMILIES.values() if family.example)}, "model")
