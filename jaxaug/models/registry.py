"""Networks by name, with layers that the caller may replace."""

import re
import warnings
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from jaxaug.checks import check_size, unknown
from jaxaug.models.families import FAMILIES, Family
from jaxaug.models.layer_factory import LayerFactory, ModuleDef
from jaxaug.models.network import Network

# What a network without the slot lacks.
SLOTS = {
    "regularizer": "residual branch for a regularizer to act on",
    "pool": "max pooling for a pool to replace",
    "conv": "spatial convolution for a conv to replace",
}

# The arguments that the network fixes for each layer, in the order in which it passes them.
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
    regularizer: ModuleDef | nn.Module | None = None,
    pool: ModuleDef | nn.Module | None = None,
    conv: ModuleDef | nn.Module | None = None,
    head: ModuleDef | nn.Module | None = None,
    dtype: Any = jnp.float32,
    remat: bool = False,
    **options: Any,
) -> Network:
    """Returns a Linen network by its name, optionally with your own layers in its slots.

    Each slot accepts a function that makes a layer, such as a module class, or a layer as a template, which is copied
    with the arguments that the network fixes: `pool=GaussianPool(prior="half")`.

    `module.apply(variables, images, train=False)` returns logits; `method="features"` stops before the global average
    pooling, and `method="head"` continues from there. In training, pass `train=True`, `mutable=["batch_stats"]` and,
    if a layer draws noise, `rngs={"dropout": key}`; inference needs no key.

    Args:
      name: name of the network, where numbers in <> are free within the formula of the family; `"?"` raises an error
        that lists all names.
        Small images (total stride 4; preact_resnet 8): `"cnn"`, `"resnet20"` (32, 44, 56, 110), `"preact_resnet18"`
        (34, 50), `"wrn_<depth>_<width>"`, `"resnext29_<cardinality>x<width>d"`, `"pyramidnet<depth>_<alpha>"`,
        `"densenet_bc_<depth>_<growth>"`, `"shake_shake_<depth>_2x<width>d"` and, with ResNeXt blocks,
        `"shake_shake_<depth>_2x<cardinality>x<width>d"`.
        Large images (total stride 32): `"resnet10"` (18, 34, 50, 101, 152), `"wide_resnet50_2"`,
        `"resnext50_<cardinality>x<width>d"` (101, 152), `"densenet121"` (169), `"vgg13"` (16), `"vgg16_mod"`,
        `"mobilenet"`. Feature vectors, or inputs of any shape to flatten: `"mlp"`.
      num_classes: K, at least 2.
      regularizer: `regularizer(keep_prob=)` makes a module, called as `module(branch, deterministic=)` on each residual
        branch before the addition; the keep probabilities of the blocks are `linear_decay`.
      pool: `pool(window=, strides=)`, with `padding=` where the network pads, makes a module, called as
        `module(x, deterministic=)` in place of each max pooling. In resnet and resnext it also follows the convolution
        of a large stem and the first block of each later stage, which then have stride 1. In densenet it also replaces
        each average pooling. In mobilenet it follows each strided convolution of a block, which then has stride 1.
      conv: `conv(features, kernel_size, strides=, padding=, use_bias=, dtype=)`, with `feature_group_count=` for
        grouped convolutions, makes a module, called as `module(x)` in place of each convolution larger than 1 x 1. The
        arguments have the meaning of `nn.Conv`. A module with Flax's default `kernel_init` gets the network's.
      head: `head(num_classes)` makes a module, called as `module(pooled, deterministic=)` on float32 `[B, D]` in place
        of the last dense layer.
      dtype: floating-point dtype of the computation; parameters, batch statistics and logits are float32.
      remat: whether the backward pass recomputes the inside of blocks instead of storing it, which saves memory and
        costs time. No effect on mlp and cnn.
      **options: options of the family.
        mlp: `hidden=(100, 100)`, the widths. cnn: `width=32`, channels of the first stage. wrn: `dropout=0.0`, rate
        between the convolutions of a block. resnet, resnext: `final_relu=True`, whether a ReLU follows the additions
        (False: EraseReLU). resnext: `branches=1` per block, and `branch_merge="A"`, whether two branches share a
        regularizer ("A") or have one each ("B"). pyramidnet: `bottleneck=None`, the kind of block (None: by depth).
        shake_shake: `forward`, `backward`, `level` of ShakeShake, or `branch_merge`: "A" or "B" replaces ShakeShake by
        a sum with regularizers as in resnext. vgg13, vgg16: `head_size=7`, side of the window of the first fully
        connected layer (1 for images below 224 x 224), `dropout=0.5`, `batch_norm=True`. mobilenet: `width=1.0`,
        multiplier of channels, `total_stride=32` (8 for 32 x 32, 16 for 64 x 64).

    Returns:
      A module with methods `__call__`, `features` and `head`, all with an argument `train=`.

    Raises:
      ValueError: the name is unknown, a number is out of range, or the network has no slot for a layer passed in.
      TypeError: an option is unknown, the dtype is not floating point, or a layer passed in is neither a function nor
        a module with the arguments that the network fixes.

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
    layers = {"regularizer": regularizer, "pool": pool, "conv": conv, "head": head}
    make: dict[str, Any] = {slot: _module_def(slot, layer) for slot, layer in layers.items()}
    make_head = make.pop("head")
    if "joining" in options and "branch_merge" in family.options:
        warnings.warn("the option joining is deprecated; use branch_merge.", DeprecationWarning, stacklevel=2)
        options["branch_merge"] = options.pop("joining")
    for option in options:
        if option not in family.options:
            accepted = f"its options are {', '.join(family.options)}" if family.options else "it has none"
            raise TypeError(f"{name} has no option {option!r}; {accepted}.")
    trunk = family.build(LayerFactory(**make, dtype=jnp.dtype(dtype), remat=remat), **numbers, **options)
    for slot, module_def in make.items():
        if module_def is not None and slot not in trunk.slots:
            raise ValueError(f"{name} has no {SLOTS[slot]}; leave out {slot}.")
    make_regularizer = make["regularizer"]
    if make_regularizer and trunk.final_relu and not getattr(make_regularizer(keep_prob=1.0), "suits_final_relu", True):
        warnings.warn(
            f"{name} has a ReLU after the addition, and training with a ShakeDrop of negative alpha can diverge there; "
            "use ShakeDrop.with_final_relu, or create the network with final_relu=False.",
            stacklevel=2,
        )
    return Network(name, num_classes, trunk, make_head)


def _module_def(slot: str, layer: Any) -> ModuleDef | None:
    """Returns the function that makes the layers of a slot: the caller's, or one that copies the caller's template."""
    if not isinstance(layer, nn.Module):
        if layer is not None and not callable(layer):
            raise TypeError(
                f"create_model takes a module or a function that makes one for {slot}; got {type(layer).__name__}."
            )
        return layer
    missing = [name for name in FIXED_ARGS[slot] if not hasattr(layer, name)]
    if missing:
        raise TypeError(
            f"create_model takes a function that makes a module, or a module with {', '.join(FIXED_ARGS[slot])}, "
            f"for {slot}; got {type(layer).__name__} without {missing[0]}."
        )

    def copy(*args: Any, **fields: Any) -> nn.Module:
        return layer.clone(**dict(zip(FIXED_ARGS[slot], args, strict=False)), **fields)

    return copy


def _family(name: str) -> tuple[Family, dict[str, int]]:
    """Returns the family of a name and the numbers in the name."""
    for pattern, family in FAMILIES.items():
        match = re.fullmatch(re.sub(r"<(\w+)>", r"(?P<\1>[1-9][0-9]*)", pattern), name)
        if match:
            return family, {field: int(number) for field, number in match.groupdict().items()}
    if name == "?":
        raise ValueError(f"known models: {', '.join(sorted(FAMILIES))}.")
    return unknown(name, {*FAMILIES, *(family.example for family in FAMILIES.values() if family.example)}, "model")
