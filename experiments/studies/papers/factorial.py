"""What each part changes on average over all combinations of the others: the contrasts of a full factorial design."""

import itertools

import numpy as np

from experiments.studies.jsonl import Difference, paired_difference
from experiments.studies.markdown import markdown_table
from experiments.studies.papers.lines import Lines, difference_texts, errors_of
from experiments.studies.papers.table import Block, Scale

HEADER = ("part, or pair", "changes on average", "p")


def average_effects(lines: Lines, scale: Scale, block: Block) -> list[tuple[str, Difference]]:
    """Returns what each part changes, and each pair beyond the sum of its two; nothing while a combination lacks.

    Of a part A it is the mean error of all arms with A minus that of all arms without; of a pair A, B the mean of
    (A and B) - (A alone) - (B alone) + (neither) over the combinations of the others. All arms tell of every part, so
    that these differences vary less over seeds than those of one arm to another.
    """
    parts = list(dict.fromkeys(part for arm in block.arms for part in arm.parts))
    held = {part: {part} for part in parts} | {arm.name: set(arm.parts) for arm in block.arms if arm.parts}
    held[block.arms[0].name] = set()
    errors = {}
    for arm in block.arms:
        measured = errors_of(lines, scale, block, arm)
        if measured is not None and arm.name in held:
            errors[frozenset(held[arm.name])] = measured
    if not parts or len(errors) < 2 ** len(parts):
        return []
    seeds = min(map(len, errors.values()))
    found = []
    for count in (1, 2):
        for group in itertools.combinations(parts, count):
            signed = [(-1) ** len(set(group) - arm) * values[:seeds] for arm, values in errors.items()]
            effect = np.sum(signed, axis=0) / 2 ** (len(parts) - count)
            found.append((" x ".join(group), paired_difference(effect, np.zeros(seeds))))
    return found


def factorial(lines: Lines, scale: Scale, block: Block) -> str:
    """Returns a sentence and a table of the average effects, nothing where there are none."""
    rows = [[name, *difference_texts(effect)] for name, effect in average_effects(lines, scale, block)]
    if not rows:
        return ""
    return (
        "On average over all combinations of the other parts; a pair, beyond the sum of its two:\n\n"
        + markdown_table(HEADER, rows)
    )
