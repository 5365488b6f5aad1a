"""The accelerator command: what it runs, what it leaves behind when it is killed, and what it says."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from experiments.accelerator.budget import correction, stage_limits
from experiments.accelerator.compilation import CompileSeconds
from experiments.accelerator.findings import Findings, is_finished, latest, read_lines
from experiments.accelerator.item import Item, ItemError, Options
from experiments.accelerator.page import folder_page, page
from experiments.accelerator.runner import Runner, stage_items
from experiments.accelerator.summary import summary

ROOT = pathlib.Path(__file__).parents[2]
ABOUT = {"device_kind": "H1", "cpus": 16, "git_commit": None, "command": "python -m experiments.accelerator"}


class Clock:
    """A clock that only items move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def runner(path: pathlib.Path, clock: Clock | None = None) -> Runner:
    findings = Findings(path / "findings.jsonl")
    return Runner(findings, "full", ABOUT, CompileSeconds(), say=lambda _: None, clock=clock or Clock())


def item(name: str, run: Callable[[], dict[str, Any]] = dict, *, seconds: float = 1.0, stage: str = "check") -> Item:
    return Item(stage, name, seconds, run, {"size": 3})


def fails() -> dict[str, Any]:
    raise ZeroDivisionError("one by zero")


def names(path: pathlib.Path) -> list[str]:
    return [line["name"] for line in read_lines(path / "findings.jsonl")]


def test_a_finding_is_a_line_that_says_all_it_depends_on(tmp_path):
    runner(tmp_path).run({"check": lambda: [item("one", lambda: {"speed": 2.0})]}, 60)
    (line,) = read_lines(tmp_path / "findings.jsonl")
    assert line["result"] == {"speed": 2.0}
    assert line["settings"] == {"size": 3}
    assert {"python", "jax", "jaxlib", "flax", "optax"} <= line["versions"].keys()
    assert (line["stage"], line["scale"], line["device_kind"]) == ("check", "full", "H1")
    assert {"seconds", "compile_seconds", "estimate", "time", "command", "git_commit"} <= line.keys()


def test_a_failure_is_recorded_the_rest_runs_and_a_later_success_supersedes_it(tmp_path):
    runner(tmp_path).run({"check": lambda: [item("bad", fails), item("good")]}, 60)
    bad, good = read_lines(tmp_path / "findings.jsonl")
    assert bad["error"]["type"] == "ZeroDivisionError"
    assert bad["error"]["message"] == "one by zero"
    assert "fails" in bad["error"]["frames"][-1]
    assert is_finished(good)
    assert not is_finished(bad)
    runner(tmp_path).run({"check": lambda: [item("bad"), item("good", fails)]}, 60)
    assert names(tmp_path) == ["bad", "good", "bad"]
    assert all(is_finished(line) for line in latest(read_lines(tmp_path / "findings.jsonl")).values())


def test_arrays_are_written_as_lists_and_what_cannot_be_written_is_a_failure(tmp_path):
    results = {"array": {"seconds": np.float32(0.5), "curve": np.arange(3)}, "set": {"names": {"a"}}}
    runner(tmp_path).run({"check": lambda: [item(name, lambda r=r: r) for name, r in results.items()]}, 60)
    array, unwritable = read_lines(tmp_path / "findings.jsonl")
    assert array["result"] == {"seconds": 0.5, "curve": [0, 1, 2]}
    assert not is_finished(unwritable)


def test_a_failure_keeps_what_it_found(tmp_path):
    def differs() -> dict[str, Any]:
        raise ItemError("they differ", {"deviation": 0.5})

    runner(tmp_path).run({"check": lambda: [item("differs", differs)]}, 60)
    (line,) = read_lines(tmp_path / "findings.jsonl")
    assert line["result"] == {"deviation": 0.5}
    assert not is_finished(line)


def test_a_stage_that_cannot_list_its_items_leaves_the_others_alone(tmp_path):
    stages = {"check": fails, "speed": lambda: [item("one", stage="speed")]}
    runner(tmp_path).run(stages, 60)  # pyright: ignore[reportArgumentType]
    assert names(tmp_path) == ["list of items", "one"]
    runner(tmp_path).run({"check": lambda: [item("two")]}, 60)
    assert all(is_finished(line) for line in latest(read_lines(tmp_path / "findings.jsonl")).values())


def test_what_cannot_end_in_time_is_not_started(tmp_path):
    clock = Clock()

    def takes(seconds: float) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            clock.now += seconds
            return {}

        return run

    run = runner(tmp_path, clock)
    run.run({"check": lambda: [item("a", takes(5), seconds=5), item("long", takes(1), seconds=6), item("b")]}, 10)
    assert names(tmp_path) == ["a", "b"]
    assert [name for _, name, _ in run.not_started] == ["long"]


