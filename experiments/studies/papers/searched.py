"""The policy that a search finds for a table, found once."""

import pathlib

from experiments.search.__main__ import Command, run
from experiments.search.setup import Source, Training
from experiments.studies.papers.table import Scale


def searched_policy(data_dir: pathlib.Path | None, scale: Scale, runs: pathlib.Path) -> pathlib.Path:
    """Returns the policy file of a search on CIFAR-10, after searching where there is none yet.

    Args:
      data_dir: where TFDS sets lie.
      scale: full and gpu10 search with WRN-16-4 on 10,000 images, cpu with the small CNN on 2,000 of side 16.
      runs: where the search is kept.
    """
    output = runs / scale / "search_cifar" / "search"
    if not (output / "search.json").exists():
        small = scale == "cpu"
        source = Source("cifar10", data_dir, examples=2000 if small else 10_000, side=16 if small else None)
        training = Training(model="cnn" if small else "wrn_16_4", epochs=8 if small else 60)
        run(
            Command(
                source, training, early_epochs=1 if small else 3, seeds=1 if small else 2, output=output, quiet=True
            )
        )
    return output / "search.json"
