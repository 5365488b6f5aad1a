"""`pytest --compilations`: how many programs XLA compiled for each test, and the processor time of each."""

import resource
from collections.abc import Iterator
from typing import Any

import jax
import pytest

COMPILED = "/jax/core/compile/backend_compile_duration"  # Also where the compiled program was read from disk.
READ = "/jax/compilation_cache/cache_hits"

counts = {COMPILED: 0, READ: 0}
before = (0, 0, 0.0)
totals: dict[str, tuple[int, int, float]] = {}


def count(event: str, *_: Any, **__: Any) -> None:
    """Counts the events that are asked about."""
    if event in counts:
        counts[event] += 1


jax.monitoring.register_event_duration_secs_listener(count)
jax.monitoring.register_event_listener(count)


def spent() -> tuple[int, int, float]:
    """Returns programs compiled and programs read from disk so far, and processor seconds, ended children included."""
    usage = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return counts[COMPILED] - counts[READ], counts[READ], sum(u.ru_utime + u.ru_stime for u in usage)


def added(one: tuple[int, int, float], other: tuple[int, int, float], sign: int = 1) -> tuple[int, int, float]:
    """Returns one plus, or minus, the other."""
    return one[0] + sign * other[0], one[1] + sign * other[1], one[2] + sign * other[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    text = "print what XLA compiled, and the processor seconds, for the N tests (30) that took longest"
    parser.addoption("--compilations", nargs="?", const=30, type=int, metavar="N", help=text)


def pytest_collection_finish() -> None:
    """Leaves out what the imports took."""
    global before
    before = spent()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """Hands on, with each phase of a test, what was spent since the phase before; xdist carries it to the terminal."""
    global before
    report = yield
    now = spent()
    report.user_properties = [*report.user_properties, ("spent", added(now, before, -1))]
    before = now
    return report


def pytest_runtest_logreport(report: Any) -> None:
    for name, value in report.user_properties:
        if name == "spent":
            totals[report.nodeid] = added(totals.get(report.nodeid, (0, 0, 0.0)), value)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    shown = config.getoption("--compilations")
    if shown is None or not totals:
        return
    terminalreporter.section("programs compiled, read from disk, processor seconds")
    ranked = sorted(totals.items(), key=lambda item: -item[1][2])
    for nodeid, (compiled, read, seconds) in ranked[:shown]:
        terminalreporter.line(f"{compiled:6d} {read:6d} {seconds:8.2f}  {nodeid}")
    in_all = (0, 0, 0.0)
    for value in totals.values():
        in_all = added(in_all, value)
    terminalreporter.line("{:6d} {:6d} {:8.2f}  in all".format(*in_all))
