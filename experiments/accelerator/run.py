"""One run of the command: stages, signals, summary and page."""

import argparse
import sys
import time
from typing import Any

from experiments.accelerator.compilation import CompileSeconds, compile_quickly, keep_programs
from experiments.accelerator.findings import Findings, Line, is_finished, latest
from experiments.accelerator.item import Options
from experiments.accelerator.page import folder_page
from experiments.accelerator.provenance import provenance
from experiments.accelerator.runner import Runner, stage_items
from experiments.accelerator.stop import stop_on_signals
from experiments.accelerator.summary import summary
from experiments.run.directory import replace_text


def run(given: argparse.Namespace, *, command: str, began: float) -> int:
    """Runs what the arguments ask for; returns the exit status: 1 if an item failed, 2 if nothing can be written."""
    deadline = began + 60 * given.minutes
    options = Options(scale=given.scale, data=given.data)
    try:
        findings = Findings(given.output / "findings.jsonl")
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        print(f"Findings cannot be kept in {given.output} ({reason}); name another --output.", file=sys.stderr)
        return 2
    keep_programs(given.output / "cache")
    about = provenance(command)
    if given.scale == "tiny" and about["device_kind"] == "cpu":
        compile_quickly()
    runner = Runner(findings, given.scale, about, CompileSeconds(), say=say)

    def told() -> str:
        kind = about["device_kind"]
        return summary(findings.lines, scale=given.scale, device_kind=kind, not_started=runner.not_started)

    def stopped() -> None:
        findings.close()
        write_page()
        say(f"Stopped; the same command runs what is missing.\n{told()}")

    def write_page() -> None:
        replace_text(given.output / "page.md", folder_page(given.output))

    stop_on_signals(stopped)
    say(f"{about['device_kind']}, {about['cpus']} CPU cores, {time.monotonic() - began:.1f} s after the start")
    runner.run(stage_items(given.stages, options), deadline)
    write_page()
    say(told())
    return int(any(failed(line, runner.scale, about) for line in latest(findings.lines).values()))


def failed(line: Line, scale: str, about: dict[str, Any]) -> bool:
    """Returns whether a line is a failure on this device at this scale."""
    return not is_finished(line) and (line["scale"], line["device_kind"]) == (scale, about["device_kind"])


def say(text: str) -> None:
    """Prints at once."""
    print(text, flush=True)
