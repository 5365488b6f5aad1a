"""Tables of Markdown, and the numbers in them."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from experiments.studies.jsonl import mean_text


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns the table, a line for each row; a bar inside a cell stays one."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def mean_of(values: np.ndarray, deviation: Callable[[np.ndarray], float], *, digits: int = 2) -> str:
    """Returns mean ± deviation, or the number alone where there is one."""
    return mean_text(values, deviation, digits=digits) if len(values) > 1 else f"{values[0]:.{digits}f}"
