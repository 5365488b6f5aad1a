"""Search of augmentations: `python -m experiments.search digits`.

One clean network and a few epochs of every candidate give the table of affinity, diversity and score. What wins is
written to a policy file: `python -m experiments.train --augment search/search.json`.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from experiments.run.console import exit_status, typed_command
from experiments.run.directory import environment, replace_text
from experiments.run.policy import Policy, policy_json
from experiments.search.candidates import default_candidates
from experiments.search.refined import refined
from experiments.search.report import draw, report_json, table
from experiments.search.setup import Recipe, made, parts, searched_dataset
from jaxaug.data import Dataset
from jaxaug.search import SearchResult, search


@dataclasses.dataclass(frozen=True)
class Command:
    """What is searched, and how."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Recipe)
    early_epochs: int = 3
    """Epochs of every candidate."""
    seeds: int = 2
    """Searches whose affinities and diversities are averaged."""
    indicator: Literal["product", "log_sum", "z_score_sum", "rank_sum", "constrained"] = "log_sum"
    """What makes one score of affinity and diversity."""
    refine: int | None = None
    """Optimize the magnitudes of what wins over so many generations of 8 candidates, by log T + 0.5 log D."""
    output: pathlib.Path = pathlib.Path("search")
    """Directory of search.json and search.png."""
    quiet: bool = False
    """No progress bar."""


def measuring(command: Command, dataset: Dataset) -> dict[str, Any]:
    """Returns the options of `search` and `refine` that say what a candidate is trained on, and for how long."""
    return {
        **parts(command.recipe.config(), dataset),
        "epochs": command.recipe.epochs,
        "early_epochs": command.early_epochs,
        "batch_size": command.recipe.batch_size,
        "seeds": range(command.seeds),
    }


def found(command: Command, dataset: Dataset, policies: list[Policy]) -> SearchResult:
    """Returns the result of the search, with a progress bar where someone looks."""
    from tqdm import tqdm

    total = command.seeds * (command.recipe.epochs + len(policies) * command.early_epochs)
    off = command.quiet or not sys.stderr.isatty()
    with tqdm(total=total, unit="epoch", desc="search", disable=off) as bar:
        return search(
            {str(policy): made(policy, dataset) for policy in policies},
            dataset,
            **measuring(command, dataset),
            indicator=command.indicator,
            on_epoch=bar.update,
        )


def run(command: Command) -> None:
    """Searches, prints the table, and writes file and picture."""
    dataset = searched_dataset(command.recipe.config())
    policies = default_candidates(dataset.shape)
    result = found(command, dataset, policies)
    print(table(result))
    command.output.mkdir(parents=True, exist_ok=True)
    path = command.output / "search.json"
    about = {"command": typed_command("experiments.search"), **environment()}
    best = next(policy for policy in policies if str(policy) == result.ranking[0])
    if command.refine is not None:
        best, tried = refined(
            best,
            dataset,
            generations=command.refine,
            **measuring(command, dataset),
        )
        print(
            f"refined: {best}; T D is {tried.scores.max():.3f}, was {tried.scores[0]:.3f}; "
            f"{tried.clean_steps + tried.early_steps:,} more steps"
        )
        about["refinement"] = {"magnitudes": tried.magnitudes.tolist(), "scores": tried.scores.tolist()}
    replace_text(path, report_json(policy_json(best), result, about))
    draw(result, command.output / "search.png")
    print(f"{path} holds {best}: python -m experiments.train --augment {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a mistake in it is one sentence and exit status 2."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.search", args=arguments)
    return exit_status(lambda: run(command), ValueError, FileNotFoundError, RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
