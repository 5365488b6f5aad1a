"""Layers with a prior on ImageNet and on its long-tailed version.

Kobayashi, NeurIPS 2019; Pattern Recognition Letters 169, 2023; ECCV 2022.
"""

from experiments.studies.papers.scales import IMAGENET_CPU, IMAGENET_GPU10, TINY_CPU
from experiments.studies.report import metric
from experiments.studies.study import Arm, Block, PublishedError, ScaleOverrides, Study


def error(accuracy: float) -> PublishedError:
    """Returns the error of a published accuracy."""
    return PublishedError(round(100 - accuracy, 2))


def pooled(plain: float, gaussian: float) -> tuple[Arm, ...]:
    """Returns the arms of the pooling table: top-1 accuracies without and with the pooling."""
    return (
        Arm("the network's own pooling", ("--pool", "None"), published=error(plain)),
        Arm("Gaussian-based pooling", ("--pool", "GaussianPool"), published=error(gaussian)),
        Arm("average pooling", ("--pool", "AveragePool")),
        Arm("maximum-entropy pooling", ("--pool", "MaxEntropyPool")),
    )


def convolved(plain: float, disentangled: float) -> tuple[Arm, ...]:
    """Returns the arms of the convolution table: top-1 accuracies, and the blur alone."""
    return (
        Arm("convolution", ("--conv", "None"), published=error(plain)),
        Arm("disentangled convolution", ("--conv", "DisentangledConv"), published=error(disentangled)),
        Arm("fixed blur", ("--conv", "DisentangledConv(learn_sigma=False)")),
    )


POOLING = Study(
    "pooling_imagenet",
    "Gaussian-based pooling on ImageNet",
    "Does pooling with a learned prior lower the top-1 error?",
    "Kobayashi, NeurIPS 2019",
    (
        Block("MobileNet", "imagenet-mobilenet-gaussian-pool", pooled(70.16, 72.67), side=224),
        Block("ResNet-50", "imagenet-resnet50-gaussian-pool", pooled(76.47, 78.63), side=224),
        Block("ResNeXt-50", "imagenet-resnext50-gaussian-pool", pooled(77.31, 79.34), side=224),
    ),
    {
        "full": ScaleOverrides(seeds=1),
        "gpu10": IMAGENET_GPU10,
        "cpu": IMAGENET_CPU._replace(
            blocks=("MobileNet", "ResNet-50"),
            models={"MobileNet": "mobilenet(width=0.25, total_stride=8)"},
            setup="3,000 images of 30 classes of Tiny ImageNet at 32 x 32, MobileNet of a quarter of the width and "
            "ResNet-20 in place of ResNet-50, 10 epochs of a cosine schedule",
        ),
    },
)

DISENTANGLED = Study(
    "disentangled_imagenet",
    "Disentangled convolution on ImageNet",
    "Does a Gaussian of learned width before every convolution lower the top-1 error, and more than a fixed blur?",
    "Kobayashi, Pattern Recognition Letters 169, 2023",
    (
        Block("ResNet-34", "imagenet-resnet34-disentangled", convolved(74.10, 74.64), side=224),
        Block("ResNet-50", "imagenet-resnet50-disentangled", convolved(76.19, 77.42), side=224),
        Block("ResNeXt-50", "imagenet-resnext50-disentangled", convolved(77.68, 78.07), side=224),
    ),
    {"full": ScaleOverrides(seeds=1), "gpu10": IMAGENET_GPU10, "cpu": IMAGENET_CPU._replace(blocks=("ResNet-34",))},
)

LONG_TAIL = Study(
    "rotation_longtail",
    "Rotation regularization on a long tail",
    "Does a classifier on features rotated at random lower the error after both stages?",
    "Kobayashi, ECCV 2022, the errors as printed next to the author's code",
    (
        Block(
            "ResNet-10",
            "imagenet-lt-resnet10-rotated",
            (
                Arm("plain", ("--head", "None")),
                Arm("rotated", published=PublishedError(56.40, mark="C")),
                Arm("logit adjustment", ("--head", "None", "--logit-adjustment", "1")),
                Arm("rotated, logit adjustment", ("--logit-adjustment", "1"), (), PublishedError(55.40, mark="C")),
            ),
            side=224,
            columns=tuple(metric(f"{name}_shot", f"{name}-shot classes, %") for name in ("many", "medium", "few")),
        ),
    ),
    {
        "full": ScaleOverrides(),
        "gpu10": IMAGENET_GPU10._replace(options=(*IMAGENET_GPU10.options, "--data.imbalance", "100")),
        "cpu": IMAGENET_CPU._replace(
            options=(*TINY_CPU, "--data.imbalance", "50"),
            setup="30 classes of Tiny ImageNet at 32 x 32 made long-tailed, imbalance 50, ResNet-20, 10 epochs",
        ),
    },
    second_stage=True,
)  # fmt: skip

STUDIES = (POOLING, DISENTANGLED, LONG_TAIL)
