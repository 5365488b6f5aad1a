"""How the minutes are divided among the stages, and what an item is expected to take."""

import statistics
from collections.abc import Iterable, Sequence

from experiments.accelerator.findings import Line, is_finished

# Of ten minutes: seconds for each stage. Other times are divided in this proportion.
SHARES = {"check": 90, "speed": 150, "evidence": 360}


def stage_limits(stages: Sequence[str], seconds: float) -> dict[str, float]:
    """Returns how long each stage may take: its share of the time, and the last stage whatever is left."""
    whole = sum(SHARES[stage] for stage in stages)
    limits = {stage: seconds * SHARES[stage] / whole for stage in stages}
    limits[stages[-1]] = seconds
    return limits


def correction(lines: Iterable[Line], stage: str, scale: str, device_kind: str) -> float:
    """Returns what the estimates of a stage are to be multiplied by on this device.

    The median of actual over estimated seconds of the finished items and of one item that took what was estimated, so
    that the first few are not trusted blindly; at least a quarter, since what was read from a cache tells little.
    """
    ratios = [
        line["seconds"] / line["estimate"]
        for line in lines
        if (line["stage"], line["scale"], line["device_kind"]) == (stage, scale, device_kind) and is_finished(line)
    ]
    return max(statistics.median([1.0, *ratios]), 0.25)
