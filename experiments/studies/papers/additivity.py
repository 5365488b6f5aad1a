"""Whether parts that are put together change the error by the sum of what each changes alone."""

import collections

import numpy as np

from experiments.studies.jsonl import Difference, paired_difference
from experiments.studies.markdown import markdown_table
from experiments.studies.papers.lines import Lines, difference_texts, errors_of
from experiments.studies.papers.table import Arm, Block, Scale
from experiments.studies.papers.verdict import LEVEL, direction

HEADER = ("together", "sum of the parts", "difference to the sum", "p")


def combined(lines: Lines, scale: Scale, block: Block) -> list[tuple[Arm, float, Difference]]:
    """Returns each finished combination, the sum of what its parts change alone, and how far it is from that sum."""
    errors = {arm.name: errors_of(lines, scale, block, arm) for arm in block.arms}
    found = []
    for arm in block.arms:
        needed = [one for name in (arm.name, *arm.parts, block.arms[0].name) if (one := errors[name]) is not None]
        if not arm.parts or len(needed) < len(arm.parts) + 2:
            continue
        seeds = min(map(len, needed))
        together, *alone = (one[:seeds] - needed[-1][:seeds] for one in needed[:-1])
        total = np.sum(alone, axis=0)
        found.append((arm, float(total.mean()), paired_difference(together, total)))
    return found


def additivity(lines: Lines, scale: Scale, block: Block) -> str:
    """Returns a sentence and a table on the combinations of a block, nothing where there are none."""
    found = combined(lines, scale, block)
    if not found:
        return ""
    counts = collections.Counter(direction(ours) for _, _, ours in found)
    said = (
        f"Of {len(found)} combinations, at p < {LEVEL}, {counts['undecided']} cannot be told from the sum of their "
        f"parts, {counts['less error']} err less, {counts['more error']} more."
    )
    rows = [[arm.name, f"{total:+.2f}", *difference_texts(ours)] for arm, total, ours in found]
    return f"{said}\n\n{markdown_table(HEADER, rows)}"
