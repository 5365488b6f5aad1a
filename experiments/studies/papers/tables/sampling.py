"""Whom to augment: importance-sampled copies, self-paced augmentation; and which augmentation a search finds."""

from experiments.studies.papers.table import Arm, Block, Cut, Figure, Table
from experiments.studies.papers.tables.cuts import CIFAR_CPU, CIFAR_GPU10, CPU_SCHEDULE

RECIPE = ("--mix", "None", "--optimizer.weight-decay", "5e-4")
CIFAR100 = ("--data.name", "cifar100")


def conventional_and_proposed(before: Figure, after: Figure) -> tuple[Arm, ...]:
    """Returns the arms of the source's table, and what tells the loss from the copies."""
    return (
        Arm("conventional", figure=before),
        Arm("one of 4 copies by its loss", ("--strategy", "importance_sampled(num_candidates=4)"), figure=after),
        Arm("one of 4 copies, uniformly", ("--strategy", "importance_sampled(importance='uniform')")),
        Arm("the hardest of 4 copies", ("--strategy", "max_loss(num_candidates=4)")),
    )


def erased(arms: tuple[Arm, ...], hole: str) -> tuple[Arm, ...]:
    """Returns the arms with cutout after crop and flip."""
    return tuple(arm._replace(augment=(f"cutout(size={hole}, fill='mean')",)) for arm in arms)


IMPORTANCE = Table(
    "importance_cifar",
    "Importance-sampled augmentation on CIFAR",
    "Does a copy drawn by its loss in the network in training lower the error of PreActResNet-18?",
    "Okadome, Ide, Kwansei Gakuin University; M and the weights are not printed, ours are 4 and the loss",
    (
        Block(
            "CIFAR-10, crop and flip",
            "cifar10-preact-mixup",
            conventional_and_proposed(Figure(5.37), Figure(4.75)),
            RECIPE,
        ),
        Block(
            "CIFAR-10, crop, flip and cutout",
            "cifar10-preact-mixup",
            erased(conventional_and_proposed(Figure(3.86), Figure(3.81)), "{half}"),
            RECIPE,
        ),
        Block(
            "CIFAR-100, crop and flip",
            "cifar10-preact-mixup",
            conventional_and_proposed(Figure(24.3), Figure(23.4)),
            (*RECIPE, *CIFAR100),
        ),
        Block(
            "CIFAR-100, crop, flip and cutout",
            "cifar10-preact-mixup",
            erased(conventional_and_proposed(Figure(23.6), Figure(22.6)), "8"),
            (*RECIPE, *CIFAR100),
        ),
    ),
    {
        "full": Cut(),
        "gpu10": CIFAR_GPU10._replace(epochs=60, about="the paper's network, 60 epochs, bfloat16"),
        "cpu": CIFAR_CPU._replace(blocks=("CIFAR-10, crop and flip", "CIFAR-10, crop, flip and cutout")),
    },
)


def paced(magnitude: str) -> tuple[Arm, ...]:
    """Returns whom to augment: nobody, all, by the loss in both directions, and a policy for all."""
    return (
        Arm("all"),
        Arm("none", ("--strategy", "never")),
        *(Arm(f"loss at least {tau}", ("--strategy", f"self_paced(threshold={tau})")) for tau in (0.1, 0.5, 1.0)),
        Arm("stored loss at least 0.5", ("--strategy", "self_paced(threshold=0.5, score='stored')")),
        Arm("loss below 0.5", ("--strategy", "self_paced(threshold=0.5, direction='below')")),
        Arm("RandAugment for all", augment=(f"rand_augment(num_ops=2, magnitude={magnitude})",)),
    )


def by_size(network: str, model: str, magnitude: str) -> tuple[Block, ...]:
    """Returns the blocks of one network: few training examples, more, all."""
    sizes = {"1,000": ("--data.num-examples", "1000"), "5,000": ("--data.num-examples", "5000"), "50,000": ()}
    return tuple(
        Block(
            f"{network}, {size} examples",
            "cifar10-wrn",
            paced(magnitude),
            ("--model", model, "--optimizer.schedule", "cosine", "--optimizer.milestones",
             "--optimizer.warmup-epochs", "4", *options),
        )
        for size, options in sizes.items()
    )  # fmt: skip


SELF_PACED = Table(
    "self_paced",
    "Self-paced augmentation by network and number of examples",
    "Does augmenting only what the network finds hard lower the error, above all with few training examples?",
    "Takase, Karakida, Asoh, Neurocomputing 442, 2021; its tables were not at hand, so no figure is printed",
    (*by_size("small CNN", "cnn", "5.0"), *by_size("WRN-28-10", "wrn_28_10(dropout=0.3)", "5.0")),
    {
        "full": Cut(),
        "gpu10": CIFAR_GPU10,
        "cpu": CIFAR_CPU._replace(
            options=("--data.image-size", "16", *CPU_SCHEDULE),
            models={"WRN-28-10, 1,000 examples": "wrn_10_1", "WRN-28-10, 5,000 examples": "wrn_10_1"},
            blocks=("small CNN, 1,000 examples", "small CNN, 5,000 examples",
                    "WRN-28-10, 1,000 examples", "WRN-28-10, 5,000 examples"),
            about="the small CNN, and WRN-10-1 in place of WRN-28-10, on images resized to 16 x 16; 15 epochs",
        ),
    },
)  # fmt: skip

SEARCH = Table(
    "search_cifar",
    "A searched policy on CIFAR-10",
    "Is the policy that affinity and diversity choose better than crop and flip, and than random policies?",
    "Takase, KAKENHI 20K19888, which prints no figure",
    (
        Block(
            "CIFAR-10",
            "cifar10-wrn",
            (
                Arm("crop and flip"),
                Arm("found by the search", ("--augment", "{policy}")),
                Arm("RandAugment", augment=("rand_augment(num_ops=2, magnitude=5.0)",)),
                Arm("TrivialAugment", augment=("trivial_augment",)),
                Arm("no augmentation", ("--augment",)),
            ),
        ),
    ),
    {"full": Cut(), "gpu10": CIFAR_GPU10, "cpu": CIFAR_CPU},
)

TABLES = (IMPORTANCE, SELF_PACED, SEARCH)
