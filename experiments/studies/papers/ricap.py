"""RICAP on CIFAR and ImageNet, compared with cutout and mixup; its beta; its parts.

Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020.
"""

from experiments.studies.papers.scales import CIFAR_CPU, CIFAR_GPU10, CPU_SCHEDULE, IMAGENET_CPU, IMAGENET_GPU10
from experiments.studies.study import Arm, Block, PublishedError, Scale, ScaleOverrides, Study

SOURCE = "Takahashi, Matsubara, Uehara, IEEE TCSVT 30(9), 2020"
CIFAR100 = ("--data.name", "cifar100")
CIFAR_SCALES: dict[Scale, ScaleOverrides] = {"full": ScaleOverrides(), "gpu10": CIFAR_GPU10, "cpu": CIFAR_CPU}

Error = tuple[float, float | None]
"""A published error, and its standard deviation or None."""


def baseline(error: float, standard_deviation: float | None = None) -> Arm:
    """Returns the arm without anything new."""
    return Arm("crop and flip", published=PublishedError(error, standard_deviation))


def mixed(name: str, mix: str, error: Error) -> Arm:
    """Returns the arm of a mixing function."""
    return Arm(name, ("--mix", mix), published=PublishedError(*error))


def four_arms(standard: Error, cutout: Error, mixup: Error, ricap: Error, *, hole: str) -> tuple[Arm, ...]:
    """Returns the arms that most of the paper's tables have, with their errors."""
    return (
        baseline(*standard),
        Arm("cutout", augment=(f"cutout(size={hole}, fill='mean')",), published=PublishedError(*cutout)),
        mixed("mixup", "mixup(alpha=1.0)", mixup),
        mixed("RICAP", "ricap(beta=0.3)", ricap),
    )


def plain(error: float) -> Arm:
    """Returns the arm without any augmentation."""
    return Arm("no augmentation", ("--augment",), published=PublishedError(error))


CIFAR10_ARMS = four_arms((3.89, None), (3.08, 0.16), (3.02, 0.04), (2.85, 0.06), hole="16")
CIFAR100_ARMS = four_arms((18.85, None), (18.41, 0.27), (17.62, 0.25), (17.22, 0.20), hole="8")

CIFAR = Study(
    "ricap_cifar",
    "RICAP on CIFAR",
    "Does RICAP lower the test error of a wide residual network, more than cutout and mixup do?",
    SOURCE,
    (
        Block("CIFAR-10", "cifar10-wrn", (*CIFAR10_ARMS, plain(6.97))),
        Block("CIFAR-100", "cifar10-wrn", (*CIFAR100_ARMS, plain(26.06)), CIFAR100),
    ),
    {
        **CIFAR_SCALES,
        "cpu": ScaleOverrides(
            options=(
                *("--model", "wrn_10_1", "--data.num-examples", "10000", "--epochs", "15"),
                *(*CPU_SCHEDULE, "--eval-every", "15"),
            ),
            blocks=("CIFAR-10",),
            setup="WRN-10-1 on 10,000 training images of CIFAR-10, 15 epochs of a cosine schedule",
        ),
    },
)

DENSENET, PYRAMIDNET, SHAKE_SHAKE = "DenseNet-BC-190-40", "PyramidNet-272-200", "Shake-Shake-26 2x96d"
DENSENET_RECIPE = (
    "--model", "densenet_bc_190_40", "--dtype", "bfloat16", "--remat", "--epochs", "300",
    "--optimizer.milestones", "150", "225", "--optimizer.factor", "0.1", "--optimizer.weight-decay", "1e-4",
)  # fmt: skip

