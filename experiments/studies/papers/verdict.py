"""Whether a difference that a paper printed is there in our runs, too, and which way one goes that no paper prints."""

from typing import Literal

from experiments.studies.jsonl import Difference

Verdict = Literal["confirmed", "contradicted", "undecided"]
Direction = Literal["less error", "more error", "undecided"]
LEVEL = 0.05


def verdict(ours: Difference, published: float) -> Verdict:
    """Returns whether a difference of errors has the sign of the published one, where chance hardly made it."""
    if not ours.p < LEVEL or published == 0:
        return "undecided"
    return "confirmed" if (ours.mean < 0) == (published < 0) else "contradicted"


def direction(ours: Difference) -> Direction:
    """Returns whether an arm errs less or more than another, where chance hardly made it."""
    if not ours.p < LEVEL:
        return "undecided"
    return "less error" if ours.mean < 0 else "more error"
