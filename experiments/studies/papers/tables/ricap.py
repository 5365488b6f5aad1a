"""RICAP on CIFAR and ImageNet, beside cutout and mixup; its beta; its parts.

Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020.
"""

from experiments.studies.papers.table import Arm, Block, Cut, Figure, Scale, Table
from experiments.studies.papers.tables.cuts import CIFAR_CPU, CIFAR_GPU10, IMAGENET_CPU, IMAGENET_GPU10

SOURCE = "Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020"
CIFAR100 = ("--data.name", "cifar100")
CIFAR_CUTS: dict[Scale, Cut] = {"full": Cut(), "gpu10": CIFAR_GPU10, "cpu": CIFAR_CPU}


def mixed(name: str, mix: str, figure: Figure | None = None) -> Arm:
    """Returns the arm of a function that mixes."""
    return Arm(name, ("--mix", mix), figure=figure)


def four_arms(standard: Figure, cutout: Figure, mixup: Figure, ricap: Figure, *, hole: str) -> tuple[Arm, ...]:
    """Returns the arms that most of the paper's tables have, with their errors."""
    return (
        Arm("crop and flip", figure=standard),
        Arm("cutout", augment=(f"cutout(size={hole}, fill='mean')",), figure=cutout),
        mixed("mixup", "mixup(alpha=1.0)", mixup),
        mixed("RICAP", "ricap(beta=0.3)", ricap),
    )


CIFAR = Table(
    "ricap_cifar",
    "RICAP on CIFAR",
    "Does RICAP lower the test error of a wide residual network, more than cutout and mixup do?",
    SOURCE,
    (
        Block(
            "CIFAR-10",
            "cifar10-wrn",
            (
                *four_arms(Figure(3.89), Figure(3.08, 0.16), Figure(3.02, 0.04), Figure(2.85, 0.06), hole="16"),
                Arm("no augmentation", ("--augment",), figure=Figure(6.97)),
            ),
        ),
        Block(
            "CIFAR-100",
            "cifar10-wrn",
            (
                *four_arms(Figure(18.85), Figure(18.41, 0.27), Figure(17.62, 0.25), Figure(17.22, 0.20), hole="8"),
                Arm("no augmentation", ("--augment",), figure=Figure(26.06)),
            ),
            CIFAR100,
        ),
    ),
    CIFAR_CUTS,
)

NETWORKS = Table(
    "ricap_networks",
    "RICAP on other networks",
    "Does RICAP lower the error of DenseNet, PyramidNet and Shake-Shake on CIFAR-10?",
    SOURCE,
    (
        Block(
            "DenseNet-BC-190-40",
            "cifar10-wrn",
            four_arms(Figure(3.46), Figure(2.73, 0.06), Figure(2.73, 0.08), Figure(2.69, 0.12), hole="16"),
            (
                "--model",
                "densenet_bc_190_40",
                "--dtype",
                "bfloat16",
                "--remat",
                "--epochs",
                "300",
                "--optimizer.milestones",
                "150",
                "225",
                "--optimizer.factor",
                "0.1",
                "--optimizer.weight-decay",
                "1e-4",
            ),
        ),
        Block(
            "PyramidNet-272-200",
            "cifar10-pyramidnet-ricap",
            four_arms(Figure(3.31, 0.08), Figure(2.84, 0.05), Figure(2.57, 0.09), Figure(2.51, 0.02), hole="16"),
            ("--mix", "None"),
        ),
        Block(
            "Shake-Shake-26 2x96d",
            "cifar10-shake-shake",
            four_arms(Figure(2.86), Figure(2.56, 0.07), Figure(2.32, 0.11), Figure(2.19, 0.08), hole="16"),
        ),
    ),
    {
        "full": Cut(),
        "gpu10": CIFAR_GPU10._replace(
            models={
                "DenseNet-BC-190-40": "densenet_bc_100_12",
                "PyramidNet-272-200": "pyramidnet110_84",
                "Shake-Shake-26 2x96d": "shake_shake_26_2x32d",
            },
            about="the smallest network of each family, 30 epochs",
        ),
        "cpu": CIFAR_CPU._replace(
            models={
                "DenseNet-BC-190-40": "densenet_bc_22_8",
                "PyramidNet-272-200": "pyramidnet20_16",
                "Shake-Shake-26 2x96d": "shake_shake_8_2x16d",
            },
            options=(*CIFAR_CPU.options, "--no-remat"),
            blocks=None,
            about="tiny networks of the same families, 5,000 training images resized to 16 x 16, 15 epochs",
        ),
    },
)

