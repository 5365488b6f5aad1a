"""The lines of one block at one scale, and how its arms compare with the first."""

import dataclasses
from typing import Any

import numpy as np

from experiments.studies.statistics import Difference, mean_text, paired_difference
from experiments.studies.study import Arm, Block, Line, Lines, Study


@dataclasses.dataclass(frozen=True)
class BlockView:
    """What is recorded of a block at a scale."""

    study: Study
    block: Block
    scale: str
    lines: dict[str, Line]
    """By the name of the arm."""
    recorded: dict[str, Line]
    """Lines to compare with."""

    @property
    def arms(self) -> list[Arm]:
        """The arms that have a line."""
        return [arm for arm in self.block.arms if arm.name in self.lines]

    def values(self, arm: str, metric: str | None = None) -> np.ndarray | None:
        """Returns an arm's errors or a metric of it, seed by seed, NaN where training diverged; None without a line."""
        line = self.lines.get(arm)
        values = None if line is None else line["errors"] if metric is None else line["metrics"].get(metric)
        return None if values is None else np.atleast_1d(np.array(values, float))

    def errors(self, arm: Arm) -> np.ndarray:
        """Returns the errors of an arm that has a line."""
        return np.array(self.lines[arm.name]["errors"], float)

    def difference(self, arm: Arm, metric: str | None = None) -> Difference | None:
        """Returns an arm's errors, or a metric, minus those of the block's first arm; None while one is missing."""
        first = self.block.arms[0]
        values, base = self.values(arm.name, metric), self.values(first.name, metric)
        return None if values is None or base is None or arm is first else paired_difference(values, base)

    def published_difference(self, arm: Arm) -> float | None:
        """Returns the difference of errors in the paper, None where it has none."""
        base = self.block.arms[0].published
        if arm.published is None or base is None or arm is self.block.arms[0]:
            return None
        return arm.published.value - base.value

    def recorded_text(self, arm: Arm) -> str:
        """Returns the recorded error of an arm."""
        line = self.recorded.get(arm.name)
        return "-" if line is None else mean_text(np.array(line["errors"], float))


def block_views(study: Study, lines: Lines, recorded: Lines, scale: str) -> list[BlockView]:
    """Returns the blocks that have lines at a scale; `scale` may name overrides after the scale."""
    plain: Any = scale.split()[0]
    blocks = study.blocks_at(plain)

    def of(block: Block, some: Lines, label: str) -> dict[str, Line]:
        return {line["arm"]: line for line in some if (line["scale"], line["block"]) == (label, block.name)}

    views = [BlockView(study, block, scale, of(block, lines, scale), of(block, recorded, plain)) for block in blocks]
    return [view for view in views if view.lines]
