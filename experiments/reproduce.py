"""Runs a study and writes its page: `python -m experiments.reproduce NAME [--scale full|gpu10|cpu]`.

Arms that are recorded are skipped, and the same command resumes what was interrupted. Lines, page and pictures are in
runs/studies/NAME, where the page shows this repository's figures next to yours; --results results writes there instead.
Options of experiments.train after -- replace those of every arm: ... NAME -- --epochs 5 --data.num-examples 500
"""

import dataclasses
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from experiments.run.console import exit_status
from experiments.studies import all_studies, named_study
from experiments.studies.run_missing import Options, run_missing
from jaxaug.checks import check_size


@dataclasses.dataclass(frozen=True)
class Command:
    """Which study, how much of it, and where."""

    study: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="NAME")]
    """Its name."""
    options: Annotated[Options, tyro.conf.arg(name="")] = dataclasses.field(default_factory=Options)


def run(command: Command, extra: Sequence[str]) -> int:
    """Runs what is missing."""
    if command.options.seeds is not None:
        check_size("experiments.reproduce", "--seeds", command.options.seeds, 1)
    return run_missing(named_study(command.study), command.options, extra)


def description() -> str:
    """Returns the text above the options: what there is to run."""
    studies = all_studies().values()
    width = max(len(study.name) for study in studies)
    lines = [f"  {study.name:{width}}  {study.question}" for study in studies]
    return "\n".join([(__doc__ or "").rstrip(), "", "NAME is one of", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; a mistake in it is one sentence and exit status 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        print(description())
        return 0
    place = arguments.index("--") if "--" in arguments else len(arguments)
    own, extra = arguments[:place], arguments[place + 1 :]
    command = tyro.cli(Command, prog="python -m experiments.reproduce", description=description(), args=own)
    return exit_status(lambda: run(command, extra), ValueError, TypeError, OSError)


if __name__ == "__main__":
    sys.exit(main())
