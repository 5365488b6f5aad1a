"""Timing on a device that runs behind the host: contenders take turns, each turn a batch of calls."""

import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Contender:
    """A call that enqueues work on the device, and how to wait for it."""

    call: Callable[[], Any]
    operations: float = 1
    """How many operations one call holds; times are per operation."""
    wait: Callable[[Any], Any] = jax.block_until_ready
    """Given what the last call returned."""


@dataclasses.dataclass
class Times:
    """Seconds per operation, one number for each turn."""

    seconds: list[float] = dataclasses.field(default_factory=list)
    enqueued: list[float] = dataclasses.field(default_factory=list)
    """Until the last call had returned: what the host takes. It is close to `seconds` where the host is the slower."""


def times_in_turns(contenders: Mapping[str, Contender], turns: int, turn_seconds: float) -> dict[str, Times]:
    """Returns the times of all contenders, each turn of at least about `turn_seconds`.

    Waiting costs the host tens of microseconds, and so does each call; many calls share one wait.
    """
    calls = {name: _calls_in_a_turn(contender, turn_seconds) for name, contender in contenders.items()}
    times = {name: Times() for name in contenders}
    for _ in range(turns):
        for name, contender in contenders.items():
            contender.wait(contender.call())  # fills the caches with this contender's data
            operations = calls[name] * contender.operations
            began = time.perf_counter()
            result = None
            for _ in range(calls[name]):
                result = contender.call()
            enqueued = time.perf_counter()
            contender.wait(result)
            times[name].seconds.append((time.perf_counter() - began) / operations)
            times[name].enqueued.append((enqueued - began) / operations)
    return times


def _calls_in_a_turn(contender: Contender, turn_seconds: float, most: int = 500) -> int:
    contender.wait(contender.call())
    began = time.perf_counter()
    contender.wait(contender.call())
    return max(1, min(most, math.ceil(turn_seconds / (time.perf_counter() - began))))


def rounded(value: float) -> float:
    """Returns the number to four digits."""
    return float(f"{value:.4g}")


def quartiles(values: Sequence[float]) -> list[float]:
    """Returns the lower quartile, the median and the upper quartile."""
    return [rounded(each) for each in statistics.quantiles(values, n=4, method="inclusive")]


def row(seconds: Sequence[float], **more: float) -> dict[str, Any]:
    """Returns a row of a table: the median, the quartiles, and what else there is."""
    low, median, high = quartiles(seconds)
    return {"seconds": median, "low": low, "high": high, **{name: rounded(value) for name, value in more.items()}}


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Returns the median of the ratios turn by turn."""
    return rounded(statistics.median(a / b for a, b in zip(numerator, denominator, strict=True)))


def ratio_quartiles(numerator: Sequence[float], denominator: Sequence[float]) -> list[float]:
    """Returns the quartiles of the ratios turn by turn, median included."""
    return quartiles([a / b for a, b in zip(numerator, denominator, strict=True)])
