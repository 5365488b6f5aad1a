"""The lines of finished arms, and how far an arm's errors are from those of its block's first."""

from typing import Any

import numpy as np

from experiments.studies.jsonl import Difference, paired_difference
from experiments.studies.papers.table import Arm, Block, Scale

Lines = list[dict[str, Any]]


def line_of(lines: Lines, scale: Scale, block: Block, arm: Arm) -> dict[str, Any] | None:
    """Returns the line of a finished arm."""
    key = (scale, block.name, arm.name)
    return next((line for line in lines if arm_key(line) == key), None)


def errors_of(lines: Lines, scale: Scale, block: Block, arm: Arm) -> np.ndarray | None:
    """Returns the errors of a finished arm, seed by seed."""
    line = line_of(lines, scale, block, arm)
    return None if line is None else np.array(line["errors"])


def arm_key(line: dict[str, Any]) -> tuple[str, str, str]:
    """Returns what tells the arms of a table apart."""
    return line["scale"], line["block"], line["arm"]


def seeds_in(line: dict[str, Any] | None) -> int:
    """Returns how many seeds a line is of."""
    return 0 if line is None else len(line["errors"])


def with_line(lines: Lines, line: dict[str, Any]) -> Lines:
    """Returns the lines with one more, or with one in place of that of the same arm with fewer seeds."""
    if arm_key(line) in map(arm_key, lines):
        return [line if arm_key(old) == arm_key(line) else old for old in lines]
    return [*lines, line]


def difference(lines: Lines, scale: Scale, block: Block, arm: Arm) -> Difference | None:
    """Returns the arm's error minus that of the block's first, None while one of them is not finished."""
    errors, base = (errors_of(lines, scale, block, one) for one in (arm, block.arms[0]))
    if errors is None or base is None or arm is block.arms[0]:
        return None
    return paired_difference(errors, base)


def difference_texts(ours: Difference | None) -> tuple[str, str]:
    """Returns our difference and its p value, which one seed does not give."""
    if ours is None:
        return "-", "-"
    if ours.seeds < 2:
        return f"{ours.mean:+.2f}", "-"
    return f"{ours.mean:+.2f} ± {ours.deviation:.2f}", f"{ours.p:.2g}"
