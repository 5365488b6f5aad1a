"""Runs a reader on many damaged inputs and checks its contract.

Contract: a reader returns a value or raises `ValueError`, `TypeError` or `FileNotFoundError` with one sentence, within
a time limit and without side effects. Inputs are valid ones damaged with tokens that often break readers. Hypothesis is
not used: its shrinking does not help to count violations, and it is slower per example than most readers. Input n of a
target depends only on the seed, the target's name and n.
"""

import dataclasses
import pathlib
import random
import re
import resource
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from typing import Any

from experiments.fuzzing.watch import TooSlow, Watch, time_limit

REJECTIONS = (ValueError, TypeError, FileNotFoundError)
LONGEST_MESSAGE = 1_500
WARM_UP = 40


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader, and how its inputs are generated."""

    name: str
    share: float
    """Fraction of all inputs."""
    generate: Callable[[random.Random, pathlib.Path], Any]
    """Returns an input; its files are in the folder, and replace those of the one before."""
    read: Callable[[Any], Any]
    """Reads an input, and asserts that the returned value is valid."""
    seconds: float = 2.0
    """Time limit for an input."""
    gibibytes: float = 0.25
    """Limit on the growth of the process's memory."""


@dataclasses.dataclass
class Outcome:
    """The results of a target's inputs."""

    accepted: int = 0
    rejected: int = 0
    messages: set[str] = dataclasses.field(default_factory=set)
    """Error messages, without what they quote."""
    slowest: float = 0.0
    memory: float = 0.0
    """Growth of the peak resident memory, in GiB."""
    violations: Counter[str] = dataclasses.field(default_factory=Counter)
    first: dict[str, int] = dataclasses.field(default_factory=dict)
    """Number of the first input of each violation."""

    def add_violation(self, number: int, what: str) -> None:
        """Counts a violation of the contract."""
        self.violations[what] += 1
        self.first.setdefault(what, number)


def run_target(target: Target, number: int, *, seed: int, folder: pathlib.Path) -> Outcome:
    """Runs a target on this number of inputs, and returns the outcome."""
    warm_up, result = Outcome(), Outcome()
    with warnings.catch_warnings():
        # Readers may warn, and Python's record of past warnings would grow.
        warnings.simplefilter("ignore")
        # The first inputs are read twice: imports at first use are not the fault of an input.
        for i in range(min(number, WARM_UP)):
            run_input(target, i, seed=seed, folder=folder, watch=Watch(folder, first=True), result=warm_up)
        before, watch = peak_memory(), Watch(folder)
        for i in range(number):
            run_input(target, i, seed=seed, folder=folder, watch=watch, result=result)
    result.memory = peak_memory() - before
    if number > WARM_UP and not result.accepted:
        result.add_violation(0, "no input is accepted, so nothing is tested")
    # Side effects of the first use only, such as looking for a program.
    for what in warm_up.violations.keys() - result.violations.keys():
        result.add_violation(warm_up.first[what], what)
    if result.memory > target.gibibytes:
        result.add_violation(number - 1, f"memory grows by more than {target.gibibytes:g} GiB")
    return result


def run_input(target: Target, number: int, *, seed: int, folder: pathlib.Path, watch: Watch, result: Outcome) -> None:
    """Runs a target on one input, and adds the result to the outcome."""
    value = target.generate(random.Random(f"{seed} {target.name} {number}"), folder)
    started, fault = time.perf_counter(), ""
    with watch.on() as effects:
        try:
            with time_limit(target.seconds):
                target.read(value)
            result.accepted += 1
        except REJECTIONS as error:
            result.rejected += 1
            message = str(error)
            result.messages.add(without_quotes(message))
            if problem := fault_of(message):
                fault = f"{problem}, {type(error).__name__}: {without_quotes(message)[:80]!r}"
        except TooSlow:
            pass  # counted below, like a reader that exceeded its time in C code
        except (Exception, SystemExit) as error:
            fault = f"{type(error).__name__}: {without_quotes(str(error))[:80]!r}"
    seconds = time.perf_counter() - started
    result.slowest = max(result.slowest, seconds)
    if seconds > target.seconds:
        result.add_violation(number, f"more than {target.seconds:g} s")
    if fault:
        result.add_violation(number, fault)
    for effect in effects:
        result.add_violation(number, effect.replace(str(folder), "FOLDER"))


def fault_of(message: str) -> str:
    """Returns what is wrong with an error message, "" if nothing is."""
    if not message.strip():
        return "an empty message"
    if len(message.splitlines()) > 1:
        return "more than one line"
    if len(message) > LONGEST_MESSAGE:
        return f"a message of more than {LONGEST_MESSAGE:,} characters"
    return "a traceback" if "Traceback" in message or 'File "' in message else ""


def without_quotes(message: str) -> str:
    """Returns the message without what it quotes, so that messages of one kind are equal."""
    message = re.sub(r"got .*", "got ...", message[:LONGEST_MESSAGE], flags=re.DOTALL)
    message = re.sub(r"'[^']*'|\"[^\"]*\"|(/[^\s/]+)+|0x[0-9a-f]+", "'...'", message)
    return re.sub(r"[\d.]+\d|\d+", "0", message)


def peak_memory() -> float:
    """Returns the peak resident memory of this process, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
