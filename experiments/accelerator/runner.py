"""Runs the items of the stages, one after another, while their estimates fit into the time that is left."""

import dataclasses
import importlib
import json
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from experiments.accelerator.budget import correction, stage_limits
from experiments.accelerator.compilation import CompileSeconds
from experiments.accelerator.findings import Findings, Line, is_finished, latest, name_of
from experiments.accelerator.item import Item, ItemError, Options
from experiments.accelerator.provenance import utc_now, versions

DIED = "ProcessDied"

Stages = dict[str, Callable[[], list[Item]]]
"""For each stage, a function that returns its items; called when the stage begins."""


@dataclasses.dataclass
class Runner:
    """What a run of the command knows, and what it did not start."""

    findings: Findings
    scale: str
    provenance: dict[str, Any]
    compile_seconds: CompileSeconds
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    not_started: list[tuple[str, str, str]] = dataclasses.field(default_factory=list)
    """(stage, name, why) of items that did not fit."""

    def run(self, stages: Stages, deadline: float) -> None:
        """Runs what is missing of each stage until the deadline, by `clock`."""
        if (died := self.findings.died()) is not None:
            self.findings.append({**died, "error": {"type": DIED, "message": "the process died", "frames": []}})
        limits = stage_limits(tuple(stages), max(deadline - self.clock(), 0.0))
        for stage, items in stages.items():
            ends = min(self.clock() + limits[stage], deadline)
            listed = sorted(self._listed(stage, items), key=self._killed_the_process)
            for number, item in enumerate(listed):
                self._run_if_it_fits(item, ends, listed[number + 1 :])

    def _listed(self, stage: str, items: Callable[[], list[Item]]) -> list[Item]:
        """Returns the items of a stage; one that cannot list them has failed, and the other stages still run."""
        line = self._line(Item(stage, "list of items", 1.0, dict))
        try:
            listed = items()
        except Exception as error:
            self.findings.append(line | {"error": described(error)})
            self.say(f"{stage}: FAILED to list its items: {error}")
            return []
        if name_of(line) in latest(self.findings.lines):
            self.findings.append(line | {"result": {}})  # in place of an earlier failure
        return listed

    def _known(self, item: Item) -> Line | None:
        kind = self.provenance["device_kind"]
        return latest(self.findings.lines).get((item.stage, item.name, self.scale, kind))

    def _killed_the_process(self, item: Item) -> bool:
        """Returns whether an earlier process died during this item; such an item runs last."""
        known = self._known(item)
        return known is not None and not is_finished(known) and known["error"]["type"] == DIED

    def _is_done(self, item: Item) -> bool:
        known = self._known(item)
        return known is not None and is_finished(known)

    def _expected(self, item: Item) -> float:
        """Returns the seconds that an item is expected to take."""
        kind = self.provenance["device_kind"]
        return item.seconds * correction(self.findings.lines, item.stage, self.scale, kind)

    def _run_if_it_fits(self, item: Item, ends: float, following: Sequence[Item]) -> None:
        if self._is_done(item):
            return
        expected, left = self._expected(item), max(ends - self.clock(), 0.0)
        if expected > left:
            self.not_started.append((item.stage, item.name, f"expected {expected:.0f} s, {left:.0f} s left"))
            return
        fitting = (one for one in following if not self._is_done(one) and self._expected(one) <= left - expected)
        for one in (item, next(fitting, None)):  # the next item prepares itself while this one runs
            if one is not None and one.prepare is not None:
                one.prepare()
        self._run(item)

    def _run(self, item: Item) -> None:
        line = self._line(item)
        self.findings.begin(line)
        began, compiled = self.clock(), self.compile_seconds.total
        try:
            line["result"] = as_json(item.run())
        except Exception as error:
            line["error"] = described(error)
            if isinstance(error, ItemError):
                line["result"] = as_json(error.result)
        line["seconds"] = round(self.clock() - began, 3)
        line["compile_seconds"] = round(self.compile_seconds.total - compiled, 3)
        line |= {"versions": versions(), "time": utc_now()}
        self.findings.end(line)
        outcome = f"{line['seconds']:.1f} s" if is_finished(line) else f"FAILED: {line['error']['message']}"
        self.say(f"{item.stage} / {item.name}: {outcome}")

    def _line(self, item: Item) -> Line:
        """Returns the line of an item before it has run."""
        return {
            "stage": item.stage,
            "name": item.name,
            "scale": self.scale,
            "settings": item.settings,
            "estimate": item.seconds,
            "seconds": 0.0,
            "compile_seconds": 0.0,
            **self.provenance,
            "versions": versions(),
            "time": utc_now(),
        }


def described(error: Exception) -> dict[str, Any]:
    """Returns an error as data: its type, message, and the last frames of its traceback."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return {
        "type": type(error).__name__,
        "message": str(error)[:2000],
        "frames": [f"{frame.filename}:{frame.lineno} {frame.name}: {frame.line}" for frame in frames],
    }


def as_json(result: dict[str, Any]) -> dict[str, Any]:
    """Returns a result as it is read back from its line, arrays as lists."""
    return json.loads(json.dumps(result, default=lambda value: value.tolist()))


def stage_items(stages: Sequence[str], options: Options) -> Stages:
    """Returns for each stage the function that imports its module and lists its items."""

    def listed(stage: str) -> list[Item]:
        return importlib.import_module(f"experiments.accelerator.{stage}").items(options)

    return {stage: lambda stage=stage: listed(stage) for stage in stages}
