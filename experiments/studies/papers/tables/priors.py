"""Layers of a prior model on ImageNet and on its long tail.

Kobayashi, NeurIPS 2019; Pattern Recognition Letters 169, 2023; ECCV 2022.
"""

from experiments.studies.papers.table import Arm, Block, Cut, Figure, Table
from experiments.studies.papers.tables.cuts import IMAGENET_CPU, IMAGENET_GPU10, TINY_CPU


def error(accuracy: float) -> Figure:
    """Returns the error of a printed accuracy."""
    return Figure(round(100 - accuracy, 2))


def pooled(plain: float, gaussian: float) -> tuple[Arm, ...]:
    """Returns the arms of the pooling table: top-1 accuracies without and with the pooling."""
    return (
        Arm("the network's own pooling", ("--pool", "None"), figure=error(plain)),
        Arm("Gaussian-based pooling", ("--pool", "GaussianPool"), figure=error(gaussian)),
        Arm("average pooling", ("--pool", "AveragePool")),
        Arm("maximum-entropy pooling", ("--pool", "MaxEntropyPool")),
    )


def convolved(plain: float, disentangled: float) -> tuple[Arm, ...]:
    """Returns the arms of the convolution table: top-1 accuracies, and the blur alone."""
    return (
        Arm("convolution", ("--conv", "None"), figure=error(plain)),
        Arm("disentangled convolution", ("--conv", "DisentangledConv"), figure=error(disentangled)),
        Arm("fixed blur", ("--conv", "DisentangledConv(learn_sigma=False)")),
    )


POOLING = Table(
    "pooling_imagenet",
    "Gaussian-based pooling on ImageNet",
    "Does pooling by a learned law lower the top-1 error?",
    "Kobayashi, NeurIPS 2019",
    (
        Block("MobileNet", "imagenet-mobilenet-gaussian-pool", pooled(70.16, 72.67), side=224),
        Block("ResNet-50", "imagenet-resnet50-gaussian-pool", pooled(76.47, 78.63), side=224),
        Block("ResNeXt-50", "imagenet-resnext50-gaussian-pool", pooled(77.31, 79.34), side=224),
    ),
    {
        "full": Cut(seeds=1),
        "gpu10": IMAGENET_GPU10,
        "cpu": IMAGENET_CPU._replace(
            blocks=("MobileNet", "ResNet-50"),
            models={"MobileNet": "mobilenet(width=0.25, total_stride=8)"},
            about="3,000 images of 30 classes of Tiny ImageNet at 32 x 32, MobileNet of a quarter of the width and "
            "ResNet-20 in place of ResNet-50, 10 epochs of a cosine schedule",
        ),
    },
)

DISENTANGLED = Table(
    "disentangled_imagenet",
    "Disentangled convolution on ImageNet",
    "Does a Gaussian of learned width before every convolution lower the top-1 error, and more than a fixed blur?",
    "Kobayashi, Pattern Recognition Letters 169, 2023",
    (
        Block("ResNet-34", "imagenet-resnet34-disentangled", convolved(74.10, 74.64), side=224),
        Block("ResNet-50", "imagenet-resnet50-disentangled", convolved(76.19, 77.42), side=224),
        Block("ResNeXt-50", "imagenet-resnext50-disentangled", convolved(77.68, 78.07), side=224),
    ),
    {"full": Cut(seeds=1), "gpu10": IMAGENET_GPU10, "cpu": IMAGENET_CPU._replace(blocks=("ResNet-34",))},
)

LONG_TAIL = Table(
    "rotation_longtail",
    "Rotation regularization on a long tail",
    "Does a classifier on features rotated at random lower the error after both stages?",
    "Kobayashi, ECCV 2022, the errors as printed beside the author's code",
    (
        Block(
            "ResNet-10",
            "imagenet-lt-resnet10-rotated",
            (
                Arm("plain", ("--head", "None")),
                Arm("rotated", figure=Figure(56.40, mark="C")),
                Arm("logit adjustment", ("--head", "None", "--logit-adjustment", "1")),
                Arm("rotated, logit adjustment", ("--logit-adjustment", "1"), figure=Figure(55.40, mark="C")),
            ),
            side=224,
        ),
    ),
    {
        "full": Cut(),
        "gpu10": IMAGENET_GPU10._replace(options=(*IMAGENET_GPU10.options, "--data.imbalance", "100")),
        "cpu": IMAGENET_CPU._replace(
            options=(*TINY_CPU, "--data.imbalance", "50"),
            about="30 classes of Tiny ImageNet at 32 x 32 made long-tailed, imbalance 50, ResNet-20, 10 epochs",
        ),
    },
    second_stage=True,
)  # fmt: skip

TABLES = (POOLING, DISENTANGLED, LONG_TAIL)
