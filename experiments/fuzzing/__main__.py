"""Fuzzes every reader of what comes from outside: `python -m experiments.fuzzing`.

The page is results/robustness/page.md. The law, of experiments.fuzzing.fuzzing: a value or one sentence, in time, and
nothing else happens.
"""

import dataclasses
import pathlib
import sys
import tempfile
import textwrap
import time
from typing import Annotated

import tyro

from experiments.fuzzing.checkpoints import checkpoints
from experiments.fuzzing.fuzzing import LONGEST_SENTENCE, Outcome, Target, outcome
from experiments.fuzzing.images import folders, images
from experiments.fuzzing.texts import calls, command_line, configs, load_runs, policies
from experiments.run.console import typed_command
from experiments.run.directory import environment, environment_in_words, replace_text
from experiments.studies.markdown import markdown_table
from jaxaug.checks import nearest


@dataclasses.dataclass(frozen=True)
class Command:
    """How much is tried."""

    inputs: int = 120_000
    """Inputs in all; every target has at least ten."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TARGET ...")] = ()
    """Targets, as "policy files"; all by default."""
    seed: int = 0
    """Every input follows from it."""
    results: pathlib.Path = pathlib.Path("results/robustness/page.md")
    """The page."""


def targets(folder: pathlib.Path) -> list[Target]:
    """Returns all targets; the folder keeps what they damage."""
    texts = [made() for made in (calls, policies, configs, load_runs, command_line)]
    return [*texts, folders(), checkpoints(folder), images()]  # Images take the most memory, and go last.


def inputs_of(target: Target, inputs: int) -> int:
    """Returns how many of all inputs a target has."""
    return max(10, round(target.share * inputs))


def outcomes(command: Command) -> dict[str, tuple[Target, Outcome]]:
    """Returns what comes of every target's inputs."""
    found = {}
    with tempfile.TemporaryDirectory() as kept, tempfile.TemporaryDirectory() as places:
        every = {target.name: target for target in targets(pathlib.Path(kept))}
        for name in command.only:
            if name not in every:
                raise ValueError(nearest(name, every, "target"))
        for number, name in enumerate(command.only or every):
            place = pathlib.Path(places) / str(number)
            place.mkdir()
            begun = time.perf_counter()
            target = every[name]
            found[name] = target, outcome(target, inputs_of(target, command.inputs), seed=command.seed, folder=place)
            o = found[name][1]
            print(
                f"{name}: {o.accepted} accepted, {o.refused} refused, {time.perf_counter() - begun:.0f} s", flush=True
            )
            for what, count in o.violations.items():
                print(f"  {count} times, first at input {o.first[what]}: {what}", flush=True)
    return found


def page(found: dict[str, tuple[Target, Outcome]], command: Command) -> str:
    """Returns the page."""
    header = ("reader", "inputs", "accepted", "refused", "sentences", "slowest", "memory", "violations")
    rows = [
        (
            name,
            f"{inputs_of(t, command.inputs):,}",
            f"{o.accepted:,}",
            f"{o.refused:,}",
            f"{len(o.sentences):,}",
            f"{o.slowest * 1e3:.0f} of {t.seconds * 1e3:,.0f} ms",
            f"{o.memory:.2f} of {t.gibibytes:g} GiB",
            f"{o.violations.total():,}",
        )
        for name, (t, o) in found.items()
    ]
    violations = [
        f"- {name}, {count:,} times, first at input {o.first[what]:,}: `{what.replace('`', ' ')}`"
        for name, (_, o) in found.items()
        for what, count in o.violations.most_common()
    ]
    total = sum(inputs_of(t, command.inputs) for t, _ in found.values())
    parts = [
        "# Whether what is read is read as data",
        textwrap.fill(
            f"Written by `{typed_command('experiments.fuzzing')}`: {total:,} inputs, "
            f"seed {command.seed}. A reader's answer is a value that is checked, or a `ValueError`, `TypeError` or "
            f"`FileNotFoundError` of one sentence, on one line of at most {LONGEST_SENTENCE:,} letters. Anything else "
            "is a violation: another exception, more than its time or memory, a traceback in the sentence; or that "
            "Python's audit hook sees it import a module, run code, unpickle, start a program, use the network, or "
            "change a file outside of the input's folder. Inputs are valid ones after small damage. Sentences: how "
            "many different ones, apart from most of what they quote. Memory: growth of the largest resident memory "
            "of the process. A pixel bomb is as large as Pillow lets through, 88 million pixels.",
            width=120,
            break_on_hyphens=False,
        ),
        markdown_table(header, rows),
        "\n".join(["Violations:", "", *violations]) if violations else "There are no violations.",
        f"{environment_in_words(environment())}.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Runs the command line; a violation is exit status 1."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.fuzzing")
    try:
        found = outcomes(command)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    replace_text(command.results, page(found, command))
    return 1 if any(o.violations for _, o in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
