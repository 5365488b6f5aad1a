"""Searches for augmentations: `python -m experiments.search digits`.

Prints affinity, diversity and score of all candidates, from one clean network and a few epochs of each candidate. The
best is written to a policy file for training: `python -m experiments.train --augment search/search.json`.
"""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from experiments.run.console import exit_status, typed_command
from experiments.run.directory import replace_text
from experiments.run.policy import Policy, policy_json
from experiments.run.provenance import environment
from experiments.search.candidates import default_candidates
from experiments.search.refine import refine_magnitudes
from experiments.search.report import draw, report_json, table
from experiments.search.setup import Recipe, build_policy, search_dataset, training_parts
from jaxaug.data import Dataset
from jaxaug.search import SearchResult, search


@dataclasses.dataclass(frozen=True)
class Command:
    """Where and how to search."""

    recipe: Annotated[Recipe, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Recipe)
    early_epochs: int = 3
    """Training epochs of each candidate."""
    seeds: int = 2
    """Number of seeds over which affinity and diversity are averaged."""
    indicator: Literal["product", "log_sum", "z_score_sum", "rank_sum", "constrained"] = "log_sum"
    """How affinity and diversity are combined into one score."""
    refine: int | None = None
    """Then optimize the best policy's magnitudes over this many generations of 8 candidates, by log T + 0.5 log D."""
    output: pathlib.Path = pathlib.Path("search")
    """Directory for search.json and search.png."""
    quiet: bool = False
    """Show no progress bar."""


def search_options(command: Command, dataset: Dataset) -> dict[str, Any]:
    """Returns the options that `search` and `refine` share: model, optimizer and length of training."""
    return {
        **training_parts(command.recipe.config(), dataset),
        "epochs": command.recipe.epochs,
        "early_epochs": command.early_epochs,
        "batch_size": command.recipe.batch_size,
        "seeds": range(command.seeds),
    }


def run_search(command: Command, dataset: Dataset, policies: list[Policy]) -> SearchResult:
    """Returns the result of the search, with a progress bar on a terminal."""
    from tqdm import tqdm

    total = command.seeds * (command.recipe.epochs + len(policies) * command.early_epochs)
    off = command.quiet or not sys.stderr.isatty()
    with tqdm(total=total, unit="epoch", desc="search", disable=off) as bar:
        return search(
            {str(policy): build_policy(policy, dataset) for policy in policies},
            dataset,
            **search_options(command, dataset),
            indicator=command.indicator,
            on_epoch=bar.update,
        )


def run(command: Command) -> None:
    """Searches, prints the table, and writes the policy file and the picture."""
    dataset = search_dataset(command.recipe.config())
    policies = default_candidates(dataset.shape)
    result = run_search(command, dataset, policies)
    print(table(result))
    command.output.mkdir(parents=True, exist_ok=True)
    path = command.output / "search.json"
    provenance = {"command": typed_command("experiments.search"), **environment()}
    best = next(policy for policy in policies if str(policy) == result.ranking[0])
    if command.refine is not None:
        best, tried = refine_magnitudes(
            best,
            dataset,
            generations=command.refine,
            **search_options(command, dataset),
        )
        print(
            f"refined: {best}; T D rose from {tried.scores[0]:.3f} to {tried.scores.max():.3f} in "
            f"{tried.clean_steps + tried.early_steps:,} more steps"
        )
        provenance["refinement"] = {"magnitudes": tried.magnitudes.tolist(), "scores": tried.scores.tolist()}
    replace_text(path, report_json(policy_json(best), result, provenance))
    draw(result, command.output / "search.png")
    print(f"Wrote {best} to {path}. Train with it:\n  python -m experiments.train --augment {path}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a user error is printed as one sentence and returns status 2."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.search", args=arguments)
    return exit_status(lambda: run(command), ValueError, FileNotFoundError, RuntimeError)


if __name__ == "__main__":
    sys.exit(main())
