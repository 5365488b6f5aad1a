"""The policy that a search on CIFAR-10 finds, and how it compares with random policies.

Takase, KAKENHI 20K19888.
"""

import pathlib

from experiments.studies.papers.scales import CIFAR_CPU, CIFAR_GPU10
from experiments.studies.study import Arm, Block, Scale, ScaleOverrides, Study


def searched_policy(data_dir: pathlib.Path | None, scale: Scale, runs: pathlib.Path) -> pathlib.Path:
    """Returns the policy file of a search on CIFAR-10, after searching if there is none yet.

    Args:
      data_dir: where TFDS sets are.
      scale: full and gpu10 search with WRN-16-4 on 10,000 images, cpu with the small CNN on 2,000 of side 16.
      runs: where the search is kept.
    """
    from experiments.search.__main__ import main

    output = runs / scale / "search_cifar" / "search"
    if not (output / "search.json").exists():
        small = "--model cnn --examples 2000 --side 16 --epochs 8 --early-epochs 1 --seeds 1"
        large = "--model wrn_16_4 --examples 10000 --epochs 60"
        options = ["cifar10", *(small if scale == "cpu" else large).split(), "--output", str(output), "--quiet"]
        if status := main([*options, *(("--data-dir", str(data_dir)) if data_dir else ())]):
            raise SystemExit(status)
    return output / "search.json"


SEARCH = Study(
    "search_cifar",
    "A searched policy on CIFAR-10",
    "Is the policy that affinity and diversity choose better than crop and flip, and than random policies?",
    "Takase, KAKENHI 20K19888, which publishes no figure",
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
    {"full": ScaleOverrides(), "gpu10": CIFAR_GPU10, "cpu": CIFAR_CPU},
)

STUDIES = (SEARCH,)
