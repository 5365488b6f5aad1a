"""Everything that only an accelerator can tell: `python -m experiments.accelerator --minutes 10 --output DIR`."""

import argparse
import difflib
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from experiments.accelerator import BEGAN

STAGES = ("check", "speed", "evidence")
REQUIRED = ("minutes", "output")

_DESCRIPTION = """\
Runs the items of the stages, and writes each finding to DIR/findings.jsonl the moment it is known, DIR/page.md from
these lines, and compiled programs to DIR/cache. The command can be killed at any moment and repeated: what is finished
is not run again, what failed is.

check     every public function on the accelerator against the CPU; the training machinery on the accelerator
speed     augmentations and training steps against torch on the same card
evidence  networks trained on the data, in the order of what they tell

The minutes count from the start of the command. Of ten, check has at most 1.5 and speed at most 2.5; of other times
the stages have these shares: 15 %, 25 % and 60 % of the time for all three, in the same proportion where fewer are
chosen. The last stage chosen has whatever is left. No item starts that is not expected to end in the time of its
stage; what is expected is an estimate, corrected by how long the finished items of the stage took."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Prints the sentence and exits with status 2."""
        print(f"{message[0].upper()}{message[1:].rstrip('.')}; see --help.", file=sys.stderr)
        raise SystemExit(2)

    def parsed(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Returns the options; a misspelled one is named before one that is missing for that reason."""
        given, unknown = self.parse_known_args(arguments)
        if unknown:
            close = difflib.get_close_matches(unknown[0], self._option_string_actions, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            self.error(f"unknown option {unknown[0]!r}{hint}")
        for name in REQUIRED:
            if getattr(given, name) is None:
                self.error(f"--{name} is required")
        return given


def parser() -> Parser:
    """Returns the parser of the command."""
    made = Parser(
        prog="python -m experiments.accelerator",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("--minutes", type=minutes, help="how long the command may take; 0: summary only")
    made.add_argument("--output", type=pathlib.Path, metavar="DIR", help="where findings are kept")
    made.add_argument("--stages", type=stages, default=STAGES, help="some of check,speed,evidence (default: all)")
    made.add_argument("--data", type=data, metavar="folder:DIR", help="images; without: no item that needs them")
    made.add_argument("--scale", choices=("full", "tiny"), default="full", help="tiny: a rehearsal on any machine")
    return made


def minutes(value: str) -> float:
    """Returns a number of minutes."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of minutes of at least 0, got {value!r}")
    return number


def stages(value: str) -> tuple[str, ...]:
    """Returns the stages named, in the order in which they run."""
    named = value.split(",")
    for name in named:
        if name not in STAGES:
            close = difflib.get_close_matches(name, STAGES, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(STAGES)}"
            raise argparse.ArgumentTypeError(f"unknown stage {name!r} ({hint})")
    return tuple(stage for stage in STAGES if stage in named)


def data(value: str) -> str:
    """Returns the name of a dataset whose folder, if it is one, is there."""
    kind, _, path = value.partition(":")
    if kind == "folder" and not pathlib.Path(path).is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {path!r}")
    return value


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status: 0, 1 if an item failed, 2 if the output cannot be written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    given = parser().parsed(arguments)

    from experiments.accelerator import run  # with jax, which --help need not wait for

    command = " ".join(["python -m experiments.accelerator", *arguments])
    return run.run(given, command=command, began=BEGAN)


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    os._exit(status)  # a program that a thread still compiles for an item that did not fit is not waited for
