"""What parts do together: whether their effects add up, and their average effects in a full factorial design."""

import collections
import itertools

import numpy as np

from experiments.studies.markdown import markdown_table
from experiments.studies.statistics import Difference, difference_texts, paired_difference
from experiments.studies.study import Arm
from experiments.studies.verdict import LEVEL, direction
from experiments.studies.view import BlockView


def combined(view: BlockView) -> list[tuple[Arm, float, Difference]]:
    """Returns each recorded combination, the sum of its parts' effects, and its distance from that sum."""
    found = []
    for arm in view.arms:
        errors = [view.values(name) for name in (arm.name, *arm.parts, view.block.arms[0].name)]
        known = [values for values in errors if values is not None]
        if not arm.parts or len(known) < len(errors):
            continue
        seeds = min(map(len, known))
        together, *alone = (one[:seeds] - known[-1][:seeds] for one in known[:-1])
        total = np.sum(alone, axis=0)
        if (distance := paired_difference(together, total)) is not None:
            found.append((arm, float(total.mean()), distance))
    return found


def additivity(view: BlockView) -> str:
    """Returns a sentence and a table on the combinations of a block, nothing where there are none."""
    found = combined(view)
    if not found:
        return ""
    counts = collections.Counter(direction(ours) for _, _, ours in found)
    summary = (
        f"Of {len(found)} combinations, at p < {LEVEL}, {counts['undecided']} cannot be distinguished from the sum of "
        f"their parts, {counts['less error']} have less error, {counts['more error']} more."
    )
    rows = [[arm.name, f"{total:+.2f}", *difference_texts(ours)] for arm, total, ours in found]
    return f"{summary}\n\n{markdown_table(('combination', 'sum of the parts', 'difference to the sum', 'p'), rows)}"


def average_effects(view: BlockView) -> list[tuple[str, Difference]]:
    """Returns the effect of each part, and of each pair beyond the sum of its two; nothing until all arms are recorded.

    The effect of a part A is the mean error of all arms with A minus that of all arms without; of a pair A, B it is the
    mean of (A and B) - (A alone) - (B alone) + (neither) over the combinations of the others. Every arm counts, so
    these effects vary less over seeds than the difference of two arms.
    """
    parts = list(dict.fromkeys(part for arm in view.block.arms for part in arm.parts))
    held = {part: {part} for part in parts} | {arm.name: set(arm.parts) for arm in view.block.arms if arm.parts}
    held[view.block.arms[0].name] = set()
    errors = {frozenset(held[arm.name]): view.errors(arm) for arm in view.arms if arm.name in held}
    if not parts or len(errors) < 2 ** len(parts):
        return []
    seeds = min(map(len, errors.values()))
    found = []
    for count in (1, 2):
        for group in itertools.combinations(parts, count):
            signed = [(-1) ** len(set(group) - arm) * values[:seeds] for arm, values in errors.items()]
            effect = np.sum(signed, axis=0) / 2 ** (len(parts) - count)
            if (difference := paired_difference(effect, np.zeros(seeds))) is not None:
                found.append((" x ".join(group), difference))
    return found


def factorial(view: BlockView) -> str:
    """Returns a sentence and a table of the average effects, nothing where there are none."""
    rows = [[name, *difference_texts(effect)] for name, effect in average_effects(view)]
    if not rows:
        return ""
    return (
        "On average over all combinations of the other parts; for a pair, beyond the sum of its two:\n\n"
        + markdown_table(("part, or pair", "average effect", "p"), rows)
    )