def test_estimates_correct_themselves(tmp_path):
    clock = Clock()

    def takes_twice() -> dict[str, Any]:
        clock.now += 4
        return {}

    run = runner(tmp_path, clock)
    items = [item("a", takes_twice, seconds=2), item("b", takes_twice, seconds=2), item("c", seconds=4)]
    run.run({"check": lambda: items}, 15)
    assert names(tmp_path) == ["a", "b"]  # c is expected to take 8 of the 7 seconds left
    assert correction(run.findings.lines, "check", "full", "H1") == 2
    assert correction(run.findings.lines, "check", "full", "H2") == 1
    assert correction(run.findings.lines, "check", "tiny", "H1") == 1


def test_minutes_are_divided_in_proportion_and_the_last_stage_has_what_is_left():
    assert stage_limits(("check", "speed", "evidence"), 600) == {"check": 90, "speed": 150, "evidence": 600}
    assert stage_limits(("check", "speed"), 240) == {"check": 90, "speed": 240}
    assert stage_limits(("speed",), 60) == {"speed": 60}


def test_a_stage_ends_at_its_share_and_leaves_the_rest_to_the_last(tmp_path):
    clock = Clock()

    def takes_50() -> dict[str, Any]:
        clock.now += 50
        return {}

    def items(stage: str) -> list[Item]:
        return [item(f"{stage} {number}", takes_50, seconds=50, stage=stage) for number in range(20)]

    run = runner(tmp_path, clock)
    run.run({stage: lambda stage=stage: items(stage) for stage in ("check", "speed", "evidence")}, 600)
    assert [sum(name.startswith(stage) for name in names(tmp_path)) for stage in ("check", "speed", "evidence")] == [
        1,
        3,
        8,
    ]


def test_a_line_written_by_halves_is_dropped_and_the_item_runs_again(tmp_path):
    stages = {"check": lambda: [item("one"), item("two")]}
    runner(tmp_path).run(stages, 60)
    file = tmp_path / "findings.jsonl"
    file.write_text(file.read_text()[:-40])
    assert names(tmp_path) == ["one"]
    runner(tmp_path).run(stages, 60)
    assert names(tmp_path) == ["one", "two"]


def test_an_item_that_killed_the_process_runs_last(tmp_path):
    run = runner(tmp_path)
    run.findings.begin(run._line(item("deadly")))
    runner(tmp_path).run({"check": lambda: [item("deadly"), item("harmless")]}, 60)
    lines = read_lines(tmp_path / "findings.jsonl")
    assert [(line["name"], is_finished(line)) for line in lines] == [
        ("deadly", False),
        ("harmless", True),
        ("deadly", True),
    ]


def test_summary_and_page_hold_findings_failures_and_what_is_missing(tmp_path):
    run = runner(tmp_path, Clock())
    inner = {"rate": 3.25, "functions": {"crop": {"float32": 1e-7}}}
    stages = {"check": lambda: [item("good", lambda: inner), item("bad", fails), item("late", seconds=1000)]}
    run.run(stages, 60)
    lines = read_lines(tmp_path / "findings.jsonl")
    said = summary(lines, scale="full", device_kind="H1", not_started=run.not_started)
    assert "1 findings on H1 at scale full, 1 failures, 1 items not started" in said
    assert "check / good  0.0 s  rate 3.25" in said
    assert "check / bad: ZeroDivisionError: one by zero" in said
    assert "check / late: expected 500 s, 60 s left" in said
    written = page(lines)
    assert "| item | rate | seconds | compiling, all threads |" in written
    assert "| good | 3.25 | 0 | 0 |" in written
    assert "| crop | 1e-07 |" in written
    assert "All with size 3." in written
    assert "- bad: ZeroDivisionError: one by zero" in written


def test_summary_of_a_long_queue_stays_short(tmp_path):
    run = runner(tmp_path)
    run.run({"check": lambda: [item(f"late {number}", seconds=1000) for number in range(70)]}, 60)
    said = summary([], scale="full", device_kind="H1", not_started=run.not_started)
    assert "0 findings on H1 at scale full, 0 failures, 70 items not started" in said
    assert "late 11" in said
    assert said.endswith("and 58 more")


def test_committed_pages_are_those_of_their_lines():
    for lines in (ROOT / "results" / "accelerator").rglob("findings.jsonl"):
        assert lines.with_name("page.md").read_text() == folder_page(lines.parent), lines


