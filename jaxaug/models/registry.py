"""A network by its name, with the layers that a caller hands in."""

import re
import warnings
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxaug.checks import check_size, unknown
from jaxaug.models.families import FAMILIES, Family
from jaxaug.models.network import Network
from jaxaug.models.parts import Factory, Parts

SITES = {
    "regularizer": "residual branch for a regularizer to act on",
    "pool": "max pooling for a pool to replace",
    "conv": "spatial convolution for a conv to replace",
}

# What the place of a layer decides, in the order in which a factory is given it.
FIXED_ARGS = {
    "regularizer": ("keep_prob",),
    "pool": ("window", "strides", "padding"),
    "conv": ("features", "kernel_size", "strides", "padding", "feature_group_count", "use_bias", "dtype"),
    "head": ("features",),
}


def create_model(
    name: str,
    num_classes: int,
    *,
    regularizer: Factory | nn.Module | None = None,
    pool: Factory | nn.Module | None = None,
    conv: Factory | nn.Module | None = None,
    head: Factory | nn.Module | None = None,
    dtype: Any = jnp.float32,
    remat: bool = False,
    **options: Any,
) -> Network:
    """A Linen network by its name, with layers of your own where you hand in factories or patterns.

    A factory is a function that makes a layer for a place in the network; a pattern is a layer, copied for each place
    with what the place decides: `pool=GaussianPool(prior="half")`.

    `module.apply(variables, images, train=False)` gives logits; `method="features"` stops before the global average
    pooling, and `method="head"` goes on from there. Training takes `train=True`, `mutable=["batch_stats"]`, and
    `rngs={"dropout": key}` if a layer draws noise; inference needs no key.

    Args:
      name: numbers in <> are yours within the formula of the family; `"?"` lists all names in an error.
        Small images (total stride 4; preact_resnet 8): `"cnn"`, `"resnet20"` (32, 44, 56, 110), `"preact_resnet18"`
        (34, 50), `"wrn_<depth>_<width>"`, `"resnext29_<cardinality>x<width>d"`, `"pyramidnet<depth>_<alpha>"`,
        `"densenet_bc_<depth>_<growth>"`, `"shake_shake_<depth>_2x<width>d"` and, as ResNeXt,
        `"shake_shake_<depth>_2x<cardinality>x<width>d"`.
        Large images (total stride 32): `"resnet10"` (18, 34, 50, 101, 152), `"wide_resnet50_2"`,
        `"resnext50_<cardinality>x<width>d"` (101, 152), `"densenet121"` (169), `"vgg13"` (16), `"vgg16_mod"`,
        `"mobilenet"`. Feature vectors, or anything flattened: `"mlp"`.
      num_classes: K, at least 2.
      regularizer: `regularizer(keep_prob=)` makes a module, called `module(branch, deterministic=)` on each residual
        branch before the addition; keep probabilities are `linear_decay` over all blocks.
      pool: `pool(window=, strides=)`, with `padding=` where there is some, makes a module, called
        `module(x, deterministic=)` in place of each max pooling; in resnet and resnext also after the convolution of
        a large stem and after the first block of each later stage, which have stride 1 then; in densenet also of each
        average pooling, and in mobilenet after each strided convolution of a block, which has stride 1 then.
      conv: `conv(features, kernel_size, strides=, padding=, use_bias=, dtype=)`, with `feature_group_count=` if there
        are groups, makes a module, called `module(x)` in place of each convolution larger than 1 x 1; arguments are
        those of `nn.Conv`. A `kernel_init` that nobody chose is that of the usual convolution.
      head: `head(num_classes)` makes a module, called `module(pooled, deterministic=)` on float32 `[B, D]` in place
        of the last dense layer.
      dtype: floating-point dtype of the computation; parameters, batch statistics and logits are float32.
      remat: keep only what lies between blocks for the backward pass, and compute the rest anew: memory for time, in
        every network but mlp and cnn.
      **options: of the family.
        mlp: `hidden=(100, 100)`, widths. cnn: `width=32`, channels of the first stage. wrn: `dropout=0.0`, rate
        between the convolutions of a block. resnet, resnext: `final_relu=True`, whether a ReLU follows the additions
        (False: EraseReLU). resnext: `branches=1` of a block, and `joining="A"`, whether two share a regularizer ("A")
        or have one each ("B"). pyramidnet: `bottleneck=None`, the kind of block (None: by depth). shake_shake:
        `forward`, `backward`, `level` of ShakeShake, or `joining=None`, which with "A" or "B" puts sum and regularizer
        in its place. vgg13, vgg16: `head_size=7`, side of the window of the first fully connected layer (1 for images
        below 224 x 224), `dropout=0.5`, `batch_norm=True`. mobilenet: `width=1.0`, multiplier of channels,
        `total_stride=32` (8 for 32 x 32, 16 for 64 x 64).

    Returns:
      A module with methods `__call__`, `features` and `head`, each of which takes `train=`.

    Raises:
      ValueError: an unknown name, a number out of range, or a factory for what the network does not have.
      TypeError: an unknown option, a dtype that is not floating point, or a factory that cannot be called, or a pattern
        without what its place decides.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> model = create_model("wrn_10_1", 10)
      >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
      >>> sum(p.size for p in jax.tree.leaves(variables["params"]))
      77850
      >>> model.apply(variables, jnp.zeros((2, 8, 8, 3)), method="features").shape
      (2, 2, 2, 64)

    References:
      He et al., "Deep residual learning for image recognition", CVPR 2016 (resnet).
      He et al., "Identity mappings in deep residual networks", ECCV 2016 (preact_resnet).
      Huang et al., "Densely connected convolutional networks", CVPR 2017 (densenet).
      Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015 (vgg).
      Kobayashi, "Gaussian-based pooling for convolutional neural networks", NeurIPS 2019 (vgg16_mod).
      Howard et al., "MobileNets", arXiv 1704.04861, 2017 (mobilenet).
      Zagoruyko and Komodakis, "Wide residual networks", BMVC 2016 (wrn, wide_resnet50_2).
      Xie et al., "Aggregated residual transformations for deep neural networks", CVPR 2017 (resnext).
      Han, Kim and Kim, "Deep pyramidal residual networks", CVPR 2017 (pyramidnet).
      Gastaldi, "Shake-shake regularization", arXiv 1705.07485, 2017 (shake_shake).
    """
    family, numbers = _family(name)
    check_size("create_model", "num_classes", num_classes, 2)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(f"create_model takes a floating-point dtype; got {dtype!r}.")
    given = {"regularizer": regularizer, "pool": pool, "conv": conv, "head": head}
    factories: dict[str, Any] = {part: _factory(part, value) for part, value in given.items()}
    head = factories.pop("head")
    for option in options:
        if option not in family.options:
            raise TypeError(f"options of {name}: {', '.join(family.options) or 'none'}; got {option!r}.")
    parts = Parts(**factories, dtype=jnp.dtype(dtype), remat=remat)
    trunk = family.build(parts, **numbers, **options)
    for part, factory in factories.items():
        if factory is not None and part not in trunk.sites:
            raise ValueError(f"{name} has no {SITES[part]}.")
    shaker = factories["regularizer"]
    if shaker and trunk.final_relu and not getattr(shaker(keep_prob=1.0), "suits_final_relu", True):
        warnings.warn(
            f"{name} has a ReLU after the addition, with which a ShakeDrop of negative alpha can diverge; "
            "ShakeDrop.with_final_relu is made for it, or take the network with final_relu=False.",
            stacklevel=2,
        )
    return Network(name, num_classes, trunk, head)


