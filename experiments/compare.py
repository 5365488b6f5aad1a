"""Compares runs: `python -m experiments.compare RUN [RUN ...]` draws their curves and tabulates their errors.

Runs that differ only in the seed form one group, drawn as its mean with a band of one sample standard deviation. A
group is compared up to the last epoch that all its runs have.
"""

import dataclasses
import pathlib
import shlex
import sys
from collections.abc import Sequence

import numpy as np
import tyro

from experiments.figures.curves import Curve, draw_panels
from experiments.run.console import exit_status
from experiments.run.directory import replace_text
from experiments.run.load_runs import StoredRun, differing_options, group_runs, load_runs
from experiments.studies.markdown import markdown_table
from experiments.studies.statistics import mean_text
from jaxaug.checks import nearest


@dataclasses.dataclass(frozen=True)
class Command:
    """What to compare, and where to write the result."""

    runs: tyro.conf.Positional[tuple[pathlib.Path, ...]] = ()
    """Run directories of experiments.train, on the same dataset."""
    output: pathlib.Path = pathlib.Path()
    """Directory for compare.md and compare.png; the current one by default."""
    over: tuple[str, ...] = ("seed",)
    """Options that may differ within a group: "seed features_from" averages second stages over first stages, too."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that are averaged."""

    label: str
    runs: list[StoredRun]

    def curve(self, metric: str) -> Curve | None:
        """Returns the metric over the epochs that all runs have, or None if there are none.

        `test_error` is 100 % minus `test_accuracy`, `validation_error` likewise.
        """
        name = metric.replace("_error", "_accuracy")
        measured = [{r["epoch"]: r[name] for r in run.records if r.get(name) is not None} for run in self.runs]
        epochs = sorted(set.intersection(*map(set, measured)))
        values = np.array([[values[epoch] for epoch in epochs] for values in measured])
        return Curve(self.label, epochs, 100 * (1 - values) if metric != name else values) if epochs else None

    @property
    def test_error(self) -> Curve:
        """The test error of every run, in percent."""
        curve = self.curve("test_error")
        if curve is None:
            paths = ", ".join(str(run.path) for run in self.runs)
            raise ValueError(f"expected runs that were all tested after some common epoch; {paths} were not.")
        return curve

    @property
    def examples_per_second(self) -> float:
        """The mean over runs of the median over epochs, since the first epoch includes compilation."""
        return float(np.mean([np.median([r["examples_per_second"] for r in run.records]) for run in self.runs]))


def groups_of(runs: Sequence[StoredRun], over: Sequence[str] = ("seed",)) -> list[Group]:
    """Returns the groups, each labeled by the options in which the groups differ."""
    for name in over:
        if name not in runs[0].options:
            raise ValueError(nearest(name, runs[0].options, "option"))
    for i, run in enumerate(runs):
        for other in runs[:i]:
            if run.options == other.options:
                raise ValueError(
                    f"{other.path} and {run.path} have the same config and seed, so they are one measurement; list "
                    "only one of them."
                )
    groups = group_runs(runs, over)
    differing = differing_options([group[0] for group in groups], ignore=over)
    return [Group(", ".join(d) or group[0].title, group) for d, group in zip(differing, groups, strict=True)]


def table(groups: Sequence[Group]) -> str:
    """Returns the Markdown table with a row per group."""
    validations = [group.curve("validation_error") for group in groups]
    header = ["runs", "seeds", "test error, %", "best validation error, %", "epochs", "examples/s"]
    rows = []
    for group, validation in zip(groups, validations, strict=True):
        error = group.test_error
        of, last = {run.config.epochs for run in group.runs}, error.epochs[-1]
        best = "-" if validation is None else mean_text(validation.values.min(axis=1))
        rows.append(
            [
                group.label,
                str(len(group.runs)),
                mean_text(error.values[:, -1]),
                best,
                str(last) if of == {last} else f"{last} of {' or '.join(map(str, sorted(of)))}",
                f"{group.examples_per_second:,.0f}",
            ]
        )
    if not any(validations):
        header, *rows = ([cell for place, cell in enumerate(line) if place != 3] for line in (header, *rows))
    return markdown_table(header, rows)


def notes(groups: Sequence[Group]) -> list[str]:
    """Returns a sentence for each unfinished run."""
    return [
        f"{run.shortfall}; its row shows epoch {group.test_error.epochs[-1]}."
        for group in groups
        for run in group.runs
        if run.shortfall
    ]


def draw(groups: Sequence[Group], path: pathlib.Path) -> None:
    """Draws training loss, validation error if any, and test error of the groups to a PNG."""
    quantities = {
        "training loss (as augmented)": "train_loss",
        "validation error, %": "validation_error",
        "test error, %": "test_error",
    }
    curves = {title: [group.curve(metric) for group in groups] for title, metric in quantities.items()}
    panels = {title: [c for c in of_groups if c] for title, of_groups in curves.items() if any(of_groups)}
    draw_panels(panels, path, logarithmic=True)


def page(groups: Sequence[Group], command: str) -> str:
    """Returns the Markdown page."""
    listed = [
        f"- {group.label}: " + ", ".join(f"{run.path} (seed {run.config.seed})" for run in group.runs)
        for group in groups
    ]
    remarks = "".join(f"\n{note}\n" for note in notes(groups))
    return f"""# Runs on {groups[0].runs[0].config.data.name}

Test error after the last epoch and best validation error: mean ± sample standard deviation over seeds.

{table(groups)}
{remarks}
![Training loss and error over the epochs](compare.png)

{chr(10).join(listed)}

```sh
{command}
```
"""


def run(command: Command, arguments: Sequence[str]) -> None:
    """Writes the page and the picture, and prints the table."""
    groups = groups_of(load_runs(command.runs), command.over)
    text = page(groups, f"python -m experiments.compare {shlex.join(arguments)}")
    command.output.mkdir(parents=True, exist_ok=True)
    draw(groups, command.output / "compare.png")
    replace_text(command.output / "compare.md", text)
    print("\n".join([table(groups), *notes(groups)]))
    print(f"Wrote {command.output / 'compare.md'} (table) and {command.output / 'compare.png'} (curves).")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a user error is printed as one sentence and returns status 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    command = tyro.cli(Command, prog="python -m experiments.compare", description=__doc__, args=list(arguments))
    return exit_status(lambda: run(command, arguments), ValueError, OSError)


if __name__ == "__main__":
    sys.exit(main())