# Stages of quick and slow items in place of the real ones, in a process of its own.
FAKE = """
import sys, time, types
from experiments.accelerator.item import Item
def items(options):
    return [Item("check", "quick", 1.0, lambda: {"found": 1}), Item("check", "slow", 1.0, lambda: time.sleep(600))]
sys.modules["experiments.accelerator.check"] = types.SimpleNamespace(items=items)
from experiments.accelerator.__main__ import main
sys.exit(main())
"""


def started(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen) -> str:
    return process.communicate(timeout=300)[0]


def wait_until_running(path: pathlib.Path, name: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        file = path / "running.json"
        if file.exists() and name in file.read_text():
            return
        time.sleep(0.01)
    raise AssertionError(ended(process))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_command_leaves_its_findings(tmp_path, number):
    arguments = ("--minutes", "9", "--output", str(tmp_path), "--stages", "check", "--scale", "tiny")
    process = started(FAKE, *arguments)
    wait_until_running(tmp_path, "slow", process)
    process.send_signal(number)
    output = ended(process)
    assert names(tmp_path) == ["quick"]
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
        return
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Stopped; the same command runs what is missing." in output
    assert "check / quick" in output
    assert not (tmp_path / "running.json").exists()
    assert "| quick | 1 |" in (tmp_path / "page.md").read_text()


# Without what a bare accelerator machine lacks.
BLOCKED = """
import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"tyro", "tensorflow_datasets", "grain", "matplotlib", "tqdm"}:
            raise ModuleNotFoundError(f"{name} is not on this machine", name=name)
sys.meta_path.insert(0, Blocked())
"""
FAST_ITEMS = """
from experiments.accelerator import check
real = check.items
check.items = lambda options: [i for i in real(options) if i.name in ("donation", "checkpoint")]
"""
MAIN = """
from experiments.accelerator.__main__ import main
sys.exit(main())
"""


def test_the_command_runs_where_only_jax_and_its_company_are_installed(tmp_path):
    arguments = ("--minutes", "9", "--output", str(tmp_path), "--stages", "check", "--scale", "tiny")
    process = started(BLOCKED + FAST_ITEMS + MAIN, *arguments)
    output = ended(process)
    assert process.returncode == 0, output
    assert names(tmp_path) == ["donation", "checkpoint"]
    assert any((tmp_path / "cache").iterdir())
    again = started(BLOCKED + FAST_ITEMS + MAIN, *arguments[:1], "0", *arguments[2:])
    assert "2 findings on cpu at scale tiny, 0 failures, 0 items not started" in ended(again)
    assert names(tmp_path) == ["donation", "checkpoint"]


def test_help_needs_no_jax():
    blocked = BLOCKED.replace('"tyro"', '"jax", "tyro"')
    process = started(blocked + MAIN, "--help")
    assert "--minutes" in ended(process)
    assert process.returncode == 0


@pytest.mark.parametrize("stage", ["check", "speed", "evidence"])
def test_items_are_listed_where_only_jax_and_its_company_are_installed(stage):
    listing = f"""
from experiments.accelerator.item import Options
from experiments.accelerator.runner import stage_items
items = stage_items(["{stage}"], Options("tiny"))["{stage}"]()
assert all(item.stage == "{stage}" and item.seconds > 0 for item in items)
assert len(items) == len({{item.name for item in items}}) > 0, items
"""
    process = started(BLOCKED + listing)
    output = ended(process)
    assert process.returncode == 0, output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--minuts", "3"], "Unknown option '--minuts' (did you mean '--minutes'?); see --help."),
        (["--stages", "check,sped"], "Argument --stages: unknown stage 'sped' (did you mean 'speed'?); see --help."),
        (
            ["--minutes", "ten"],
            "Argument --minutes: expected a number of minutes of at least 0, got 'ten'; see --help.",
        ),
        (["--minutes", "1"], "--output is required; see --help."),
        (["--data", "folder:/nowhere"], "Argument --data: there is no folder '/nowhere'; see --help."),
    ],
)
def test_a_mistyped_command_gets_one_sentence(arguments, sentence, capsys):
    from experiments.accelerator.__main__ import main

    with pytest.raises(SystemExit) as ending:
        main(arguments)
    assert ending.value.code == 2
    assert capsys.readouterr().err.splitlines() == [sentence]


def test_an_output_that_cannot_be_written_gets_one_sentence(tmp_path, capsys):
    from experiments.accelerator.__main__ import main

    (tmp_path / "file").write_text("")
    assert main(["--minutes", "1", "--output", str(tmp_path / "file" / "below")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert "Not a directory); name another --output." in said[0]


def test_estimates_and_settings_can_be_written_down():
    for item in stage_items(["check"], Options("full"))["check"]():
        json.dumps(item.settings)