NETWORKS = Study(
    "ricap_networks",
    "RICAP on other networks",
    "Does RICAP lower the error of DenseNet, PyramidNet and Shake-Shake on CIFAR-10?",
    SOURCE,
    (
        Block(
            DENSENET,
            "cifar10-wrn",
            four_arms((3.46, None), (2.73, 0.06), (2.73, 0.08), (2.69, 0.12), hole="16"),
            DENSENET_RECIPE,
        ),
        Block(
            PYRAMIDNET,
            "cifar10-pyramidnet-ricap",
            four_arms((3.31, 0.08), (2.84, 0.05), (2.57, 0.09), (2.51, 0.02), hole="16"),
            ("--mix", "None"),
        ),
        Block(
            SHAKE_SHAKE,
            "cifar10-shake-shake",
            four_arms((2.86, None), (2.56, 0.07), (2.32, 0.11), (2.19, 0.08), hole="16"),
        ),
    ),
    {
        "full": ScaleOverrides(),
        "gpu10": CIFAR_GPU10._replace(
            models={
                DENSENET: "densenet_bc_100_12",
                PYRAMIDNET: "pyramidnet110_84",
                SHAKE_SHAKE: "shake_shake_26_2x32d",
            },
            setup="the smallest network of each family, 30 epochs",
        ),
        "cpu": CIFAR_CPU._replace(
            models={DENSENET: "densenet_bc_22_8", PYRAMIDNET: "pyramidnet20_16", SHAKE_SHAKE: "shake_shake_8_2x16d"},
            options=(*CIFAR_CPU.options, "--no-remat"),
            blocks=None,
            setup="tiny networks of the same families, 5,000 training images resized to 16 x 16, 15 epochs",
        ),
    },
)

IMAGENET = Study(
    "ricap_imagenet",
    "RICAP on ImageNet",
    "Does RICAP lower the top-1 error of WRN-50-2 on ImageNet, and does longer training help it more?",
    SOURCE,
    (
        Block(
            "100 epochs",
            "imagenet-wrn50-ricap",
            four_arms((21.90, None), (22.45, None), (21.83, None), (21.08, None), hole="{half}"),
            ("--mix", "None"),
            224,
        ),
        Block(
            "200 epochs",
            "imagenet-wrn50-ricap",
            (baseline(21.84), mixed("RICAP", "ricap(beta=0.3)", (20.33, None))),
            ("--mix", "None", "--epochs", "200", "--optimizer.milestones", "60", "120", "180"),
            224,
        ),
    ),
    {"full": ScaleOverrides(seeds=1), "gpu10": IMAGENET_GPU10, "cpu": IMAGENET_CPU},
)


def by_beta(*errors: Error, prefix: str = "RICAP", options: str = "") -> tuple[Arm, ...]:
    """Returns the arms of the three betas of the paper."""
    return tuple(
        mixed(f"{prefix}, beta = {beta}", f"ricap(beta={beta}{options})", error)
        for beta, error in zip((0.1, 0.3, 1.0), errors, strict=True)
    )


FULL_C10 = by_beta((3.01, 0.15), (2.85, 0.06), (2.91, 0.01))
FULL_C100 = by_beta((17.39, 0.09), (17.22, 0.20), (17.82, 0.03))
LABELS_ALONE = {"prefix": "labels alone", "options": ", image_mixing=False"}
IMAGES_ALONE = {"prefix": "images alone", "options": ", label_mixing=False"}

BETA = Study(
    "ricap_beta",
    "RICAP by beta",
    "Which boundary distribution is best: near the corners (beta below 1), or uniform (1)?",
    SOURCE,
    (
        Block("CIFAR-10", "cifar10-wrn", (baseline(3.89), *FULL_C10)),
        Block("CIFAR-100", "cifar10-wrn", (baseline(18.85), *FULL_C100), CIFAR100),
    ),
    CIFAR_SCALES,
)

ABLATION = Study(
    "ricap_ablation",
    "The parts of RICAP",
    "Does RICAP need both the mixed image and the mixed label?",
    SOURCE + '; how its "label smoothing only" is defined is unknown, ours is the literal reading',
    (
        Block(
            "CIFAR-10",
            "cifar10-wrn",
            (
                baseline(3.89),
                *by_beta((69.28, None), (62.84, None), (68.91, None), **LABELS_ALONE),
                *by_beta((3.34, 0.09), (3.33, 0.10), (3.70, 0.07), **IMAGES_ALONE),
                *FULL_C10,
            ),
        ),
        Block(
            "CIFAR-100",
            "cifar10-wrn",
            (
                baseline(18.85),
                *by_beta((17.87, 0.22), (17.95, 0.13), (18.90, 0.24), **IMAGES_ALONE),
                *FULL_C100,
            ),
            CIFAR100,
        ),
    ),
    CIFAR_SCALES,
)

STUDIES = (CIFAR, NETWORKS, IMAGENET, BETA, ABLATION)
