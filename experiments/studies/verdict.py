"""Whether a published difference shows in our runs, too, and the direction of differences that nobody published."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from experiments.studies.statistics import Difference
from experiments.studies.view import BlockView

Verdict = Literal["confirmed", "contradicted", "undecided"]
Direction = Literal["less error", "more error", "undecided"]
LEVEL = 0.05


def verdict(ours: Difference, published: float) -> Verdict:
    """Returns whether a significant difference of errors has the sign of the published one."""
    if not ours.p < LEVEL or published == 0:
        return "undecided"
    return "confirmed" if (ours.mean < 0) == (published < 0) else "contradicted"


def direction(ours: Difference) -> Direction:
    """Returns whether an arm has significantly less or more error than another."""
    if not ours.p < LEVEL:
        return "undecided"
    return "less error" if ours.mean < 0 else "more error"


def verdicts_text(views: Sequence[BlockView]) -> str:
    """Returns a sentence on which published differences are confirmed, contradicted or undecided, if there are any."""
    found: dict[Verdict, list[str]] = {"confirmed": [], "contradicted": [], "undecided": []}
    for view in views:
        where = f" ({view.block.name})" if len(views) > 1 else ""
        for arm in view.arms:
            published, ours = view.published_difference(arm), view.difference(arm)
            if published is not None and ours is not None:
                found[verdict(ours, published)].append(f"{arm.name}{where}")
    if not any(found.values()):
        return ""
    return f"Of the published differences, at this scale and p < {LEVEL}, {_listed(found)}."


def unpublished_text(view: BlockView) -> str:
    """Returns a sentence on the differences that the source does not publish, if there are any."""
    found: dict[Direction, list[str]] = {"less error": [], "more error": [], "undecided": []}
    for arm in view.arms:
        ours = view.difference(arm)
        if ours is not None and view.published_difference(arm) is None:
            found[direction(ours)].append(arm.name)
    if not any(found.values()):
        return ""
    which = " that the source does not publish" if view.block.arms[0].published else ""
    return f"Differences to the first arm{which}, at p < {LEVEL}: {_listed(found)}."


def _listed(found: Mapping[Any, list[str]]) -> str:
    return "; ".join(f"{name}: {', '.join(f'*{arm}*' for arm in arms)}" for name, arms in found.items() if arms)
