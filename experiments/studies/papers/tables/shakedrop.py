"""ShakeDrop on CIFAR-100 and ImageNet, beside stochastic depth.

Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019.
"""

from experiments.studies.papers.table import Arm, Block, Cut, Figure, Table
from experiments.studies.papers.tables.cuts import CIFAR_CPU, CIFAR_GPU10, IMAGENET_CPU, IMAGENET_GPU10

SOURCE = "Yamada, Iwamura, Akiba, Kise, IEEE Access 7, 2019, its figures at second hand"


def three_arms(layer: str, plain: float, depth: float, shaken: float) -> tuple[Arm, ...]:
    """Returns the arms of the paper's tables."""
    return (
        Arm("none", ("--regularizer", "None"), figure=Figure(plain, mark="W")),
        Arm("stochastic depth", ("--regularizer", "StochasticDepth"), figure=Figure(depth, mark="W")),
        Arm("ShakeDrop", ("--regularizer", layer), figure=Figure(shaken, mark="W")),
    )


PIXEL = "ShakeDrop.without_final_relu(gate_level='batch', noise_level='pixel')"
WITH_RELU = "ShakeDrop.with_final_relu"

CIFAR = Table(
    "shakedrop_cifar",
    "ShakeDrop on CIFAR-100",
    "Does ShakeDrop lower the error of deep residual networks, more than stochastic depth does?",
    SOURCE,
    (
        Block("ResNet-110", "cifar100-resnet110-shakedrop", three_arms(WITH_RELU, 27.42, 24.07, 23.74)),
        Block("PyramidNet-110-270", "cifar100-pyramidnet-shakedrop", three_arms(PIXEL, 18.01, 17.74, 15.78)),
    ),
    {
        "full": Cut(),
        "gpu10": CIFAR_GPU10._replace(
            epochs=20,
            models={"ResNet-110": "resnet56", "PyramidNet-110-270": "pyramidnet56_84"},
            about="networks of half the depth, 20 epochs, bfloat16",
        ),
        "cpu": CIFAR_CPU._replace(
            options=(*CIFAR_CPU.options, "--data.name", "cifar10"),
            models={"ResNet-110": "resnet20", "PyramidNet-110-270": "pyramidnet20_16"},
            blocks=None,
            about="ResNet-20 and PyramidNet-20-16 on 5,000 training images of CIFAR-10 resized to 16 x 16, 15 epochs",
        ),
    },
)

IMAGENET = Table(
    "shakedrop_imagenet",
    "ShakeDrop on ImageNet",
    "Does ShakeDrop lower the top-1 error of very deep networks on ImageNet?",
    SOURCE,
    (
        Block("ResNet-152", "imagenet-resnet152-shakedrop", three_arms(WITH_RELU, 21.72, 21.33, 20.88), side=224),
        Block("ResNeXt-152", "imagenet-resnext152-shakedrop", three_arms(WITH_RELU, 20.49, 20.45, 20.34), side=224),
    ),
    {
        "full": Cut(seeds=1),
        "gpu10": IMAGENET_GPU10._replace(
            models={"ResNet-152": "resnet50", "ResNeXt-152": "resnext50_32x4d"},
            about="30 classes of Tiny ImageNet at 64 x 64, ResNet-50 and ResNeXt-50, 60 epochs",
        ),
        "cpu": IMAGENET_CPU._replace(blocks=("ResNet-152",)),
    },
)

TABLES = (CIFAR, IMAGENET)
