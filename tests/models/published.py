"""Every network of the papers: its parameters, who counts them so, and the smallest images that it is run on."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaug.models import create_model


class Published(NamedTuple):
    """A row; `said` is the number of parameters in millions as the source prints it."""

    name: str
    num_classes: int
    parameters: int
    said: float
    source: str
    side: int
    options: tuple[tuple[str, Any], ...] = ()


RESIDUAL = [
    Published("wrn_28_10", 10, 36_479_194, 36.5, "Zagoruyko and Komodakis 2016, table 5", 8),
    Published("wrn_16_8", 10, 10_961_370, 11.0, "Zagoruyko and Komodakis 2016, table 4", 8),
    Published("wrn_40_4", 10, 8_949_210, 8.9, "Zagoruyko and Komodakis 2016, table 4", 8),
    Published("preact_resnet18", 10, 11_172_170, 11.2, "He et al. 2016 by the formula of their blocks", 8),
    Published("preact_resnet34", 10, 21_280_330, 21.3, "He et al. 2016 by the formula of their blocks", 8),
    Published("preact_resnet50", 10, 23_513_162, 23.5, "He et al. 2016 by the formula of their blocks", 8),
    Published("resnet10", 1000, 5_418_792, 5.4, "ResNet-18 less four blocks", 32),
    Published("resnet18", 1000, 11_689_512, 11.7, "torchvision", 32),
    Published("resnet34", 1000, 21_797_672, 21.8, "torchvision", 32),
    Published("resnet50", 1000, 25_557_032, 25.6, "torchvision; Xie et al. 2017, table 1: 25.5", 32),
    Published("resnet101", 1000, 44_549_160, 44.5, "torchvision", 32),
    Published("resnet152", 1000, 60_192_808, 60.2, "torchvision", 32),
    Published("wide_resnet50_2", 1000, 68_883_240, 68.9, "Zagoruyko and Komodakis 2016, table 8", 32),
    Published("resnet20", 10, 269_722, 0.27, "He et al. 2016, table 6", 8),
    Published("resnet56", 10, 853_018, 0.85, "He et al. 2016, table 6", 8),
    Published("resnet110", 10, 1_727_962, 1.7, "He et al. 2016, table 6", 8),
    Published("resnext50_32x4d", 1000, 25_028_904, 25.0, "Xie et al. 2017, table 1", 32),
    Published("resnext101_32x4d", 1000, 44_177_704, 44.2, "authors' code", 32),
    Published("resnext152_32x4d", 1000, 59_951_400, 60.0, "by the formula of their blocks", 32),
    Published("resnext29_8x64d", 10, 34_426_698, 34.4, "Xie et al. 2017, table 7", 8),
    Published("resnext29_16x64d", 10, 68_155_210, 68.1, "Xie et al. 2017, table 7", 8),
]

OTHERS = [
    Published("mlp", 10, 318_410, 0.32, "by hand: (3072 + 1) 100 + (100 + 1) 100 + (100 + 1) 10", 32),
    Published("cnn", 10, 66_410, 0.066, "by hand: 9 (3 + 32) 32 + 9 (32 + 64) 64 + 2 (2 (32 + 64)) + 650", 8),
    Published("pyramidnet110_84", 10, 3_855_054, 3.8, "Han et al. 2017, table 4", 8),
    Published("pyramidnet110_270", 10, 28_485_477, 28.3, "Han et al. 2017, table 4", 8),
    Published("pyramidnet200_240", 10, 26_617_000, 26.6, "Han et al. 2017, table 4", 8),
    Published("pyramidnet272_200", 10, 26_049_562, 26.0, "Han et al. 2017, table 4", 8),
    Published("shake_shake_26_2x32d", 10, 2_923_162, 2.9, "Gastaldi 2017, table 1", 8),
    Published("shake_shake_26_2x64d", 10, 11_653_978, 11.7, "Gastaldi 2017, table 1", 8),
    Published("shake_shake_26_2x96d", 10, 26_192_922, 26.2, "Gastaldi 2017, table 1", 8),
    Published("shake_shake_29_2x4x64d", 100, 34_529_700, 34.4, "Gastaldi 2017, table 2", 8),
    Published("densenet_bc_100_12", 10, 769_162, 0.8, "Huang et al. 2017, table 2", 8),
    Published("densenet_bc_190_40", 10, 25_624_430, 25.6, "Huang et al. 2017, table 2", 8),
    Published("densenet121", 1000, 7_978_856, 8.0, "authors' code", 32),
    Published("densenet169", 1000, 14_149_480, 14.1, "authors' code", 32),
    Published("mobilenet", 1000, 4_231_976, 4.2, "Howard et al. 2017, table 4", 32),
    Published("vgg13", 1000, 133_047_848, 133.0, "Simonyan and Zisserman 2015, table 2", 224, (("batch_norm", False),)),
    Published("vgg16", 1000, 138_357_544, 138.0, "Simonyan and Zisserman 2015, table 2", 224, (("batch_norm", False),)),
    Published("vgg16_mod", 1000, 20_921_256, 20.9, "by hand, from VGG-16 with BN", 32),
]


def parameter_count(row: Published) -> int:
    """Returns the number of parameters."""
    images = jnp.zeros((1, row.side, row.side, 3))
    model = create_model(row.name, row.num_classes, **dict(row.options))
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0), images)["params"]))


# Their programs take long to compile; each family keeps a quick one. The rest: `pytest -m slow`.
SLOW = {
    *("wrn_28_10", "wrn_40_4", "preact_resnet34", "preact_resnet50", "wide_resnet50_2"),
    *("resnet34", "resnet50", "resnet101", "resnet152", "resnet56", "resnet110"),
    *("resnext101_32x4d", "resnext152_32x4d", "resnext29_16x64d"),
    *("pyramidnet110_84", "pyramidnet110_270", "pyramidnet200_240", "pyramidnet272_200"),
    *("shake_shake_26_2x64d", "shake_shake_26_2x96d", "shake_shake_29_2x4x64d"),
    *("densenet_bc_100_12", "densenet_bc_190_40", "densenet121", "densenet169", "vgg13"),
}


def marked(rows: list[Published]) -> list[Any]:
    """Returns the rows as parameters of a test, with a mark on what takes long."""
    return [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * (row.name in SLOW)) for row in rows]


def loss_and_gradient(row: Published) -> tuple[jax.Array, Any]:
    """Returns the loss of two images in training mode, and its gradient, from weights of the usual scale."""
    # A fully connected layer of VGG on 7 x 7 windows would need images of 224 x 224.
    small: dict[str, Any] = {"head_size": 1} if row.name in ("vgg13", "vgg16") else {}
    model, side = create_model(row.name, 10, **small), 32 if small else row.side
    images = jax.random.normal(jax.random.key(1), (2, side, side, 3))
    rng = np.random.default_rng(0)

    def drawn(path: Any, leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if path[-1].key == "kernel":
            values = rng.normal(size=leaf.shape) * (2 / np.prod(leaf.shape[:-1])) ** 0.5
        else:
            values = np.full(leaf.shape, path[-1].key in ("scale", "var"))
        return jnp.asarray(values.astype(leaf.dtype))

    shapes = jax.eval_shape(model.init, jax.random.key(0), images)
    variables: Any = jax.tree_util.tree_map_with_path(drawn, shapes)

    def loss(params: Any) -> jax.Array:
        logits, _ = model.apply(
            {**variables, "params": params},
            images,
            train=True,
            mutable=["batch_stats"],
            rngs={"dropout": jax.random.key(2)},
        )
        return -jax.nn.log_softmax(logits)[:, 0].mean()

    return jax.jit(jax.value_and_grad(loss))(variables["params"])
