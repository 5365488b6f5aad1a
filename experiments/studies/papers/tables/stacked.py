"""The tables that none of the papers has: do the gains add up, and do they where examples are few?"""

import itertools

from experiments.studies.papers.table import Arm, Block, Cut, Table
from experiments.studies.papers.tables.cuts import CIFAR_CPU, CIFAR_GPU10, RESNET20_CPU

PARTS = {
    "RICAP": ("--mix", "ricap(beta=0.3)"),
    "importance sampling": ("--strategy", "importance_sampled(num_candidates=4)"),
    "ShakeDrop": ("--regularizer", "ShakeDrop.with_final_relu"),
    "Gaussian pooling": ("--pool", "GaussianPool"),
}


def combinations() -> tuple[Arm, ...]:
    """Returns nothing, each part, each pair, and all parts; all but one tell what each adds to the others."""
    found = [Arm("crop and flip")]
    for count in (1, 2, 3, 4):
        for names in itertools.combinations(PARTS, count):
            options = tuple(option for name in names for option in PARTS[name])
            found.append(Arm(" + ".join(names), options, parts=names if count > 1 else ()))
    return tuple(found)


SOURCE = "no paper; the recipe of RICAP's, on a residual network"
MODEL = ("--model", "resnet56")

MANY = Table(
    "stacked",
    "All parts together",
    "Do RICAP, importance sampling, ShakeDrop and Gaussian-based pooling add up?",
    SOURCE,
    (Block("CIFAR-10", "cifar10-wrn", combinations(), MODEL),),
    {
        "full": Cut(),
        "gpu10": CIFAR_GPU10._replace(about="ResNet-56, 30 epochs, bfloat16"),
        "cpu": CIFAR_CPU._replace(
            epochs=10,
            options=(*CIFAR_CPU.options, *RESNET20_CPU, "--data.num-examples", "2500"),
            about="ResNet-20 on 2,500 training images of CIFAR-10 resized to 16 x 16, 10 epochs",
        ),
    },
)

# So few that a network of any size learns them by heart: what the parts are made against.
FEW = Table(
    "stacked_few",
    "All parts together, with few examples",
    "Do RICAP, importance sampling, ShakeDrop and Gaussian-based pooling add up where the network overfits?",
    SOURCE,
    (Block("CIFAR-10, 500 examples", "cifar10-wrn", combinations(), (*MODEL, "--data.num-examples", "500")),),
    {
        "full": Cut(about="the paper's recipe, 500 training images"),
        "gpu10": CIFAR_GPU10._replace(epochs=200, about="ResNet-56, 500 training images, 200 epochs, bfloat16"),
        "cpu": CIFAR_CPU._replace(
            epochs=100,
            options=(
                *CIFAR_CPU.options,
                *("--model", "resnet20", "--batch-size", "32", "--optimizer.learning-rate", "0.05"),
                *("--data.num-examples", "500", "--checkpoint-every", "50"),
            ),
            blocks=None,
            about="ResNet-20 on 500 training images of CIFAR-10 resized to 16 x 16, 100 epochs",
        ),
    },
)

TABLES = (MANY, FEW)