def _factory(part: str, given: Any) -> Factory | None:
    """Returns a factory as it is given (None: none), and of a pattern the function that copies it."""
    if not isinstance(given, nn.Module):
        if given is not None and not callable(given):
            raise TypeError(f"create_model takes a factory of modules for {part}; got {type(given).__name__}.")
        return given
    missing = [name for name in FIXED_ARGS[part] if not hasattr(given, name)]
    if missing:
        raise TypeError(
            f"create_model takes a factory, or a module with {', '.join(FIXED_ARGS[part])}, for {part}; "
            f"got {type(given).__name__} without {missing[0]}."
        )
    pattern = given

    def copied(*values: Any, **fields: Any) -> nn.Module:
        return pattern.clone(**dict(zip(FIXED_ARGS[part], values, strict=False)), **fields)

    return copied


def _family(name: str) -> tuple[Family, dict[str, int]]:
    """Returns the family that a name belongs to, and the numbers in the name."""
    for pattern, family in FAMILIES.items():
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[1-9][0-9]*)", pattern), name)
        if match:
            return family, {field: int(number) for field, number in match.groupdict().items()}
    if name == "?":
        raise ValueError(f"known models: {', '.join(sorted(FAMILIES))}.")
    return unknown(name, {*FAMILIES, *(family.example for family in FAMILIES.values() if family.example)}, "model")
