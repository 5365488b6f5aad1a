"""All networks by name. To add a family, write one file with a trunk and add one row here."""

import functools
from collections.abc import Callable
from typing import NamedTuple

from jaxaug.models.cnn import cnn
from jaxaug.models.densenet import densenet, densenet_bc
from jaxaug.models.mlp import mlp
from jaxaug.models.mobilenet import mobilenet
from jaxaug.models.preact_resnet import preact_resnet
from jaxaug.models.pyramidnet import pyramidnet
from jaxaug.models.resnet import cifar_resnet, resnet
from jaxaug.models.resnext import resnext
from jaxaug.models.shake_shake import shake_shake, shake_shake_resnext
from jaxaug.models.trunk import Trunk
from jaxaug.models.vgg import vgg, vgg_mod
from jaxaug.models.wide_resnet import wide_resnet


class Family(NamedTuple):
    """A row of the table."""

    build: Callable[..., Trunk]  # build(factory, **numbers_in_the_name, **options)
    options: tuple[str, ...] = ()  # names of the options of `create_model` that it accepts
    example: str = ""  # a name to suggest in error messages, for names with numbers


RESNET = ("final_relu",)
RESNEXT = ("branches", "branch_merge", "final_relu")
SHAKE_SHAKE = ("forward", "backward", "level", "branch_merge")
VGG = ("head_size", "dropout", "batch_norm")

FAMILIES = {
    "mlp": Family(mlp, options=("hidden",)),
    "cnn": Family(cnn, options=("width",)),
    "preact_resnet18": Family(functools.partial(preact_resnet, blocks=(2, 2, 2, 2))),
    "preact_resnet34": Family(functools.partial(preact_resnet, blocks=(3, 4, 6, 3))),
    "preact_resnet50": Family(functools.partial(preact_resnet, blocks=(3, 4, 6, 3), bottleneck=True)),
    "resnet10": Family(functools.partial(resnet, blocks=(1, 1, 1, 1)), options=RESNET),
    "resnet18": Family(functools.partial(resnet, blocks=(2, 2, 2, 2)), options=RESNET),
    "resnet34": Family(functools.partial(resnet, blocks=(3, 4, 6, 3)), options=RESNET),
    "resnet50": Family(functools.partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True), options=RESNET),
    "resnet101": Family(functools.partial(resnet, blocks=(3, 4, 23, 3), bottleneck=True), options=RESNET),
    "resnet152": Family(functools.partial(resnet, blocks=(3, 8, 36, 3), bottleneck=True), options=RESNET),
    "wide_resnet50_2": Family(functools.partial(resnet, blocks=(3, 4, 6, 3), bottleneck=True, width=2), options=RESNET),
    # Listed one by one, since depths such as 50 and 152 belong to the ImageNet networks.
    **{
        f"resnet{depth}": Family(functools.partial(cifar_resnet, depth=depth), options=RESNET)
        for depth in (20, 32, 44, 56, 110)
    },
    "resnext50_<cardinality>x<width>d": Family(
        functools.partial(resnext, blocks=(3, 4, 6, 3)), options=RESNEXT, example="resnext50_32x4d"
    ),
    "resnext101_<cardinality>x<width>d": Family(
        functools.partial(resnext, blocks=(3, 4, 23, 3)), options=RESNEXT, example="resnext101_32x4d"
    ),
    "resnext152_<cardinality>x<width>d": Family(
        functools.partial(resnext, blocks=(3, 8, 36, 3)), options=RESNEXT, example="resnext152_32x4d"
    ),
    "resnext29_<cardinality>x<width>d": Family(
        functools.partial(resnext, blocks=(3, 3, 3), small=True), options=RESNEXT, example="resnext29_8x64d"
    ),
    "densenet_bc_<depth>_<growth>": Family(densenet_bc, example="densenet_bc_100_12"),
    "densenet121": Family(functools.partial(densenet, blocks=(6, 12, 24, 16))),
    "densenet169": Family(functools.partial(densenet, blocks=(6, 12, 32, 32))),
    "vgg13": Family(functools.partial(vgg, blocks=(2, 2, 2, 2, 2)), options=VGG),
    "vgg16": Family(functools.partial(vgg, blocks=(2, 2, 3, 3, 3)), options=VGG),
    "vgg16_mod": Family(functools.partial(vgg_mod, blocks=(2, 2, 3, 3, 3))),
    "mobilenet": Family(mobilenet, options=("width", "total_stride")),
    "pyramidnet<depth>_<alpha>": Family(pyramidnet, options=("bottleneck",), example="pyramidnet110_270"),
    "shake_shake_<depth>_2x<width>d": Family(shake_shake, options=SHAKE_SHAKE, example="shake_shake_26_2x96d"),
    "shake_shake_<depth>_2x<cardinality>x<width>d": Family(
        shake_shake_resnext, options=(*SHAKE_SHAKE, "final_relu"), example="shake_shake_29_2x4x64d"
    ),
    "wrn_<depth>_<width>": Family(wide_resnet, options=("dropout",), example="wrn_28_10"),
}
