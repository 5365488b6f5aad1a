"""Combinations that no paper has: do the gains add up, and do they with few examples?"""

import itertools

from experiments.studies.papers.scales import CIFAR_CPU, CIFAR_GPU10, RESNET20_CPU
from experiments.studies.study import Arm, Block, ScaleOverrides, Study

PARTS = {
    "RICAP": ("--mix", "ricap(beta=0.3)"),
    "importance sampling": ("--strategy", "importance_sampled(num_candidates=4)"),
    "ShakeDrop": ("--regularizer", "ShakeDrop.with_final_relu"),
    "Gaussian pooling": ("--pool", "GaussianPool"),
}


def combinations() -> tuple[Arm, ...]:
    """Returns the arms of all combinations of the parts, from none to all."""
    found = [Arm("crop and flip")]
    for count in (1, 2, 3, 4):
        for names in itertools.combinations(PARTS, count):
            options = tuple(option for name in names for option in PARTS[name])
            found.append(Arm(" + ".join(names), options, parts=names if count > 1 else ()))
    return tuple(found)


SOURCE = "no paper; the recipe of RICAP's, on a residual network"
MODEL = ("--model", "resnet56")

MANY = Study(
    "stacked",
    "All parts together",
    "Do RICAP, importance sampling, ShakeDrop and Gaussian-based pooling add up?",
    SOURCE,
    (Block("CIFAR-10", "cifar10-wrn", combinations(), MODEL),),
    {
        "full": ScaleOverrides(),
        "gpu10": CIFAR_GPU10._replace(setup="ResNet-56, 30 epochs, bfloat16"),
        "cpu": CIFAR_CPU._replace(
            epochs=10,
            options=(*CIFAR_CPU.options, *RESNET20_CPU, "--data.num-examples", "2500"),
            setup="ResNet-20 on 2,500 training images of CIFAR-10 resized to 16 x 16, 10 epochs",
        ),
    },
)

# So few that a network of any size memorizes them, which is what the parts are made against.
FEW = Study(
    "stacked_few",
    "All parts together, with few examples",
    "Do RICAP, importance sampling, ShakeDrop and Gaussian-based pooling add up where the network overfits?",
    SOURCE,
    (Block("CIFAR-10, 500 examples", "cifar10-wrn", combinations(), (*MODEL, "--data.num-examples", "500")),),
    {
        "full": ScaleOverrides(setup="the paper's recipe, 500 training images"),
        "gpu10": CIFAR_GPU10._replace(epochs=200, setup="ResNet-56, 500 training images, 200 epochs, bfloat16"),
        "cpu": CIFAR_CPU._replace(
            epochs=100,
            options=(
                *CIFAR_CPU.options,
                *("--model", "resnet20", "--batch-size", "32", "--optimizer.learning-rate", "0.05"),
                *("--data.num-examples", "500", "--checkpoint-every", "50"),
            ),
            blocks=None,
            setup="ResNet-20 on 500 training images of CIFAR-10 resized to 16 x 16, 100 epochs",
        ),
    },
)

STUDIES = (MANY, FEW)
