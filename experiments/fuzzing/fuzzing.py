"""The law of a reader, and a run of many inputs against it.

Law: the answer is a value, or a `ValueError`, `TypeError` or `FileNotFoundError` of one sentence, within a time, and
nothing else happens. Inputs are made by damage to valid ones, with tokens that readers are known to trip over, and not
by hypothesis, whose shrinking is of no use to a count, and which takes longer over an example than most readers do.
Input n of a target follows from the seed, the target's name and n alone.
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

REFUSALS = (ValueError, TypeError, FileNotFoundError)
LONGEST_SENTENCE = 1_500
WARM_UP = 40


@dataclasses.dataclass(frozen=True)
class Target:
    """A reader, and how its inputs are made."""

    name: str
    share: float
    """Of all inputs."""
    given: Callable[[random.Random, pathlib.Path], Any]
    """Returns an input; files of it lie in the folder, which is cleared by the next one."""
    read: Callable[[Any], Any]
    """Reads it, and asserts that a value it returns is valid."""
    seconds: float = 2.0
    """Longest time for an input."""
    gibibytes: float = 0.25
    """Largest growth of the process's memory."""


@dataclasses.dataclass
class Outcome:
    """What came of a target's inputs."""

    accepted: int = 0
    refused: int = 0
    sentences: set[str] = dataclasses.field(default_factory=set)
    """Of refusal, without what they quote."""
    slowest: float = 0.0
    memory: float = 0.0
    """Growth of the largest resident memory, in GiB."""
    violations: Counter[str] = dataclasses.field(default_factory=Counter)
    first: dict[str, int] = dataclasses.field(default_factory=dict)
    """Number of the first input of each violation."""

    def violated(self, number: int, what: str) -> None:
        """Counts a violation of the law."""
        self.violations[what] += 1
        self.first.setdefault(what, number)


def outcome(target: Target, number: int, *, seed: int, folder: pathlib.Path) -> Outcome:
    """Returns what comes of a number of inputs."""
    warm_up, result = Outcome(), Outcome()
    with warnings.catch_warnings():
        # A reader may warn; Python keeps a list of what it has warned of, which would grow.
        warnings.simplefilter("ignore")
        # The first inputs are read twice: what is imported at the first use is not the deed of an input.
        for i in range(min(number, WARM_UP)):
            answer(target, i, seed=seed, folder=folder, watch=Watch(folder, first=True), result=warm_up)
        before, watch = peak_memory(), Watch(folder)
        for i in range(number):
            answer(target, i, seed=seed, folder=folder, watch=watch, result=result)
    result.memory = peak_memory() - before
    if number > WARM_UP and not result.accepted:
        result.violated(0, "no input is accepted, so that nothing is tried")
    # What only the first use did, as to look for a program.
    for what in warm_up.violations.keys() - result.violations.keys():
        result.violated(warm_up.first[what], what)
    if result.memory > target.gibibytes:
        result.violated(number - 1, f"memory grows by more than {target.gibibytes:g} GiB")
    return result


def answer(target: Target, number: int, *, seed: int, folder: pathlib.Path, watch: Watch, result: Outcome) -> None:
    """Adds to the outcome what comes of one input."""
    given = target.given(random.Random(f"{seed} {target.name} {number}"), folder)
    begun, fault = time.perf_counter(), ""
    with watch.on() as effects:
        try:
            with time_limit(target.seconds):
                target.read(given)
            result.accepted += 1
        except REFUSALS as error:
            result.refused += 1
            sentence = str(error)
            result.sentences.add(without_quotes(sentence))
            if problem := fault_of(sentence):
                fault = f"{problem}, {type(error).__name__}: {without_quotes(sentence)[:80]!r}"
        except TooSlow:
            pass  # It is counted below, as is a reader that was late before Python had the word.
        except (Exception, SystemExit) as error:
            fault = f"{type(error).__name__}: {without_quotes(str(error))[:80]!r}"
    seconds = time.perf_counter() - begun
    result.slowest = max(result.slowest, seconds)
    if seconds > target.seconds:
        result.violated(number, f"more than {target.seconds:g} s")
    if fault:
        result.violated(number, fault)
    for effect in effects:
        result.violated(number, effect.replace(str(folder), "FOLDER"))


def fault_of(sentence: str) -> str:
    """Returns what is wrong with a sentence of refusal, "" if nothing is."""
    if not sentence.strip():
        return "an empty sentence"
    if len(sentence.splitlines()) > 1:
        return "more than one line"
    if len(sentence) > LONGEST_SENTENCE:
        return f"a sentence of more than {LONGEST_SENTENCE:,} letters"
    return "a traceback" if "Traceback" in sentence or 'File "' in sentence else ""


def without_quotes(sentence: str) -> str:
    """Returns the sentence without what it quotes, so that equal ones are equal."""
    sentence = re.sub(r"got .*", "got ...", sentence[:LONGEST_SENTENCE], flags=re.DOTALL)
    sentence = re.sub(r"'[^']*'|\"[^\"]*\"|(/[^\s/]+)+|0x[0-9a-f]+", "'...'", sentence)
    return re.sub(r"[\d.]+\d|\d+", "0", sentence)


def peak_memory() -> float:
    """Returns the largest resident memory of this process so far, in GiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
