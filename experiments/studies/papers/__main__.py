"""Redoes a table of a paper: `python -m experiments.reproduce TABLE --scale full|gpu10|cpu`.

Every arm is trained over its seeds by `experiments.train`, and goes on where it was stopped. A finished arm is one line
in results/reproduce/TABLE.jsonl; page and picture beside it are made from those lines alone.
"""

import dataclasses
import hashlib
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import tyro

from experiments.run.console import exit_status
from experiments.run.directory import RunDirectory, replace_text
from experiments.studies.jsonl import read_jsonl, write_jsonl
from experiments.studies.papers.earlier import earlier_lines
from experiments.studies.papers.lines import line_of, seeds_in, with_line
from experiments.studies.papers.page import draw, page
from experiments.studies.papers.recipe import Places, arguments, located
from experiments.studies.papers.runs import RunStoppedError, finished, measured
from experiments.studies.papers.searched import searched_policy
from experiments.studies.papers.table import Arm, Block, Scale, Table
from experiments.studies.papers.tables import TABLES, named_table
from jaxaug.checks import check_size


@dataclasses.dataclass(frozen=True)
class Command:
    """Which table, how much of it, and where."""

    table: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="TABLE")]
    """Its name."""
    scale: Scale = "cpu"
    """full: the paper's recipe; gpu10: ten minutes of a GPU for an arm; cpu: about an hour of two cores for a table."""
    data_dir: pathlib.Path | None = None
    """Where TFDS sets lie."""
    tiny_imagenet: pathlib.Path | None = None
    """A folder with train and val of some classes of Tiny ImageNet, which stand for ImageNet below scale full."""
    seeds: int | None = None
    """Seeds of every arm; None takes the scale's. An arm that has fewer is given those it lacks."""
    blocks: tuple[str, ...] = ()
    """Run only these blocks of the table."""
    runs: pathlib.Path = pathlib.Path("runs/reproduce")
    """Where the runs are kept, those that several tables ask for once."""
    results: pathlib.Path = pathlib.Path("results")
    """The lines are in reproduce/TABLE.jsonl here; what was measured before is read from here, too."""


def to_run(table: Table, command: Command, lines: list[dict[str, Any]]) -> list[tuple[Block, Arm]]:
    """Returns the arms that lack seeds; a block that was measured before, with a recipe of its own, is left."""
    blocks = table.blocks_at(command.scale)
    for name in command.blocks:
        if name not in [block.name for block in blocks]:
            raise ValueError(f"--blocks takes some of {', '.join(block.name for block in blocks)}; got {name}.")
    earlier = {line["block"] for line in lines if "earlier" in line and line["scale"] == command.scale}
    chosen = [b for b in blocks if b.name not in earlier and (not command.blocks or b.name in command.blocks)]
    wanted = seeds_of(table, command)
    return [(b, arm) for b in chosen for arm in b.arms if seeds_in(line_of(lines, command.scale, b, arm)) < wanted]


def seeds_of(table: Table, command: Command) -> int:
    """Returns how many seeds an arm is asked for."""
    return command.seeds or table.cuts[command.scale].seeds


def finished_arm(
    table: Table, block: Block, arm: Arm, command: Command, places: Places, say: Callable[[int], None]
) -> dict[str, Any]:
    """Returns the line of an arm, after the runs of its seeds, each of which is said before it begins."""
    cut = table.cuts[command.scale]
    options = arguments(table, block, arm, command.scale)
    runs: list[tuple[RunDirectory, ...]] = []
    for seed in range(seeds_of(table, command)):
        say(seed)
        path = command.runs / f"{run_name(options)}-{seed}"
        stages = [finished(path, [*located(options, places), "--seed", str(seed)])]
        if table.second_stage:
            second = [*options, *second_stage(stages[0]), "--features-from", str(path)]
            again = path.with_name(f"{path.name}-second")
            stages.append(finished(again, [*located(second, places), "--seed", str(seed)]))
        runs.append(tuple(stages))
    return {
        "table": table.name,
        "scale": command.scale,
        "block": block.name,
        "arm": arm.name,
        "about": cut.about,
        "command": command_of(options),
        **measured(runs),
    }


def command_of(options: Sequence[str]) -> str:
    """Returns what trains an arm as one would type it."""
    return f"python -m experiments.train {shlex.join(options)}"


def run_name(options: Sequence[str]) -> str:
    """Returns the name that a run has for what it does: what several tables ask for is run once."""
    return f"{options[0]}-{hashlib.sha256(shlex.join(options).encode()).hexdigest()[:12]}"


def second_stage(first: RunDirectory) -> list[str]:
    """Returns what is other in the second stage: a sixth of the epochs, a plain classifier, classes equally often."""
    epochs = max(1, first.records()[-1]["epoch"] // 6)
    return ["--epochs", str(epochs), "--head", "None", "--logit-adjustment", "0", "--data.sampling", "class_balanced"]


def written(table: Table, lines: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Writes lines, page and picture."""
    write_jsonl(path, lines)
    draw(table, lines, path.with_suffix(".png"))
    replace_text(path.with_suffix(".md"), page(table, lines))


def run(command: Command) -> int:
    """Runs what the lines lack."""
    table = named_table(command.table)
    if command.seeds is not None:
        check_size("experiments.studies.papers", "--seeds", command.seeds, 1)
    path = command.results / "reproduce" / f"{table.name}.jsonl"
    lines = read_jsonl(path) or earlier_lines(table.name, command.results)
    waiting = to_run(table, command, lines)
    places = Places(command.data_dir, command.tiny_imagenet)
    if any("{policy}" in arm.options for _, arm in waiting):
        places = places._replace(policy=searched_policy(command.data_dir, command.scale, command.runs))
    if lines:
        written(table, lines, path)
    begun = time.monotonic()
    for place, (block, arm) in enumerate(waiting):
        left = (
            f"; about {(time.monotonic() - begun) / place * (len(waiting) - place) / 60:.0f} min left" if place else ""
        )
        said = f"{block.name}, {arm.name} ({place + 1} of {len(waiting)} arms{left})"
        try:
            line = finished_arm(
                table, block, arm, command, places, lambda seed, said=said: print(f"{said}, seed {seed}", flush=True)
            )
        except RunStoppedError as stopped:
            print(f"The same command goes on from here; {len(lines)} arms are in {path}.", file=sys.stderr)
            return stopped.status
        lines = with_line(lines, line)
        written(table, lines, path)
    print(f"{path.with_suffix('.md')} has the table.")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a mistake in it is one sentence and exit status 2."""
    tables = "\n".join(f"  {name:21}  {table.title}" for name, table in TABLES.items())
    command = tyro.cli(
        Command, prog="python -m experiments.reproduce", description=f"{__doc__}\n{tables}", args=arguments
    )
    return exit_status(lambda: run(command), ValueError, TypeError, FileNotFoundError)


if __name__ == "__main__":
    sys.exit(main())
