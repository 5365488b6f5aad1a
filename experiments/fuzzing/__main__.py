"""Fuzzes every reader of external input: `python -m experiments.fuzzing`.

Each input has to give a valid value or a one-sentence error, in bounded time and without side effects.
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
from experiments.fuzzing.harness import LONGEST_MESSAGE, Outcome, Target, run_target
from experiments.fuzzing.images import folders, images
from experiments.fuzzing.texts import calls, command_line, configs, policies, run_configs
from experiments.run.console import typed_command
from experiments.run.directory import replace_text
from experiments.run.provenance import environment, environment_in_words
from experiments.studies.markdown import markdown_table
from jaxaug.checks import nearest


@dataclasses.dataclass(frozen=True)
class Command:
    """What to fuzz, and how much."""

    inputs: int = 120_000
    """Total number of inputs; every target gets at least ten."""
    only: Annotated[tuple[str, ...], tyro.conf.arg(metavar="TARGET ...")] = ()
    """Targets, such as "policy files"; all by default."""
    seed: int = 0
    """Seed of the inputs."""
    results: pathlib.Path = pathlib.Path("results/robustness/page.md")
    """Output page."""


def targets(folder: pathlib.Path) -> list[Target]:
    """Returns all targets; the folder holds the files that they damage."""
    texts = [calls(), policies(), configs(), run_configs(), command_line()]
    return [*texts, folders(), checkpoints(folder), images()]  # images last, since they take the most memory


def input_count(target: Target, inputs: int) -> int:
    """Returns a target's number of inputs."""
    return max(10, round(target.share * inputs))


def run_targets(command: Command) -> dict[str, tuple[Target, Outcome]]:
    """Runs the targets, prints their outcomes, and returns them."""
    results = {}
    with tempfile.TemporaryDirectory() as originals, tempfile.TemporaryDirectory() as work:
        known = {target.name: target for target in targets(pathlib.Path(originals))}
        for name in command.only:
            if name not in known:
                raise ValueError(nearest(name, known, "target"))
        for number, name in enumerate(command.only or known):
            folder = pathlib.Path(work) / str(number)
            folder.mkdir()
            started = time.perf_counter()
            target = known[name]
            o = run_target(target, input_count(target, command.inputs), seed=command.seed, folder=folder)
            results[name] = target, o
            print(
                f"{name}: {o.accepted} accepted, {o.rejected} rejected, {time.perf_counter() - started:.0f} s",
                flush=True,
            )
            for what, count in o.violations.items():
                print(f"  {count} times, first at input {o.first[what]}: {what}", flush=True)
    return results


def page(results: dict[str, tuple[Target, Outcome]], command: Command) -> str:
    """Returns the page."""
    header = ("reader", "inputs", "accepted", "rejected", "messages", "slowest", "memory", "violations")
    rows = [
        (
            name,
            f"{input_count(t, command.inputs):,}",
            f"{o.accepted:,}",
            f"{o.rejected:,}",
            f"{len(o.messages):,}",
            f"{o.slowest * 1e3:.0f} of {t.seconds * 1e3:,.0f} ms",
            f"{o.memory:.2f} of {t.gibibytes:g} GiB",
            f"{o.violations.total():,}",
        )
        for name, (t, o) in results.items()
    ]
    violations = [
        f"- {name}, {count:,} times, first at input {o.first[what]:,}: `{what.replace('`', ' ')}`"
        for name, (_, o) in results.items()
        for what, count in o.violations.most_common()
    ]
    total = sum(input_count(t, command.inputs) for t, _ in results.values())
    parts = [
        "# Robustness against malformed input",
        textwrap.fill(
            f"Written by `{typed_command('experiments.fuzzing')}`: {total:,} inputs, "
            f"seed {command.seed}. Each reader has to return a valid value, or raise `ValueError`, `TypeError` or "
            f"`FileNotFoundError` with a one-line message of at most {LONGEST_MESSAGE:,} characters. Anything else is "
            "a violation: another exception, a traceback in the message, exceeding the limits on time or memory; or, "
            "as seen by Python's audit hook, importing a module, running code, unpickling, starting a program, using "
            "the network, or changing a file outside the folder of the input. Inputs are valid ones with small damage. "
            "Messages: the number of distinct ones, ignoring most of what they quote. Memory: growth of the peak "
            "resident memory of the process. The largest image has 88 million pixels, as much as Pillow accepts.",
            width=120,
            break_on_hyphens=False,
        ),
        markdown_table(header, rows),
        "\n".join(["Violations:", "", *violations]) if violations else "There are no violations.",
        f"{environment_in_words(environment())}.",
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Runs the command line; returns 1 if there are violations, 2 for a user error."""
    command = tyro.cli(Command, description=__doc__, prog="python -m experiments.fuzzing")
    try:
        results = run_targets(command)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    replace_text(command.results, page(results, command))
    return 1 if any(o.violations for _, o in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