IMAGENET = Table(
    "ricap_imagenet",
    "RICAP on ImageNet",
    "Does RICAP lower the top-1 error of WRN-50-2 on ImageNet, and does longer training help it more?",
    SOURCE,
    (
        Block(
            "100 epochs",
            "imagenet-wrn50-ricap",
            four_arms(Figure(21.90), Figure(22.45), Figure(21.83), Figure(21.08), hole="{half}"),
            ("--mix", "None"),
            224,
        ),
        Block(
            "200 epochs",
            "imagenet-wrn50-ricap",
            (Arm("crop and flip", figure=Figure(21.84)), mixed("RICAP", "ricap(beta=0.3)", Figure(20.33))),
            ("--mix", "None", "--epochs", "200", "--optimizer.milestones", "60", "120", "180"),
            224,
        ),
    ),
    {"full": Cut(seeds=1), "gpu10": IMAGENET_GPU10, "cpu": IMAGENET_CPU},
)


def by_beta(*figures: Figure, prefix: str = "RICAP", options: str = "") -> tuple[Arm, ...]:
    """Returns the arms of the three betas of the paper."""
    return tuple(
        mixed(f"{prefix}, beta = {beta}", f"ricap(beta={beta}{options})", figure)
        for beta, figure in zip((0.1, 0.3, 1.0), figures, strict=True)
    )


FULL_C10 = Figure(3.01, 0.15), Figure(2.85, 0.06), Figure(2.91, 0.01)
FULL_C100 = Figure(17.39, 0.09), Figure(17.22, 0.20), Figure(17.82, 0.03)

BETA = Table(
    "ricap_beta",
    "RICAP by beta",
    "Which law of the boundary is best: near the corners (beta below 1), uniform (1)?",
    SOURCE,
    (
        Block("CIFAR-10", "cifar10-wrn", (Arm("crop and flip", figure=Figure(3.89)), *by_beta(*FULL_C10))),
        Block("CIFAR-100", "cifar10-wrn", (Arm("crop and flip", figure=Figure(18.85)), *by_beta(*FULL_C100)), CIFAR100),
    ),
    CIFAR_CUTS,
)

ABLATION = Table(
    "ricap_ablation",
    "The parts of RICAP",
    "Does RICAP need both the mixed image and the mixed label?",
    SOURCE + '; the definition behind its "label smoothing only" is not known, ours is the plain reading',
    (
        Block(
            "CIFAR-10",
            "cifar10-wrn",
            (
                Arm("crop and flip", figure=Figure(3.89)),
                *by_beta(
                    Figure(69.28), Figure(62.84), Figure(68.91), prefix="labels alone", options=", image_mixing=False"
                ),
                *by_beta(
                    Figure(3.34, 0.09), Figure(3.33, 0.10), Figure(3.70, 0.07),
                    prefix="images alone", options=", label_mixing=False",
                ),
                *by_beta(*FULL_C10),
            ),
        ),
        Block(
            "CIFAR-100",
            "cifar10-wrn",
            (
                Arm("crop and flip", figure=Figure(18.85)),
                *by_beta(
                    Figure(17.87, 0.22), Figure(17.95, 0.13), Figure(18.90, 0.24),
                    prefix="images alone", options=", label_mixing=False",
                ),
                *by_beta(*FULL_C100),
            ),
            CIFAR100,
        ),
    ),
    CIFAR_CUTS,
)  # fmt: skip

TABLES = (CIFAR, NETWORKS, IMAGENET, BETA, ABLATION)
